-- cross_store_flow
-- Title: Sold here, used there
-- Title zh: 跨店流向
-- Grain: store that sold × store that redeemed × period.
-- Roles: head_office, store by $store
-- Param from: day = today-30. First business day, inclusive.
-- Param to: day = today-1. Last business day, inclusive.
-- Param per: total|day|week|month = total. How long a row's period is; weeks start on Monday.
-- Param by: store|city|entity = store. What a row is about, on both sides.
-- Param own: flag = false. Also what was redeemed where it was sold.
-- Param product: text = none. Only this product.
-- Param store: text = none. Only what this store sold or redeemed.
-- Key: period, sold_at, redeemed_at
-- Additive: units, value_fen
-- Heading share_of_sold: of the units that the seller sold and somebody redeemed
-- Heading share_of_redeemed: of the units that the server redeemed
-- Chart: heat sold_at redeemed_at units
-- Units that stand, on the day they were redeemed (R7: activity), with their value (R9). By city or entity a flow inside it is
--    none. Both shares are of all units redeemed in the period, those redeemed where they were sold included; with $store only
--    that store's own shares are there.
-- period is the first day of it; of the total, $from. A store that the catalog does not know is a city and an entity of its own.
WITH place AS MATERIALIZED (
    SELECT
        store_id, name,
        CASE $by
            WHEN 'city' THEN coalesce(city, store_id)
            WHEN 'entity' THEN coalesce(legal_entity_id, store_id)
            ELSE store_id
        END AS at
    FROM stores
),
flow AS MATERIALIZED (
    SELECT
        CASE
            WHEN $per = 'day' THEN f.business_day
            WHEN $per = 'week' THEN CAST(CAST(CAST(f.business_day AS INT) - (CAST(f.business_day AS INT) + 3) % 7 AS INT) AS DATE)
            WHEN $per = 'month' THEN CAST(concat(substr(CAST(f.business_day AS VARCHAR), 1, 7), '-01') AS DATE)
            ELSE $from
        END AS period,
        coalesce(s.at, f.sold_store_id) AS sold_at, coalesce(u.at, f.redeemed_store_id) AS redeemed_at,
        sum(f.units) AS units, sum(f.value_fen) AS value_fen
    FROM (
        SELECT business_day, sold_store_id, redeemed_store_id, count(*) AS units, sum(value_fen) AS value_fen
        FROM standing_redemptions
        WHERE business_day BETWEEN $from AND $to AND sold_store_id IS NOT NULL AND ($product IS NULL OR product_id = $product)
            AND ($store IS NULL OR sold_store_id = $store OR redeemed_store_id = $store)
        GROUP BY business_day, sold_store_id, redeemed_store_id
    ) AS f
    LEFT JOIN place AS s ON s.store_id = f.sold_store_id
    LEFT JOIN place AS u ON u.store_id = f.redeemed_store_id
    GROUP BY 1, 2, 3
)
SELECT
    f.period, f.sold_at, s.name AS sold_at_name, f.redeemed_at, u.name AS redeemed_at_name, f.units, f.value_fen,
    CASE WHEN $store IS NULL OR f.sold_at = $store THEN CAST(f.units AS DOUBLE) / sold.units END AS share_of_sold,
    CASE WHEN $store IS NULL OR f.redeemed_at = $store THEN CAST(f.units AS DOUBLE) / redeemed.units END AS share_of_redeemed
FROM flow AS f
JOIN (SELECT period, sold_at, sum(units) AS units FROM flow GROUP BY period, sold_at) AS sold
    ON sold.period = f.period AND sold.sold_at = f.sold_at
JOIN (SELECT period, redeemed_at, sum(units) AS units FROM flow GROUP BY period, redeemed_at) AS redeemed
    ON redeemed.period = f.period AND redeemed.redeemed_at = f.redeemed_at
LEFT JOIN place AS s ON s.store_id = f.sold_at
LEFT JOIN place AS u ON u.store_id = f.redeemed_at
WHERE f.sold_at <> f.redeemed_at OR $own
ORDER BY f.period, f.sold_at, f.redeemed_at
