-- dead_letter
-- Title: One message that could not be an event, whole
-- Title zh: 死信详情
-- Grain: the dead letter at a place in the log.
-- Param topic: text. Its topic.
-- Param log_partition: int = 0. Its partition.
-- Param log_offset: int. Its offset.
-- `payload` is the message byte for byte; JSON, CSV and table show bytes in hex.
SELECT
  l.recorded_at, l.topic, l.log_partition, l.log_offset, l.source, l.event_id, l.reason,
  o.topic IS NULL AS repaired,
  l.payload
FROM log.dead_letters AS l
LEFT JOIN dead_letters_open AS o
  ON o.log_offset = l.log_offset AND o.log_partition = l.log_partition AND o.topic = l.topic
WHERE l.topic = $topic AND l.log_partition = $log_partition AND l.log_offset = $log_offset
