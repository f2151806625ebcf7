-- slot_capacities
-- Title: Slot capacities as they are now
-- Grain: capacity line.
SELECT id AS line_id, store_id, product_id, skill, on_weekday, on_day, from_minute, to_minute, capacity, effective_from
FROM catalog_current
WHERE kind = 'slot_capacity'
