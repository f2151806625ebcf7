-- What the log holds, as the rules read it. Each relation is written from RULES.md, not from the views of the reports.

-- Versions of catalog entries: of two that take effect at the same instant the later one in the log counts; a removal ends the
-- entry.
CREATE TEMP TABLE versions AS
SELECT * EXCLUDE (again, next_type), CASE WHEN again IS NULL THEN 'infinity'::TIMESTAMPTZ ELSE again END AS until_at
FROM (
    SELECT *, lead(effective_from) OVER (PARTITION BY kind, id ORDER BY effective_from, log_partition, log_offset) AS again,
        lead(type) OVER (PARTITION BY kind, id ORDER BY effective_from, log_partition, log_offset) AS next_type
    FROM catalog
)
WHERE type = 'upserted' AND (again IS NULL OR again > effective_from);

CREATE TEMP VIEW in_force AS SELECT * FROM versions WHERE effective_from <= now() AND now() < until_at;

CREATE TEMP TABLE stores AS
SELECT id AS store_id, name, city, region, format, city_tier, lat, lon, skills, opened_on, closed_on,
    coalesce(head_office, false) AS head_office, coalesce(legal_entity_id, id) AS entity_id, time_zone,
    coalesce(day_start, 4) AS day_start,
    CAST((now() AT TIME ZONE time_zone) - coalesce(day_start, 4) * INTERVAL 1 HOUR AS DATE) AS today
FROM in_force WHERE kind = 'store';

CREATE TEMP TABLE products AS
SELECT id AS product_id, name, category, product_type, sale_kind, creator_store_id, skill, service_minutes, units, list_price_fen, vat_rate_bp,
    coalesce(creator_store_id IN (SELECT store_id FROM stores WHERE head_office), false)
        AND product_type IN ('booking', 'card', 'punch_card') AS crosses
FROM in_force WHERE kind = 'product';

-- Legal entity of a store over time; what was said first holds for the time before, what was said last for the time after.
CREATE TEMP TABLE owners AS
SELECT id AS store_id, coalesce(legal_entity_id, id) AS entity_id,
    CASE WHEN row_number() OVER (PARTITION BY id ORDER BY effective_from) = 1 THEN '-infinity'::TIMESTAMPTZ ELSE effective_from END AS from_at,
    coalesce(lead(effective_from) OVER (PARTITION BY id ORDER BY effective_from), 'infinity'::TIMESTAMPTZ) AS until_at
FROM versions WHERE kind = 'store';

-- Who stands for whom.
CREATE TEMP TABLE merged AS
WITH RECURSIVE said AS (
    SELECT member_id, arg_max(struct_pack(t := type, into_id := merged_into_member_id), (log_partition, log_offset)) AS last
    FROM members GROUP BY member_id
), chain AS (
    SELECT member_id, last.into_id AS stands, 1 AS steps FROM said WHERE last.t = 'merged'
    UNION ALL
    SELECT c.member_id, s.last.into_id, c.steps + 1 FROM chain AS c JOIN said AS s ON s.member_id = c.stands
    WHERE s.last.t = 'merged' AND c.steps < 4
)
SELECT member_id, arg_max(stands, steps) AS stands FROM chain GROUP BY member_id;

-- Redemptions that were taken back; a second reversal of the same one changes nothing (R7).
CREATE TEMP TABLE taken_back AS
SELECT source, original_event_id AS event_id, arg_min(event_id, (log_partition, log_offset)) AS reversal_id
FROM redemptions WHERE type = 'reversed' GROUP BY ALL;

-- Redemptions that stand (R7: activity), at their own day and hour.
CREATE TEMP VIEW standing AS
SELECT * FROM redemptions AS r
WHERE type = 'redeemed' AND NOT EXISTS (SELECT 1 FROM taken_back AS t WHERE t.source = r.source AND t.event_id = r.event_id);

