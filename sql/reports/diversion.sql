-- diversion
-- Title: From full stores to idle ones
-- Title zh: 饱和门店引流
-- Grain: product × full store × idle store.
-- Roles: head_office
-- Param store: text = none. Only members whose nearest covering store is this one.
-- Param product: text = none. Only this product.
-- Param radius_m: number = 3000. How far a store may be from a home to cover it, in metres, great-circle.
-- Param days: int = 7. Days from tomorrow in which a slot would have to be free.
-- Key: product_id, full_store_id, idle_store_id
-- Additive: members, units
-- Heading members: members whose stores are all full
-- Heading full_distance_m: mean distance to the full store, m
-- Heading idle_distance_m: mean distance to the idle store, m
-- Heading idle_hours: technician-hours a week rostered and not needed
-- R16's covered_but_full: members with units of the product who have stores within the radius where those may be redeemed, none
--    of which has a free slot in these days. full_store is the nearest of these; idle_store the nearest store where the units may
--    be redeemed that is idle, empty where there is none.
-- Idle: it has a free slot, and in its coming week staffing, with its defaults, has more technicians of the product's skill
--    rostered than needed in some hours (R15's negative gaps); idle_hours sums them. A product without a skill needs none.
-- A store's slots are the whole hours of its opening hours times the capacity of the line that speaks of them: the product's,
--    else the skill's, else the store's; a single day's goes before a weekday's. Bookings that stand take one each at the hour
--    they start; those made more than 92 days ahead are not seen. A store without such a line is neither full nor idle.
-- Each holder counts once per product. Members without a known home are left out; if nobody's home is known, note says so.
WITH store AS MATERIALIZED (
    SELECT
        store_id, name, lat, lon, time_zone, day_start_hour, coalesce(min_technicians, 0) AS min_technicians,
        CAST(today AS INT) AS today, least(CAST(today AS INT), CAST($today AS INT)) - 1 AS last_day,
        greatest(least(CAST(today AS INT), CAST($today AS INT)) - 7 * 19, coalesce(CAST(opened_on AS INT), 0)) AS first_day
    FROM stores
    WHERE NOT head_office AND lat IS NOT NULL AND lon IS NOT NULL
        AND (opened_on IS NULL OR opened_on <= today) AND (closed_on IS NULL OR closed_on >= today)
),
product AS MATERIALIZED (
    SELECT product_id, name, skill FROM products
),
-- The hours to come, and how many bookings each of them takes, by what the line is about.
hour AS (
    SELECT store_id, day, weekday, unnest(hours_of(open_mask)) AS hour
    FROM (
        SELECT o.store_id, CAST(o.day AS INT) AS day, o.weekday, o.open_mask
        FROM open_days AS o
        JOIN store AS s ON s.store_id = o.store_id AND CAST(o.day AS INT) BETWEEN s.today + 1 AND s.today + $days
        WHERE o.day >= $today
    )
),
line AS MATERIALIZED (
    SELECT
        store_id, coalesce(product_id, '') AS product_id, coalesce(CASE WHEN product_id IS NULL THEN skill END, '') AS skill, on_weekday,
        CAST(on_day AS INT) AS on_day, hour_mask(coalesce(from_minute, 0), coalesce(to_minute, 1440)) AS mask, capacity
    FROM slot_capacities
),
slot AS MATERIALIZED (
    SELECT
        h.store_id, l.product_id, l.skill, h.day, h.hour,
        coalesce(max(CASE WHEN l.on_day IS NOT NULL THEN l.capacity END), max(l.capacity)) AS capacity
    FROM hour AS h
    JOIN line AS l ON l.store_id = h.store_id AND (l.on_day = h.day OR l.on_day IS NULL AND (l.on_weekday IS NULL OR l.on_weekday = h.weekday))
        AND (l.mask & hour_mask(h.hour * 60, h.hour * 60 + 60)) > 0
    GROUP BY h.store_id, l.product_id, l.skill, h.day, h.hour
),
-- What a booking's last event says holds.
booked AS MATERIALIZED (
    SELECT
        b.booked_store_id AS store_id, b.product_id, coalesce(b.skill, p.skill, '') AS skill,
        CAST(business_day(b.start_at, s.time_zone, CAST(s.day_start_hour AS BIGINT)) AS INT) AS day,
        CAST(CAST(b.start_at AS BIGINT) / 60000000 + b.utc_offset_min AS BIGINT) % 1440 / 60 AS hour, count(*) AS bookings
    FROM (
        SELECT booking_id, max(CAST(log_partition AS BIGINT) * 281474976710656 + log_offset) AS place
        FROM log.bookings
        WHERE business_day >= CAST(CAST($today AS INT) - 92 AS DATE)
        GROUP BY booking_id
    ) AS l
    JOIN log.bookings AS b ON b.booking_id = l.booking_id AND CAST(b.log_partition AS BIGINT) * 281474976710656 + b.log_offset = l.place
    JOIN store AS s ON s.store_id = b.booked_store_id
    LEFT JOIN product AS p ON p.product_id = b.product_id
    WHERE b.type IN ('booked', 'switched') AND b.start_at > now() AND b.business_day >= CAST(CAST($today AS INT) - 92 AS DATE)
    GROUP BY 1, 2, 3, 4, 5
),
-- Slots and free ones by what the line is about: a product, a skill or anything.
room AS MATERIALIZED (
    SELECT l.store_id, l.product_id, l.skill, coalesce(f.slots, 0) AS slots, coalesce(f.free, 0) AS free
    FROM (SELECT DISTINCT store_id, product_id, skill FROM line) AS l
    LEFT JOIN (
        SELECT store_id, product_id, skill, sum(capacity) AS slots, sum(greatest(capacity - bookings, 0)) AS free
        FROM (
            SELECT c.store_id, c.product_id, c.skill, c.day, c.hour, c.capacity, coalesce(sum(b.bookings), 0) AS bookings
            FROM slot AS c
            LEFT JOIN booked AS b ON b.store_id = c.store_id AND b.day = c.day AND b.hour = c.hour
                AND (c.product_id = '' OR b.product_id = c.product_id) AND (c.skill = '' OR b.skill = c.skill)
            GROUP BY c.store_id, c.product_id, c.skill, c.day, c.hour, c.capacity
        )
        GROUP BY store_id, product_id, skill
    ) AS f ON f.store_id = l.store_id AND f.product_id = l.product_id AND f.skill = l.skill
),
-- The room that each product has at each store, by the most special line.
offer AS MATERIALIZED (
    SELECT
        p.product_id, p.skill, s.store_id, s.lat, s.lon, coalesce(own.slots, able.slots, whole.slots) AS slots,
        coalesce(own.free, able.free, whole.free) AS free
    FROM product AS p
    CROSS JOIN store AS s
    LEFT JOIN room AS own ON own.store_id = s.store_id AND own.product_id = p.product_id
    LEFT JOIN room AS able ON able.store_id = s.store_id AND able.product_id = '' AND able.skill <> '' AND able.skill = p.skill
    LEFT JOIN room AS whole ON whole.store_id = s.store_id AND whole.product_id = '' AND whole.skill = ''
),
-- From here to idle it is staffing's reckoning, with its defaults: 19 weeks, q 0.9, utilisation 0.8; see there.
demand AS MATERIALIZED (
    SELECT d.store_id, d.skill, d.day, (d.day + 3) % 7 + 1 AS weekday, d.hour, d.minutes, d.served
    FROM (
        SELECT
            store_id, coalesce(skill, '') AS skill, CAST(business_day AS INT) AS day, hour, sum(minutes) AS minutes,
            bool_or(kind <> 'unmet') AS served
        FROM service_demand
        WHERE business_day >= CAST(CAST($today AS INT) - 7 * 19 - 1 AS DATE) AND business_day < $today
        GROUP BY 1, 2, 3, 4
    ) AS d
    JOIN store AS s ON s.store_id = d.store_id AND d.day BETWEEN s.first_day AND s.last_day
),
date AS MATERIALIZED (
    SELECT
        coalesce(c.store_id, b.store_id) AS store_id, (CAST(coalesce(c.day, b.day) AS BIGINT) + 3) % 7 + 1 AS weekday,
        CASE WHEN c.open_mask > 0 THEN c.open_mask WHEN b.served THEN coalesce(c.usual_mask, 0) ELSE 0 END AS open_mask,
        coalesce(b.mask, 0) AS busy_mask
    FROM (
        SELECT o.store_id, CAST(o.day AS INT) AS day, o.open_mask, o.usual_mask
        FROM open_days AS o
        JOIN store AS s ON s.store_id = o.store_id AND CAST(o.day AS INT) BETWEEN s.first_day AND s.last_day
        WHERE o.day >= CAST(CAST($today AS INT) - 7 * 19 - 1 AS DATE) AND o.day < $today
    ) AS c
    FULL JOIN (
        SELECT store_id, day, bit_or(hour_mask(hour * 60, hour * 60 + 60)) AS mask, bool_or(served) AS served
        FROM demand
        GROUP BY store_id, day
    ) AS b ON b.store_id = c.store_id AND b.day = c.day
),
open_hour AS (
    SELECT store_id, weekday, hour, count(*) AS n, bool_or(hour_mask(hour * 60, hour * 60 + 60) & ever_open > 0) AS in_hours
    FROM (
        SELECT
            d.store_id, d.weekday, w.ever_open,
            unnest(hours_of(d.open_mask | d.busy_mask | (w.ever_busy - (w.ever_busy & w.ever_open)))) AS hour
        FROM date AS d
        JOIN (
            SELECT store_id, weekday, bit_or(open_mask) AS ever_open, bit_or(busy_mask) AS ever_busy FROM date GROUP BY store_id, weekday
        ) AS w ON w.store_id = d.store_id AND w.weekday = d.weekday
        WHERE d.open_mask | d.busy_mask > 0
    )
    GROUP BY store_id, weekday, hour
),
shift AS MATERIALIZED (
    SELECT
        r.store_id, r.technician_id, t.skills, r.on_weekday, CAST(r.on_day AS INT) AS on_day,
        CASE WHEN r.closed THEN 0 ELSE hour_mask(
            CAST(ceil((coalesce(r.from_minute, 0) - 30) / 60.0) AS BIGINT) * 60,
            CAST(floor((coalesce(r.to_minute, 1440) + 30) / 60.0) AS BIGINT) * 60
        ) END AS mask
    FROM rosters AS r
    JOIN technicians AS t ON t.technician_id = r.technician_id
),
rostered AS (
    SELECT store_id, weekday, skill, hour, count(*) AS rostered
    FROM (
        SELECT d.store_id, d.weekday, k.skill, unnest(hours_of(d.mask)) AS hour
        FROM (
            SELECT c.store_id, c.weekday, s.technician_id, s.skills, bit_or(s.mask) AS mask
            FROM (
                SELECT store_id, day, (day + 3) % 7 + 1 AS weekday
                FROM (SELECT store_id, unnest(generate_series(CAST(today AS BIGINT), CAST(today AS BIGINT) + 6)) AS day FROM store)
            ) AS c
            JOIN shift AS s ON s.store_id = c.store_id
                AND (s.on_day = c.day OR s.on_day IS NULL AND (s.on_weekday IS NULL OR s.on_weekday = c.weekday))
            LEFT JOIN (SELECT DISTINCT technician_id, on_day FROM shift WHERE on_day IS NOT NULL) AS o
                ON o.technician_id = s.technician_id AND o.on_day = c.day
            WHERE s.on_day IS NOT NULL OR o.on_day IS NULL
            GROUP BY c.store_id, c.weekday, s.technician_id, s.skills
        ) AS d
        JOIN (SELECT DISTINCT skill FROM product WHERE skill IS NOT NULL) AS k
            ON d.skills IS NULL OR strpos(concat(chr(31), array_to_string(d.skills, chr(31)), chr(31)), concat(chr(31), k.skill, chr(31))) > 0
    )
    GROUP BY store_id, weekday, skill, hour
),
-- Only hours in which somebody is rostered can be idle.
cell AS MATERIALIZED (
    SELECT
        h.store_id, r.skill, h.weekday, h.hour, h.in_hours, h.n, r.rostered, coalesce(d.days, 0) AS days,
        CAST(ceil(0.9 * (h.n + 1) - 1e-9) AS BIGINT) AS nth
    FROM open_hour AS h
    JOIN rostered AS r ON r.store_id = h.store_id AND r.weekday = h.weekday AND r.hour = h.hour
    LEFT JOIN (SELECT store_id, skill, weekday, hour, count(*) AS days FROM demand GROUP BY store_id, skill, weekday, hour) AS d
        ON d.store_id = h.store_id AND d.skill = r.skill AND d.weekday = h.weekday AND d.hour = h.hour
    WHERE h.n >= 9
),
idle AS MATERIALIZED (
    SELECT c.store_id, c.skill, sum(greatest(c.rostered - greatest(
        CASE WHEN c.in_hours THEN s.min_technicians ELSE 0 END,
        CAST(ceil(coalesce(q.q_minutes, 0) / (60 * 0.8) - 1e-9) AS BIGINT)), 0)) AS idle_hours
    FROM cell AS c
    JOIN store AS s ON s.store_id = c.store_id
    LEFT JOIN (
        SELECT
            d.store_id, d.skill, d.weekday, d.hour,
            nearest_rank(CAST(d.minutes AS DOUBLE), CAST(c.nth - (c.n - c.days) AS DOUBLE) / c.days) AS q_minutes
        FROM demand AS d
        JOIN cell AS c ON c.store_id = d.store_id AND c.skill = d.skill AND c.weekday = d.weekday AND c.hour = d.hour
        WHERE c.nth > c.n - c.days
        GROUP BY d.store_id, d.skill, d.weekday, d.hour
    ) AS q ON q.store_id = c.store_id AND q.skill = c.skill AND q.weekday = c.weekday AND q.hour = c.hour
    GROUP BY c.store_id, c.skill
),
-- Holders of what some store is full of. The texts of stores of a member's cards in one say where any of them may be redeemed.
holder AS MATERIALIZED (
    SELECT
        u.product_id, u.member_id, m.home_lat, m.home_lon, string_agg(u.stores, '') AS stores, sum(u.available_units) AS units,
        h3_cell(m.home_lat, m.home_lon, CASE WHEN $radius_m <= 6000 THEN 8 WHEN $radius_m <= 45000 THEN 6 ELSE 4 END) AS cell
    FROM redeemable_units AS u
    JOIN members AS m ON m.member_id = u.member_id
    JOIN (SELECT DISTINCT product_id FROM offer WHERE free = 0) AS f ON f.product_id = u.product_id
    WHERE m.home_lat IS NOT NULL AND m.home_lon IS NOT NULL AND ($product IS NULL OR u.product_id = $product)
    GROUP BY u.product_id, u.member_id, m.home_lat, m.home_lon
),
-- Those near a full one. Cells narrow the candidates as in coverage_gap.
candidate AS MATERIALIZED (
    SELECT DISTINCT h.product_id, h.member_id, h.home_lat, h.home_lon, h.stores, h.units
    FROM holder AS h
    JOIN (
        SELECT
            product_id, store_id, lat, lon,
            unnest(CASE
                WHEN $radius_m <= 6000 THEN h3_disk(h3_cell(lat, lon, 8), CAST(ceil($radius_m / 450) + 1 AS BIGINT))
                WHEN $radius_m <= 45000 THEN h3_disk(h3_cell(lat, lon, 6), CAST(ceil($radius_m / 3150) + 1 AS BIGINT))
                ELSE h3_disk(h3_cell(lat, lon, 4), CAST(ceil($radius_m / 22000) + 1 AS BIGINT))
            END) AS cell
        FROM offer
        WHERE free = 0
    ) AS f ON f.cell = h.cell AND f.product_id = h.product_id AND haversine_m(f.lat, f.lon, h.home_lat, h.home_lon) <= $radius_m
        AND strpos(h.stores, concat(chr(31), f.store_id, chr(31))) > 0
),
-- Distance and id in one text: the smallest is the nearest.
choice AS (
    SELECT
        product_id, member_id, units,
        min(CASE WHEN distance_m <= $radius_m THEN place END) AS full_store, min(CASE WHEN idle THEN place END) AS idle_store,
        min(CASE WHEN distance_m <= $radius_m THEN distance_m END) AS full_distance_m,
        min(CASE WHEN idle THEN distance_m END) AS idle_distance_m
    FROM (
        SELECT
            *, coalesce(free > 0 AND (skill IS NULL OR idle_hours > 0), false) AS idle,
            concat(lpad(CAST(CAST(round(distance_m * 10) AS BIGINT) AS VARCHAR), 9, '0'), store_id) AS place
        FROM (
            SELECT
                c.product_id, c.member_id, c.units, o.store_id, o.free, o.skill, w.idle_hours,
                haversine_m(o.lat, o.lon, c.home_lat, c.home_lon) AS distance_m
            FROM candidate AS c
            JOIN offer AS o ON o.product_id = c.product_id AND strpos(c.stores, concat(chr(31), o.store_id, chr(31))) > 0
            LEFT JOIN idle AS w ON w.store_id = o.store_id AND w.skill = o.skill
        )
    )
    GROUP BY product_id, member_id, units
    HAVING bool_and(distance_m > $radius_m OR coalesce(free = 0, false))
)
SELECT
    c.product_id, p.name AS product_name, c.full_store_id, f.name AS full_store_name, c.idle_store_id, i.name AS idle_store_name,
    c.members, c.units, c.full_distance_m, c.idle_distance_m, x.slots AS full_slots, y.slots AS idle_slots, y.free AS idle_free_slots, w.idle_hours,
    CAST(NULL AS VARCHAR) AS note
FROM (
    SELECT
        product_id, substr(full_store, 10) AS full_store_id, substr(idle_store, 10) AS idle_store_id, count(*) AS members,
        sum(units) AS units, round(avg(full_distance_m)) AS full_distance_m, round(avg(idle_distance_m)) AS idle_distance_m
    FROM choice
    GROUP BY 1, 2, 3
) AS c
LEFT JOIN product AS p ON p.product_id = c.product_id
LEFT JOIN store AS f ON f.store_id = c.full_store_id
LEFT JOIN store AS i ON i.store_id = c.idle_store_id
LEFT JOIN offer AS x ON x.product_id = c.product_id AND x.store_id = c.full_store_id
LEFT JOIN offer AS y ON y.product_id = c.product_id AND y.store_id = c.idle_store_id
LEFT JOIN idle AS w ON w.store_id = c.idle_store_id AND w.skill = p.skill
WHERE $store IS NULL OR c.full_store_id = $store
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'no member has a known home'
FROM (SELECT count(*) AS homes FROM members WHERE home_lat IS NOT NULL AND home_lon IS NOT NULL)
WHERE homes = 0
ORDER BY members DESC NULLS LAST, product_id, full_store_id, idle_store_id
