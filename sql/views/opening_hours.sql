-- opening_hours
-- Title: Opening hours as they are now
-- Grain: line of a store's hours on a weekday, on every day (neither weekday nor day), or on a single day, which goes before.
SELECT id AS opening_hours_id, store_id, on_weekday, on_day, from_minute, to_minute, coalesce(closed, false) AS closed, effective_from
FROM catalog_in_force
WHERE kind = 'opening_hours'
