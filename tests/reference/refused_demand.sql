-- Key: store_id, product_id, reason, weekday, hour
-- Case:
-- Case: from=first to=today-1
-- Case: from=today-90 to=today-1 per=weekday store=S001
-- Case: from=today-60 to=today-1 per=hour product=P01
WITH attempts AS (
    SELECT f.*, row_number() OVER (PARTITION BY f.member_id, f.product_id, f.store_id, f.business_day, CASE WHEN f.member_id IS NULL THEN f.event_id END
        ORDER BY f.occurred_at, f.log_partition, f.log_offset) AS nth
    FROM refusals AS f
    WHERE business_day BETWEEN $from AND $to AND ($store IS NULL OR store_id = $store) AND ($product IS NULL OR product_id = $product)
), served AS (
    SELECT member_id, business_day, redeemed_store_id AS store_id, occurred_at FROM standing WHERE member_id IS NOT NULL AND product_type NOT IN ('goods', 'stored_value')
    UNION ALL
    SELECT member_id, business_day, sold_store_id, occurred_at FROM orders WHERE type = 'sold' AND member_id IS NOT NULL AND service_start_at IS NOT NULL
), bought AS (
    SELECT member_id, business_day, sold_store_id AS store_id, occurred_at FROM orders WHERE type = 'sold' AND member_id IS NOT NULL AND paid_fen > 0
), demands AS (
    SELECT a.*,
        CASE
            WHEN a.nth > 1 THEN NULL
            WHEN a.member_id IS NULL THEN 'unknown_member'
            WHEN EXISTS (SELECT 1 FROM served AS s WHERE s.member_id = a.member_id AND s.business_day = a.business_day AND s.store_id = a.store_id) THEN 'served_here'
            WHEN EXISTS (SELECT 1 FROM served AS s WHERE s.member_id = a.member_id AND s.business_day = a.business_day AND s.store_id <> a.store_id AND s.occurred_at > a.occurred_at) THEN 'served_elsewhere'
            WHEN EXISTS (SELECT 1 FROM bought AS s WHERE s.member_id = a.member_id AND s.business_day = a.business_day AND s.store_id = a.store_id AND s.occurred_at > a.occurred_at) THEN 'bought_here'
            ELSE 'nothing'
        END AS outcome
    FROM attempts AS a
)
SELECT d.store_id, s.name AS store_name, d.product_id, p.name AS product_name, CASE WHEN type = 'slot_full' THEN 'slot_full' ELSE reason END AS reason,
    CASE WHEN $per <> 'total' THEN weekday END AS weekday, CASE WHEN $per = 'hour' THEN local_hour END AS hour,
    count(*) AS attempts, count(outcome) AS demands, count(*) FILTER (outcome = 'served_here') AS served_here, count(*) FILTER (outcome = 'served_elsewhere') AS served_elsewhere,
    count(*) FILTER (outcome = 'bought_here') AS bought_here, count(*) FILTER (outcome = 'nothing') AS nothing, count(*) FILTER (outcome = 'unknown_member') AS unknown_member,
    count(*) FILTER (outcome IS NOT NULL AND outcome <> 'served_here' AND (type = 'slot_full' OR reason IN ('store_not_applicable', 'sold_store_only'))) AS unmet
FROM demands AS d LEFT JOIN stores AS s ON s.store_id = d.store_id LEFT JOIN products AS p ON p.product_id = d.product_id
GROUP BY ALL
