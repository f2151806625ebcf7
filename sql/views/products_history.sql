-- products_history
-- Title: Products as they were
-- Grain: version of a product, in force during the half-open [effective_from, effective_until).
SELECT
    id AS product_id, name, creator_store_id, category, product_type, sale_kind, skill, service_minutes,
    product_version, units, list_price_fen, vat_rate_bp, draw_order,
    validity, valid_from_on, valid_to_on, valid_days, blackouts, effective_from, effective_until, recorded_at
FROM catalog_history
WHERE kind = 'product'
