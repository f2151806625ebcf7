-- products_history
-- Title: Products as they were
-- Grain: version of a product; `effective_until` is exclusive, null for the last one.
SELECT id AS product_id, name, category, product_type, sale_kind, skill, service_minutes, product_version, units, list_price_fen, vat_rate_bp,
  draw_order, validity, valid_from_on, valid_to_on, valid_days, blackouts, creator_store_id, effective_from, effective_until
FROM catalog_versions
WHERE kind = 'product' AND type = 'upserted'
