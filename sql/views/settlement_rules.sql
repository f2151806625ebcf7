-- settlement_rules
-- Title: Settlement rules in all their versions
-- Grain: version of a rule, in force during the half-open [effective_from, effective_until) (R11).
SELECT
    id AS settlement_rule_id, sold_store_id, redeemed_store_id, product_id, product_type,
    rule_kind, share_bp, amount_fen, base, fee_bp, effective_from, effective_until, recorded_at
FROM catalog_history
WHERE kind = 'settlement_rule'
