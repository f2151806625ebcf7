-- Key: product_id, neighbourhood
-- Case:
-- Case: radius_m=1500.0
-- Case: product=P01 radius_m=5000.0
CREATE OR REPLACE TEMP TABLE left_over AS
WITH held AS (
    SELECT b.entitlement_id, count(*) AS units
    FROM (SELECT booking_id, entitlement_id, unit_ordinal, arg_max(type, (log_partition, log_offset)) AS last, min(occurred_at) AS booked_at FROM bookings GROUP BY ALL) AS b
    WHERE last IN ('booked', 'switched')
        AND NOT EXISTS (SELECT 1 FROM redemptions AS r WHERE r.type = 'redeemed' AND r.entitlement_id = b.entitlement_id AND r.unit_ordinal = b.unit_ordinal AND r.occurred_at >= b.booked_at)
    GROUP BY ALL
), gone AS (
    SELECT entitlement_id, sum(n) AS units
    FROM (SELECT entitlement_id, 1 AS n FROM standing UNION ALL SELECT entitlement_id, len(unit_ordinals) FROM orders WHERE type IN ('refunded', 'expired') UNION ALL SELECT entitlement_id, units FROM held)
    GROUP BY ALL
), asked AS (
    SELECT order_id FROM (SELECT order_id, entitlement_id, arg_max(type, (log_partition, log_offset)) AS last FROM orders WHERE type IN ('refund_requested', 'refund_withdrawn', 'refunded') GROUP BY ALL)
    WHERE last = 'refund_requested'
), given AS (
    SELECT entitlement_id, arg_max(to_member_id, (log_partition, log_offset)) AS member_id FROM orders WHERE type = 'transferred' AND to_member_id IS NOT NULL GROUP BY ALL
)
SELECT o.entitlement_id, o.product_id, o.occurred_at AS sold_at, o.sold_store_id, o.applicable_store_ids, o.units - coalesce(g.units, 0) AS units,
    coalesce(m.stands, t.member_id, o.member_id) AS member_id
FROM orders AS o JOIN products AS p USING (product_id) JOIN ends AS e USING (entitlement_id) LEFT JOIN gone AS g USING (entitlement_id) LEFT JOIN given AS t USING (entitlement_id)
LEFT JOIN merged AS m ON m.member_id = coalesce(t.member_id, o.member_id)
WHERE o.type = 'sold' AND p.crosses AND o.units > coalesce(g.units, 0) AND (e.valid_until IS NULL OR e.valid_until > now()) AND (o.valid_from IS NULL OR o.valid_from <= now())
    AND o.order_id NOT IN (SELECT order_id FROM asked);
CREATE OR REPLACE TEMP TABLE usable AS
WITH lists AS (
    SELECT id AS product_id, effective_from, greatest(effective_from, occurred_at) AS known_from, store_ids, lag(store_ids) OVER (PARTITION BY id ORDER BY effective_from) AS before, applies_to_sold, reason
    FROM versions WHERE kind = 'applicable_stores' AND effective_from <= now()
), changes AS (
    SELECT product_id, known_from, effective_from, s AS store_id, true AS added FROM lists, unnest(store_ids) AS t(s) WHERE before IS NOT NULL AND NOT list_contains(before, s) AND applies_to_sold IS DISTINCT FROM false
    UNION ALL
    SELECT product_id, known_from, effective_from, s, false FROM lists, unnest(before) AS t(s) WHERE NOT list_contains(store_ids, s) AND reason IN ('closed', 'cannot_serve')
), said AS (
    SELECT l.entitlement_id, s AS store_id, true AS added, '-infinity'::TIMESTAMPTZ AS at_ FROM left_over AS l, unnest(l.applicable_store_ids) AS t(s)
    UNION ALL
    SELECT l.entitlement_id, c.store_id, c.added, c.effective_from FROM left_over AS l JOIN changes AS c ON c.product_id = l.product_id AND c.known_from > l.sold_at
)
SELECT entitlement_id, store_id FROM said GROUP BY ALL HAVING arg_max(added, at_);
CREATE OR REPLACE TEMP TABLE homes AS
SELECT member_id, last.lat AS lat, last.lon AS lon, last.n AS neighbourhood
FROM (SELECT member_id, arg_max(struct_pack(t := type, lat := home_lat, lon := home_lon, n := neighbourhood), (log_partition, log_offset)) AS last FROM members GROUP BY member_id)
WHERE last.t IN ('joined', 'changed') AND last.lat IS NOT NULL;
WITH near AS (
    SELECT l.entitlement_id, l.member_id, l.product_id, l.units, h.neighbourhood,
        min(2 * 6371008.8 * asin(sqrt(pow(sin(radians(s.lat - h.lat) / 2), 2) + cos(radians(s.lat)) * cos(radians(h.lat)) * pow(sin(radians(s.lon - h.lon) / 2), 2)))) AS metres
    FROM left_over AS l JOIN homes AS h USING (member_id) LEFT JOIN usable AS u USING (entitlement_id) LEFT JOIN stores AS s ON s.store_id = u.store_id AND s.lat IS NOT NULL AND (s.closed_on IS NULL OR s.closed_on >= s.today) AND s.opened_on <= s.today
    WHERE $product IS NULL OR l.product_id = $product
    GROUP BY ALL
)
-- The mean is over cards: a member with two of them counts twice in distance_m.
SELECT m.product_id, any_value(p.name) AS product_name, m.neighbourhood, count(DISTINCT member_id) AS members, sum(m.units)::BIGINT AS units, round(avg(metres)) AS distance_m, CAST(NULL AS VARCHAR) AS note
FROM near AS m JOIN products AS p USING (product_id) WHERE metres IS NULL OR metres > $radius_m GROUP BY m.product_id, m.neighbourhood
