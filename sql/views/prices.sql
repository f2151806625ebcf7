-- prices
-- Title: List prices per store as they are now
-- Grain: store × product with a price of its own.
SELECT id AS price_id, store_id, product_id, list_price_fen, effective_from FROM catalog_in_force WHERE kind = 'price'
