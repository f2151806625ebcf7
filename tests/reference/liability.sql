-- Key: period, legal_entity_id, store_id, product_id, part
-- Case: from=today-55 to=today-25
-- Case: from=first to=today
-- Case: from=today-100 to=today-40 per=total
-- Case: from=today-70 to=today-10 by=total
-- Case: from=today-400 to=today-1 by=store store=S001
-- Case: from=today-200 to=today-1 by=entity_product product=P03
-- Case: from=today-100 to=today-1 by=product per=total
WITH grouped AS (
    SELECT CASE WHEN $by IN ('store_product', 'store', 'entity_product', 'entity') THEN entity END AS entity,
        CASE WHEN $by IN ('store_product', 'store') THEN store END AS store, CASE WHEN $by IN ('store_product', 'entity_product', 'product') THEN product END AS product,
        part, business_day, movement, change, units, cash, carrying
    FROM owed
    WHERE business_day <= $to AND ($store IS NULL OR store = $store) AND ($entity IS NULL OR entity = $entity) AND ($product IS NULL OR product = $product)
), periods AS (
    SELECT $from AS period, $from AS first_on, $to AS last_on WHERE $per = 'total'
    UNION ALL
    SELECT m::DATE, greatest(m::DATE, $from), least(last_day(m::DATE), $to)
    FROM unnest(generate_series(date_trunc('month', $from), date_trunc('month', $to), INTERVAL 1 MONTH)) AS t(m) WHERE $per = 'month'
), sums AS (
    SELECT p.period, p.first_on, p.last_on, g.entity, g.store, g.product, g.part,
        coalesce(sum(change) FILTER (business_day < first_on), 0) AS opening_fen,
        coalesce(sum(change) FILTER (business_day >= first_on AND movement = 'opened'), 0) AS opened_fen,
        coalesce(sum(change) FILTER (business_day >= first_on AND movement = 'sold'), 0) AS sold_fen,
        coalesce(-sum(change) FILTER (business_day >= first_on AND movement = 'redeemed'), 0) AS redeemed_fen,
        coalesce(sum(change) FILTER (business_day >= first_on AND movement = 'reversed'), 0) AS reversed_fen,
        coalesce(sum(cash) FILTER (business_day >= first_on AND movement = 'refunded'), 0) AS refunded_cash_fen,
        coalesce(sum(carrying - cash) FILTER (business_day >= first_on AND movement = 'refunded'), 0) AS refund_difference_fen,
        coalesce(-sum(change) FILTER (business_day >= first_on AND movement = 'expired'), 0) AS expired_fen,
        0 AS breakage_recognised_fen, 0 AS transferred_fen,
        coalesce(sum(change) FILTER (business_day >= first_on AND movement = 'adjusted'), 0) AS adjusted_fen,
        sum(change) AS closing_fen,
        coalesce(sum(carrying) FILTER (business_day >= first_on AND movement = 'expired_owed'), 0) AS expired_owed_fen,
        CASE WHEN part = 'paid' THEN coalesce(sum(units) FILTER (business_day < first_on), 0) END AS opening_units,
        CASE WHEN part = 'paid' THEN coalesce(sum(units) FILTER (business_day >= first_on AND movement = 'opened'), 0) END AS opened_units,
        CASE WHEN part = 'paid' THEN coalesce(sum(units) FILTER (business_day >= first_on AND movement = 'sold'), 0) END AS sold_units,
        CASE WHEN part = 'paid' THEN coalesce(-sum(units) FILTER (business_day >= first_on AND movement = 'redeemed'), 0) END AS redeemed_units,
        CASE WHEN part = 'paid' THEN coalesce(sum(units) FILTER (business_day >= first_on AND movement = 'reversed'), 0) END AS reversed_units,
        CASE WHEN part = 'paid' THEN coalesce(-sum(units) FILTER (business_day >= first_on AND movement = 'refunded'), 0) END AS refunded_units,
        CASE WHEN part = 'paid' THEN coalesce(-sum(units) FILTER (business_day >= first_on AND movement IN ('expired', 'expired_owed')), 0) END AS expired_units,
        CASE WHEN part = 'paid' THEN 0 END AS transferred_units,
        CASE WHEN part = 'paid' THEN coalesce(sum(units), 0) END AS closing_units,
        count(*) FILTER (business_day >= first_on) AS movements
    FROM periods AS p JOIN grouped AS g ON g.business_day <= p.last_on
    GROUP BY p.period, p.first_on, p.last_on, g.entity, g.store, g.product, g.part
)
SELECT period, first_on, last_on, entity AS legal_entity_id, s.store AS store_id, n.name AS store_name, s.product AS product_id, q.name AS product_name, s.* EXCLUDE (period, first_on, last_on, entity, store, product, movements)
FROM sums AS s LEFT JOIN stores AS n ON n.store_id = s.store LEFT JOIN products AS q ON q.product_id = s.product
WHERE movements > 0 OR opening_fen <> 0 OR opening_units <> 0
