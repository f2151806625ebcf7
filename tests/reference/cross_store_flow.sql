-- Key: period, sold_at, redeemed_at
-- Case:
-- Case: from=first to=today per=month
-- Case: from=today-60 to=today-1 per=week by=city
-- Case: from=today-40 to=today-1 per=day by=entity own=true
-- Case: from=today-100 to=today-1 own=true store=S001
-- Case: from=today-100 to=today-1 product=P01 per=month
WITH taken AS (
    SELECT CASE $per WHEN 'total' THEN $from WHEN 'day' THEN business_day WHEN 'week' THEN date_trunc('week', business_day)::DATE ELSE date_trunc('month', business_day)::DATE END AS period,
        CASE $by WHEN 'store' THEN sold_store_id WHEN 'city' THEN coalesce(s.city, sold_store_id) ELSE coalesce(s.entity_id, sold_store_id) END AS sold_at, CASE WHEN $by = 'store' THEN s.name END AS sold_at_name,
        CASE $by WHEN 'store' THEN redeemed_store_id WHEN 'city' THEN coalesce(r.city, redeemed_store_id) ELSE coalesce(r.entity_id, redeemed_store_id) END AS redeemed_at, CASE WHEN $by = 'store' THEN r.name END AS redeemed_at_name,
        value_fen, sold_store_id, redeemed_store_id
    FROM standing AS t LEFT JOIN stores AS s ON s.store_id = t.sold_store_id LEFT JOIN stores AS r ON r.store_id = t.redeemed_store_id
    WHERE business_day BETWEEN $from AND $to AND ($product IS NULL OR product_id = $product)
), flows AS (
    SELECT period, sold_at, sold_at_name, redeemed_at, redeemed_at_name, count(*) AS units, sum(value_fen)::BIGINT AS value_fen,
        count(*) FILTER ($store IS NULL OR sold_store_id = $store OR redeemed_store_id = $store) AS kept
    FROM taken GROUP BY ALL
)
SELECT f.* EXCLUDE (kept),
    CASE WHEN $store IS NULL OR sold_at = $store THEN units / (SELECT sum(units) FROM flows AS g WHERE g.period = f.period AND g.sold_at = f.sold_at) END AS share_of_sold,
    CASE WHEN $store IS NULL OR redeemed_at = $store THEN units / (SELECT sum(units) FROM flows AS g WHERE g.period = f.period AND g.redeemed_at = f.redeemed_at) END AS share_of_redeemed
FROM flows AS f
WHERE kept > 0 AND ($own OR sold_at <> redeemed_at)