-- Reversals that count, each beside the redemption it names; without the original its own fields speak for it.
CREATE TEMP TABLE reversals AS
SELECT v.source, v.event_id, v.occurred_at, v.business_day, v.recorded_at, v.log_partition, v.log_offset, v.reason,
    v.original_event_id, v.redemption_id AS own_redemption_id, o.event_id IS NOT NULL AS original_known,
    coalesce(o.occurred_at, v.original_redeemed_at) AS priced_at,
    o.business_day AS original_business_day, v.clerk_id AS reversing_clerk_id, v.member_id AS own_member_id,
    CASE WHEN o.event_id IS NULL THEN struct_pack(sold := v.sold_store_id, redeemed := v.redeemed_store_id, product := v.product_id, ptype := v.product_type,
        value := v.value_fen, principal := v.principal_fen, bonus := v.bonus_fen, points := v.points_fen, coupon := v.coupon_fen, vat := v.vat_rate_bp,
        list := v.list_price_fen, order_id := v.order_id, entitlement := v.entitlement_id, ordinal := v.unit_ordinal, seller := v.seller_id, technician := v.technician_id, call := v.redemption_id, valid_until := v.valid_until)
    ELSE struct_pack(sold := o.sold_store_id, redeemed := o.redeemed_store_id, product := o.product_id, ptype := o.product_type,
        value := o.value_fen, principal := o.principal_fen, bonus := o.bonus_fen, points := o.points_fen, coupon := o.coupon_fen, vat := o.vat_rate_bp,
        list := o.list_price_fen, order_id := o.order_id, entitlement := o.entitlement_id, ordinal := o.unit_ordinal, seller := o.seller_id, technician := o.technician_id, call := o.redemption_id, valid_until := o.valid_until)
    END AS of
FROM redemptions AS v
JOIN taken_back AS t ON t.source = v.source AND t.reversal_id = v.event_id AND t.event_id = v.original_event_id
LEFT JOIN redemptions AS o ON o.type = 'redeemed' AND o.source = v.source AND o.event_id = v.original_event_id
WHERE v.type = 'reversed';

CREATE TEMP TABLE adjustments AS
SELECT a.*, coalesce(o.occurred_at, a.original_redeemed_at) AS priced_at,
    coalesce(a.sold_store_id, o.sold_store_id) AS sold_by, coalesce(a.redeemed_store_id, o.redeemed_store_id) AS served_by,
    coalesce(a.product_id, o.product_id) AS product, coalesce(a.product_type, o.product_type) AS ptype,
    coalesce(a.seller_id, o.seller_id) AS seller, coalesce(a.vat_rate_bp, o.vat_rate_bp) AS vat, coalesce(a.technician_id, o.technician_id) AS technician
FROM redemptions AS a
LEFT JOIN redemptions AS o ON o.type = 'redeemed' AND o.source = a.source AND o.event_id = a.original_event_id
WHERE a.type = 'adjusted';

