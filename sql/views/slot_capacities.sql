-- slot_capacities
-- Title: Slot capacities as they are now
-- Grain: line of a store's capacity: bookings that a slot takes, by skill, product, weekday or day where named.
SELECT id AS slot_capacity_id, store_id, skill, product_id, on_weekday, on_day, from_minute, to_minute, capacity, effective_from
FROM catalog_in_force
WHERE kind = 'slot_capacity'
