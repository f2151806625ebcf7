-- capabilities
-- Title: What stores can and cannot perform
-- Grain: store × product about which something is said; elsewhere the skills decide.
SELECT store_id, product_id, enabled, effective_from
FROM catalog_current
WHERE kind = 'capability'
