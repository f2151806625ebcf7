-- opening_hours_history
-- Title: Opening hours as they were
-- Grain: version of a line of a store's hours, in force during the half-open [effective_from, effective_until).
SELECT
    id AS opening_hours_id, store_id, on_weekday, on_day, from_minute, to_minute, coalesce(closed, false) AS closed,
    effective_from, effective_until, recorded_at
FROM catalog_history
WHERE kind = 'opening_hours'
