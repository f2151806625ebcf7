-- dead_letters
-- Title: What could not be an event
-- Grain: message that was turned away.
SELECT recorded_at, topic, source, event_id, reason, payload, log_partition, log_offset
FROM log.dead_letters
