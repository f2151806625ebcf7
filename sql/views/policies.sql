-- policies
-- Title: Breakage and expiry policies in all their versions
-- Grain: version of a policy (kind × id), in force during the half-open [effective_from, effective_until) (R12, R13).
SELECT
    kind, id AS policy_id, store_id, product_id, product_type, legal_entity_id, rule_kind, share_bp, amount_fen,
    effective_from, effective_until, recorded_at
FROM catalog_history
WHERE kind IN ('breakage_policy', 'expiry_policy')
