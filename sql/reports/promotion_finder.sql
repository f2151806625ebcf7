-- promotion_finder
-- Title: Where a product runs so well that others should try it
-- Title zh: 促销机会发现
-- Grain: product × store × ISO weekday that stands out; one row that says so if none does.
-- Roles: head_office
-- Param from: day = today-84. First business day, inclusive.
-- Param to: day = today-1. Last business day, inclusive; today itself never counts.
-- Param product: text = none. Only this product.
-- Param least: int = 30. Redemptions from which a product, store and weekday is looked at.
-- Param q: number = 0.1. Share of false findings accepted among those named (Benjamini–Hochberg).
-- Param ratio_from: number = 1.5. How many times the others' rate makes it worth a trial.
-- Param adjust: none|traffic = none. Compare units per open day, or per unit of the store's other products.
-- Param trial: int = 3. Stores in a trial, at most.
-- Param start_on: day = none. When something was started there, for the difference in differences.
-- Param rows: named|all = named. Only what is named, or all that was looked at.
-- Key: product_id, store_id, weekday
-- Heading exposure: open days, as often as they count
-- Heading ratio: units per open day / those of the product's other stores
-- Formula ratio: CAST(units AS DOUBLE) / exposure * other_exposure / nullif(other_units, 0)
-- Heading week_ratio: the same over all weekdays
-- Heading p_value: chance of so many units if all stores were alike
-- Heading smallest_p: smallest chance that could have come out
-- Heading q_value: Benjamini–Hochberg
-- Heading did_units_per_day: difference in differences, units per open day
-- Chart: bars store_name ratio
-- R19, on redemptions that stand. A product's stores are those that redeemed it in the period or may now; days are a store's
--    open ones on that weekday (R14), also those on which it redeemed nothing.
-- ratio compares the store's units per open day with all its other stores' together; empty if those had none. p_value is exact:
--    units of all stores fall to this one with the chance days / all days, P(X ≥ units) of a binomial. looked_at counts the
--    rows with enough redemptions; q_value corrects for them.
-- Named: q_value ≤ q and ratio ≥ ratio_from. A large store stands out with every product on every day: week_ratio and the
--    weekend shares tell a busy weekend from a busy store, and adjust=traffic counts a store's open day as many times as it
--    redeems units of other products per day (one time if none of the product's stores has others).
-- answer: 'trial in k stores', of those where the product is not named, or 'no evidence'.
-- did_units_per_day: how much units per open day grew from start_on, less how much the others' did. Only with start_on and
--    three whole weeks before it (pre_weeks); association, unless the store was drawn by lot.
WITH store AS MATERIALIZED (
    SELECT store_id, name FROM stores WHERE NOT head_office
),
unit AS MATERIALIZED (
    SELECT product_id, redeemed_store_id AS store_id, CAST(business_day AS INT) AS day, count(*) AS units
    FROM standing_redemptions
    WHERE business_day BETWEEN $from AND $to AND business_day < $today
    GROUP BY product_id, redeemed_store_id, business_day
),
calendar AS MATERIALIZED (
    SELECT store_id, CAST(day AS INT) AS day, open_mask FROM open_days WHERE day BETWEEN $from AND $to AND day < $today
),
-- Open days of each store, before and after the start; without a calendar all from its first redemption to its last.
date AS MATERIALIZED (
    SELECT
        store_id, day, (day + 3) % 7 + 1 AS weekday,
        CASE
            WHEN day >= CAST($start_on AS INT) THEN 1
            WHEN day >= CAST($start_on AS INT) - (CAST($start_on AS INT) - CAST($from AS INT)) / 7 * 7 THEN -1
            ELSE 0
        END AS phase
    FROM (
        SELECT store_id, CAST(day AS BIGINT) AS day FROM calendar WHERE open_mask > 0
        UNION
        SELECT store_id, CAST(day AS BIGINT) FROM unit
        UNION
        SELECT u.store_id, unnest(generate_series(u.first_day, u.last_day))
        FROM (
            SELECT store_id, CAST(min(day) AS BIGINT) AS first_day, CAST(max(day) AS BIGINT) AS last_day FROM unit GROUP BY store_id
        ) AS u
        LEFT ANTI JOIN calendar AS c ON c.store_id = u.store_id
    )
),
offered AS MATERIALIZED (
    SELECT product_id, store_id
    FROM (
        SELECT DISTINCT product_id, store_id FROM unit
        UNION
        SELECT a.product_id, a.store_id
        FROM applicable_stores AS a
        JOIN store AS s ON s.store_id = a.store_id
        JOIN (SELECT DISTINCT product_id FROM unit) AS u ON u.product_id = a.product_id
    )
    WHERE $product IS NULL OR product_id = $product
),
-- How often an open day of a store counts.
size AS (
    SELECT product_id, store_id, CASE WHEN max(traffic) OVER (PARTITION BY product_id) > 0 THEN traffic ELSE 1 END AS size
    FROM (
        SELECT
            o.product_id, o.store_id,
            CASE WHEN $adjust = 'traffic' THEN CAST(coalesce(t.units, 0) - coalesce(u.units, 0) AS DOUBLE) / d.days ELSE 0 END AS traffic
        FROM offered AS o
        JOIN (SELECT store_id, count(*) AS days FROM date GROUP BY store_id) AS d ON d.store_id = o.store_id
        LEFT JOIN (SELECT store_id, sum(units) AS units FROM unit GROUP BY store_id) AS t ON t.store_id = o.store_id
        LEFT JOIN (SELECT product_id, store_id, sum(units) AS units FROM unit GROUP BY product_id, store_id) AS u
            ON u.product_id = o.product_id AND u.store_id = o.store_id
    )
),
-- Every weekday of every store of a product, and each of them against the product's whole.
cell AS MATERIALIZED (
    SELECT
        *, all_units - units AS other_units, all_days - days AS other_days,
        sum(units) OVER store AS store_units, sum(days * size) OVER store AS store_exposure,
        sum(CASE WHEN weekday >= 6 THEN units ELSE 0 END) OVER store AS store_weekend_units,
        sum(units) OVER product AS product_units, sum(days * size) OVER product AS product_exposure,
        sum(CASE WHEN weekday >= 6 THEN units ELSE 0 END) OVER product AS product_weekend_units
    FROM (
        SELECT
            o.product_id, o.store_id, d.weekday, d.days, o.size, sum(d.days * o.size) OVER cell AS all_exposure,
            d.days_before, d.days_after,
            coalesce(u.units, 0) AS units, coalesce(u.units_before, 0) AS units_before, coalesce(u.units_after, 0) AS units_after,
            sum(coalesce(u.units, 0)) OVER cell AS all_units, sum(d.days) OVER cell AS all_days,
            sum(coalesce(u.units_before, 0)) OVER cell AS all_units_before, sum(d.days_before) OVER cell AS all_days_before,
            sum(coalesce(u.units_after, 0)) OVER cell AS all_units_after, sum(d.days_after) OVER cell AS all_days_after
        FROM size AS o
        JOIN (
            SELECT
                store_id, weekday, count(*) AS days, sum(CASE WHEN phase = -1 THEN 1 ELSE 0 END) AS days_before,
                sum(CASE WHEN phase = 1 THEN 1 ELSE 0 END) AS days_after
            FROM date
            GROUP BY store_id, weekday
        ) AS d ON d.store_id = o.store_id
        LEFT JOIN (
            SELECT
                u.product_id, u.store_id, d.weekday, sum(u.units) AS units,
                sum(CASE WHEN d.phase = -1 THEN u.units ELSE 0 END) AS units_before,
                sum(CASE WHEN d.phase = 1 THEN u.units ELSE 0 END) AS units_after
            FROM unit AS u
            JOIN date AS d ON d.store_id = u.store_id AND d.day = u.day
            GROUP BY u.product_id, u.store_id, d.weekday
        ) AS u ON u.product_id = o.product_id AND u.store_id = o.store_id AND u.weekday = d.weekday
        WINDOW cell AS (PARTITION BY o.product_id, d.weekday)
    )
    WINDOW store AS (PARTITION BY product_id, store_id), product AS (PARTITION BY product_id)
),
tested AS (
    SELECT
        *, CAST(units AS DOUBLE) / exposure * other_exposure / nullif(other_units, 0) AS ratio,
        binomial_at_least(CAST(units AS BIGINT), CAST(all_units AS BIGINT), exposure / (exposure + other_exposure)) AS p_value,
        binomial_at_least(CAST(all_units AS BIGINT), CAST(all_units AS BIGINT), exposure / (exposure + other_exposure)) AS smallest_p
    FROM (
        SELECT *, CAST(days * size AS DOUBLE) AS exposure, CAST(all_exposure - days * size AS DOUBLE) AS other_exposure FROM cell
    )
    WHERE units >= $least AND other_days > 0 AND exposure > 0
),
corrected AS (
    SELECT *, min(p_value * looked_at / nth) OVER (ORDER BY nth DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS q_value
    FROM (
        SELECT *, count(*) OVER () AS looked_at, row_number() OVER (ORDER BY p_value, product_id, store_id, weekday) AS nth
        FROM tested
    )
),
judged AS MATERIALIZED (
    SELECT *, q_value <= $q AND coalesce(ratio >= $ratio_from, true) AS named FROM corrected
),
-- Where a product could be tried: its stores in which it is not named on any day.
rest AS (
    SELECT c.product_id, count(*) AS stores
    FROM (SELECT DISTINCT product_id, store_id FROM cell) AS c
    LEFT ANTI JOIN (SELECT product_id, store_id FROM judged WHERE named) AS n ON n.product_id = c.product_id AND n.store_id = c.store_id
    GROUP BY c.product_id
),
row AS MATERIALIZED (
    SELECT
        j.*,
        CASE
            WHEN NOT named OR r.stores IS NULL THEN 'no evidence'
            WHEN least(r.stores, $trial) = 1 THEN 'trial in 1 store'
            ELSE concat('trial in ', least(r.stores, $trial), ' stores')
        END AS answer,
        CASE WHEN $start_on IS NOT NULL THEN greatest((CAST($start_on AS INT) - CAST($from AS INT)) / 7, 0) END AS pre_weeks
    FROM judged AS j
    LEFT JOIN rest AS r ON r.product_id = j.product_id
)
SELECT
    w.product_id, q.name AS product_name, w.store_id, s.name AS store_name, w.weekday, w.units, w.days,
    w.other_units, w.other_days, w.exposure, w.other_exposure, w.ratio,
    CAST(w.store_units AS DOUBLE) / nullif(w.store_exposure, 0) * (w.product_exposure - w.store_exposure)
        / nullif(w.product_units - w.store_units, 0)
        AS week_ratio,
    CAST(w.store_weekend_units AS DOUBLE) / nullif(w.store_units, 0) AS weekend_share,
    CAST(w.product_weekend_units - w.store_weekend_units AS DOUBLE) / nullif(w.product_units - w.store_units, 0) AS other_weekend_share,
    w.p_value, w.smallest_p, w.q_value, w.looked_at, w.pre_weeks,
    CASE WHEN w.pre_weeks >= 3 THEN
        CAST(w.units_after AS DOUBLE) / nullif(w.days_after, 0) - CAST(w.units_before AS DOUBLE) / nullif(w.days_before, 0)
        - CAST(w.all_units_after - w.units_after AS DOUBLE) / nullif(w.all_days_after - w.days_after, 0)
        + CAST(w.all_units_before - w.units_before AS DOUBLE) / nullif(w.all_days_before - w.days_before, 0)
    END AS did_units_per_day,
    w.answer
FROM row AS w
LEFT JOIN products AS q ON q.product_id = w.product_id
LEFT JOIN store AS s ON s.store_id = w.store_id
WHERE w.named OR $rows = 'all'
UNION ALL
SELECT
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, count(*), NULL, NULL,
    'no evidence'
FROM row
HAVING sum(CASE WHEN named OR $rows = 'all' THEN 1 ELSE 0 END) = 0 OR count(*) = 0
ORDER BY q_value NULLS LAST, ratio DESC NULLS LAST, product_id, store_id, weekday
