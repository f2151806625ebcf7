-- rows
-- Grain: event of one source, store and business day.
SELECT store_id, business_day, type, event_id, entitlement_id, units, fen, log_offset
FROM accounted_events
WHERE source = $source AND store_id = $store AND business_day = $day
ORDER BY type, event_id
