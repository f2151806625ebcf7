-- prices
-- Title: List prices per store as they are now
-- Grain: store × product with a price of its own.
SELECT store_id, product_id, list_price_fen, effective_from
FROM catalog_current
WHERE kind = 'price'
