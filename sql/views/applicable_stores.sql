-- applicable_stores
-- Title: Where products may be redeemed
-- Grain: product × store of its list of applicable stores (R3), as it is now.
SELECT listed_product_id AS product_id, listed_store_id AS store_id, effective_from
FROM (
  SELECT coalesce(product_id, id) AS listed_product_id, unnest(store_ids) AS listed_store_id, effective_from
  FROM catalog_current
  WHERE kind = 'applicable_stores'
) AS listed
