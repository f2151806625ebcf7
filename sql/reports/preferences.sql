-- preferences
-- Title: Who takes what where
-- Title zh: 会员偏好
-- Grain: member segment × store × category × price band or product; × pair of stores where what is pairs; segment where what is
--    segments. Of one member where member_id is given.
-- Roles: head_office, store by $store
-- Param from: day = today-90. First business day, inclusive.
-- Param to: day = today-1. Last business day, inclusive.
-- Param what: taken|pairs|segments = taken. What is taken where; who takes basic at one store and premium at another; the segments.
-- Param segment: rfm|spending|tier|none = rfm. How members are divided.
-- Param by: band|product = band. Whether rows of taken are about price bands or products.
-- Param category: text = none. Only this category.
-- Param store: text = none. Only what this store served; of pairs those with this store in them.
-- Param member_id: int = none. Only this member.
-- Key: segment, member_id, category, price_band, store_id, product_id, premium_store_id
-- Additive: units, premium_units, value_fen, visits, spent_fen
-- Heading share: share of the segment's units in the category; of the members; of those who take both
-- Heading affinity: share / the same share of all members
-- Heading store_name: store, of pairs the one of the basic units
-- Heading average_spent_fen: spent per member
-- Chart: bars store_name units
-- Members with a redemption that stands (R7) or an order with money paid in the period. Merged members are those who stand for them;
--    stored value, which has no units, is only money spent.
-- visits are the business days on which a member did either, those of a merged one beside them. spent_fen is what they paid for orders less what stored value paid of
--    it (that was spent when it was bought) and refunds that name them. days_since_last counts from the last such day to the
--    period's end.
-- segment rfm: R+ is fewer days since the last visit than the median of members, F+ more visits, M+ more spent, else −. So
--    R+F+M+ 重要价值, R+F-M+ 重要发展, R-F+M+ 重要保持, R-F-M+ 重要挽留; with M-: 一般价值, 一般发展, 一般保持, 一般挽留.
--    spending: yuan spent, in six bands. tier: the member's. The median is the lower one of two.
-- price_band: products of a category by list price per unit, the different prices in order: the first third basic, the last third
--    premium, else standard; a single price is standard.
-- taken: share is the part of the segment's units of that category that the row has, affinity what that is times the same part of all
--    members' units: above 1, the segment takes more of it than others.
-- pairs: members whose most basic units of a category were redeemed at one store and whose most premium units at another one (ties by
--    the store's id); share is their part of all members of the segment who take both in that category.
WITH product AS MATERIALIZED (
    SELECT
        product_id, name, category,
        CASE
            WHEN price IS NULL THEN NULL WHEN prices = 1 THEN 'standard'
            WHEN 3 * (nth - 1) <= prices - 1 THEN 'basic' WHEN 3 * (nth - 1) >= 2 * (prices - 1) THEN 'premium' ELSE 'standard'
        END AS band
    FROM (
        SELECT
            p.product_id, p.name, p.category, p.price, n.nth, max(n.nth) OVER (PARTITION BY p.category) AS prices
        FROM (
            SELECT product_id, name, category, CAST(list_price_fen AS DOUBLE) / nullif(units, 0) AS price FROM products
        ) AS p
        LEFT JOIN (
            SELECT category, price, CAST(row_number() OVER (PARTITION BY category ORDER BY price) AS BIGINT) AS nth
            FROM (
                SELECT DISTINCT category, CAST(list_price_fen AS DOUBLE) / nullif(units, 0) AS price FROM products
                WHERE list_price_fen IS NOT NULL AND coalesce(product_type, '') <> 'stored_value'
            )
        ) AS n ON (n.category IS NOT DISTINCT FROM p.category) AND n.price = p.price
    )
),
-- What each member did, in one row.
person AS MATERIALIZED (
    SELECT
        coalesce(a.stands_for_member_id, d.member_id) AS member_id, sum(d.visits) AS visits, max(d.last_day) AS last_day,
        sum(d.spent_fen) AS spent_fen
    FROM (
        -- A refund alone is no visit; without a visit in the period nobody is here.
        SELECT
            member_id, sum(came) AS visits, max(CASE WHEN came = 1 THEN day END) AS last_day, sum(spent_fen) AS spent_fen
        FROM (
            SELECT member_id, day, max(came) AS came, sum(spent_fen) AS spent_fen
            FROM (
                SELECT member_id, CAST(business_day AS INT) AS day, 1 AS came, 0 AS spent_fen
                FROM standing_redemptions
                WHERE member_id IS NOT NULL AND business_day BETWEEN $from AND $to
                UNION ALL
                SELECT
                    member_id, CAST(business_day AS INT), CASE WHEN type = 'sold' AND paid_fen > 0 THEN 1 ELSE 0 END,
                    CASE
                        WHEN type = 'refunded' THEN -cash_fen
                        WHEN coalesce(kind, product_type, '') = 'stored_value' THEN paid_fen
                        ELSE paid_fen - coalesce(principal_fen, 0) - coalesce(bonus_fen, 0)
                    END
                FROM log.orders
                WHERE type IN ('sold', 'refunded') AND member_id IS NOT NULL AND business_day BETWEEN $from AND $to
            )
            GROUP BY member_id, day
        )
        GROUP BY member_id
    ) AS d
    LEFT JOIN member_aliases AS a ON a.member_id = d.member_id
    GROUP BY 1
    HAVING sum(d.visits) > 0
),
middle AS MATERIALIZED (
    SELECT
        nearest_rank(CAST(CAST($to AS INT) - last_day AS DOUBLE), 0.5) AS days, nearest_rank(CAST(visits AS DOUBLE), 0.5) AS visits,
        nearest_rank(CAST(spent_fen AS DOUBLE), 0.5) AS spent_fen
    FROM person
),
segmented AS (
    SELECT
        p.member_id, p.visits, p.spent_fen, CAST($to AS INT) - p.last_day AS days,
        CASE
            WHEN $segment = 'rfm' THEN concat(
                CASE WHEN CAST($to AS INT) - p.last_day < m.days THEN 'R+' ELSE 'R-' END,
                CASE WHEN p.visits > m.visits THEN 'F+' ELSE 'F-' END, CASE WHEN p.spent_fen > m.spent_fen THEN 'M+' ELSE 'M-' END)
            WHEN $segment = 'tier' THEN coalesce(t.tier, 'none')
            WHEN $segment = 'none' THEN 'all'
            WHEN p.spent_fen <= 0 THEN 'A 0' WHEN p.spent_fen < 50000 THEN 'B under 500' WHEN p.spent_fen < 100000 THEN 'C 500-999'
            WHEN p.spent_fen < 300000 THEN 'D 1000-2999' WHEN p.spent_fen < 1000000 THEN 'E 3000-9999' ELSE 'F 10000 and more'
        END AS segment
    FROM person AS p
    CROSS JOIN middle AS m
    LEFT JOIN (SELECT member_id, tier FROM members WHERE $segment = 'tier') AS t ON t.member_id = p.member_id
),
took AS (
    SELECT
        coalesce(a.stands_for_member_id, r.member_id) AS member_id, r.store_id, r.product_id, sum(r.units) AS units,
        sum(r.value_fen) AS value_fen
    FROM (
        SELECT member_id, redeemed_store_id AS store_id, product_id, count(*) AS units, sum(value_fen) AS value_fen
        FROM standing_redemptions
        WHERE $what IN ('taken', 'pairs') AND member_id IS NOT NULL AND business_day BETWEEN $from AND $to
            AND coalesce(product_type, '') <> 'stored_value'
        GROUP BY member_id, redeemed_store_id, product_id
    ) AS r
    LEFT JOIN member_aliases AS a ON a.member_id = r.member_id
    GROUP BY 1, 2, 3
),
choice AS (
    SELECT
        s.segment, t.member_id, t.store_id, p.category, p.band,
        CASE WHEN $by = 'product' AND $what = 'taken' THEN t.product_id END AS product_id,
        sum(t.units) AS units, sum(t.value_fen) AS value_fen
    FROM took AS t
    JOIN segmented AS s ON s.member_id = t.member_id
    LEFT JOIN product AS p ON p.product_id = t.product_id
    WHERE $category IS NULL OR p.category = $category
    GROUP BY 1, 2, 3, 4, 5, 6
),
taken AS (
    SELECT
        segment, store_id, category, band, product_id, members, units, value_fen,
        CAST(units AS DOUBLE) / sum(units) OVER (PARTITION BY segment, category) AS share,
        CAST(sum(units) OVER (PARTITION BY store_id, category, band, product_id) AS DOUBLE) / sum(units) OVER (PARTITION BY category)
            AS all_share
    FROM (
        SELECT segment, store_id, category, band, product_id, count(*) AS members, sum(units) AS units, sum(value_fen) AS value_fen
        FROM choice
        WHERE $what = 'taken' AND $member_id IS NULL
        GROUP BY segment, store_id, category, band, product_id
    )
),
-- Where a member takes most of either band.
main AS (
    SELECT
        segment, member_id, category, sum(CASE WHEN band = 'basic' THEN units ELSE 0 END) AS units,
        sum(CASE WHEN band = 'premium' THEN units ELSE 0 END) AS premium_units,
        sum(CASE WHEN band IN ('basic', 'premium') THEN value_fen ELSE 0 END) AS value_fen,
        first_value(store_id ORDER BY CASE WHEN band = 'basic' THEN units ELSE 0 END DESC, store_id) AS store_id,
        first_value(store_id ORDER BY CASE WHEN band = 'premium' THEN units ELSE 0 END DESC, store_id) AS premium_store_id
    FROM choice
    WHERE $what = 'pairs' AND band IN ('basic', 'premium')
    GROUP BY segment, member_id, category
),
both_bands AS (
    SELECT * FROM main WHERE units > 0 AND premium_units > 0 AND ($member_id IS NULL OR member_id = $member_id)
),
pair AS (
    SELECT g.*, CAST(g.members AS DOUBLE) / sum(g.members) OVER (PARTITION BY g.segment, g.category) AS share
    FROM (
        SELECT
            segment, category, store_id, premium_store_id, count(*) AS members, sum(units) AS units, sum(premium_units) AS premium_units,
            sum(value_fen) AS value_fen
        FROM both_bands
        GROUP BY segment, category, store_id, premium_store_id
    ) AS g
),
-- Put down before they are sorted: parts with constants of their own, and few rows.
found AS MATERIALIZED (
    SELECT
        t.segment, CAST(NULL AS BIGINT) AS member_id, t.category, t.band AS price_band, t.store_id, t.product_id,
        CAST(NULL AS VARCHAR) AS premium_store_id, t.members, t.units, CAST(NULL AS BIGINT) AS premium_units, t.value_fen, t.share,
        t.share / t.all_share AS affinity, CAST(NULL AS BIGINT) AS visits, CAST(NULL AS BIGINT) AS spent_fen,
        CAST(NULL AS DOUBLE) AS days_since_last
    FROM taken AS t
    UNION ALL
    SELECT
        segment, member_id, category, band, store_id, product_id, NULL, 1, units, NULL, value_fen,
        CAST(units AS DOUBLE) / sum(units) OVER (PARTITION BY category), NULL, NULL, NULL, NULL
    FROM choice
    WHERE $what = 'taken' AND member_id = $member_id
    UNION ALL
    SELECT
        segment, CASE WHEN $member_id IS NOT NULL THEN $member_id END, category, NULL, store_id, NULL, premium_store_id, members, units,
        premium_units, value_fen, share, NULL, NULL, NULL, NULL
    FROM pair
    WHERE store_id <> premium_store_id
    UNION ALL
    SELECT
        segment, CASE WHEN $member_id IS NOT NULL THEN $member_id END, NULL, NULL, NULL, NULL, NULL, count(*), NULL, NULL, NULL,
        CAST(count(*) AS DOUBLE) / sum(count(*)) OVER (), NULL, sum(visits), sum(spent_fen), avg(CAST(days AS DOUBLE))
    FROM segmented
    WHERE $what = 'segments' AND ($member_id IS NULL OR member_id = $member_id)
    GROUP BY segment
)
SELECT
    f.segment, f.member_id, f.category, f.price_band, f.store_id, s.name AS store_name, f.product_id, p.name AS product_name,
    f.premium_store_id, o.name AS premium_store_name, f.members, f.units, f.premium_units, f.value_fen, f.share, f.affinity,
    f.visits, f.spent_fen, CAST(f.visits AS DOUBLE) / f.members AS average_visits,
    (f.spent_fen * 2 + CASE WHEN f.spent_fen < 0 THEN -f.members ELSE f.members END) / (f.members * 2) AS average_spent_fen,
    f.days_since_last
FROM found AS f
LEFT JOIN stores AS s ON s.store_id = f.store_id
LEFT JOIN stores AS o ON o.store_id = f.premium_store_id
LEFT JOIN product AS p ON p.product_id = f.product_id
WHERE $store IS NULL OR f.store_id = $store OR f.premium_store_id = $store
ORDER BY f.segment, f.category, f.units DESC, f.members DESC, f.store_id, f.price_band, f.product_id, f.premium_store_id
