-- credit_rules
-- Title: Credit rules in all their versions
-- Grain: version of a rule, in force during the half-open [effective_from, effective_until) (R22).
SELECT
    id AS credit_rule_id, store_id, product_id, product_type,
    credit_sold_store_bp, credit_redeemed_store_bp, credit_seller_bp, credit_technician_bp,
    effective_from, effective_until, recorded_at
FROM catalog_history
WHERE kind = 'credit_rule'
