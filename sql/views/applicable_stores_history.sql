-- applicable_stores_history
-- Title: Where products could be redeemed
-- Grain: version of a product's list of applicable stores (R3); `effective_until` is exclusive, null for the last one.
SELECT coalesce(product_id, id) AS product_id, store_ids, coalesce(applies_to_sold, true) AS applies_to_sold, reason,
  effective_from, effective_until
FROM catalog_versions
WHERE kind = 'applicable_stores' AND type = 'upserted'
