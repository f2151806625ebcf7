-- technicians
-- Title: Technicians as they are now
-- Grain: technician.
SELECT id AS technician_id, name, store_id, skills, effective_from FROM catalog_in_force WHERE kind = 'technician'
