-- applicable_stores
-- Title: Where products sold now may be redeemed
-- Grain: product × applicable store, as it is now.
-- An order sold before keeps what it was sold with, and follows applicable_store_changes (R3).
SELECT listed_id AS product_id, listed_store_id AS store_id, effective_from
FROM (
    SELECT coalesce(product_id, id) AS listed_id, unnest(store_ids) AS listed_store_id, effective_from
    FROM catalog_in_force
    WHERE kind = 'applicable_stores'
)
