-- Key: store_id, weekday, hour
-- Case:
-- Case: from=first to=today-1
-- Case: from=first to=today per=day
-- Case: from=today-300 to=today-220 store=S001
-- Case: from=today-90 to=today-1 product=P01
WITH days AS (
    SELECT s.store_id, d::DATE AS day, isodow(d::DATE) AS weekday, s.today
    FROM stores AS s, unnest(generate_series($from::TIMESTAMP, $to::TIMESTAMP, INTERVAL 1 DAY)) AS t(d)
    WHERE d::DATE >= coalesce(s.opened_on, DATE '1970-01-01') AND d::DATE <= coalesce(s.closed_on, DATE '2999-01-01') AND d::DATE <= s.today AND ($store IS NULL OR s.store_id = $store)
), hours AS (
    SELECT store_id, on_weekday, on_day, coalesce(closed, false) AS closed, from_minute, to_minute, h
    FROM (SELECT * FROM in_force WHERE kind = 'opening_hours') AS o, range(0, 48) AS t(h)
    WHERE coalesce(closed, false) OR (h * 60 < to_minute AND (h + 1) * 60 > from_minute)
), usual AS (
    SELECT DISTINCT d.store_id, d.day, h.h % 24 AS hour FROM days AS d JOIN hours AS h ON h.store_id = d.store_id AND h.on_day IS NULL AND (h.on_weekday = d.weekday OR h.on_weekday IS NULL) AND NOT h.closed
), single AS (
    SELECT DISTINCT store_id, on_day AS day, closed, CASE WHEN NOT closed THEN h % 24 END AS hour FROM hours WHERE on_day IS NOT NULL
), planned AS (
    SELECT * FROM usual AS u WHERE NOT EXISTS (SELECT 1 FROM single AS s WHERE s.store_id = u.store_id AND s.day = u.day)
    UNION ALL
    SELECT d.store_id, d.day, s.hour FROM days AS d JOIN single AS s ON s.store_id = d.store_id AND s.day = d.day WHERE NOT s.closed
), taken AS (
    SELECT redeemed_store_id AS store_id, business_day AS day, local_hour AS hour, weekday, product_id FROM standing
    WHERE business_day BETWEEN $from AND $to AND ($store IS NULL OR redeemed_store_id = $store)
), counted AS (
    SELECT * FROM taken WHERE $product IS NULL OR product_id = $product
), assumed AS (
    SELECT store_id FROM stores WHERE store_id NOT IN (SELECT store_id FROM hours)
), seen AS (
    SELECT store_id, min(business_day) AS first_on, max(business_day) AS last_on
    FROM (SELECT sold_store_id AS store_id, business_day FROM orders UNION ALL SELECT redeemed_store_id, business_day FROM redemptions)
    WHERE store_id IN (SELECT store_id FROM assumed) GROUP BY ALL
), closed_days AS (
    -- Days without any planned hour on which somebody redeemed all the same.
    SELECT DISTINCT t.store_id, t.day, t.weekday FROM counted AS t WHERE NOT EXISTS (SELECT 1 FROM planned AS p WHERE p.store_id = t.store_id AND p.day = t.day)
        AND t.store_id NOT IN (SELECT store_id FROM assumed)
), open AS (
    SELECT store_id, day, hour FROM planned
    UNION
    SELECT u.store_id, u.day, u.hour FROM usual AS u JOIN closed_days AS c ON c.store_id = u.store_id AND c.day = u.day
    UNION
    SELECT store_id, day, hour FROM counted WHERE store_id NOT IN (SELECT store_id FROM assumed)
    UNION
    -- Without a calendar: every day from the first event to the last, in the hours in which the store redeems at all.
    SELECT d.store_id, d.day, h.hour
    FROM days AS d JOIN seen AS e ON e.store_id = d.store_id AND d.day BETWEEN e.first_on AND e.last_on
    LEFT JOIN (SELECT DISTINCT store_id, hour FROM counted) AS h ON h.store_id = d.store_id
    WHERE h.hour IS NOT NULL OR $per = 'day'
), special AS (
    SELECT DISTINCT on_day AS day FROM in_force WHERE kind = 'holiday'
), cells AS (
    SELECT o.store_id, o.day, isodow(o.day) AS weekday, CASE WHEN $per = 'hour' THEN o.hour END AS hour, o.day = s.today AS today, s.name, o.day IN (SELECT day FROM special) AS special
    FROM open AS o JOIN stores AS s USING (store_id) GROUP BY ALL
), units AS (
    SELECT store_id, day, CASE WHEN $per = 'hour' THEN hour END AS hour, count(*) AS units FROM counted GROUP BY ALL
), listed AS (
    SELECT store_id, weekday, string_agg(CAST(day AS VARCHAR), ', ' ORDER BY day) AS days FROM closed_days GROUP BY ALL
), sums AS (
    SELECT c.store_id, any_value(c.name) AS store_name, c.weekday, c.hour, coalesce(sum(u.units) FILTER (NOT today), 0)::BIGINT AS units, count(*) FILTER (NOT today) AS days,
        coalesce(sum(u.units) FILTER (NOT today AND NOT special), 0)::BIGINT AS regular_units, count(*) FILTER (NOT today AND NOT special) AS regular_days,
        string_agg(CAST(c.day AS VARCHAR), ', ' ORDER BY c.day) FILTER (NOT today AND special) AS special_days, coalesce(sum(u.units) FILTER (today), 0)::BIGINT AS today_units
    FROM cells AS c LEFT JOIN units AS u ON u.store_id = c.store_id AND u.day = c.day AND u.hour IS NOT DISTINCT FROM c.hour
    GROUP BY c.store_id, c.weekday, c.hour
)
SELECT s.store_id, store_name, s.weekday, s.hour, units, s.days, CASE WHEN s.days > 0 THEN units / s.days END AS average, regular_units, regular_days, CASE WHEN regular_days > 0 THEN regular_units / regular_days END AS regular_average,
    special_days, today_units, CASE WHEN s.store_id IN (SELECT store_id FROM assumed) THEN 'assumed' ELSE 'calendar' END AS denominator, l.days AS closed_days_with_redemptions
FROM sums AS s LEFT JOIN listed AS l ON l.store_id = s.store_id AND l.weekday = s.weekday
WHERE s.days > 0 OR today_units > 0
