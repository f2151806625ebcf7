-- refused_demand
-- Title: Demand that was turned down
-- Title zh: 被拒需求
-- Grain: store × product × reason; × ISO weekday, × local hour where per says so.
-- Roles: head_office, store by $store
-- Param from: day = today-30. First business day, inclusive.
-- Param to: day = today-1. Last business day, inclusive.
-- Param per: total|weekday|hour = total. Whether rows are split by weekday, and by hour.
-- Param store: text = none. Only this store.
-- Param product: text = none. Only this product.
-- Key: store_id, product_id, reason, weekday, hour
-- Additive: attempts, demands, served_here, served_elsewhere, bought_here, nothing, unknown_member, unmet
-- Heading demands: demands: once per member, product, store and day
-- Heading served_here: served here that day
-- Heading served_elsewhere: served elsewhere later that day
-- Heading bought_here: bought here later that day, not served
-- Heading nothing: nothing more that day
-- Heading unmet: unmet demand
-- Formula demands: served_here + served_elsewhere + bought_here + nothing + unknown_member
-- Chart: bars store_name unmet
-- attempts are all that were refused or found no free slot (reason slot_full), as they happened. demands count them once per
--    member × product × store × business day (R15), under the first attempt's reason and hour; an attempt without a member is a
--    demand of its own, and nobody knows what came after it: unknown_member.
-- What the member did that day is one of: served_here, at any time (R15); else served_elsewhere after the first attempt; else
--    bought_here, paid for something after it; else nothing. Served is a redemption that stands (R7), goods and stored value
--    aside, or a service sold and served at once.
-- unmet are R15's: refused because the product is not applicable here or is redeemed only where it was sold, or no free slot, and
--    not served here that day.
WITH attempt AS (
    SELECT
        store_id, product_id, member_id, coalesce(member_id, -event_id) AS who, CAST(business_day AS INT) AS day,
        CASE WHEN $per = 'total' THEN NULL ELSE CAST(weekday AS BIGINT) END AS weekday,
        CASE WHEN $per = 'hour' THEN CAST(local_hour AS BIGINT) END AS hour,
        CASE WHEN type = 'slot_full' THEN 'slot_full' ELSE reason END AS reason, occurred_at, log_partition, log_offset
    FROM log.refusals
    WHERE business_day BETWEEN $from AND $to AND ($store IS NULL OR store_id = $store) AND ($product IS NULL OR product_id = $product)
),
demand AS (
    SELECT
        store_id, product_id, who, day, max(member_id) AS member_id, max(weekday) AS weekday,
        first_value(reason ORDER BY occurred_at, log_partition, log_offset) AS reason,
        first_value(hour ORDER BY occurred_at, log_partition, log_offset) AS hour, min(occurred_at) AS first_at
    FROM attempt
    GROUP BY store_id, product_id, who, day
),
-- What members did on the day.
deed AS (
    SELECT
        member_id, CAST(business_day AS INT) AS day, redeemed_store_id AS store_id, occurred_at, 1 AS served, 0 AS bought
    FROM standing_redemptions
    WHERE member_id IS NOT NULL AND business_day BETWEEN $from AND $to AND coalesce(product_type, '') NOT IN ('goods', 'stored_value')
    UNION ALL
    SELECT
        member_id, CAST(business_day AS INT), sold_store_id, occurred_at,
        CASE WHEN service_start_at IS NOT NULL THEN 1 ELSE 0 END, CASE WHEN paid_fen > 0 THEN 1 ELSE 0 END
    FROM log.orders
    WHERE type = 'sold' AND member_id IS NOT NULL AND business_day BETWEEN $from AND $to
),
-- Only members who were turned down that day are looked at.
outcome AS (
    SELECT
        d.store_id, d.product_id, d.who, d.day,
        max(CASE WHEN x.store_id = d.store_id THEN x.served ELSE 0 END) AS here,
        max(CASE WHEN x.store_id <> d.store_id AND x.occurred_at > d.first_at THEN x.served ELSE 0 END) AS elsewhere,
        max(CASE WHEN x.store_id = d.store_id AND x.occurred_at > d.first_at THEN x.bought ELSE 0 END) AS bought
    FROM demand AS d
    JOIN deed AS x ON x.member_id = d.member_id AND x.day = d.day
    GROUP BY d.store_id, d.product_id, d.who, d.day
),
figure AS (
    SELECT
        store_id, product_id, reason, weekday, hour, count(*) AS attempts, 0 AS demands, 0 AS here, 0 AS elsewhere, 0 AS bought,
        0 AS nothing, 0 AS unknown, 0 AS unmet
    FROM attempt
    GROUP BY store_id, product_id, reason, weekday, hour
    UNION ALL
    SELECT
        store_id, product_id, reason, weekday, hour, 0, count(*), sum(CASE WHEN came = 1 THEN 1 ELSE 0 END),
        sum(CASE WHEN came = 2 THEN 1 ELSE 0 END), sum(CASE WHEN came = 3 THEN 1 ELSE 0 END), sum(CASE WHEN came = 4 THEN 1 ELSE 0 END),
        sum(CASE WHEN came = 5 THEN 1 ELSE 0 END),
        sum(CASE WHEN came <> 1 AND reason IN ('slot_full', 'store_not_applicable', 'sold_store_only') THEN 1 ELSE 0 END)
    FROM (
        SELECT
            d.store_id, d.product_id, d.reason, d.weekday, d.hour,
            CASE
                WHEN d.member_id IS NULL THEN 5 WHEN o.here = 1 THEN 1 WHEN o.elsewhere = 1 THEN 2 WHEN o.bought = 1 THEN 3 ELSE 4
            END AS came
        FROM demand AS d
        LEFT JOIN outcome AS o ON o.who = d.who AND o.day = d.day AND o.store_id = d.store_id
            AND (o.product_id IS NOT DISTINCT FROM d.product_id)
    )
    GROUP BY store_id, product_id, reason, weekday, hour
)
SELECT
    f.store_id, s.name AS store_name, f.product_id, p.name AS product_name, f.reason, f.weekday, f.hour, f.attempts, f.demands,
    f.served_here, f.served_elsewhere, f.bought_here, f.nothing, f.unknown_member, f.unmet
FROM (
    SELECT
        store_id, product_id, reason, weekday, hour, sum(attempts) AS attempts, sum(demands) AS demands, sum(here) AS served_here,
        sum(elsewhere) AS served_elsewhere, sum(bought) AS bought_here, sum(nothing) AS nothing, sum(unknown) AS unknown_member,
        sum(unmet) AS unmet
    FROM figure
    GROUP BY store_id, product_id, reason, weekday, hour
) AS f
LEFT JOIN stores AS s ON s.store_id = f.store_id
LEFT JOIN products AS p ON p.product_id = f.product_id
ORDER BY f.unmet DESC, f.demands DESC, f.attempts DESC, f.store_id, f.product_id, f.reason, f.weekday, f.hour
