-- dead_letters
-- Title: Messages that could not be events
-- Title zh: 死信列表
-- Grain: dead letter, the newest first.
-- Key: place
-- Param topic: text = none. Only this topic.
-- Param since: instant = none. Only what was recorded since.
-- Param all: flag = false. Also those whose event stands by now.
-- Param limit: int = 100. At most so many.
-- `place` is topic, partition and offset, as `hexiao dead-letters show` and `replay --place` take it.
SELECT
  l.topic || '/' || l.log_partition || '/' || l.log_offset AS place,
  l.recorded_at,
  l.source,
  l.event_id,
  l.reason,
  o.topic IS NULL AS repaired,
  byte_length(l.payload) AS payload_bytes,
  byte_text(l.payload, 60) AS payload_start
FROM log.dead_letters AS l
LEFT JOIN dead_letters_open AS o
  ON o.log_offset = l.log_offset AND o.log_partition = l.log_partition AND o.topic = l.topic
WHERE ($all OR o.topic IS NOT NULL)
  AND ($topic IS NULL OR l.topic = $topic)
  AND ($since IS NULL OR l.recorded_at >= $since)
ORDER BY l.recorded_at DESC, l.log_partition DESC, l.log_offset DESC
LIMIT $limit
