-- coverage_members
-- Title: Members behind a coverage gap
-- Title zh: 覆盖缺口会员名单
-- Grain: member × product, of those whom one store would cover and no applicable store does.
-- Roles: head_office
-- Param store: text. The store that would cover them.
-- Param product: text = none. Only this product.
-- Param radius_m: number = 3000. How far a store may be from a home to cover it, in metres, great-circle.
-- Key: nth
-- Additive: units
-- Heading distance_m: distance from the home to the store, m
-- Heading nearest_distance_m: distance to the nearest applicable store, m
-- R16, the members_gained and units_gained of coverage_gap's row for this store and product, as of now. member is masked to the
--    last four digits of its id; nth counts the list, nearest first.
-- units are the available ones that no store within the radius may redeem; valid_until is the first of their ends, empty
--    where none has one. nearest_store_id is the nearest store where any of them may be redeemed, empty where none has a known
--    location. Where nobody's home or the store's place is not known, note says so.
WITH store AS MATERIALIZED (
    SELECT store_id, lat, lon, head_office
    FROM stores
    WHERE lat IS NOT NULL AND lon IS NOT NULL AND (opened_on IS NULL OR opened_on <= today) AND (closed_on IS NULL OR closed_on >= today)
),
able AS MATERIALIZED (
    SELECT product_id FROM performable WHERE store_id = $store
),
near AS MATERIALIZED (
    SELECT
        m.member_id, m.neighbourhood, m.home_lat, m.home_lon, haversine_m(s.lat, s.lon, m.home_lat, m.home_lon) AS distance_m
    FROM members AS m
    CROSS JOIN (SELECT lat, lon FROM store WHERE store_id = $store AND NOT head_office) AS s
    WHERE haversine_m(s.lat, s.lon, m.home_lat, m.home_lon) <= $radius_m
),
unit AS MATERIALIZED (
    SELECT
        u.entitlement_id, u.product_id, u.member_id, u.available_units, u.valid_until, u.stores,
        n.neighbourhood, n.home_lat, n.home_lon, n.distance_m
    FROM redeemable_units AS u
    JOIN near AS n ON n.member_id = u.member_id
    JOIN able AS a ON a.product_id = u.product_id
    WHERE u.crosses AND ($product IS NULL OR u.product_id = $product)
),
-- The nearest store where each unit may be redeemed, as distance and id in one text: the smallest is the nearest.
placed AS (
    SELECT
        u.entitlement_id, u.product_id, u.member_id, u.neighbourhood, u.distance_m, u.available_units, u.valid_until,
        min(haversine_m(s.lat, s.lon, u.home_lat, u.home_lon)) AS nearest_m,
        min(concat(lpad(CAST(CAST(round(haversine_m(s.lat, s.lon, u.home_lat, u.home_lon)) AS BIGINT) AS VARCHAR), 8, '0'), s.store_id))
            AS nearest
    FROM unit AS u
    LEFT JOIN store AS s ON strpos(u.stores, concat(chr(31), s.store_id, chr(31))) > 0
    GROUP BY u.entitlement_id, u.product_id, u.member_id, u.neighbourhood, u.distance_m, u.available_units, u.valid_until
)
SELECT
    row_number() OVER (ORDER BY p.distance_m, p.member_id, p.product_id) AS nth,
    concat('****', right(CAST(p.member_id AS VARCHAR), 4)) AS member, p.neighbourhood, p.product_id, q.name AS product_name,
    p.units, p.valid_until, round(p.distance_m) AS distance_m, substr(p.nearest, 9) AS nearest_store_id,
    round(p.nearest_m) AS nearest_distance_m, CAST(NULL AS VARCHAR) AS note
FROM (
    SELECT
        member_id, product_id, neighbourhood, distance_m, sum(available_units) AS units, min(valid_until) AS valid_until,
        min(nearest_m) AS nearest_m, min(nearest) AS nearest
    FROM placed
    WHERE nearest_m IS NULL OR nearest_m > $radius_m
    GROUP BY member_id, product_id, neighbourhood, distance_m
) AS p
LEFT JOIN products AS q ON q.product_id = p.product_id
UNION ALL
SELECT
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    CASE WHEN homes = 0 THEN 'no member has a known home' ELSE 'the store has no known place, or is not open' END
FROM (SELECT count(*) AS homes FROM members WHERE home_lat IS NOT NULL AND home_lon IS NOT NULL)
CROSS JOIN (SELECT count(*) AS places FROM store WHERE store_id = $store)
WHERE homes = 0 OR places = 0
ORDER BY nth
