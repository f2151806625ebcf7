-- Key: legal_entity_id, store_id, product_id, part
-- Case:
-- Case: by=total
-- Case: by=entity_product
-- Case: by=store store=S001
-- Case: by=product product=P03
WITH lines AS (
    SELECT entity, store, product, part, CASE WHEN part = 'paid' AND movement NOT IN ('adjusted', 'expired_owed', 'opened') THEN entitlement_id END AS entitlement_id,
        sum(units) AS units, sum(change) AS value
    FROM owed GROUP BY ALL
), gone AS (
    -- Units that expired and are still owed leave their card: they are taken out of it, their money is not.
    SELECT entitlement_id, sum(units) AS units, sum(carrying) AS carrying FROM owed WHERE movement = 'expired_owed' GROUP BY ALL
), now_owed AS (
    SELECT l.entity, l.store, l.product, l.part, l.units + coalesce(g.units, 0) AS units, l.value - coalesce(g.carrying, 0) AS value, l.entitlement_id, CAST(e.valid_until AT TIME ZONE 'Asia/Shanghai' AS DATE) AS ends_on
    FROM lines AS l JOIN ends AS e USING (entitlement_id) LEFT JOIN gone AS g USING (entitlement_id)
), pieces AS (
    SELECT entity, store, product, part, units, value, 0 AS unitless, ends_on, CASE WHEN units > 0 THEN 1 ELSE 0 END AS card, true AS dated FROM now_owed
    UNION ALL
    SELECT entity, store, product, part, NULL, change, 0, NULL, 0, true FROM owed WHERE part <> 'paid'
    UNION ALL
    SELECT entity, store, product, part, units, change, 0, NULL, 0, true FROM owed WHERE part = 'paid' AND movement = 'opened'
    UNION ALL
    SELECT entity, store, product, part, 0, 0, CASE movement WHEN 'adjusted' THEN change ELSE carrying END, NULL, 0, false FROM owed WHERE movement IN ('adjusted', 'expired_owed')
), grouped AS (
    SELECT CASE WHEN $by IN ('store_product', 'store', 'entity_product', 'entity') THEN entity END AS legal_entity_id,
        CASE WHEN $by IN ('store_product', 'store') THEN store END AS store_id, CASE WHEN $by IN ('store_product', 'entity_product', 'product') THEN product END AS product_id, *
    FROM pieces
    WHERE ($store IS NULL OR store = $store) AND ($entity IS NULL OR entity = $entity) AND ($product IS NULL OR product = $product)
), sums AS (
    SELECT legal_entity_id, store_id, product_id, part,
        sum(card) AS cards, sum(units) AS units, sum(value + unitless) AS value_fen,
        CASE WHEN part = 'paid' THEN coalesce(sum(units) FILTER (ends_on < $today + 31), 0) END AS expires_30d_units, coalesce(sum(value) FILTER (ends_on < $today + 31), 0) AS expires_30d_fen,
        CASE WHEN part = 'paid' THEN coalesce(sum(units) FILTER (ends_on < $today + 91), 0) END AS expires_90d_units, coalesce(sum(value) FILTER (ends_on < $today + 91), 0) AS expires_90d_fen,
        CASE WHEN part = 'paid' THEN coalesce(sum(units) FILTER (ends_on < $today + 366), 0) END AS expires_365d_units, coalesce(sum(value) FILTER (ends_on < $today + 366), 0) AS expires_365d_fen,
        CASE WHEN part = 'paid' THEN coalesce(sum(units) FILTER (ends_on >= $today + 366), 0) END AS later_units, coalesce(sum(value) FILTER (ends_on >= $today + 366), 0) AS later_fen,
        CASE WHEN part = 'paid' THEN coalesce(sum(units) FILTER (ends_on IS NULL AND dated), 0) END AS endless_units, coalesce(sum(value) FILTER (ends_on IS NULL AND dated), 0) AS endless_fen,
        sum(unitless) AS owed_without_units_fen
    FROM grouped GROUP BY legal_entity_id, store_id, product_id, part
)
SELECT s.legal_entity_id, s.store_id, n.name AS store_name, s.product_id, q.name AS product_name, s.* EXCLUDE (legal_entity_id, store_id, product_id)
FROM sums AS s LEFT JOIN stores AS n ON n.store_id = s.store_id LEFT JOIN products AS q ON q.product_id = s.product_id
WHERE value_fen <> 0 OR s.units <> 0
