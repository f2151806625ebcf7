-- staffing
-- Title: Technicians needed by weekday and hour
-- Title zh: 排班建议
-- Grain: store × skill × ISO weekday of the business day × local hour; without the hour where per is day.
-- Roles: head_office, store by $store
-- Param store: text = none. Only this store.
-- Param skill: text = none. Only this skill.
-- Param q: number = 0.9. Share of days whose demand is to be met.
-- Param weeks: int = 19. Weeks up to yesterday that are learnt from.
-- Param target_utilisation: number = 0.8. Share of a technician's time that services fill.
-- Param per: hour|day = hour. Rows by hour, or a day's hours in one.
-- Key: store_id, skill, weekday, hour
-- Additive: demand_minutes, unmet_minutes
-- Heading mean_minutes: minutes of service per date, n of them
-- Heading q_minutes: minutes of service that the share q of days stays under
-- Heading gap: technicians needed less rostered
-- Heading extra_staff: the day's largest hourly gap
-- Heading walk_in_wait: chance that a walk-in waits with those rostered (Erlang C)
-- Formula mean_minutes: CAST(demand_minutes AS DOUBLE) / n
-- Formula gap: technicians - rostered
-- Chart: heat weekday hour technicians
-- Sheet: store_name weekday hour technicians by skill
-- R15. demand_minutes are the minutes of service in these weeks, spread over the hours they occupy: redemptions that stand,
--    paid services without a card and unmet demand (see service_demand), which unmet_minutes counts alone.
-- n is the sample: dates of that weekday on which that hour was open. Days without demand count, closed days don't, today is
--    left out. A closed day on which somebody was served counts as open at its usual hours. An hour that is never open but had
--    demand (services that run over) is looked at on every date on which the store was open, and asks for no minimum.
--    denominator is assumed for a store without opening hours: every day from its first to its last demand, at every hour in
--    which it ever has some.
-- q_minutes is the ceil(q (n + 1))th smallest of the n days' minutes. Where n is below 9 or there is no such one, basis says
--    'max of n': q_minutes is the largest seen, and nothing is recommended.
-- technicians = max(the store's minimum, ceil(q_minutes / (60 × target_utilisation))). rostered counts who can do the skill
--    and is there for half of that hour or more on rostered_on, the next such weekday from today: a technician's lines for
--    that single day go before those of the weekday. A technician without named skills does everything.
-- gap has both signs; extra_staff is the day's largest one and extra_hours the hours of it. By day, technicians, rostered and
--    gap are sums over the hours with a recommendation: technician-hours; n is that of the day's best known hour.
-- walk_in_wait is Erlang C's, were everybody to walk in at the mean demand per hour: only where those rostered are more than the
--    load, else walk_in_queue says unstable.
-- special_days are holidays and make-up workdays among the n dates, which count like others.
WITH store AS MATERIALIZED (
    SELECT store_id, name, min_technicians, CAST(today AS INT) AS today, CAST(opened_on AS INT) AS opened_day
    FROM stores
    WHERE $store IS NULL OR store_id = $store
),
calendar AS MATERIALIZED (
    SELECT store_id, CAST(day AS INT) AS day, open_mask, usual_mask, special
    FROM open_days
    WHERE day >= CAST(CAST($today AS INT) - 7 * $weeks - 1 AS DATE) AND day < $today AND ($store IS NULL OR store_id = $store)
),
asked AS MATERIALIZED (
    SELECT
        store_id, coalesce(skill, '') AS skill, CAST(business_day AS INT) AS day, hour, sum(minutes) AS minutes,
        sum(CASE WHEN kind = 'unmet' THEN minutes ELSE 0 END) AS unmet_minutes
    FROM service_demand
    WHERE business_day >= CAST(CAST($today AS INT) - 7 * $weeks - 1 AS DATE) AND business_day < $today
        AND ($store IS NULL OR store_id = $store)
    GROUP BY 1, 2, 3, 4
),
place AS MATERIALIZED (
    SELECT
        coalesce(s.store_id, a.store_id) AS store_id, c.store_id IS NOT NULL AS calendar,
        least(coalesce(s.today, CAST($today AS INT)), CAST($today AS INT)) - 1 AS last_day,
        greatest(
            least(coalesce(s.today, CAST($today AS INT)), CAST($today AS INT)) - 7 * $weeks,
            CASE WHEN c.store_id IS NOT NULL THEN coalesce(s.opened_day, a.first_day) ELSE a.first_day END
        ) AS first_day
    FROM store AS s
    FULL JOIN (SELECT store_id, min(day) AS first_day FROM asked GROUP BY store_id) AS a ON a.store_id = s.store_id
    LEFT JOIN (SELECT DISTINCT store_id FROM calendar) AS c ON c.store_id = coalesce(s.store_id, a.store_id)
),
demand AS MATERIALIZED (
    SELECT a.store_id, a.skill, a.day, (a.day + 3) % 7 + 1 AS weekday, a.hour, a.minutes, a.unmet_minutes
    FROM asked AS a
    JOIN place AS p ON p.store_id = a.store_id
    WHERE a.day BETWEEN p.first_day AND p.last_day
),
busy AS MATERIALIZED (
    SELECT store_id, day, bit_or(hour_mask(hour * 60, hour * 60 + 60)) AS mask, sum(minutes) > sum(unmet_minutes) AS served
    FROM demand
    GROUP BY store_id, day
),
-- Every date with the hours that are open on it, as bits; what is asked for outside them; and who is open at all.
date AS MATERIALIZED (
    SELECT store_id, day, (day + 3) % 7 + 1 AS weekday, calendar, special, open_mask | busy_mask AS mask, open_mask, busy_mask
    FROM (
        SELECT
            coalesce(c.store_id, b.store_id) AS store_id, CAST(coalesce(c.day, b.day) AS BIGINT) AS day, true AS calendar,
            coalesce(c.special, false) AS special,
            CASE WHEN c.open_mask > 0 THEN c.open_mask WHEN b.served THEN coalesce(c.usual_mask, 0) ELSE 0 END AS open_mask,
            coalesce(b.mask, 0) AS busy_mask
        FROM (
            SELECT c.* FROM calendar AS c JOIN place AS p ON p.store_id = c.store_id AND c.day BETWEEN p.first_day AND p.last_day
        ) AS c
        FULL JOIN (
            SELECT b.* FROM busy AS b JOIN place AS p ON p.store_id = b.store_id AND p.calendar
        ) AS b ON b.store_id = c.store_id AND b.day = c.day
        UNION ALL
        SELECT b.store_id, unnest(generate_series(b.first_day, b.last_day)), false, false, b.mask, 0
        FROM (
            SELECT
                b.store_id, CAST(min(b.day) AS BIGINT) AS first_day, CAST(max(b.day) AS BIGINT) AS last_day, bit_or(b.mask) AS mask
            FROM busy AS b
            JOIN place AS p ON p.store_id = b.store_id AND NOT p.calendar
            GROUP BY b.store_id
        ) AS b
    )
    WHERE open_mask | busy_mask > 0
),
open_hour AS (
    SELECT
        store_id, weekday, hour, bool_and(calendar) AS calendar, count(*) AS n, bool_or(in_hours) AS in_hours,
        string_agg(CASE WHEN special THEN CAST(CAST(CAST(day AS INT) AS DATE) AS VARCHAR) END, ', ' ORDER BY day) AS special_days
    FROM (
        SELECT store_id, weekday, day, calendar, special, hour, hour_mask(hour * 60, hour * 60 + 60) & ever_open > 0 AS in_hours
        FROM (
            SELECT
                d.store_id, d.weekday, d.day, d.calendar, d.special, w.ever_open,
                unnest(hours_of(d.mask | (w.ever_busy - (w.ever_busy & w.ever_open)))) AS hour
            FROM date AS d
            JOIN (
                SELECT store_id, weekday, bit_or(open_mask) AS ever_open, bit_or(busy_mask) AS ever_busy
                FROM date
                GROUP BY store_id, weekday
            ) AS w ON w.store_id = d.store_id AND w.weekday = d.weekday
        )
    )
    GROUP BY store_id, weekday, hour
),
technician AS MATERIALIZED (
    SELECT technician_id, skills FROM technicians
),
-- The coming seven days, and who is rostered on them. A shift counts in the hours of which it has half or more.
coming AS MATERIALIZED (
    SELECT store_id, day, (day + 3) % 7 + 1 AS weekday
    FROM (SELECT store_id, unnest(generate_series(CAST(today AS BIGINT), CAST(today AS BIGINT) + 6)) AS day FROM store)
),
shift AS MATERIALIZED (
    SELECT
        store_id, technician_id, on_weekday, CAST(on_day AS INT) AS on_day,
        CASE WHEN closed THEN 0 ELSE hour_mask(
            CAST(ceil((coalesce(from_minute, 0) - 30) / 60.0) AS BIGINT) * 60,
            CAST(floor((coalesce(to_minute, 1440) + 30) / 60.0) AS BIGINT) * 60
        ) END AS mask
    FROM rosters
),
duty AS MATERIALIZED (
    SELECT c.store_id, c.day, c.weekday, s.technician_id, t.skills, bit_or(s.mask) AS mask
    FROM coming AS c
    JOIN shift AS s ON s.store_id = c.store_id
        AND (s.on_day = c.day OR s.on_day IS NULL AND (s.on_weekday IS NULL OR s.on_weekday = c.weekday))
    JOIN technician AS t ON t.technician_id = s.technician_id
    LEFT JOIN (SELECT DISTINCT technician_id, on_day FROM shift WHERE on_day IS NOT NULL) AS o
        ON o.technician_id = s.technician_id AND o.on_day = c.day
    WHERE s.on_day IS NOT NULL OR o.on_day IS NULL
    GROUP BY c.store_id, c.day, c.weekday, s.technician_id, t.skills
),
offered AS MATERIALIZED (
    SELECT DISTINCT store_id, skill FROM demand
    UNION
    SELECT store_id, unnest(skills) AS skill FROM duty
),
rostered AS (
    SELECT store_id, weekday, skill, hour, count(*) AS rostered
    FROM (
        SELECT d.store_id, d.weekday, o.skill, unnest(hours_of(d.mask)) AS hour
        FROM duty AS d
        JOIN offered AS o ON o.store_id = d.store_id
            AND (d.skills IS NULL OR o.skill = '' OR strpos(concat(chr(31), array_to_string(d.skills, chr(31)), chr(31)),
                concat(chr(31), o.skill, chr(31))) > 0)
    )
    GROUP BY store_id, weekday, skill, hour
),
-- Days without demand are not stored: of the n smallest, the first n − days are zero.
cell AS MATERIALIZED (
    SELECT
        h.store_id, o.skill, h.weekday, h.hour, h.calendar, h.in_hours, h.n, h.special_days, coalesce(d.days, 0) AS days,
        coalesce(d.minutes, 0) AS minutes, coalesce(d.unmet_minutes, 0) AS unmet_minutes,
        CAST(ceil($q * (h.n + 1) - 1e-9) AS BIGINT) AS nth,
        h.n >= 9 AND CAST(ceil($q * (h.n + 1) - 1e-9) AS BIGINT) <= h.n AS known
    FROM open_hour AS h
    JOIN offered AS o ON o.store_id = h.store_id
    LEFT JOIN (
        SELECT store_id, skill, weekday, hour, count(*) AS days, sum(minutes) AS minutes, sum(unmet_minutes) AS unmet_minutes
        FROM demand
        GROUP BY store_id, skill, weekday, hour
    ) AS d ON d.store_id = h.store_id AND d.skill = o.skill AND d.weekday = h.weekday AND d.hour = h.hour
    WHERE $skill IS NULL OR o.skill = $skill
),
quantile AS (
    SELECT
        d.store_id, d.skill, d.weekday, d.hour,
        nearest_rank(CAST(d.minutes AS DOUBLE),
            CAST(CASE WHEN c.known THEN c.nth - (c.n - c.days) ELSE c.days END AS DOUBLE) / c.days) AS q_minutes
    FROM demand AS d
    JOIN cell AS c ON c.store_id = d.store_id AND c.skill = d.skill AND c.weekday = d.weekday AND c.hour = d.hour
    WHERE NOT c.known OR c.nth > c.n - c.days
    GROUP BY d.store_id, d.skill, d.weekday, d.hour
),
hour_row AS MATERIALIZED (
    SELECT
        *, CASE WHEN known THEN technicians END AS needed, CASE WHEN known THEN technicians - rostered END AS gap,
        CASE
            WHEN load >= rostered AND load > 0 THEN 'unstable'
            WHEN rostered > 0 THEN 'stable'
        END AS walk_in_queue,
        -- From Erlang's loss B, the chance that all are taken where nobody waits.
        CASE WHEN load < rostered THEN loss / (1 - load / rostered * (1 - loss)) END AS walk_in_wait
    FROM (
        SELECT
            *, 1 - CASE WHEN rostered > 0 THEN poisson_at_most(rostered - 1, load) / poisson_at_most(rostered, load) END AS loss
        FROM (
            SELECT
                c.*, CAST(coalesce(q.q_minutes, 0) AS BIGINT) AS q_minutes, coalesce(r.rostered, 0) AS rostered,
                greatest(CASE WHEN c.in_hours THEN coalesce(s.min_technicians, 0) ELSE 0 END,
                    CAST(ceil(coalesce(q.q_minutes, 0) / (60 * $target_utilisation) - 1e-9) AS BIGINT)) AS technicians,
                CAST(c.minutes AS DOUBLE) / (60 * c.n) AS load
            FROM cell AS c
            LEFT JOIN quantile AS q ON q.store_id = c.store_id AND q.skill = c.skill AND q.weekday = c.weekday AND q.hour = c.hour
            LEFT JOIN rostered AS r ON r.store_id = c.store_id AND r.skill = c.skill AND r.weekday = c.weekday AND r.hour = c.hour
            LEFT JOIN store AS s ON s.store_id = c.store_id
        )
    )
),
extra AS (
    SELECT
        h.store_id, h.skill, h.weekday, max(m.extra_staff) AS extra_staff,
        string_agg(CASE WHEN h.gap = m.extra_staff THEN CAST(h.hour AS VARCHAR) END, ', ' ORDER BY (h.hour + 20) % 24) AS extra_hours
    FROM hour_row AS h
    JOIN (SELECT store_id, skill, weekday, max(gap) AS extra_staff FROM hour_row GROUP BY store_id, skill, weekday) AS m
        ON m.store_id = h.store_id AND m.skill = h.skill AND m.weekday = h.weekday
    GROUP BY h.store_id, h.skill, h.weekday
)
SELECT
    h.store_id, s.name AS store_name, nullif(h.skill, '') AS skill, h.weekday, h.hour,
    h.demand_minutes, h.unmet_minutes, h.n, CAST(h.demand_minutes AS DOUBLE) / h.n AS mean_minutes, h.basis, h.q_minutes, h.technicians, h.rostered, h.gap,
    e.extra_staff, e.extra_hours, h.walk_in_wait, h.walk_in_queue, CAST(CAST(c.day AS INT) AS DATE) AS rostered_on, h.special_days,
    CASE WHEN h.calendar THEN 'calendar' ELSE 'assumed' END AS denominator
FROM (
    SELECT
        store_id, skill, weekday, hour, minutes AS demand_minutes, unmet_minutes, n,
        CASE WHEN known THEN concat(nth, ' of ', n) ELSE concat('max of ', n) END AS basis,
        q_minutes, needed AS technicians, rostered, gap, walk_in_wait, walk_in_queue, special_days, calendar
    FROM hour_row
    WHERE $per = 'hour'
    UNION ALL
    SELECT
        store_id, skill, weekday, NULL, sum(minutes), sum(unmet_minutes), max(n), NULL, NULL,
        sum(needed), sum(CASE WHEN known THEN rostered END), sum(gap), NULL, NULL, max(special_days), bool_and(calendar)
    FROM hour_row
    WHERE $per = 'day'
    GROUP BY store_id, skill, weekday
) AS h
LEFT JOIN extra AS e ON e.store_id = h.store_id AND e.skill = h.skill AND e.weekday = h.weekday
LEFT JOIN coming AS c ON c.store_id = h.store_id AND c.weekday = h.weekday
LEFT JOIN store AS s ON s.store_id = h.store_id
ORDER BY h.store_id, skill, h.weekday, (h.hour + 20) % 24
