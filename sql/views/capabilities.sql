-- capabilities
-- Title: What stores can or cannot perform, where it was said
-- Grain: store × product with an entry of its own.
SELECT id AS capability_id, store_id, product_id, enabled, effective_from FROM catalog_in_force WHERE kind = 'capability'
