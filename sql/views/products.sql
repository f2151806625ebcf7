-- products
-- Title: Products as they are now
-- Grain: product.
-- `across_stores` says whether the product's type and creator let it redeem at other stores than the seller's once the
-- cross-store switch is on (R3).
SELECT p.id AS product_id, p.name, p.category, p.product_type, p.sale_kind, p.skill, p.service_minutes, p.product_version, p.units,
  p.list_price_fen, p.vat_rate_bp, p.draw_order, p.validity, p.valid_from_on, p.valid_to_on, p.valid_days, p.blackouts,
  p.creator_store_id, coalesce(s.head_office, false) AS head_office_product,
  p.product_type IN ('booking', 'card', 'punch_card') AND coalesce(s.head_office, false) AS across_stores, p.effective_from
FROM catalog_current AS p
LEFT JOIN stores AS s ON s.store_id = p.creator_store_id
WHERE p.kind = 'product'
