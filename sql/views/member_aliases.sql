-- member_aliases
-- Title: Members merged into others
-- Grain: merged member, with the member who stands for them now.
-- Followed over at most four merges in a row.
WITH latest AS (
    SELECT member_id, merged_into_member_id, type,
        row_number() OVER (PARTITION BY member_id ORDER BY log_partition DESC, log_offset DESC) AS nth
    FROM log.members
),
merged AS (
    SELECT member_id, merged_into_member_id AS into_id FROM latest WHERE nth = 1 AND type = 'merged'
)
SELECT a.member_id, coalesce(d.into_id, c.into_id, b.into_id, a.into_id) AS stands_for_member_id
FROM merged AS a
LEFT JOIN merged AS b ON b.member_id = a.into_id
LEFT JOIN merged AS c ON c.member_id = b.into_id
LEFT JOIN merged AS d ON d.member_id = c.into_id
