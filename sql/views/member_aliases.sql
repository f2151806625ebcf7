-- member_aliases
-- Title: Members merged into others
-- Grain: merged member, with the member who stands for them now.
-- Followed over at most four merges in a row.
WITH merged AS (
    SELECT member_id, last_value(merged_into_member_id ORDER BY log_partition, log_offset) AS into_id
    FROM log.members
    WHERE type = 'merged'
    GROUP BY member_id
)
SELECT a.member_id, coalesce(d.into_id, c.into_id, b.into_id, a.into_id) AS stands_for_member_id
FROM merged AS a
LEFT JOIN merged AS b ON b.member_id = a.into_id
LEFT JOIN merged AS c ON c.member_id = b.into_id
LEFT JOIN merged AS d ON d.member_id = c.into_id
