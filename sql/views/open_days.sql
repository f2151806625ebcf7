-- open_days
-- Title: Hours that stores open, day by day
-- Grain: store with opening hours × business day, from three years ago or its opening to four weeks ahead or its closing.
-- Bit h of open_mask is set if the local hour h is open (R14): as a single day's own line says, else as the weekday's do; 0 if
--    the day is closed. usual_mask is the weekday's alone. special: a holiday or a make-up workday, there or in the chain.
-- A day that no line speaks of has no row: it is closed.
-- What was said first about a store's hours holds for the time before as well.
SELECT
    d.store_id, d.day, d.weekday,
    coalesce(bit_or(CASE WHEN l.on_day IS NOT NULL THEN l.mask END), bit_or(CASE WHEN l.on_day IS NULL THEN l.mask END), 0) AS open_mask,
    coalesce(bit_or(CASE WHEN l.on_day IS NULL THEN l.mask END), 0) AS usual_mask,
    bool_or(g.on_day IS NOT NULL OR o.on_day IS NOT NULL) AS special
FROM (
    SELECT store_id, CAST(CAST(day AS INT) AS DATE) AS day, (day + 3) % 7 + 1 AS weekday
    FROM (
        SELECT
            s.store_id,
            unnest(generate_series(
                CAST(greatest(coalesce(CAST(s.opened_on AS INT), 0), CAST(s.today AS INT) - 1096) AS BIGINT),
                CAST(least(coalesce(CAST(s.closed_on AS INT), 1000000), CAST(s.today AS INT) + 28) AS BIGINT)
            )) AS day
        FROM stores AS s
        WHERE NOT s.head_office
    )
) AS d
JOIN (
    SELECT
        h.store_id, h.on_weekday, h.on_day,
        CASE
            WHEN h.effective_from = min(h.effective_from) OVER (PARTITION BY h.store_id) THEN CAST(0 AS DATE)
            ELSE business_day(h.effective_from, coalesce(s.time_zone, 'UTC'), 0)
        END AS from_on,
        business_day(h.effective_until, coalesce(s.time_zone, 'UTC'), 0) AS until_on,
        CASE WHEN h.closed THEN 0 ELSE hour_mask(coalesce(h.from_minute, 0), coalesce(h.to_minute, 1440)) END AS mask
    FROM opening_hours_history AS h
    LEFT JOIN stores AS s ON s.store_id = h.store_id
) AS l ON l.store_id = d.store_id AND d.day >= l.from_on AND (l.until_on IS NULL OR d.day < l.until_on)
    AND (l.on_day = d.day OR l.on_day IS NULL AND (l.on_weekday IS NULL OR l.on_weekday = d.weekday))
LEFT JOIN (SELECT DISTINCT on_day FROM holidays WHERE store_id IS NULL) AS g ON g.on_day = d.day
LEFT JOIN (SELECT DISTINCT on_day, store_id FROM holidays WHERE store_id IS NOT NULL) AS o ON o.on_day = d.day AND o.store_id = d.store_id
GROUP BY d.store_id, d.day, d.weekday
