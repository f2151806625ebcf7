-- members
-- Title: Members
-- Grain: member, as known now: what was recorded last counts, whole.
-- Merged and erased members are left out; where a merged one went: member_aliases.
SELECT
    m.member_id, m.joined_on, m.joined_store_id, m.home_lat, m.home_lon, m.neighbourhood, m.tier, m.phone_hash,
    m.occurred_at AS changed_at, m.recorded_at
FROM log.members AS m
-- A place in the log as one number, partition × 2^48 + offset: a window would cost a partition per member.
JOIN (
    SELECT member_id, max(CAST(log_partition AS BIGINT) * 281474976710656 + log_offset) AS place FROM log.members GROUP BY member_id
) AS l ON l.member_id = m.member_id AND l.place = CAST(m.log_partition AS BIGINT) * 281474976710656 + m.log_offset
WHERE m.type IN ('joined', 'changed')
