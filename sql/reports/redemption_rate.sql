-- redemption_rate
-- Title: Redemption rate and usage of what was sold
-- Title zh: 核销率与卡项使用率
-- Grain: product, selling store or its city × month of sale.
-- Roles: head_office, store by $store
-- Param from: day = month-12. First business day of sale, inclusive.
-- Param to: day = month_end-1. Last business day of sale, inclusive.
-- Param by: product|store|city|total = product. What a row is about.
-- Param per: month|total = month. How long a row's period of sale is.
-- Param age: int = 90. Days within which redemptions count (R21).
-- Param store: text = none. Only what this store sold.
-- Param product: text = none. Only this product.
-- Key: key, sold_in
-- Additive: units_sold, cohort_units, cohort_redeemed, card_units
-- Heading key: product, store or city
-- Heading units_sold: units sold, of any age
-- Heading cohort_units: units sold at least the age ago
-- Heading cohort_redeemed: of those, redeemed within the age
-- Heading usage: card units redeemed per holder-month
-- Formula redemption_rate: CAST(cohort_redeemed AS DOUBLE) / nullif(cohort_units, 0)
-- Formula usage: card_units / nullif(holder_months, 0)
-- Chart: line sold_in redemption_rate
-- R21, from the side of the sale: redemption_rate = units redeemed within the age / units sold at least the age ago, both of
--    what was sold in the row's period, wherever they were redeemed. What was reversed since does not count (R7). Day of
--    sale + age is the last day that counts. Stored value, which has no units, is left out. The rate is null where nothing
--    is old enough yet.
-- units_sold − cohort_units are too young to be counted.
-- usage = card_units / holder_months over the same cohort and the same first days of it: units of cards and punch cards
--    redeemed within the age, per 30 days on which a member held such a card, valid and with a unit left; a member with two
--    of them in a row holds once. Anonymous sales are a holder each.
WITH store AS MATERIALIZED (
    SELECT store_id, name, city, today FROM stores
),
-- Units by day of sale; grouped before anything is joined.
sold AS (
    SELECT sold_store_id, product_id, CAST(business_day AS INT) AS sold_day, sum(units) AS sold, 0 AS redeemed, 0 AS card_units
    FROM log.orders
    WHERE type = 'sold' AND coalesce(product_type, '') <> 'stored_value' AND business_day BETWEEN $from AND $to
        AND ($store IS NULL OR sold_store_id = $store) AND ($product IS NULL OR product_id = $product)
    GROUP BY 1, 2, 3
),
-- Few, and known to be few: they are the hashed side of what follows.
reversal AS MATERIALIZED (
    SELECT DISTINCT source, original_event_id
    FROM log.redemptions
    WHERE type = 'reversed' AND business_day >= $from AND ($product IS NULL OR product_id = $product)
),
-- The day of the sale is that of sold_at at the redemption's offset: a redemption stands alone.
used AS (
    SELECT
        sold_store_id, product_id, sold_day, 0 AS sold, count(*) AS redeemed,
        sum(CASE WHEN product_type IN ('card', 'punch_card') THEN 1 ELSE 0 END) AS card_units
    FROM (
        SELECT
            sold_store_id, product_id, product_type, CAST(business_day AS INT) AS redeemed_day,
            CAST((CAST(sold_at AS BIGINT) / 1000000 + (CAST(utc_offset_min AS BIGINT) - 240) * 60) / 86400 AS INT) AS sold_day
        FROM reversal AS v
        RIGHT ANTI JOIN (SELECT * FROM log.redemptions WHERE type = 'redeemed') AS e
            ON v.original_event_id = e.event_id AND v.source = e.source
        WHERE sold_at IS NOT NULL AND coalesce(product_type, '') <> 'stored_value'
            AND business_day BETWEEN $from AND CAST(CAST($to AS INT) + $age AS DATE)
            AND ($store IS NULL OR sold_store_id = $store) AND ($product IS NULL OR product_id = $product)
    )
    WHERE redeemed_day - sold_day <= $age AND sold_day BETWEEN CAST($from AS INT) AND CAST($to AS INT)
    GROUP BY 1, 2, 3
),
-- A card is held from its sale until the day after its last unit was gone or its validity over, at most for the age.
card AS (
    SELECT
        s.sold_store_id, s.product_id, s.sold_day, s.holder,
        least(
            s.sold_day + $age + 1,
            coalesce(CASE WHEN u.gone >= s.units THEN u.last_day + 1 END, 1000000),
            coalesce((CAST(coalesce(u.valid_until, s.valid_until) AS BIGINT) / 1000000 - 1 + s.offset_s) / 86400 + 1, 1000000)
        ) AS until_day
    FROM (
        SELECT
            entitlement_id, sold_store_id, product_id, units, valid_until, CAST(business_day AS INT) AS sold_day,
            coalesce(member_id, -entitlement_id) AS holder, (CAST(utc_offset_min AS BIGINT) - 240) * 60 AS offset_s
        FROM log.orders
        WHERE type = 'sold' AND entitlement_id IS NOT NULL AND product_type IN ('card', 'punch_card')
            AND business_day BETWEEN $from AND least($to, CAST(CAST($today AS INT) - $age - 1 AS DATE))
            AND ($store IS NULL OR sold_store_id = $store) AND ($product IS NULL OR product_id = $product)
    ) AS s
    LEFT JOIN (
        SELECT
            entitlement_id, sum(gone) AS gone, max(CASE WHEN gone > 0 THEN day END) AS last_day, max(valid_until) AS valid_until
        FROM (
            SELECT
                entitlement_id, CASE WHEN type = 'redeemed' THEN 1 ELSE -1 END AS gone, CAST(business_day AS INT) AS day,
                valid_until
            FROM log.redemptions
            WHERE type IN ('redeemed', 'reversed') AND product_type IN ('card', 'punch_card')
                AND business_day BETWEEN $from AND CAST(CAST($to AS INT) + $age AS DATE)
                AND ($store IS NULL OR sold_store_id = $store) AND ($product IS NULL OR product_id = $product)
            UNION ALL
            SELECT entitlement_id, CAST(cardinality(unit_ordinals) AS BIGINT) AS gone, CAST(business_day AS INT) AS day,
            NULL AS valid_until
            FROM log.orders
            WHERE type IN ('refunded', 'expired') AND business_day BETWEEN $from AND CAST(CAST($to AS INT) + $age AS DATE)
        )
        WHERE entitlement_id IS NOT NULL
        GROUP BY entitlement_id
    ) AS u ON u.entitlement_id = s.entitlement_id
),
-- The days on which a holder held any of a row's cards, each once.
holding AS (
    SELECT key, bucket, sum(days) AS holder_days
    FROM (
        SELECT key, bucket, holder, span_days(CAST(sold_day AS BIGINT), CAST(until_day AS BIGINT)) AS days
        FROM (
            SELECT
                CASE WHEN $by = 'product' THEN c.product_id WHEN $by = 'store' THEN c.sold_store_id
                    WHEN $by = 'city' THEN coalesce(s.city, '') ELSE 'total' END AS key,
                CASE WHEN $per = 'month' THEN date_part('year', CAST(c.sold_day AS DATE)) * 12
                    + date_part('month', CAST(c.sold_day AS DATE)) - 1
                    ELSE 0 END AS bucket,
                c.holder, c.sold_day, c.until_day
            FROM card AS c
            LEFT JOIN store AS s ON s.store_id = c.sold_store_id
        )
        GROUP BY key, bucket, holder
    )
    GROUP BY key, bucket
),
cohort AS (
    SELECT
        CASE WHEN $by = 'product' THEN c.product_id WHEN $by = 'store' THEN c.sold_store_id
            WHEN $by = 'city' THEN coalesce(s.city, '') ELSE 'total' END AS key,
        CASE WHEN $per = 'month' THEN date_part('year', CAST(c.sold_day AS DATE)) * 12
            + date_part('month', CAST(c.sold_day AS DATE)) - 1
            ELSE 0 END AS bucket,
        sum(c.sold) AS units_sold,
        sum(CASE WHEN c.sold_day + $age < CAST($today AS INT) THEN c.sold ELSE 0 END) AS cohort_units,
        sum(CASE WHEN c.sold_day + $age < CAST($today AS INT) THEN c.redeemed ELSE 0 END) AS cohort_redeemed,
        sum(CASE WHEN c.sold_day + $age < CAST($today AS INT) THEN c.card_units ELSE 0 END) AS card_units
    FROM (SELECT * FROM sold UNION ALL SELECT * FROM used) AS c
    LEFT JOIN store AS s ON s.store_id = c.sold_store_id
    GROUP BY 1, 2
)
SELECT
    c.key, n.name, CASE WHEN $per = 'month' THEN make_date(CAST(c.bucket / 12 AS INT), CAST(c.bucket % 12 + 1 AS INT), 1)
        ELSE $from END AS sold_in,
    c.units_sold, c.cohort_units, c.cohort_redeemed,
    CAST(c.cohort_redeemed AS DOUBLE) / nullif(c.cohort_units, 0) AS redemption_rate,
    c.card_units, h.holder_days / 30.0 AS holder_months, c.card_units * 30.0 / nullif(h.holder_days, 0) AS usage
FROM cohort AS c
LEFT JOIN holding AS h ON h.key = c.key AND h.bucket = c.bucket
LEFT JOIN (
    SELECT store_id AS id, name FROM store WHERE $by = 'store'
    UNION ALL
    SELECT product_id AS id, name FROM products WHERE $by = 'product'
) AS n ON n.id = c.key
ORDER BY sold_in, c.key
