-- Key: key, period
-- Case:
-- Case: from=first to=today-1 per=month
-- Case: from=today-40 to=today-1 per=week by=city
-- Case: from=today-200 to=today-20 by=product per=month
-- Case: from=today-20 to=today-1 per=day by=region
-- Case: from=today-200 to=today-100 by=format age=30
-- Case: from=today-100 to=today-1 per=month store=S001
-- Case: from=today-100 to=today-1 product=P01
WITH places AS (
    SELECT store_id, CASE $by WHEN 'store' THEN store_id WHEN 'region' THEN region WHEN 'city' THEN city WHEN 'format' THEN format END AS place, opened_on, closed_on FROM stores
), taken AS (
    SELECT t.*, s.place AS sold_place, r.place AS redeemed_place FROM standing AS t LEFT JOIN places AS s ON s.store_id = t.sold_store_id LEFT JOIN places AS r ON r.store_id = t.redeemed_store_id
    WHERE business_day BETWEEN $from AND $to AND ($product IS NULL OR product_id = $product)
), lines AS (
    SELECT o.*, p.place, o.business_day + $age AS aged_on FROM orders AS o LEFT JOIN places AS p ON p.store_id = o.sold_store_id
    WHERE type = 'sold' AND product_type <> 'stored_value' AND business_day + $age BETWEEN $from AND $to AND ($product IS NULL OR product_id = $product) AND ($store IS NULL OR sold_store_id = $store)
), redeemed_in_time AS (
    SELECT l.entitlement_id, count(*) AS units FROM lines AS l JOIN standing AS t ON t.entitlement_id = l.entitlement_id AND t.business_day <= l.aged_on GROUP BY ALL
), facts AS (
    SELECT CASE WHEN $by = 'product' THEN product_id ELSE redeemed_place END AS key, business_day AS on_day, (source, redemption_id) AS call, member_id, 1 AS units, value_fen,
        0 AS out_units, 0 AS out_fen, 0 AS in_units, 0 AS in_fen, 0 AS reversed, 0 AS refused, 0 AS slot_full, 0 AS cohort_units, 0 AS cohort_redeemed, 0 AS card_units
    FROM taken WHERE $store IS NULL OR redeemed_store_id = $store
    UNION ALL
    SELECT CASE WHEN $by = 'product' THEN product_id ELSE sold_place END, business_day, NULL, NULL, 0, 0, 1, value_fen, CASE WHEN $by = 'product' THEN 1 ELSE 0 END, CASE WHEN $by = 'product' THEN value_fen ELSE 0 END, 0, 0, 0, 0, 0, 0
    FROM taken WHERE CASE WHEN $by = 'product' THEN sold_store_id <> redeemed_store_id AND ($store IS NULL OR $store IN (sold_store_id, redeemed_store_id)) ELSE sold_place <> redeemed_place AND ($store IS NULL OR sold_store_id = $store) END
    UNION ALL
    SELECT redeemed_place, business_day, NULL, NULL, 0, 0, 0, 0, 1, value_fen, 0, 0, 0, 0, 0, 0
    FROM taken WHERE $by <> 'product' AND sold_place <> redeemed_place AND ($store IS NULL OR redeemed_store_id = $store)
    UNION ALL
    SELECT CASE WHEN $by = 'product' THEN "of".product ELSE place END, business_day, NULL, NULL, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0
    FROM reversals AS v LEFT JOIN places AS p ON p.store_id = v."of".redeemed
    WHERE business_day BETWEEN $from AND $to AND ($product IS NULL OR "of".product = $product) AND ($store IS NULL OR "of".redeemed = $store)
    UNION ALL
    SELECT CASE WHEN $by = 'product' THEN product_id ELSE place END, business_day, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, (type = 'refused')::INT, (type = 'slot_full')::INT, 0, 0, 0
    FROM refusals AS f LEFT JOIN places AS p ON p.store_id = f.store_id
    WHERE business_day BETWEEN $from AND $to AND ($product IS NULL OR product_id = $product) AND ($store IS NULL OR f.store_id = $store)
    UNION ALL
    SELECT CASE WHEN $by = 'product' THEN product_id ELSE place END, aged_on, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, l.units, coalesce(r.units, 0), 0
    FROM lines AS l LEFT JOIN redeemed_in_time AS r USING (entitlement_id)
    UNION ALL
    SELECT CASE WHEN $by = 'product' THEN product_id ELSE sold_place END, business_day, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1
    FROM taken WHERE product_type IN ('card', 'punch_card') AND ($store IS NULL OR sold_store_id = $store)
), periods AS (
    SELECT d::DATE AS period, greatest(d::DATE, $from) AS a,
        least($to, CASE $per WHEN 'total' THEN $to WHEN 'day' THEN d::DATE WHEN 'week' THEN d::DATE + 6 ELSE last_day(d::DATE) END) AS b
    FROM unnest(CASE $per
        WHEN 'total' THEN [$from::TIMESTAMP]
        WHEN 'day' THEN generate_series($from::TIMESTAMP, $to::TIMESTAMP, INTERVAL 1 DAY)
        WHEN 'week' THEN generate_series(date_trunc('week', $from)::TIMESTAMP, $to::TIMESTAMP, INTERVAL 7 DAY)
        ELSE generate_series(date_trunc('month', $from)::TIMESTAMP, $to::TIMESTAMP, INTERVAL 1 MONTH) END) AS t(d)
), sums AS (
    SELECT key, p.period, count(DISTINCT call) AS redemptions, sum(units)::BIGINT AS units, sum(value_fen)::BIGINT AS value_fen, count(DISTINCT f.member_id) AS members,
        sum(out_units)::BIGINT AS out_units, sum(out_fen)::BIGINT AS out_fen, sum(in_units)::BIGINT AS in_units, sum(in_fen)::BIGINT AS in_fen, sum(reversed)::BIGINT AS reversed,
        sum(refused)::BIGINT AS refused, sum(slot_full)::BIGINT AS slot_full, sum(cohort_units)::BIGINT AS cohort_units, sum(cohort_redeemed)::BIGINT AS cohort_redeemed, sum(card_units)::BIGINT AS card_units
    FROM facts AS f JOIN periods AS p ON f.on_day BETWEEN p.a AND p.b
    GROUP BY key, p.period
), spans AS (
    SELECT CASE WHEN $by = 'product' THEN c.product_id ELSE l.place END AS key, p.period, c.holder, greatest(c.held_from, p.a) AS a, least(c.held_to, p.b) AS b
    FROM cards AS c JOIN periods AS p ON c.held_from <= p.b AND c.held_to >= p.a LEFT JOIN places AS l ON l.store_id = c.sold_store_id
    WHERE c.held_from <= c.held_to AND ($product IS NULL OR c.product_id = $product) AND ($store IS NULL OR c.sold_store_id = $store)
), ahead AS (
    SELECT *, max(b) OVER (PARTITION BY key, period, holder ORDER BY a, b ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM spans
), held AS (
    SELECT key, period, sum(greatest(0, b - greatest(a, coalesce(before + 1, a)) + 1)) AS days FROM ahead GROUP BY ALL
), listed AS (
    SELECT key, period FROM sums UNION SELECT key, period FROM held
    UNION SELECT place, $from FROM places WHERE $per = 'total' AND $by <> 'product' AND opened_on <= $to AND (closed_on IS NULL OR closed_on >= $from) AND ($store IS NULL OR store_id = $store)
)
SELECT l.key, CASE $by WHEN 'store' THEN s.name WHEN 'product' THEN q.name END AS name, l.period, coalesce(redemptions, 0) AS redemptions, coalesce(units, 0) AS units, coalesce(value_fen, 0) AS value_fen, coalesce(members, 0) AS members,
    coalesce(out_units, 0) AS sold_here_used_there_units, coalesce(out_fen, 0) AS sold_here_used_there_value_fen, coalesce(in_units, 0) AS sold_there_used_here_units, coalesce(in_fen, 0) AS sold_there_used_here_value_fen,
    coalesce(reversed, 0) AS reversed, coalesce(refused, 0) AS refused, coalesce(slot_full, 0) AS slot_full, coalesce(cohort_units, 0) AS cohort_units, coalesce(cohort_redeemed, 0) AS cohort_redeemed,
    CASE WHEN cohort_units > 0 THEN cohort_redeemed / cohort_units END AS redemption_rate, coalesce(card_units, 0) AS card_units, coalesce(days, 0) / 30 AS holder_months,
    CASE WHEN days > 0 THEN coalesce(card_units, 0) / (days / 30) END AS usage
FROM listed AS l LEFT JOIN sums AS u ON u.key IS NOT DISTINCT FROM l.key AND u.period = l.period LEFT JOIN held AS h ON h.key IS NOT DISTINCT FROM l.key AND h.period = l.period
LEFT JOIN stores AS s ON s.store_id = l.key LEFT JOIN (SELECT product_id, any_value(name) AS name FROM products GROUP BY ALL) AS q ON q.product_id = l.key
