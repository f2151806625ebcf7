-- Key: source, event_id, store_id, part, movement, sold_in
-- Case: from=today-55 to=today-25 limit=10000000
-- Case: from=first to=today limit=10000000 store=S001
-- Case: from=first to=today limit=10000000 movement=adjusted
-- Case: from=first to=today limit=10000000 part=bonus product=stored_value
-- Case: from=today-90 to=today limit=10000000 entity=E00 movement=refunded
SELECT occurred_at, business_day, movement, store AS store_id, store_name, entity AS legal_entity_id, product AS product_id, q.name AS product_name, part, change AS change_fen, o.units,
    cash AS cash_fen, carrying AS carrying_fen, order_id, entitlement_id, ordinal AS unit_ordinal, redeemed_store_id, CAST(NULL AS DATE) AS sold_in, reason, source, event_id
FROM owed AS o LEFT JOIN products AS q ON q.product_id = o.product
WHERE business_day BETWEEN $from AND $to AND ($store IS NULL OR store = $store) AND ($entity IS NULL OR entity = $entity) AND ($product IS NULL OR product = $product)
    AND ($part IS NULL OR part = $part) AND ($movement IS NULL OR movement = $movement)
