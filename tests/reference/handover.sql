-- Key: store_id, clerk_id
-- Case: from=today-1 to=today-1
-- Case: from=today-60 to=today-1 by=store
-- Case: from=first to=today-1 store=S001
WITH happened AS (
    SELECT sold_store_id AS store, clerk_id AS clerk, occurred_at AS moment, 'sold' AS what, source, order_id AS call, kind, paid_fen, principal_fen, bonus_fen, points_fen, coupon_fen, product_type, 0 AS value, business_day FROM orders WHERE type = 'sold'
    UNION ALL
    SELECT sold_store_id, clerk_id, occurred_at, 'refunded', source, NULL, NULL, 0, 0, 0, 0, 0, NULL, cash_fen, business_day FROM orders WHERE type = 'refunded'
    UNION ALL
    SELECT redeemed_store_id, clerk_id, occurred_at, 'redeemed', source, redemption_id, NULL, 0, 0, 0, 0, 0, NULL, value_fen, business_day FROM redemptions WHERE type = 'redeemed'
    UNION ALL
    SELECT "of".redeemed, reversing_clerk_id, occurred_at, 'reversed', source, NULL, NULL, 0, 0, 0, 0, 0, NULL, "of".value, business_day FROM reversals
    UNION ALL
    SELECT store_id, clerk_id, occurred_at, type, source, NULL, NULL, 0, 0, 0, 0, 0, NULL, 0, business_day FROM refusals
)
SELECT store AS store_id, n.name AS store_name, CASE WHEN $by = 'clerk' THEN clerk END AS clerk_id, min(moment) AS first_at, max(moment) AS last_at,
    count(DISTINCT (source, call)) FILTER (what = 'sold') AS orders, count(*) FILTER (what = 'sold') AS lines, sum(paid_fen)::BIGINT AS paid_fen,
    (sum(paid_fen) - coalesce(sum(coalesce(principal_fen, 0) + coalesce(bonus_fen, 0)) FILTER (kind <> 'stored_value'), 0) - coalesce(sum(points_fen), 0) - coalesce(sum(coupon_fen), 0))::BIGINT AS money_fen,
    coalesce(sum(principal_fen) FILTER (kind <> 'stored_value'), 0) AS principal_fen, coalesce(sum(bonus_fen) FILTER (kind <> 'stored_value'), 0) AS bonus_fen,
    coalesce(sum(points_fen), 0) AS points_fen, coalesce(sum(coupon_fen), 0) AS coupon_fen,
    coalesce(sum(paid_fen) FILTER (kind = 'card'), 0) AS card_sold_fen, coalesce(sum(paid_fen) FILTER (kind = 'stored_value'), 0) AS stored_value_sold_fen,
    coalesce(sum(bonus_fen) FILTER (kind = 'stored_value'), 0) AS bonus_given_fen,
    count(DISTINCT (source, call)) FILTER (what = 'redeemed') AS redemptions, count(*) FILTER (what = 'redeemed') AS units, coalesce(sum(value) FILTER (what = 'redeemed'), 0) AS value_fen,
    count(*) FILTER (what = 'reversed') AS reversed_units, coalesce(sum(value) FILTER (what = 'reversed'), 0) AS reversed_value_fen,
    count(*) FILTER (what = 'refunded') AS refunds, coalesce(sum(value) FILTER (what = 'refunded'), 0) AS refunded_fen, money_fen - refunded_fen AS to_hand_over_fen,
    count(*) FILTER (what = 'refused') AS refused, count(*) FILTER (what = 'slot_full') AS slot_full
FROM happened AS h LEFT JOIN stores AS n ON n.store_id = h.store
WHERE business_day BETWEEN $from AND $to AND ($store IS NULL OR store = $store) AND ($clerk IS NULL OR clerk = $clerk)
GROUP BY 1, 2, 3
