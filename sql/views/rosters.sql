-- rosters
-- Title: Rosters as they are now
-- Grain: line of a roster: a technician's shift on a weekday or on a single day, which goes before the weekday's.
SELECT id AS roster_id, store_id, technician_id, on_weekday, on_day, from_minute, to_minute, closed, effective_from
FROM catalog_in_force
WHERE kind = 'roster'
