-- settlement_locks
-- Title: From when days were closed to late entries
-- Grain: store × business day inside a locked period.
-- A lock closes the days of the store it names, else of the stores that its legal entity has on the day, else of all. What is
--    recorded after locked_at settles on the day it was recorded (R11). Days that were not over when the lock was recorded are
--    left out.
SELECT store_id, CAST(CAST(day AS INT) AS DATE) AS business_day, min(locked_at) AS locked_at
FROM (
    SELECT
        o.store_id, o.from_at, o.until_at, l.locked_at,
        unnest(generate_series(
            greatest(CAST(CAST(l.period_from AS INT) AS BIGINT), 10957),
            least(CAST(CAST(l.period_to AS INT) AS BIGINT), CAST(l.locked_at AS BIGINT) / 86400000000)
        )) AS day
    FROM (
        SELECT entity_id, store_id, period_from, period_to, min(recorded_at) AS locked_at
        FROM log.decisions
        WHERE type = 'period_locked'
        GROUP BY entity_id, store_id, period_from, period_to
    ) AS l
    JOIN store_owners AS o
        ON coalesce(l.store_id = o.store_id, l.entity_id = o.entity_id, true)
)
-- Who a store belonged to at noon of the day.
WHERE day * 86400000000 + 43200000000 BETWEEN CAST(from_at AS BIGINT) AND CAST(until_at AS BIGINT) - 1
GROUP BY store_id, day
