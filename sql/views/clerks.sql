-- clerks
-- Title: Clerks as they are now
-- Grain: clerk (核销员).
SELECT id AS clerk_id, name, store_id, skills, effective_from FROM catalog_in_force WHERE kind = 'clerk'
