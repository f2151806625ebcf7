-- Key: store_id, product_id
-- Not compared: expected_redemptions_30d, for which cover has to be decided day by day
-- Not compared: rank, which follows it
-- Not compared: insufficient
-- Not compared: rate_covered
-- Not compared: rate_uncovered
-- Not compared: holder_months_covered
-- Not compared: holder_months_uncovered
-- Not compared: redeemed_covered
-- Not compared: redeemed_uncovered
-- Case:
-- Case: radius_m=2000.0
-- Case: product=P01 radius_m=4000.0
WITH left_out AS (
    SELECT * FROM reach WHERE (metres IS NULL OR metres > $radius_m) AND ($product IS NULL OR product_id = $product)
), performable AS (
    SELECT s.store_id, p.product_id
    FROM open_stores AS s JOIN products AS p ON p.crosses LEFT JOIN (SELECT * FROM in_force WHERE kind = 'capability') AS c ON c.store_id = s.store_id AND c.product_id = p.product_id
    WHERE NOT s.head_office AND coalesce(c.enabled, p.skill IS NULL OR list_contains(s.skills, p.skill))
), gained AS (
    SELECT f.store_id, l.product_id, count(DISTINCT member_id) AS members_gained, sum(l.units)::BIGINT AS units_gained
    FROM left_out AS l JOIN performable AS f USING (product_id) JOIN open_stores AS s ON s.store_id = f.store_id AND metres(l.lat, l.lon, s.lat, s.lon) <= $radius_m
    WHERE $store IS NULL OR f.store_id = $store GROUP BY ALL
), holders AS (
    SELECT l.product_id, count(DISTINCT l.member_id) AS holders, count(DISTINCT l.member_id) FILTER (r.entitlement_id IS NOT NULL AND (r.metres IS NULL OR r.metres > $radius_m)) AS holders_uncovered,
        count(DISTINCT l.member_id) FILTER (r.entitlement_id IS NULL) AS holders_unknown_home
    FROM left_over AS l LEFT JOIN reach AS r USING (entitlement_id) GROUP BY ALL
)
SELECT g.store_id, s.name AS store_name, g.product_id, p.name AS product_name, members_gained, units_gained, holders, holders_uncovered, holders_unknown_home, CAST(NULL AS VARCHAR) AS note
FROM gained AS g JOIN stores AS s USING (store_id) JOIN products AS p USING (product_id) JOIN holders AS h USING (product_id)
