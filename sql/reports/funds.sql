-- funds
-- Title: Prepaid money outstanding
-- Title zh: 预收余额与到期
-- Grain: selling store × product × part, or what `by` says; as it is now.
-- Roles: head_office, store by $store
-- Param by: store_product|store|entity_product|entity|product|total = store_product. What a row is about.
-- Param store: text = none. Only what this store owes.
-- Param entity: text = none. Only what this legal entity owes.
-- Param product: text = none. Only this product; stored_value is all stored value.
-- Key: legal_entity_id, store_id, product_id, part
-- Additive: cards, units, value_fen, expires_30d_units, expires_30d_fen, expires_90d_units, expires_90d_fen,
--    expires_365d_units, expires_365d_fen, later_units, later_fen, endless_units, endless_fen, owed_without_units_fen
-- Heading cards: order lines with units left
-- Heading value_fen: carrying value outstanding
-- Heading endless_fen: value without an end of validity
-- Heading owed_without_units_fen: owed for units that are gone
-- Formula units: expires_365d_units + later_units + endless_units
-- Formula value_fen: expires_365d_fen + later_fen + endless_fen + owed_without_units_fen
-- Drill value_fen: liability_movements store=store_id, entity=legal_entity_id, product=product_id, part=part,
--    from='2000-01-01', to='today'
-- Chart: bars store_name value_fen
-- The closing balance of liability today (before breakage, R13, which moves no units), by when it will expire (R5). Units
--    are what is neither redeemed, refunded nor expired, held ones among them; value is what they carry: the paid amount
--    less R9's values.
-- expires_30d, _90d and _365d hold each other: a card that ends in 20 days is in all three, and so is one whose end has
--    passed and that has not been swept yet. later ends after 365 days; endless has no end, or none before its first use.
-- owed_without_units: expired and still owed (no expiry policy made it income), and corrections (R7).
-- part: paid, or principal and bonus of stored value, which has no units and no end. Of points the log has only what was
--    spent.
-- Opening balances of a migration count; they have no end.
WITH store AS MATERIALIZED (
    SELECT store_id, name, legal_entity_id FROM stores
),
clock AS (
    SELECT CAST(arrow_cast(now(), 'Timestamp(Microsecond, Some("UTC"))') AS BIGINT) AS now_us
),
-- Order lines with anything left. Stored value and opening balances without a line of their own are one sum per store.
remaining AS (
    SELECT
        entitlement_id, store_id, product_id, part, sum(change_fen) AS value_fen, sum(units) AS units,
        CAST(max(valid_until) AS BIGINT) AS until_us
    FROM liability_entries
    WHERE ($store IS NULL OR store_id = $store) AND ($product IS NULL OR product_id = $product)
    GROUP BY entitlement_id, store_id, product_id, part
    HAVING sum(change_fen) <> 0 OR sum(units) <> 0
),
ending AS (
    SELECT
        store_id, product_id, part,
        CASE
            WHEN part = 'paid' AND units <= 0 THEN 5
            WHEN until_us IS NULL THEN 4
            WHEN until_us <= now_us + 30 * 86400000000 THEN 0
            WHEN until_us <= now_us + 90 * 86400000000 THEN 1
            WHEN until_us <= now_us + 365 * 86400000000 THEN 2
            ELSE 3
        END AS band,
        count(CASE WHEN units > 0 THEN entitlement_id END) AS cards, sum(units) AS units, sum(value_fen) AS value_fen
    FROM remaining
    CROSS JOIN clock
    GROUP BY 1, 2, 3, 4
)
SELECT
    CASE WHEN $by <> 'product' AND $by <> 'total' THEN s.legal_entity_id END AS legal_entity_id,
    CASE WHEN $by = 'store_product' OR $by = 'store' THEN e.store_id END AS store_id,
    max(CASE WHEN $by = 'store_product' OR $by = 'store' THEN s.name END) AS store_name,
    CASE WHEN $by IN ('store_product', 'entity_product', 'product') THEN e.product_id END AS product_id,
    max(CASE WHEN $by IN ('store_product', 'entity_product', 'product') THEN p.name END) AS product_name,
    e.part, sum(e.cards) AS cards, sum(e.units) AS units, sum(e.value_fen) AS value_fen,
    sum(CASE WHEN e.part = 'paid' THEN CASE WHEN e.band = 0 THEN e.units ELSE 0 END END) AS expires_30d_units,
    sum(CASE WHEN e.band = 0 THEN e.value_fen ELSE 0 END) AS expires_30d_fen,
    sum(CASE WHEN e.part = 'paid' THEN CASE WHEN e.band <= 1 THEN e.units ELSE 0 END END) AS expires_90d_units,
    sum(CASE WHEN e.band <= 1 THEN e.value_fen ELSE 0 END) AS expires_90d_fen,
    sum(CASE WHEN e.part = 'paid' THEN CASE WHEN e.band <= 2 THEN e.units ELSE 0 END END) AS expires_365d_units,
    sum(CASE WHEN e.band <= 2 THEN e.value_fen ELSE 0 END) AS expires_365d_fen,
    sum(CASE WHEN e.part = 'paid' THEN CASE WHEN e.band = 3 THEN e.units ELSE 0 END END) AS later_units,
    sum(CASE WHEN e.band = 3 THEN e.value_fen ELSE 0 END) AS later_fen,
    sum(CASE WHEN e.part = 'paid' THEN CASE WHEN e.band = 4 THEN e.units ELSE 0 END END) AS endless_units,
    sum(CASE WHEN e.band = 4 THEN e.value_fen ELSE 0 END) AS endless_fen,
    sum(CASE WHEN e.band = 5 THEN e.value_fen ELSE 0 END) AS owed_without_units_fen
FROM ending AS e
LEFT JOIN store AS s ON s.store_id = e.store_id
LEFT JOIN products AS p ON p.product_id = e.product_id
WHERE $entity IS NULL OR s.legal_entity_id = $entity
GROUP BY 1, 2, 4, 6
ORDER BY 1, 2, 4, 6
