-- member_homes
-- Title: Where members lived, and when
-- Grain: member × time without a change of home.
-- Half-open [from_at, until_at); until_at is null for the home of today. The first home counts from the beginning: where
--    somebody lived before is not known.
-- Most members have one event: only the others go through the window, which costs a partition each.
SELECT
    member_id, CAST('2000-01-01T00:00:00Z' AS TIMESTAMP WITH TIME ZONE) AS from_at,
    CAST(NULL AS TIMESTAMP WITH TIME ZONE) AS until_at,
    max(home_lat) AS home_lat, max(home_lon) AS home_lon, max(neighbourhood) AS neighbourhood
FROM log.members
GROUP BY member_id
HAVING count(*) = 1 AND max(type) IN ('joined', 'changed') AND max(home_lat) IS NOT NULL AND max(home_lon) IS NOT NULL
UNION ALL
SELECT
    member_id,
    CASE WHEN nth = 1 THEN CAST('2000-01-01T00:00:00Z' AS TIMESTAMP WITH TIME ZONE) ELSE occurred_at END AS from_at,
    until_at, home_lat, home_lon, neighbourhood
FROM (
    SELECT
        m.member_id, m.occurred_at, m.type, m.home_lat, m.home_lon, m.neighbourhood,
        row_number() OVER (PARTITION BY m.member_id ORDER BY m.log_partition, m.log_offset) AS nth,
        lead(m.occurred_at) OVER (PARTITION BY m.member_id ORDER BY m.log_partition, m.log_offset) AS until_at
    FROM log.members AS m
    JOIN (SELECT member_id FROM log.members GROUP BY member_id HAVING count(*) > 1) AS k ON k.member_id = m.member_id
)
WHERE type IN ('joined', 'changed') AND home_lat IS NOT NULL AND home_lon IS NOT NULL
