-- Key: key, sold_in
-- Case:
-- Case: from=first to=today-1 by=store
-- Case: from=first to=today-1 by=city per=total age=30
-- Case: from=today-300 to=today-80 by=total
-- Case: from=today-300 to=today-80 by=product store=S001
-- Case: from=today-200 to=today-1 by=store product=P01
WITH sales AS (
    SELECT entitlement_id, business_day AS sold_on, o.units, o.product_id, o.product_type, sold_store_id,
        CASE $by WHEN 'product' THEN o.product_id WHEN 'store' THEN sold_store_id WHEN 'city' THEN s.city ELSE 'total' END AS key,
        CASE $by WHEN 'product' THEN p.name WHEN 'store' THEN s.name END AS name,
        CASE WHEN $per = 'total' THEN $from ELSE date_trunc('month', business_day)::DATE END AS sold_in,
        business_day + $age <= $today - 1 AS ripe
    FROM orders AS o LEFT JOIN stores AS s ON s.store_id = o.sold_store_id LEFT JOIN products AS p ON p.product_id = o.product_id
    WHERE o.type = 'sold' AND o.product_type <> 'stored_value' AND business_day BETWEEN $from AND $to
        AND ($store IS NULL OR sold_store_id = $store) AND ($product IS NULL OR o.product_id = $product)
), used AS (
    SELECT s.key, s.sold_in, count(*) AS redeemed, count(*) FILTER (s.product_type IN ('card', 'punch_card')) AS card_units
    FROM sales AS s JOIN standing AS t ON t.entitlement_id = s.entitlement_id AND t.business_day <= s.sold_on + $age
    WHERE s.ripe GROUP BY ALL
), spans AS (
    SELECT s.key, s.sold_in, c.holder, c.held_from AS a, least(c.held_to, s.sold_on + $age) AS b
    FROM sales AS s JOIN cards AS c ON c.entitlement_id = s.entitlement_id
    WHERE s.ripe AND c.held_from <= least(c.held_to, s.sold_on + $age)
), ahead AS (
    -- Days that an earlier span of the same holder has already counted are left out.
    SELECT *, max(b) OVER (PARTITION BY key, sold_in, holder ORDER BY a, b ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM spans
), held AS (
    SELECT key, sold_in, sum(greatest(0, b - greatest(a, coalesce(before + 1, a)) + 1)) AS days FROM ahead GROUP BY ALL
), sold AS (
    SELECT key, any_value(name) AS name, sold_in, sum(units)::BIGINT AS units_sold, coalesce(sum(units) FILTER (ripe), 0)::BIGINT AS cohort_units FROM sales GROUP BY key, sold_in
)
SELECT s.key, s.name, s.sold_in, units_sold, cohort_units, coalesce(redeemed, 0) AS cohort_redeemed, CASE WHEN cohort_units > 0 THEN coalesce(redeemed, 0) / cohort_units END AS redemption_rate,
    coalesce(card_units, 0) AS card_units, days / 30 AS holder_months, CASE WHEN days > 0 THEN coalesce(card_units, 0) / (days / 30) END AS usage
FROM sold AS s LEFT JOIN used AS u ON u.key = s.key AND u.sold_in = s.sold_in LEFT JOIN held AS h ON h.key = s.key AND h.sold_in = s.sold_in
