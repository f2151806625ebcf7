-- settlement_rules
-- Title: Settlement rules as they are now
-- Grain: rule (R11).
SELECT id AS rule_id, sold_store_id, redeemed_store_id, product_id, product_type, rule_kind, share_bp, amount_fen, base, fee_bp,
  effective_from
FROM catalog_current
WHERE kind = 'settlement_rule'
