-- live_today
-- Title: Today so far
-- Title zh: 今日实时
-- Grain: store.
-- Roles: head_office, store by $store
-- Param store: text = none. Only this store.
-- Param weeks: int = 8. How many earlier days of the same weekday are averaged.
-- Key: store_id
-- Additive: orders, paid_fen, refunded_fen, redemptions, units, value_fen, reversed, refused, units_to_hour, paid_to_hour_fen
-- Heading hour: local hour now
-- Heading units_to_hour: units before this hour
-- Heading paid_to_hour_fen: sold before this hour
-- Heading days: days averaged
-- Heading average_units_to_hour: average units before this hour
-- Heading average_paid_to_hour_fen: average sold before this hour
-- Formula units_ratio: CAST(units_to_hour AS DOUBLE) / nullif(average_units_to_hour, 0)
-- Chart: bars store_name units
-- Each store's own business day so far: orders and what was paid for them, refunds paid out, redemptions that stand (calls, units and
--    what those units were paid), reversals and refusals that happened.
-- To be compared, only whole hours count: …_to_hour is what happened before the local hour that now runs, average_… the mean of the
--    same hours over the last weeks' days of this weekday (R14): days is how many of them the store was open, by the opening hours
--    that hold now; a closed day with a sale or redemption counts as open, a day without any counts too. Stores without opening
--    hours count every day from their first sale or redemption in those weeks.
-- average_paid_to_hour_fen is rounded half-up.
WITH store AS MATERIALIZED (
    SELECT s.store_id, s.name, CAST(s.today AS INT) AS today, s.day_start_hour, CAST(s.opened_on AS INT) AS opened_day, h.hour
    FROM stores AS s
    JOIN (
        -- A day that starts at hour h is the calendar day once it is h o'clock: so many hours have begun.
        SELECT store_id, count(*) - 1 AS hour
        FROM (SELECT store_id, time_zone, unnest(generate_series(0, 23)) AS h FROM stores)
        WHERE business_day(arrow_cast(now(), 'Timestamp(Microsecond, Some("UTC"))'), time_zone, h)
            = business_day(arrow_cast(now(), 'Timestamp(Microsecond, Some("UTC"))'), time_zone, 0)
        GROUP BY store_id
    ) AS h ON h.store_id = s.store_id
    WHERE ($store IS NULL OR s.store_id = $store) AND (s.opened_on IS NULL OR s.opened_on <= s.today)
        AND (s.closed_on IS NULL OR s.closed_on >= s.today)
),
sold AS (
    SELECT
        store_id, ago, count(*) AS orders, sum(paid_fen) AS paid_fen, sum(early_fen) AS early_fen
    FROM (
        SELECT
            s.store_id, s.today - CAST(o.business_day AS INT) AS ago, sum(o.paid_fen) AS paid_fen,
            sum(CASE WHEN (o.local_hour - s.day_start_hour + 24) % 24 < (s.hour - s.day_start_hour + 24) % 24 THEN o.paid_fen ELSE 0 END)
                AS early_fen
        FROM log.orders AS o
        JOIN store AS s ON s.store_id = o.sold_store_id
        WHERE o.type = 'sold' AND o.business_day >= CAST(CAST($today AS INT) - 7 * $weeks - 1 AS DATE)
            AND o.business_day <= CAST(CAST($today AS INT) + 1 AS DATE)
            AND (s.today - CAST(o.business_day AS INT)) % 7 = 0
        GROUP BY s.store_id, ago, o.order_id
    )
    GROUP BY store_id, ago
),
redeemed AS (
    SELECT
        store_id, ago, count(*) AS redemptions, sum(units) AS units, sum(value_fen) AS value_fen, sum(early_units) AS early_units
    FROM (
        SELECT
            s.store_id, s.today - CAST(r.business_day AS INT) AS ago, count(*) AS units, sum(r.value_fen) AS value_fen,
            sum(CASE WHEN (r.local_hour - s.day_start_hour + 24) % 24 < (s.hour - s.day_start_hour + 24) % 24 THEN 1 ELSE 0 END)
                AS early_units
        FROM standing_redemptions AS r
        JOIN store AS s ON s.store_id = r.redeemed_store_id
        WHERE r.business_day >= CAST(CAST($today AS INT) - 7 * $weeks - 1 AS DATE)
            AND r.business_day <= CAST(CAST($today AS INT) + 1 AS DATE)
            AND (s.today - CAST(r.business_day AS INT)) % 7 = 0
        GROUP BY s.store_id, ago, coalesce(r.redemption_id, r.event_id)
    )
    GROUP BY store_id, ago
),
incident AS (
    SELECT i.store_id, sum(i.refunded_fen) AS refunded_fen, sum(i.reversed) AS reversed, sum(i.refused) AS refused
    FROM (
        SELECT sold_store_id AS store_id, CAST(business_day AS INT) AS day, cash_fen AS refunded_fen, 0 AS reversed, 0 AS refused
        FROM log.orders
        WHERE type = 'refunded' AND business_day >= CAST(CAST($today AS INT) - 1 AS DATE)
        UNION ALL
        SELECT redeemed_store_id, CAST(business_day AS INT), 0, 1, 0
        FROM log.redemptions
        WHERE type = 'reversed' AND business_day >= CAST(CAST($today AS INT) - 1 AS DATE)
        UNION ALL
        SELECT store_id, CAST(business_day AS INT), 0, 0, 1
        FROM log.refusals
        WHERE business_day >= CAST(CAST($today AS INT) - 1 AS DATE)
    ) AS i
    JOIN store AS s ON s.store_id = i.store_id AND s.today = i.day
    GROUP BY i.store_id
),
line AS MATERIALIZED (
    SELECT store_id, on_weekday, CAST(on_day AS INT) AS on_day, closed FROM opening_hours
),
-- Earlier days of this weekday on which the store was open, or did something.
day AS (
    SELECT store_id, count(*) AS days
    FROM (
        SELECT
            d.store_id, d.ago,
            d.used OR CASE
                WHEN NOT d.calendar THEN d.ago <= d.oldest_used
                WHEN bool_or(o.on_day IS NOT NULL) THEN bool_or(o.on_day IS NOT NULL AND NOT o.closed)
                ELSE coalesce(bool_or(o.on_day IS NULL AND NOT o.closed), false)
            END AS open
        FROM (
            SELECT
                n.store_id, n.day, n.ago, n.calendar, f.ago IS NOT NULL AS used,
                coalesce(max(f.ago) OVER (PARTITION BY n.store_id), 0) AS oldest_used
            FROM (
                SELECT store_id, today - ago AS day, ago, calendar
                FROM (
                    SELECT
                        s.store_id, s.today, s.opened_day, unnest(generate_series(7, 7 * $weeks, 7)) AS ago,
                        l.store_id IS NOT NULL AS calendar
                    FROM store AS s
                    LEFT JOIN (SELECT DISTINCT store_id FROM line) AS l ON l.store_id = s.store_id
                )
                WHERE opened_day IS NULL OR today - ago >= opened_day
            ) AS n
            LEFT JOIN (
                SELECT store_id, ago FROM sold UNION SELECT store_id, ago FROM redeemed
            ) AS f ON f.store_id = n.store_id AND f.ago = n.ago
        ) AS d
        LEFT JOIN line AS o ON o.store_id = d.store_id
            AND (o.on_day = d.day OR (o.on_day IS NULL AND (o.on_weekday IS NULL OR o.on_weekday = (d.day + 3) % 7 + 1)))
        GROUP BY d.store_id, d.ago, d.used, d.calendar, d.oldest_used
    )
    WHERE open
    GROUP BY store_id
)
SELECT
    store_id, store_name, CAST(CAST(today AS INT) AS DATE) AS business_day, hour, orders, paid_fen, refunded_fen, redemptions, units,
    value_fen, reversed, refused, units_to_hour, paid_to_hour_fen, days,
    CAST(past_units AS DOUBLE) / nullif(days, 0) AS average_units_to_hour,
    units_to_hour / nullif(CAST(past_units AS DOUBLE) / nullif(days, 0), 0) AS units_ratio,
    (past_fen * 2 + days) / nullif(days * 2, 0) AS average_paid_to_hour_fen,
    CAST(paid_to_hour_fen AS DOUBLE) * days / nullif(past_fen, 0) AS paid_ratio
