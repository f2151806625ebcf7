-- Key: product_id, neighbourhood
-- Case:
-- Case: radius_m=1500.0
-- Case: product=P01 radius_m=5000.0
-- The mean is over cards: a member with two of them counts twice in distance_m.
SELECT r.product_id, any_value(p.name) AS product_name, neighbourhood, count(DISTINCT member_id) AS members, sum(r.units)::BIGINT AS units, round(avg(metres)) AS distance_m, CAST(NULL AS VARCHAR) AS note
FROM reach AS r JOIN products AS p USING (product_id)
WHERE (metres IS NULL OR metres > $radius_m) AND ($product IS NULL OR r.product_id = $product) GROUP BY r.product_id, neighbourhood
