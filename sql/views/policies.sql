-- policies
-- Title: Breakage and expiry policies as they are now
-- Grain: policy (R12, R13).
SELECT id AS policy_id, kind, product_id, legal_entity_id, rule_kind, share_bp, effective_from
FROM catalog_current
WHERE kind IN ('breakage_policy', 'expiry_policy')
