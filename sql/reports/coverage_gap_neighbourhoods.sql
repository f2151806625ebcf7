-- coverage_gap_neighbourhoods
-- Title: Neighbourhoods that applicable stores leave out
-- Title zh: 小区覆盖缺口
-- Grain: product × neighbourhood (小区 by name, else its H3 cell of resolution 8) with holders that no store covers.
-- Roles: head_office
-- Param product: text = none. Only this product.
-- Param radius_m: number = 3000. How far a store may be from a home to cover it, in metres, great-circle.
-- Key: product_id, neighbourhood
-- Additive: units
-- Chart: bars neighbourhood units
-- Heading distance_m: mean distance to the nearest applicable store, m
-- R16, as of now, over products that redeem across stores: members whose home has no store within the radius where the units
--    they hold may be redeemed, those units, and how far the nearest such store is. distance_m is empty where none has a known
--    location. Members without a known home are left out; if nobody's home is known, note says so.
WITH change AS MATERIALIZED (
    SELECT product_id, nth, store_id, added, known_from
    FROM applicable_store_changes
    WHERE binds AND effective_from <= now()
),
-- Sales between two changes have the first in their own list.
version AS MATERIALIZED (
    SELECT a.product_id, a.known_from, min(b.known_from) AS until_at
    FROM (
        SELECT DISTINCT product_id, unnest([known_from, CAST('2000-01-01T00:00:00Z' AS TIMESTAMP WITH TIME ZONE)]) AS known_from
        FROM change
    ) AS a
    LEFT JOIN change AS b ON b.product_id = a.product_id AND b.known_from > a.known_from
    GROUP BY a.product_id, a.known_from
),
decided AS MATERIALIZED (
    SELECT
        product_id, known_from, array_agg(CASE WHEN added THEN store_id ELSE '' END) AS gained,
        array_agg(CASE WHEN added THEN '' ELSE store_id END) AS lost
    FROM (
        SELECT v.product_id, v.known_from, c.store_id, max(c.nth * 2 + CASE WHEN c.added THEN 1 ELSE 0 END) % 2 = 1 AS added
        FROM version AS v
        JOIN change AS c ON c.product_id = v.product_id AND c.known_from > v.known_from
        GROUP BY v.product_id, v.known_from, c.store_id
    )
    GROUP BY product_id, known_from
),
switch AS MATERIALIZED (
    SELECT coalesce(bool_or(enabled), false) AS crossing
    FROM cross_store_switch
    WHERE effective_from <= now() AND (effective_until IS NULL OR effective_until > now())
),
-- Every place where units that are left may be redeemed.
place AS (
    SELECT
        entitlement_id, product_id, member_id, available_units, home_lat, home_lon,
        coalesce(named, to_hex(CAST(h3_cell(home_lat, home_lon, 8) AS BIGINT))) AS neighbourhood,
        unnest(CASE
            WHEN NOT crossing THEN make_array(CAST(sold_store_id AS VARCHAR))
            ELSE array_append(array_except(array_concat(coalesce(listed, make_array('')), coalesce(gained, make_array(''))),
                coalesce(lost, make_array(''))), '')
        END) AS store_id
    FROM (
        SELECT
            e.entitlement_id, e.product_id, e.member_id, e.available_units, e.sold_store_id, s.crossing,
            m.home_lat, m.home_lon, m.neighbourhood AS named,
            arrow_cast(e.applicable_store_ids, 'List(Utf8)') AS listed,
            arrow_cast(d.gained, 'List(Utf8)') AS gained, arrow_cast(d.lost, 'List(Utf8)') AS lost
        FROM entitlements AS e
        JOIN members AS m ON m.member_id = e.member_id
        CROSS JOIN switch AS s
        LEFT JOIN version AS v ON v.product_id = e.product_id AND e.sold_at >= v.known_from
            AND (v.until_at IS NULL OR e.sold_at < v.until_at)
        LEFT JOIN decided AS d ON d.product_id = v.product_id AND d.known_from = v.known_from
        WHERE e.available_units > 0 AND NOT e.refund_open AND (e.valid_until IS NULL OR e.valid_until > now())
            AND e.head_office_product AND e.product_type IN ('booking', 'card', 'punch_card')
            AND m.home_lat IS NOT NULL AND m.home_lon IS NOT NULL AND ($product IS NULL OR e.product_id = $product)
    )
),
uncovered AS (
    SELECT
        p.entitlement_id, p.product_id, p.member_id, p.neighbourhood, max(p.available_units) AS units,
        min(haversine_m(p.home_lat, p.home_lon, s.lat, s.lon)) AS distance_m
    FROM place AS p
    LEFT JOIN stores AS s ON s.store_id = p.store_id
        AND (s.opened_on IS NULL OR s.opened_on <= s.today) AND (s.closed_on IS NULL OR s.closed_on >= s.today)
    GROUP BY p.entitlement_id, p.product_id, p.member_id, p.neighbourhood
)
SELECT
    u.product_id, q.name AS product_name, u.neighbourhood, count(DISTINCT u.member_id) AS members, sum(u.units) AS units,
    round(avg(u.distance_m)) AS distance_m, CAST(NULL AS VARCHAR) AS note
FROM uncovered AS u
LEFT JOIN products AS q ON q.product_id = u.product_id
WHERE u.distance_m IS NULL OR u.distance_m > $radius_m
GROUP BY u.product_id, q.name, u.neighbourhood
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, 'no member has a known home'
FROM (SELECT count(*) AS homes FROM members WHERE home_lat IS NOT NULL AND home_lon IS NOT NULL)
WHERE homes = 0
ORDER BY units DESC NULLS LAST, product_id, neighbourhood
