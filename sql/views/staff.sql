-- staff
-- Title: Clerks and technicians as they are now
-- Grain: person in a role (clerk or technician).
SELECT id AS person_id, kind AS role, name, store_id, skills, effective_from
FROM catalog_current
WHERE kind IN ('clerk', 'technician')
