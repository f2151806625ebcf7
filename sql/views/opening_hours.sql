-- opening_hours
-- Title: Opening hours as they are now
-- Grain: line of a store's opening hours; a line for a day goes before those for its weekday.
SELECT id AS line_id, store_id, on_weekday, on_day, from_minute, to_minute, coalesce(closed, false) AS closed, effective_from
FROM catalog_current
WHERE kind = 'opening_hours'