-- R11, unit by unit: who sold, who served, what it was worth, the rule in force at the redemption's time, and T.
CREATE TEMP TABLE settling AS
WITH moved AS (
    SELECT source, event_id, type, occurred_at, business_day, recorded_at, occurred_at AS priced_at, 1 AS sign,
        sold_store_id AS sold, redeemed_store_id AS redeemed, product_id AS product, product_type AS ptype, order_id, entitlement_id AS entitlement,
        unit_ordinal AS ordinal, value_fen AS v, principal_fen AS principal, bonus_fen AS bonus, points_fen AS points, coupon_fen AS coupon,
        vat_rate_bp AS vat, list_price_fen AS list, CAST(NULL AS VARCHAR) AS bearer, reason, original_event_id, redemption_id AS call
    FROM redemptions WHERE type = 'redeemed'
    UNION ALL
    SELECT source, event_id, 'reversed', occurred_at, business_day, recorded_at, priced_at, -1,
        "of".sold, "of".redeemed, "of".product, "of".ptype, "of".order_id, "of".entitlement, "of".ordinal, "of".value, "of".principal, "of".bonus, "of".points,
        "of".coupon, "of".vat, "of".list, NULL, reason, original_event_id, "of".call
    FROM reversals
    UNION ALL
    SELECT source, event_id, 'adjusted', occurred_at, business_day, recorded_at, priced_at, 1,
        sold_by, served_by, product, ptype, order_id, entitlement_id, unit_ordinal, value_fen, principal_fen, bonus_fen, points_fen, coupon_fen,
        vat, list_price_fen, bearing_entity_id, reason, original_event_id, redemption_id
    FROM adjustments
), away AS (
    SELECT m.*, coalesce(s.entity_id, m.sold) AS sold_entity, coalesce(r.entity_id, m.redeemed) AS redeemed_entity
    FROM moved AS m
    LEFT JOIN owners AS s ON s.store_id = m.sold AND s.from_at <= m.priced_at AND m.priced_at < s.until_at
    LEFT JOIN owners AS r ON r.store_id = m.redeemed AND r.from_at <= m.priced_at AND m.priced_at < r.until_at
    WHERE m.sold <> m.redeemed
), fitting AS (
    SELECT a.source, a.event_id, c.id AS rule_id, c.effective_from AS rule_from, c.rule_kind, c.base, c.share_bp, c.fee_bp, c.amount_fen
    FROM away AS a
    JOIN versions AS c ON c.kind = 'settlement_rule' AND c.effective_from <= a.priced_at AND a.priced_at < c.until_at
        AND (c.sold_store_id IS NULL OR c.sold_store_id = a.sold) AND (c.redeemed_store_id IS NULL OR c.redeemed_store_id = a.redeemed)
        AND (c.product_id IS NULL OR c.product_id = a.product) AND (c.product_type IS NULL OR c.product_type = a.ptype)
    QUALIFY row_number() OVER (PARTITION BY a.source, a.event_id
        ORDER BY c.sold_store_id IS NULL, c.redeemed_store_id IS NULL, c.product_id IS NULL, c.product_type IS NULL,
            c.effective_from DESC, c.log_offset DESC) = 1
), based AS (
    SELECT a.*, f.* EXCLUDE (source, event_id),
        CASE
            WHEN f.rule_kind = 'list_share' THEN a.list
            WHEN contains(f.base, 'bonus') AND NOT contains(f.base, 'principal') THEN coalesce(a.bonus, 0)
            WHEN contains(f.base, 'principal') AND NOT contains(f.base, 'bonus') THEN a.v - coalesce(a.bonus, 0)
            ELSE a.v
        END AS gross
    FROM away AS a LEFT JOIN fitting AS f ON f.source = a.source AND f.event_id = a.event_id
), netted AS (
    SELECT *, CASE WHEN contains(base, 'without_vat')
        THEN (gross * 10000 * 2 + 10000 + coalesce(vat, 0)) // (2 * (10000 + coalesce(vat, 0))) ELSE gross END AS base_fen
    FROM based
), charged AS (
    SELECT *, CASE rule_kind WHEN 'fixed' THEN amount_fen ELSE (base_fen * share_bp * 2 + 10000) // 20000 END AS t
    FROM netted
), parties AS (
    -- Who gives and who gets by an adjustment, and who bears it: without a name whoever gives.
    SELECT *, CASE WHEN v > 0 THEN sold_entity ELSE redeemed_entity END AS gives, CASE WHEN v > 0 THEN redeemed_entity ELSE sold_entity END AS gets
    FROM charged
), borne AS (
    SELECT *, coalesce(bearer, gives) AS bears, type = 'adjusted' AS adjusted FROM parties
), locks AS (
    SELECT s.store_id, d.period_from, d.period_to, d.recorded_at AS locked_at
    FROM decisions AS d JOIN stores AS s ON CASE WHEN d.store_id IS NOT NULL THEN d.store_id = s.store_id
        WHEN d.entity_id IS NOT NULL THEN d.entity_id = s.entity_id ELSE true END
    WHERE d.type = 'period_locked'
), locked AS (
    -- Only rows recorded after the first lock of all can be late; there are few of them.
    SELECT b.source, b.event_id
    FROM borne AS b JOIN locks AS l ON (l.store_id = b.sold OR l.store_id = b.redeemed)
        AND b.business_day BETWEEN l.period_from AND l.period_to AND l.locked_at < b.recorded_at
    GROUP BY ALL
)
SELECT b.* EXCLUDE (t),
    CASE
        WHEN adjusted AND bears NOT IN (sold_entity, redeemed_entity) THEN abs(v)
        WHEN adjusted AND (bears = gets OR sold_entity = redeemed_entity) THEN 0
        WHEN adjusted THEN v
        WHEN sold_entity = redeemed_entity THEN 0
        ELSE sign * t
    END AS t,
    CASE WHEN adjusted OR sold_entity = redeemed_entity THEN 0 ELSE sign * ((t * coalesce(fee_bp, 0) * 2 + 10000) // 20000) END AS fee,
    CASE WHEN adjusted AND bears NOT IN (sold_entity, redeemed_entity) THEN NULL ELSE sold END AS owing_store,
    CASE WHEN adjusted AND bears NOT IN (sold_entity, redeemed_entity) THEN bears ELSE sold_entity END AS owing_entity,
    CASE WHEN adjusted AND bears NOT IN (sold_entity, redeemed_entity) AND v < 0 THEN sold ELSE redeemed END AS owed_store,
    CASE WHEN adjusted AND bears NOT IN (sold_entity, redeemed_entity) AND v < 0 THEN sold_entity ELSE redeemed_entity END AS owed_entity,
    NOT adjusted AND sold_entity <> redeemed_entity AND t IS NULL AS no_rule,
    l.event_id IS NOT NULL AS late,
    CASE WHEN l.event_id IS NULL THEN b.business_day
        ELSE CAST((b.recorded_at AT TIME ZONE s.time_zone) - s.day_start * INTERVAL 1 HOUR AS DATE) END AS settled_on
FROM borne AS b
LEFT JOIN locked AS l ON l.source = b.source AND l.event_id = b.event_id
LEFT JOIN stores AS s ON s.store_id = b.redeemed;

-- R12: every change of what a store owes. Units are null for stored value, which is one product of two parts.
CREATE TEMP TABLE owed AS
WITH expiries AS (
    SELECT o.*, coalesce((
        SELECT arg_max(p.rule_kind, (p.store_id IS NOT NULL, p.legal_entity_id IS NOT NULL, p.product_id IS NOT NULL, p.product_type IS NOT NULL, p.effective_from, p.log_offset))
        FROM versions AS p
        WHERE p.kind = 'expiry_policy' AND p.effective_from <= o.occurred_at AND o.occurred_at < p.until_at
            AND (p.store_id IS NULL OR p.store_id = o.sold_store_id) AND (p.product_id IS NULL OR p.product_id = o.product_id)
            AND (p.product_type IS NULL OR p.product_type = o.product_type)
            AND (p.legal_entity_id IS NULL OR p.legal_entity_id = (SELECT entity_id FROM stores AS s WHERE s.store_id = o.sold_store_id))
    ), 'none') = 'income' AS income
    FROM orders AS o WHERE type = 'expired'
), changes AS (
    SELECT source, event_id, occurred_at, business_day, 'sold' AS movement, sold_store_id AS store, product_id AS product, 'paid' AS part, paid_fen AS change, CAST(units AS BIGINT) AS units,
        0 AS cash, 0 AS carrying, order_id, entitlement_id, CAST(NULL AS BIGINT) AS ordinal, CAST(NULL AS VARCHAR) AS redeemed_store_id, reason
    FROM orders WHERE type = 'sold' AND product_type IS DISTINCT FROM 'stored_value'
    UNION ALL
    SELECT source, event_id, occurred_at, business_day, 'sold', sold_store_id, 'stored_value', 'principal', paid_fen, NULL, 0, 0, order_id, entitlement_id, NULL, NULL, reason
    FROM orders WHERE type = 'sold' AND product_type = 'stored_value'
    UNION ALL
    SELECT source, event_id, occurred_at, business_day, 'sold', sold_store_id, 'stored_value', 'bonus', bonus_fen, NULL, 0, 0, order_id, entitlement_id, NULL, NULL, reason
    FROM orders WHERE type = 'sold' AND product_type = 'stored_value' AND bonus_fen <> 0
    UNION ALL
    -- What is drawn to pay for something else counts as redeemed where it was spent.
    SELECT source, event_id, occurred_at, business_day, 'redeemed', sold_store_id, 'stored_value', unnest(['principal', 'bonus']), -unnest([principal_fen, bonus_fen]), NULL, 0, 0, order_id, entitlement_id, NULL, sold_store_id, reason
    FROM orders WHERE type = 'sold' AND product_type IS DISTINCT FROM 'stored_value' AND (principal_fen <> 0 OR bonus_fen <> 0)
    UNION ALL
    SELECT source, event_id, occurred_at, business_day, 'opened', sold_store_id, CASE WHEN product_type = 'stored_value' THEN 'stored_value' ELSE product_id END,
        CASE WHEN product_type = 'stored_value' THEN 'principal' ELSE 'paid' END, carrying_fen, CASE WHEN product_type = 'stored_value' THEN NULL ELSE units END, 0, 0, order_id, entitlement_id, NULL, NULL, reason
    FROM orders WHERE type = 'opening_balance'
    UNION ALL
    SELECT source, event_id, occurred_at, business_day, 'refunded', sold_store_id, product_id, 'paid', -carrying_fen, -len(unit_ordinals), cash_fen, carrying_fen, order_id, entitlement_id, NULL, NULL, reason
    FROM orders WHERE type = 'refunded'
    UNION ALL
    SELECT source, event_id, occurred_at, business_day, CASE WHEN income THEN 'expired' ELSE 'expired_owed' END, sold_store_id, product_id, 'paid',
        CASE WHEN income THEN -carrying_fen ELSE 0 END, -len(unit_ordinals), 0, carrying_fen, order_id, entitlement_id, NULL, NULL, reason
    FROM expiries
    UNION ALL
    SELECT source, event_id, occurred_at, business_day, 'redeemed', sold_store_id, product_id, 'paid', -value_fen, -1, 0, 0, order_id, entitlement_id, unit_ordinal, redeemed_store_id, reason
    FROM redemptions WHERE type = 'redeemed'
    UNION ALL
    SELECT source, event_id, occurred_at, business_day, 'reversed', "of".sold, "of".product, 'paid', "of".value, 1, 0, 0, "of".order_id, "of".entitlement, "of".ordinal, "of".redeemed, reason
    FROM reversals
    UNION ALL
    SELECT source, event_id, occurred_at, business_day, 'adjusted', sold_by, product, 'paid', -value_fen, 0, 0, 0, order_id, entitlement_id, unit_ordinal, served_by, reason
    FROM adjustments
)
SELECT c.*, coalesce(s.entity_id, c.store) AS entity, s.name AS store_name FROM changes AS c LEFT JOIN stores AS s ON s.store_id = c.store;

-- R21: days on which somebody held a card with a unit left: from the sale, or the start of validity, to the day on which the last
-- unit went or validity ended. The day of either is still one. The holder is who bought it, also after a transfer or a merger.
CREATE TEMP TABLE ends AS
SELECT entitlement_id, arg_max(valid_until, (used_at, log_offset)) AS valid_until
FROM (
    SELECT entitlement_id, valid_until, occurred_at AS used_at, log_offset FROM orders WHERE type = 'sold'
    UNION ALL
    SELECT entitlement_id, valid_until, occurred_at, log_offset FROM redemptions WHERE type IN ('redeemed', 'reversed') AND valid_until IS NOT NULL
) GROUP BY ALL;

CREATE TEMP TABLE cards AS
WITH gone AS (
    SELECT entitlement_id, sum(n) AS units, max(business_day) AS last_on
    FROM (
        SELECT entitlement_id, 1 AS n, business_day FROM standing WHERE product_type IN ('card', 'punch_card')
        UNION ALL
        SELECT entitlement_id, len(unit_ordinals), business_day FROM orders WHERE type IN ('refunded', 'expired')
    ) GROUP BY ALL
)
SELECT o.entitlement_id, o.sold_store_id, o.product_id, o.business_day AS sold_on, coalesce(o.member_id, -o.entitlement_id) AS holder,
    greatest(o.business_day, coalesce(CAST((o.valid_from AT TIME ZONE 'Asia/Shanghai') - INTERVAL 4 HOUR AS DATE), o.business_day)) AS held_from,
    least(CASE WHEN g.units >= o.units THEN g.last_on ELSE DATE '2999-01-01' END,
        coalesce(CAST((e.valid_until AT TIME ZONE 'Asia/Shanghai') - INTERVAL 4 HOUR - INTERVAL 1 MICROSECOND AS DATE), DATE '2999-01-01')) AS held_to
FROM orders AS o JOIN ends AS e USING (entitlement_id) LEFT JOIN gone AS g USING (entitlement_id)
WHERE o.type = 'sold' AND o.product_type IN ('card', 'punch_card');

-- Members as they are now: what was recorded last counts, whole; who was merged or erased is no member any more.
CREATE TEMP TABLE people AS
SELECT member_id, last.joined_on AS joined_on, last.store AS store_id, last.t IN ('joined', 'changed') AS member
FROM (
    SELECT member_id, arg_max(struct_pack(t := type, joined_on := joined_on, store := joined_store_id), (log_partition, log_offset)) AS last FROM members GROUP BY member_id
);

-- R16: units left and valid now of products that redeem across stores, the stores where that very unit may be redeemed (R3), and homes.
CREATE TEMP TABLE left_over AS
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
CREATE TEMP TABLE usable AS
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
CREATE TEMP TABLE homes AS
SELECT member_id, last.lat AS lat, last.lon AS lon, last.n AS neighbourhood
FROM (SELECT member_id, arg_max(struct_pack(t := type, lat := home_lat, lon := home_lon, n := neighbourhood), (log_partition, log_offset)) AS last FROM members GROUP BY member_id)
WHERE last.t IN ('joined', 'changed') AND last.lat IS NOT NULL;

-- Metres, great-circle.
CREATE TEMP MACRO metres(lat, lon, to_lat, to_lon) AS 2 * 6371008.8 * asin(sqrt(pow(sin(radians(to_lat - lat) / 2), 2) + cos(radians(lat)) * cos(radians(to_lat)) * pow(sin(radians(to_lon - lon) / 2), 2)));

CREATE TEMP VIEW open_stores AS SELECT * FROM stores WHERE opened_on <= today AND (closed_on IS NULL OR closed_on >= today);

-- How far the nearest store is where a card's units may be redeemed; null where none has a known place.
CREATE TEMP TABLE reach AS
SELECT l.entitlement_id, l.member_id, l.product_id, l.units, h.neighbourhood, h.lat, h.lon, min(metres(h.lat, h.lon, s.lat, s.lon)) AS metres
FROM left_over AS l JOIN homes AS h USING (member_id) LEFT JOIN usable AS u USING (entitlement_id) LEFT JOIN open_stores AS s ON s.store_id = u.store_id AND s.lat IS NOT NULL
GROUP BY ALL;
