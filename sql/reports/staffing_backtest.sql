-- staffing_backtest
-- Title: How well staffing would have foretold the last weeks
-- Title zh: 排班建议回测
-- Grain: all, a skill or a store × all hours or only the busy ones.
-- Roles: head_office, store by $store
-- Param store: text = none. Only this store.
-- Param skill: text = none. Only this skill.
-- Param by: total|skill|store = total. What a row is about.
-- Param q: number = 0.9. Share of days whose demand is to be met.
-- Param weeks: int = 19. Weeks that are learnt from, before each held-out week.
-- Param weeks_held: int = 4. Weeks up to yesterday that are foretold.
-- Param busy_from: number = 5. Mean minutes of demand in an hour from which it is a busy one.
-- Key: key, hours
-- Formula at_or_under: CAST(hours_at_or_under AS DOUBLE) / hours_tested
-- Formula strictly_under: CAST(hours_under AS DOUBLE) / hours_tested
-- Heading at_or_under: share of hours with a demand of q_minutes or less
-- Heading strictly_under: share of hours with a demand below q_minutes
-- Heading pinball_minutes: mean pinball loss per hour, minutes
-- Heading baseline_pinball_minutes: the same of last year's hour, else the mean
-- Chart: bars key at_or_under
-- R15's backtest. Each hour of the held-out weeks that was open is foretold as staffing does it from the weeks before its own
--    week only: q_minutes is the ceil(q (n + 1))th smallest of the n earlier dates of that weekday on which that hour was open.
--    Hours with n below 9, or without such a one, are left out.
-- Where days are alike, at_or_under is q or more and strictly_under q or less, whatever the ties.
-- pinball_minutes: q × what was above q_minutes, (1 − q) × what was below, on average. The baseline says for each hour what
--    the same hour was 364 days before, if the store had any demand that day (hours_last_year counts those), else the mean
--    of the n dates.
-- hours: all, or busy: those whose n dates have a mean of busy_from minutes or more.
WITH store AS MATERIALIZED (
    SELECT store_id, CAST(today AS INT) AS today, CAST(opened_on AS INT) AS opened_day
    FROM stores
    WHERE $store IS NULL OR store_id = $store
),
calendar AS MATERIALIZED (
    SELECT store_id, CAST(day AS INT) AS day, open_mask, usual_mask
    FROM open_days
    WHERE day >= CAST(CAST($today AS INT) - 7 * ($weeks + $weeks_held) - 1 AS DATE) AND day < $today
        AND ($store IS NULL OR store_id = $store)
),
asked AS MATERIALIZED (
    SELECT
        store_id, coalesce(skill, '') AS skill, CAST(business_day AS INT) AS day, hour, sum(minutes) AS minutes,
        bool_or(kind <> 'unmet') AS served
    FROM service_demand
    WHERE business_day >= CAST(CAST($today AS INT) - 7 * ($weeks + $weeks_held) - 1 AS DATE) AND business_day < $today
        AND ($store IS NULL OR store_id = $store)
    GROUP BY 1, 2, 3, 4
),
place AS MATERIALIZED (
    SELECT
        coalesce(s.store_id, a.store_id) AS store_id, c.store_id IS NOT NULL AS calendar,
        least(coalesce(s.today, CAST($today AS INT)), CAST($today AS INT)) - 1 AS last_day,
        greatest(
            least(coalesce(s.today, CAST($today AS INT)), CAST($today AS INT)) - 7 * ($weeks + $weeks_held),
            CASE WHEN c.store_id IS NOT NULL THEN coalesce(s.opened_day, a.first_day) ELSE a.first_day END
        ) AS first_day
    FROM store AS s
    FULL JOIN (SELECT store_id, min(day) AS first_day FROM asked GROUP BY store_id) AS a ON a.store_id = s.store_id
    LEFT JOIN (SELECT DISTINCT store_id FROM calendar) AS c ON c.store_id = coalesce(s.store_id, a.store_id)
),
demand AS MATERIALIZED (
    SELECT a.store_id, a.skill, a.day, p.last_day, a.hour, a.minutes, a.served
    FROM asked AS a
    JOIN place AS p ON p.store_id = a.store_id
    WHERE a.day BETWEEN p.first_day AND p.last_day
),
busy AS MATERIALIZED (
    SELECT store_id, day, bit_or(hour_mask(hour * 60, hour * 60 + 60)) AS mask, bool_or(served) AS served
    FROM demand
    GROUP BY store_id, day
),
-- Every date with its open hours as bits; where there is no calendar, those in which the store ever has demand.
date AS (
    SELECT d.store_id, d.day, p.last_day, d.mask
    FROM (
        SELECT
            coalesce(c.store_id, b.store_id) AS store_id, CAST(coalesce(c.day, b.day) AS BIGINT) AS day,
            (CASE WHEN c.open_mask > 0 THEN c.open_mask WHEN b.served THEN coalesce(c.usual_mask, 0) ELSE 0 END) AS mask
        FROM calendar AS c
        FULL JOIN busy AS b ON b.store_id = c.store_id AND b.day = c.day
        UNION ALL
        SELECT b.store_id, unnest(generate_series(b.first_day, b.last_day)), b.mask
        FROM (
            SELECT
                b.store_id, CAST(min(b.day) AS BIGINT) AS first_day, CAST(max(b.day) AS BIGINT) AS last_day, bit_or(b.mask) AS mask
            FROM busy AS b
            JOIN place AS p ON p.store_id = b.store_id AND NOT p.calendar
            GROUP BY b.store_id
        ) AS b
    ) AS d
    JOIN place AS p ON p.store_id = d.store_id AND d.day BETWEEN p.first_day AND p.last_day
    WHERE d.mask > 0
),
hour AS MATERIALIZED (
    SELECT store_id, day, last_day, (last_day - day) / 7 AS ago, unnest(hours_of(mask)) AS hour FROM date
),
-- Each held-out hour with the number of earlier dates that it is learnt from; a date is one to several weeks before each of
-- the held-out weeks that follow it.
test AS MATERIALIZED (
    SELECT t.store_id, t.day, t.hour, e.n, CAST(ceil($q * (e.n + 1) - 1e-9) AS BIGINT) AS nth
    FROM hour AS t
    JOIN (
        SELECT store_id, for_day, hour, count(*) AS n
        FROM (
            SELECT
                store_id, hour, day + 7 * unnest(generate_series(
                    greatest(CAST(1 AS BIGINT), ago - $weeks_held + 1), least(CAST($weeks AS BIGINT), ago)
                )) AS for_day
            FROM hour
        )
        GROUP BY store_id, for_day, hour
    ) AS e ON e.store_id = t.store_id AND e.for_day = t.day AND e.hour = t.hour
    WHERE t.ago < $weeks_held AND e.n >= 9 AND CAST(ceil($q * (e.n + 1) - 1e-9) AS BIGINT) <= e.n
),
-- Store and skill as a number: what is learnt from is many rows, each with one number that says what it foretells.
pair AS MATERIALIZED (
    SELECT store_id, skill, CAST(row_number() OVER (ORDER BY store_id, skill) AS BIGINT) AS pair
    FROM (SELECT DISTINCT store_id, skill FROM demand WHERE $skill IS NULL OR skill = $skill)
),
learnt AS MATERIALIZED (
    SELECT (pair * 100000 + day + 7 * later) * 24 + hour AS target, minutes
    FROM (
        SELECT
            pair, day, hour, minutes,
            unnest(generate_series(greatest(CAST(1 AS BIGINT), ago - $weeks_held + 1), least(CAST($weeks AS BIGINT), ago))) AS later
        FROM (
            SELECT p.pair, d.day, d.hour, CAST(d.minutes AS INT) AS minutes, (d.last_day - d.day) / 7 AS ago
            FROM demand AS d
            JOIN pair AS p ON p.store_id = d.store_id AND p.skill = d.skill
        )
    )
),
-- Every foretold hour of every skill, with what its dates had.
seen AS MATERIALIZED (
    SELECT
        t.store_id, p.skill, t.day, t.hour, t.n, t.nth, (p.pair * 100000 + t.day) * 24 + t.hour AS target,
        coalesce(l.days, 0) AS days, coalesce(l.minutes, 0) AS minutes
    FROM test AS t
    JOIN pair AS p ON p.store_id = t.store_id
    LEFT JOIN (SELECT target, count(*) AS days, sum(minutes) AS minutes FROM learnt GROUP BY target) AS l
        ON l.target = (p.pair * 100000 + t.day) * 24 + t.hour
),
-- Days without demand are not stored: of the n smallest, the first n − days are zero.
quantile AS (
    SELECT l.target, nearest_rank(CAST(l.minutes AS DOUBLE), CAST(s.nth - (s.n - s.days) AS DOUBLE) / s.days) AS q_minutes
    FROM (SELECT target, n, nth, days FROM seen WHERE nth > n - days) AS s
    JOIN learnt AS l ON l.target = s.target
    GROUP BY l.target
),
last_year AS MATERIALIZED (
    SELECT store_id, coalesce(skill, '') AS skill, CAST(business_day AS INT) + 364 AS day, hour, sum(minutes) AS minutes
    FROM service_demand
    WHERE business_day >= CAST(CAST($today AS INT) - 7 * $weeks_held - 365 AS DATE)
        AND business_day < CAST(CAST($today AS INT) - 364 AS DATE) AND ($store IS NULL OR store_id = $store)
    GROUP BY 1, 2, 3, 4
),
-- What was foretold and what came.
outcome AS (
    SELECT
        s.store_id, s.skill, CAST(coalesce(d.minutes, 0) AS DOUBLE) AS minutes, coalesce(u.q_minutes, 0) AS q_minutes,
        CAST(s.minutes AS DOUBLE) / s.n AS mean_minutes, y.store_id IS NOT NULL AS last_year,
        CASE
            WHEN y.store_id IS NOT NULL THEN CAST(coalesce(b.minutes, 0) AS DOUBLE)
            ELSE CAST(s.minutes AS DOUBLE) / s.n
        END AS baseline_minutes
    FROM seen AS s
    LEFT JOIN demand AS d ON d.store_id = s.store_id AND d.skill = s.skill AND d.day = s.day AND d.hour = s.hour
    LEFT JOIN quantile AS u ON u.target = s.target
    LEFT JOIN (SELECT DISTINCT store_id, day FROM last_year) AS y ON y.store_id = s.store_id AND y.day = s.day
    LEFT JOIN last_year AS b ON b.store_id = s.store_id AND b.skill = s.skill AND b.day = s.day AND b.hour = s.hour
)
SELECT
    key, hours, sum(hours_tested) AS hours_tested, sum(hours_at_or_under) AS hours_at_or_under, sum(hours_under) AS hours_under,
    CAST(sum(hours_at_or_under) AS DOUBLE) / sum(hours_tested) AS at_or_under,
    CAST(sum(hours_under) AS DOUBLE) / sum(hours_tested) AS strictly_under,
    sum(loss) / sum(hours_tested) AS pinball_minutes, sum(baseline_loss) / sum(hours_tested) AS baseline_pinball_minutes,
    sum(hours_last_year) AS hours_last_year
FROM (
    SELECT
        key, unnest(CASE WHEN busy THEN ['all', 'busy'] ELSE ['all'] END) AS hours,
        hours_tested, hours_at_or_under, hours_under, loss, baseline_loss, hours_last_year
    FROM (
        SELECT
            CASE WHEN $by = 'store' THEN store_id WHEN $by = 'skill' THEN skill ELSE 'total' END AS key,
            mean_minutes >= $busy_from AS busy, count(*) AS hours_tested,
            sum(CASE WHEN minutes <= q_minutes THEN 1 ELSE 0 END) AS hours_at_or_under,
            sum(CASE WHEN minutes < q_minutes THEN 1 ELSE 0 END) AS hours_under,
            sum(greatest($q * (minutes - q_minutes), (1 - $q) * (q_minutes - minutes))) AS loss,
            sum(greatest($q * (minutes - baseline_minutes), (1 - $q) * (baseline_minutes - minutes))) AS baseline_loss,
            sum(CASE WHEN last_year THEN 1 ELSE 0 END) AS hours_last_year
        FROM outcome
        GROUP BY 1, 2
    )
)
GROUP BY key, hours
ORDER BY key, hours
