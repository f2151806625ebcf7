-- members
-- Title: Members
-- Grain: member, as known now: what was recorded last counts, whole.
-- Merged and erased members are left out; where a merged one went: member_aliases.
SELECT
    member_id, joined_on, joined_store_id, home_lat, home_lon, neighbourhood, tier, phone_hash,
    occurred_at AS changed_at, recorded_at
FROM (
    SELECT
        *,
        row_number() OVER (PARTITION BY member_id ORDER BY log_partition DESC, log_offset DESC) AS nth
    FROM log.members
)
WHERE nth = 1 AND type IN ('joined', 'changed')
