-- rosters
-- Title: Rosters as they are now
-- Grain: roster line; minutes count from local midnight, the end is exclusive.
SELECT id AS roster_id, store_id, technician_id, on_weekday, on_day, from_minute, to_minute, effective_from
FROM catalog_current
WHERE kind = 'roster'
