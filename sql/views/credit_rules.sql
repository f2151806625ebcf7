-- credit_rules
-- Title: Rules of performance credit as they are now
-- Grain: rule (R22).
SELECT id AS rule_id, sold_store_id, redeemed_store_id, product_id, product_type, credit_sold_store_bp, credit_redeemed_store_bp,
  credit_seller_bp, credit_technician_bp, effective_from
FROM catalog_current
WHERE kind = 'credit_rule'
