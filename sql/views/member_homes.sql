-- member_homes
-- Title: Where members lived, and when
-- Grain: member × time without a change of home.
-- Half-open [from_at, until_at); until_at is null for the home of today. The first home counts from the beginning: where
--    somebody lived before is not known.
WITH homes AS (
    SELECT
        member_id, occurred_at, type, home_lat, home_lon, neighbourhood,
        row_number() OVER (PARTITION BY member_id ORDER BY log_partition, log_offset) AS nth,
        lead(occurred_at) OVER (PARTITION BY member_id ORDER BY log_partition, log_offset) AS until_at
    FROM log.members
)
SELECT
    member_id,
    CASE WHEN nth = 1 THEN CAST('2000-01-01T00:00:00Z' AS TIMESTAMP WITH TIME ZONE) ELSE occurred_at END AS from_at,
    until_at, home_lat, home_lon, neighbourhood
FROM homes
WHERE type IN ('joined', 'changed') AND home_lat IS NOT NULL AND home_lon IS NOT NULL
