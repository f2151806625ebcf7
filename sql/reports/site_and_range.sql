-- site_and_range
-- Title: Where a store and which products are missing
-- Title zh: 选址与商品配置
-- Grain: hexagon or neighbourhood (小区) far from every store; store × product it does not offer where what is range.
-- Roles: head_office
-- Param what: site|range = site. Places without a store, or products that a store's surroundings use elsewhere.
-- Param from: day = today-90. First business day, inclusive.
-- Param to: day = today-1. Last business day, inclusive.
-- Param radius_m: number = 3000. How far a store may be from a home, in metres, great-circle.
-- Param by: hexagon|neighbourhood = hexagon. What a place is.
-- Param resolution: int = 7. Resolution of the hexagons (H3); 7 is 5 km², 8 is 0.7 km².
-- Param store: text = none. Only this store's range.
-- Param min_members: int = 3. Fewer members than these make no row.
-- Key: place, store_id, product_id
-- Additive: available_units
-- Heading place: hexagon or neighbourhood
-- Heading store_name: nearest store, or the store whose range it is
-- Heading distance_m: distance to the nearest store, m
-- Heading members: members who live far from any store, or use the product
-- Heading catchment_members: members who live near the store
-- Heading share: members / catchment members
-- Formula share: CAST(members AS DOUBLE) / nullif(catchment_members, 0)
-- Chart: hexagons place members
-- site: members, as known now, whose home has no open store within the radius; what they hold (available_units, valid and without an
--    open refund), and what they did anywhere in the period: visits (member × store × business day with a redemption that stands or
--    an order at a till), units redeemed and what those were paid. lat and lon are the middle of their homes, store and distance_m
--    the open store nearest to it. By name where the neighbourhood is known, else by its hexagon of resolution 8.
-- range: for every open store the products that members living within the radius redeemed in the period (standing, R7) and that the
--    store does not offer: it is not applicable there now, and the store neither sold nor redeemed one in the period. can_perform
--    says whether it has the skill, so that the applicable stores alone would have to change. Members near two stores count for both.
-- Stored value is no product of a range. If nobody's home is known, note says so.
WITH open_store AS MATERIALIZED (
    SELECT store_id, name, lat, lon
    FROM stores
    WHERE lat IS NOT NULL AND lon IS NOT NULL AND NOT head_office
        AND (opened_on IS NULL OR opened_on <= today) AND (closed_on IS NULL OR closed_on >= today)
),
-- Cells are narrowed to a disk that holds the radius wherever in its cell a store lies: cell centres are at least 622 m apart
-- per step at resolution 8, 7 times that two resolutions up.
store_cell AS (
    SELECT
        store_id, lat, lon,
        unnest(CASE
            WHEN $radius_m <= 6000 THEN h3_disk(h3_cell(lat, lon, 8), CAST(ceil($radius_m / 450) + 1 AS BIGINT))
            WHEN $radius_m <= 45000 THEN h3_disk(h3_cell(lat, lon, 6), CAST(ceil($radius_m / 3150) + 1 AS BIGINT))
            ELSE h3_disk(h3_cell(lat, lon, 4), CAST(ceil($radius_m / 22000) + 1 AS BIGINT))
        END) AS cell
    FROM open_store
),
home AS (
    SELECT
        member_id, home_lat AS lat, home_lon AS lon, neighbourhood,
        h3_cell(home_lat, home_lon, CASE WHEN $radius_m <= 6000 THEN 8 WHEN $radius_m <= 45000 THEN 6 ELSE 4 END) AS cell
    FROM members
    WHERE home_lat IS NOT NULL AND home_lon IS NOT NULL
),
near AS MATERIALIZED (
    SELECT h.member_id, s.store_id
    FROM home AS h
    JOIN store_cell AS s ON s.cell = h.cell
    WHERE haversine_m(s.lat, s.lon, h.lat, h.lon) <= $radius_m
),
far AS MATERIALIZED (
    SELECT
        h.member_id, h.lat, h.lon,
        CASE
            WHEN $by = 'neighbourhood' THEN coalesce(h.neighbourhood, to_hex(CAST(h3_cell(h.lat, h.lon, 8) AS BIGINT)))
            ELSE to_hex(CAST(h3_cell(h.lat, h.lon, $resolution) AS BIGINT))
        END AS place
    FROM home AS h
    LEFT ANTI JOIN near AS n ON n.member_id = h.member_id
    WHERE $what = 'site'
),
-- The few who live far are the hashed side of both joins.
visit AS (
    SELECT member_id, count(*) AS visits, sum(units) AS units, sum(value_fen) AS value_fen
    FROM (
        SELECT f.member_id, v.store_id, v.business_day, sum(v.units) AS units, sum(v.value_fen) AS value_fen
        FROM far AS f
        JOIN (
            SELECT member_id, redeemed_store_id AS store_id, business_day, 1 AS units, value_fen
            FROM standing_redemptions
            WHERE $what = 'site' AND business_day BETWEEN $from AND $to
            UNION ALL
            SELECT member_id, sold_store_id, business_day, 0 AS units, 0 AS value_fen
            FROM log.orders
            WHERE $what = 'site' AND type = 'sold' AND coalesce(channel, '') NOT IN ('online', 'mini_app')
                AND business_day BETWEEN $from AND $to
        ) AS v ON v.member_id = f.member_id
        GROUP BY f.member_id, v.store_id, v.business_day
    )
    GROUP BY member_id
),
held AS (
    SELECT f.member_id, sum(e.available_units) AS units
    FROM far AS f
    JOIN entitlements AS e ON e.member_id = f.member_id
    WHERE e.available_units > 0 AND NOT e.refund_open AND coalesce(e.product_type, '') <> 'stored_value'
        AND (e.valid_until IS NULL OR e.valid_until > now())
    GROUP BY f.member_id
),
place AS MATERIALIZED (
    SELECT
        f.place, avg(f.lat) AS lat, avg(f.lon) AS lon, count(*) AS members, sum(coalesce(h.units, 0)) AS available_units,
        sum(coalesce(v.visits, 0)) AS visits, sum(coalesce(v.units, 0)) AS units, sum(coalesce(v.value_fen, 0)) AS value_fen
    FROM far AS f
    LEFT JOIN visit AS v ON v.member_id = f.member_id
    LEFT JOIN held AS h ON h.member_id = f.member_id
    GROUP BY f.place
    HAVING count(*) >= $min_members
),
nearest AS (
    SELECT place, min(distance_m) AS distance_m, first_value(store_id ORDER BY distance_m, store_id) AS store_id
    FROM (
        SELECT p.place, s.store_id, haversine_m(p.lat, p.lon, s.lat, s.lon) AS distance_m
        FROM place AS p
        CROSS JOIN open_store AS s
    )
    GROUP BY place
),
-- Where a store does not offer a product, all its use is elsewhere: member and product are enough.
used AS (
    SELECT member_id, product_id, count(*) AS units, sum(value_fen) AS value_fen
    FROM standing_redemptions
    WHERE $what = 'range' AND member_id IS NOT NULL AND business_day BETWEEN $from AND $to
        AND coalesce(product_type, '') <> 'stored_value'
    GROUP BY member_id, product_id
),
offered AS (
    SELECT store_id, product_id FROM applicable_stores
    UNION
    SELECT redeemed_store_id, product_id
    FROM log.redemptions
    WHERE $what = 'range' AND type = 'redeemed' AND business_day BETWEEN $from AND $to
    UNION
    SELECT sold_store_id, product_id
    FROM log.orders
    WHERE $what = 'range' AND type = 'sold' AND business_day BETWEEN $from AND $to
),
missed AS (
    SELECT m.store_id, m.product_id, m.members, m.units, m.value_fen
    FROM (
        SELECT n.store_id, u.product_id, count(*) AS members, sum(u.units) AS units, sum(u.value_fen) AS value_fen
        FROM used AS u
        JOIN near AS n ON n.member_id = u.member_id
        WHERE $store IS NULL OR n.store_id = $store
        GROUP BY n.store_id, u.product_id
        HAVING count(*) >= $min_members
    ) AS m
    LEFT ANTI JOIN offered AS o ON o.store_id = m.store_id AND o.product_id = m.product_id
),
-- Put down before they are sorted: parts with constants of their own, and few rows.
found AS MATERIALIZED (
    SELECT
        p.place, round(p.lat, 4) AS lat, round(p.lon, 4) AS lon, n.store_id, round(n.distance_m) AS distance_m,
        CAST(NULL AS VARCHAR) AS product_id, p.members, CAST(NULL AS BIGINT) AS catchment_members, p.available_units, p.visits, p.units,
        p.value_fen, CAST(NULL AS BOOLEAN) AS can_perform, CAST(NULL AS VARCHAR) AS note
    FROM place AS p
    LEFT JOIN nearest AS n ON n.place = p.place
    UNION ALL
    SELECT
        NULL, NULL, NULL, m.store_id, NULL, m.product_id, m.members, c.members, NULL, NULL, m.units, m.value_fen,
        f.store_id IS NOT NULL, NULL
    FROM missed AS m
    JOIN (SELECT store_id, count(*) AS members FROM near GROUP BY store_id) AS c ON c.store_id = m.store_id
    LEFT JOIN performable AS f ON f.store_id = m.store_id AND f.product_id = m.product_id
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'no member has a known home'
    FROM (SELECT count(*) AS homes FROM members WHERE home_lat IS NOT NULL AND home_lon IS NOT NULL)
    WHERE homes = 0
)
SELECT
    row_number() OVER (ORDER BY f.members DESC NULLS LAST, f.units DESC, f.visits DESC, f.place, f.store_id, f.product_id) AS rank,
    f.place, f.lat, f.lon, f.store_id, s.name AS store_name, f.distance_m, f.product_id, q.name AS product_name, q.category,
    f.members, f.catchment_members, CAST(f.members AS DOUBLE) / nullif(f.catchment_members, 0) AS share,
    f.available_units, f.visits, f.units, f.value_fen, f.can_perform, f.note
FROM found AS f
LEFT JOIN stores AS s ON s.store_id = f.store_id
LEFT JOIN products AS q ON q.product_id = f.product_id
ORDER BY rank
