-- opening_hours_history
-- Title: Opening hours as they were
-- Grain: version of a line of a store's opening hours; `effective_until` is exclusive, null for the last one.
SELECT id AS line_id, store_id, on_weekday, on_day, from_minute, to_minute, coalesce(closed, false) AS closed,
  effective_from, effective_until
FROM catalog_versions
WHERE kind = 'opening_hours' AND type = 'upserted'