FROM (
    SELECT
        s.store_id, s.name AS store_name, s.today, s.hour,
        coalesce(o.orders, 0) AS orders, coalesce(o.paid_fen, 0) AS paid_fen, coalesce(i.refunded_fen, 0) AS refunded_fen,
        coalesce(r.redemptions, 0) AS redemptions, coalesce(r.units, 0) AS units, coalesce(r.value_fen, 0) AS value_fen,
        coalesce(i.reversed, 0) AS reversed, coalesce(i.refused, 0) AS refused,
        coalesce(r.early_units, 0) AS units_to_hour, coalesce(o.early_fen, 0) AS paid_to_hour_fen,
        coalesce(d.days, 0) AS days, coalesce(pr.units, 0) AS past_units, coalesce(po.fen, 0) AS past_fen
    FROM store AS s
    LEFT JOIN (SELECT * FROM sold WHERE ago = 0) AS o ON o.store_id = s.store_id
    LEFT JOIN (SELECT * FROM redeemed WHERE ago = 0) AS r ON r.store_id = s.store_id
    LEFT JOIN (
        SELECT store_id, sum(early_units) AS units FROM redeemed WHERE ago BETWEEN 7 AND 7 * $weeks GROUP BY store_id
    ) AS pr ON pr.store_id = s.store_id
    LEFT JOIN (
        SELECT store_id, sum(early_fen) AS fen FROM sold WHERE ago BETWEEN 7 AND 7 * $weeks GROUP BY store_id
    ) AS po ON po.store_id = s.store_id
    LEFT JOIN incident AS i ON i.store_id = s.store_id
    LEFT JOIN day AS d ON d.store_id = s.store_id
)
ORDER BY store_id
