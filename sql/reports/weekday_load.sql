-- weekday_load
-- Title: Average load by weekday and hour
-- Title zh: 各星期各时段平均客流
-- Grain: store × ISO weekday of the business day × local hour; without the hour where per is day.
-- Roles: head_office, store by $store
-- Param from: day = today-91. First business day, inclusive.
-- Param to: day = today. Last business day, inclusive; today itself is never averaged.
-- Param store: text = none. Only this store.
-- Param product: text = none. Only this product.
-- Param per: hour|day = hour. Whether rows are about hours or whole days.
-- Key: store_id, weekday, hour
-- Additive: units, today_units
-- Drill units: redemption_records store=store_id, from=$from, to=$to
-- Formula average: CAST(units AS DOUBLE) / nullif(days, 0)
-- Formula regular_average: CAST(regular_units AS DOUBLE) / nullif(regular_days, 0)
-- Chart: heat weekday hour average
-- Heading average: units per open day
-- Heading regular_average: units per open day without special days
-- Heading zh average: 每营业日次数
-- Heading zh regular_average: 每平日次数
-- R14. days is the denominator of average: completed business days of that weekday on which that hour was open, between the
--    store's opening and closing dates. Days without a redemption count, closed days don't; today is left out and shown apart.
-- A closed day with a redemption counts as open, at its weekday's usual hours and at those of its redemptions, and is listed
--    in closed_days_with_redemptions. A redemption outside the hours of an open day opens that hour that day.
-- denominator is calendar, or assumed for a store without opening hours: there every day from its first to its last event
--    counts, and the hours are those in which it redeems at all.
-- special_days are holidays and make-up workdays among the days; the regular_ figures are without them.
-- A redemption that was reversed since is left out at its own day and hour (R7).
-- Days are counted from 1970 in here, and the hours of a day are the bits of a mask.
WITH store AS MATERIALIZED (
    SELECT store_id, name, time_zone, today, opened_on, closed_on FROM stores
),
hours AS MATERIALIZED (
    SELECT * FROM opening_hours_history
),
seen AS (
    SELECT store_id, CAST(min(first_on) AS INT) AS first_day, CAST(max(last_on) AS INT) AS last_day
    FROM (
        SELECT redeemed_store_id AS store_id, min(business_day) AS first_on, max(business_day) AS last_on
        FROM log.redemptions GROUP BY redeemed_store_id
        UNION ALL
        SELECT sold_store_id, min(business_day), max(business_day) FROM log.orders GROUP BY sold_store_id
        UNION ALL
        SELECT store_id, min(business_day), max(business_day) FROM log.refusals GROUP BY store_id
        UNION ALL
        SELECT booked_store_id, min(business_day), max(business_day) FROM log.bookings GROUP BY booked_store_id
    )
    WHERE store_id IS NOT NULL AND ($store IS NULL OR store_id = $store)
    GROUP BY store_id
),
-- The completed days of each store.
place AS (
    SELECT
        coalesce(s.store_id, e.store_id) AS store_id, h.store_id IS NOT NULL AS calendar,
        greatest(CAST($from AS INT), CASE WHEN h.store_id IS NOT NULL THEN coalesce(CAST(s.opened_on AS INT), e.first_day)
            ELSE e.first_day END) AS first_day,
        least(CAST($to AS INT), CAST(coalesce(s.today, $today) AS INT) - 1,
            CASE WHEN h.store_id IS NOT NULL THEN CAST(s.closed_on AS INT) ELSE e.last_day END) AS last_day
    FROM store AS s
    FULL JOIN seen AS e ON e.store_id = s.store_id
    LEFT JOIN (SELECT DISTINCT store_id FROM hours) AS h ON h.store_id = coalesce(s.store_id, e.store_id)
    WHERE (h.store_id IS NOT NULL OR e.store_id IS NOT NULL) AND ($store IS NULL OR coalesce(s.store_id, e.store_id) = $store)
),
day AS MATERIALIZED (
    SELECT store_id, calendar, day, (day + 3) % 7 + 1 AS weekday
    FROM (
        SELECT store_id, calendar, unnest(generate_series(CAST(first_day AS BIGINT), CAST(last_day AS BIGINT))) AS day
        FROM place
        WHERE first_day <= last_day
    )
),
-- What was said first about a store's hours holds for the time before as well.
line AS MATERIALIZED (
    SELECT
        h.store_id, h.on_weekday, CAST(h.on_day AS INT) AS on_day,
        CASE
            WHEN h.effective_from = min(h.effective_from) OVER (PARTITION BY h.store_id) THEN 0
            ELSE CAST(business_day(h.effective_from, coalesce(s.time_zone, 'UTC'), 0) AS INT)
        END AS from_day,
        coalesce(CAST(business_day(h.effective_until, coalesce(s.time_zone, 'UTC'), 0) AS INT), 1000000) AS until_day,
        CASE WHEN h.closed THEN 0 ELSE hour_mask(coalesce(h.from_minute, 0), coalesce(h.to_minute, 1440)) END AS mask
    FROM hours AS h
    LEFT JOIN store AS s ON s.store_id = h.store_id
    WHERE $store IS NULL OR h.store_id = $store
),
usual AS (
    SELECT d.store_id, d.day, bit_or(w.mask) AS mask
    FROM day AS d
    JOIN (
        SELECT
            store_id, from_day, until_day, mask,
            unnest(CASE WHEN on_weekday IS NULL THEN [1, 2, 3, 4, 5, 6, 7] ELSE [CAST(on_weekday AS BIGINT)] END) AS weekday
        FROM line
        WHERE on_day IS NULL
    ) AS w ON w.store_id = d.store_id AND w.weekday = d.weekday AND d.day >= w.from_day AND d.day < w.until_day
    GROUP BY d.store_id, d.day
),
single AS (
    SELECT store_id, on_day, bit_or(mask) AS mask
    FROM line
    WHERE on_day >= from_day AND on_day < until_day
    GROUP BY store_id, on_day
),
special AS MATERIALIZED (
    SELECT DISTINCT CAST(on_day AS INT) AS day, store_id FROM holidays
),
calendar_day AS (
    SELECT
        d.store_id, d.day, d.calendar,
        CASE WHEN d.calendar THEN coalesce(o.mask, u.mask, 0) ELSE 0 END AS open_mask, coalesce(u.mask, 0) AS usual_mask
    FROM day AS d
    LEFT JOIN usual AS u ON u.store_id = d.store_id AND u.day = d.day
    LEFT JOIN single AS o ON o.store_id = d.store_id AND o.on_day = d.day
),
-- The hours of a day in which something was redeemed, as a mask, and each as units × 32 + hour.
taken AS (
    SELECT
        t.store_id, t.day, CAST(coalesce(s.today, $today) AS INT) AS today, h.store_id IS NOT NULL AS calendar,
        bit_or(hour_mask(t.hour * 60, t.hour * 60 + 60)) AS mask, array_agg(t.units * 32 + t.hour) AS hours, sum(t.units) AS units
    FROM (
        SELECT
            redeemed_store_id AS store_id, CAST(business_day AS INT) AS day, CAST(local_hour AS BIGINT) AS hour, count(*) AS units
        FROM standing_redemptions
        WHERE business_day BETWEEN $from AND $to
            AND ($store IS NULL OR redeemed_store_id = $store) AND ($product IS NULL OR product_id = $product)
        GROUP BY redeemed_store_id, business_day, local_hour
    ) AS t
    LEFT JOIN store AS s ON s.store_id = t.store_id
    LEFT JOIN (SELECT DISTINCT store_id FROM hours) AS h ON h.store_id = t.store_id
    GROUP BY t.store_id, t.day, s.today, h.store_id
),
-- Every day with what it adds: an open or used hour each, or 24 for the day as a whole.
added AS (
    SELECT
        store_id, (day + 3) % 7 + 1 AS weekday, calendar, coalesce(day = today, false) AS now,
        CASE WHEN special AND day IS DISTINCT FROM today THEN day END AS special_day,
        CASE WHEN calendar AND open_mask = 0 AND day IS DISTINCT FROM today THEN day END AS closed_day,
        unnest(CASE
            WHEN $per = 'day' THEN
                CASE WHEN calendar AND open_mask = 0 AND taken_mask = 0 THEN NULL ELSE [units * 32 + 24] END
            WHEN day = today THEN hours
            WHEN NOT calendar THEN array_append(coalesce(hours, hours_of(0)), 24)
            ELSE array_concat(coalesce(hours, hours_of(0)), hours_of(counted_mask - (counted_mask & taken_mask)))
        END) AS code
    FROM (
        SELECT
            o.*, g.day IS NOT NULL OR l.day IS NOT NULL AS special
        FROM (
            SELECT
                coalesce(d.store_id, t.store_id) AS store_id, coalesce(d.day, t.day) AS day,
                coalesce(d.calendar, t.calendar) AS calendar, t.today, coalesce(d.open_mask, 0) AS open_mask,
                coalesce(t.mask, 0) AS taken_mask, t.hours, coalesce(t.units, 0) AS units,
                CASE
                    WHEN d.open_mask > 0 THEN d.open_mask
                    WHEN t.mask > 0 THEN coalesce(d.usual_mask, 0)
                    ELSE 0
                END AS counted_mask
            FROM calendar_day AS d
            FULL JOIN taken AS t ON t.store_id = d.store_id AND t.day = d.day
            WHERE t.day IS NULL OR t.day <= t.today
        ) AS o
        LEFT JOIN (SELECT day FROM special WHERE store_id IS NULL) AS g ON g.day = o.day
        LEFT JOIN (SELECT day, store_id FROM special WHERE store_id IS NOT NULL) AS l ON l.day = o.day AND l.store_id = o.store_id
    )
),
-- First the sums, with the few days that will be named apart; then the names.
figure AS (
    SELECT
        store_id, calendar, day_weekday, hour, sum(units) AS units, sum(days) AS days,
        sum(CASE WHEN special_day IS NULL THEN units ELSE 0 END) AS regular_units,
        sum(CASE WHEN special_day IS NULL THEN days ELSE 0 END) AS regular_days,
        sum(today_units) AS today_units,
        string_agg(CAST(CAST(CAST(special_day AS INT) AS DATE) AS VARCHAR), ', ' ORDER BY named_day) AS special_days,
        string_agg(CAST(CAST(CAST(closed_day AS INT) AS DATE) AS VARCHAR), ', ' ORDER BY named_day) AS closed_days
    FROM (
        SELECT
            store_id, calendar, weekday AS day_weekday, code % 32 AS hour, special_day, closed_day,
            coalesce(special_day, closed_day) AS named_day,
            sum(CASE WHEN now THEN 0 ELSE code / 32 END) AS units,
            sum(CASE WHEN now THEN 0 ELSE 1 END) AS days,
            sum(CASE WHEN now THEN code / 32 ELSE 0 END) AS today_units
        FROM added
        GROUP BY store_id, calendar, weekday, code % 32, special_day, closed_day
    )
    GROUP BY store_id, calendar, day_weekday, hour
),
-- Without a calendar the whole days are every hour's denominator, also on weekdays on which that hour had nothing.
spread AS (
    SELECT
        store_id, calendar, weekday, hour,
        sum(CASE WHEN weekday = own_weekday THEN units ELSE 0 END) AS units,
        sum(CASE WHEN weekday = own_weekday THEN days ELSE 0 END) AS days,
        sum(CASE WHEN weekday = own_weekday THEN regular_units ELSE 0 END) AS regular_units,
        sum(CASE WHEN weekday = own_weekday THEN regular_days ELSE 0 END) AS regular_days,
        sum(CASE WHEN weekday = own_weekday THEN today_units ELSE 0 END) AS today_units,
        max(CASE WHEN weekday = own_weekday THEN special_days END) AS special_days,
        max(CASE WHEN weekday = own_weekday THEN closed_days END) AS closed_days
    FROM (
        SELECT
            *, day_weekday AS own_weekday,
            unnest(CASE WHEN calendar OR hour = 24 THEN [day_weekday] ELSE [1, 2, 3, 4, 5, 6, 7] END) AS weekday
        FROM figure
    )
    GROUP BY store_id, calendar, weekday, hour
)
SELECT
    f.store_id, s.name AS store_name, f.weekday, CASE WHEN f.hour < 24 THEN f.hour END AS hour,
    f.units, f.days, CAST(f.units AS DOUBLE) / nullif(f.days, 0) AS average,
    f.regular_units, f.regular_days, CAST(f.regular_units AS DOUBLE) / nullif(f.regular_days, 0) AS regular_average,
    f.special_days, f.today_units, CASE WHEN f.calendar THEN 'calendar' ELSE 'assumed' END AS denominator,
    f.closed_days AS closed_days_with_redemptions
FROM (
    SELECT
        store_id, calendar, weekday, hour, units, regular_units, today_units, closed_days,
        CASE WHEN calendar THEN days ELSE coalesce(max(CASE WHEN hour = 24 THEN days END) OVER day, 0) END AS days,
        CASE WHEN calendar THEN regular_days ELSE coalesce(max(CASE WHEN hour = 24 THEN regular_days END) OVER day, 0) END
            AS regular_days,
        CASE WHEN calendar THEN special_days ELSE max(CASE WHEN hour = 24 THEN special_days END) OVER day END AS special_days
    FROM spread
    WINDOW day AS (PARTITION BY store_id, weekday)
) AS f
LEFT JOIN store AS s ON s.store_id = f.store_id
WHERE (f.hour < 24 OR $per = 'day') AND (f.days > 0 OR f.today_units > 0)
ORDER BY f.store_id, f.weekday, hour
