-- places
-- Grain: row of one event.
SELECT store_id, business_day, type FROM accounted_events
WHERE source = $source AND event_id = $event_id
ORDER BY business_day
