-- open_letters
-- Grain: dead letter of one source that is still open.
SELECT topic || '/' || CAST(log_partition AS VARCHAR) || '/' || CAST(log_offset AS VARCHAR) AS place, event_id, reason
FROM dead_letters_open
WHERE source = $source
ORDER BY recorded_at, log_offset
LIMIT 1000
