-- members
-- Title: Members as they are now
-- Grain: member who is neither merged into another nor erased.
-- Each field is the last one that was said, by time and then by place in the log.
SELECT member_id, joined_on, joined_store_id, home_lat, home_lon, neighbourhood, tier, phone_hash
FROM (
  SELECT member_id,
    last_value(type ORDER BY occurred_at, log_partition, log_offset) AS last_type,
    last_value(joined_on ORDER BY occurred_at, log_partition, log_offset) FILTER (WHERE joined_on IS NOT NULL) AS joined_on,
    last_value(joined_store_id ORDER BY occurred_at, log_partition, log_offset) FILTER (WHERE joined_store_id IS NOT NULL)
      AS joined_store_id,
    last_value(home_lat ORDER BY occurred_at, log_partition, log_offset) FILTER (WHERE home_lat IS NOT NULL) AS home_lat,
    last_value(home_lon ORDER BY occurred_at, log_partition, log_offset) FILTER (WHERE home_lon IS NOT NULL) AS home_lon,
    last_value(neighbourhood ORDER BY occurred_at, log_partition, log_offset) FILTER (WHERE neighbourhood IS NOT NULL)
      AS neighbourhood,
    last_value(tier ORDER BY occurred_at, log_partition, log_offset) FILTER (WHERE tier IS NOT NULL) AS tier,
    last_value(phone_hash ORDER BY occurred_at, log_partition, log_offset) FILTER (WHERE phone_hash IS NOT NULL) AS phone_hash
  FROM log.members
  GROUP BY member_id
) AS latest
WHERE last_type NOT IN ('merged', 'erased')
