-- merged_members
-- Title: Members that were merged into others
-- Grain: member who was merged; `into_member_id` is followed over two merges.
WITH merged AS (
  SELECT member_id, last_value(merged_into_member_id ORDER BY occurred_at, log_partition, log_offset) AS into_member_id
  FROM log.members
  WHERE type = 'merged'
  GROUP BY member_id
)
SELECT m.member_id, coalesce(third.into_member_id, second.into_member_id, m.into_member_id) AS into_member_id
FROM merged AS m
LEFT JOIN merged AS second ON second.member_id = m.into_member_id
LEFT JOIN merged AS third ON third.member_id = second.into_member_id
