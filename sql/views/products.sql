-- products
-- Title: Products as they are now
-- Grain: product.
-- crosses_stores: made by head office and of a type that redeems at applicable stores while the switch is on (R3).
SELECT
    p.id AS product_id, p.name, p.creator_store_id, p.category, p.product_type, p.sale_kind, p.skill, p.service_minutes,
    p.product_version, p.units, p.list_price_fen, p.vat_rate_bp, p.draw_order,
    p.validity, p.valid_from_on, p.valid_to_on, p.valid_days, p.blackouts,
    p.product_type IN ('booking', 'card', 'punch_card') AND coalesce(s.head_office, false) AS crosses_stores,
    p.effective_from
FROM catalog_in_force AS p
LEFT JOIN stores AS s ON s.store_id = p.creator_store_id
WHERE p.kind = 'product'
