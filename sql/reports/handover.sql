-- handover
-- Title: Handover of the till
-- Title zh: 交班
-- Grain: store × clerk; store where by is store.
-- Roles: head_office, store by $store, clerk by $store
-- Param from: day = today. First business day, inclusive.
-- Param to: day = today. Last business day, inclusive.
-- Param by: clerk|store = clerk. Whether a row is a clerk's or a store's.
-- Param store: text = none. Only this store.
-- Param clerk: text = none. Only this clerk.
-- Key: store_id, clerk_id
-- Additive: orders, lines, paid_fen, money_fen, principal_fen, bonus_fen, points_fen, coupon_fen, card_sold_fen, stored_value_sold_fen,
--    bonus_given_fen, redemptions, units, value_fen, reversed_units, reversed_value_fen, refunds, refunded_fen, to_hand_over_fen,
--    refused, slot_full
-- Heading money_fen: paid with money
-- Heading to_hand_over_fen: money taken less money paid back
-- Formula money_fen: paid_fen - principal_fen - bonus_fen - points_fen - coupon_fen
-- Formula to_hand_over_fen: money_fen - refunded_fen
-- Drill units: redemption_records store=store_id, clerk=clerk_id, from=$from, to=$to
-- Drill reversed_units: redemption_records store=store_id, clerk=clerk_id, from=$from, to=$to
-- Chart: bars clerk_id paid_fen
-- What happened on these business days, each at its own store and by its own clerk; who is not named has no clerk_id (refunds by
--    head office, sales online).
-- paid_fen is the price of what was sold. Its parts: principal and bonus of stored value, points, coupons; the rest is money.
--    What a sale of stored value gives on top is bonus_given_fen, no part of a payment. card_sold_fen and stored_value_sold_fen
--    are the part of paid_fen that cards and stored value brought.
-- redemptions are calls, units what they took, value_fen what those units were paid (R9), also if taken back later. reversed_…
--    is what was taken back on these days, whenever it had been redeemed (R7). refunds are refunds paid out, refunded_fen the cash.
--    Corrections after a lock are no till's business. Without any event there is no row.
WITH happened AS (
    SELECT
        store_id, clerk_id, count(*) AS orders, sum(lines) AS lines, sum(paid_fen) AS paid_fen, sum(principal_fen) AS principal_fen,
        sum(bonus_fen) AS bonus_fen, sum(points_fen) AS points_fen, sum(coupon_fen) AS coupon_fen, sum(card_fen) AS card_fen,
        sum(stored_fen) AS stored_fen, sum(given_fen) AS given_fen,
        0 AS redemptions, 0 AS units, 0 AS value_fen, 0 AS reversed_units, 0 AS reversed_value_fen,
        0 AS refunds, 0 AS refunded_fen, 0 AS refused, 0 AS slot_full, min(first_at) AS first_at, max(last_at) AS last_at
    FROM (
        SELECT
            store_id, clerk_id, count(*) AS lines, sum(paid_fen) AS paid_fen,
            sum(CASE WHEN kind = 'stored_value' THEN 0 ELSE coalesce(principal_fen, 0) END) AS principal_fen,
            sum(CASE WHEN kind = 'stored_value' THEN 0 ELSE coalesce(bonus_fen, 0) END) AS bonus_fen,
            sum(coalesce(points_fen, 0)) AS points_fen, sum(coalesce(coupon_fen, 0)) AS coupon_fen,
            sum(CASE WHEN kind = 'card' THEN paid_fen ELSE 0 END) AS card_fen,
            sum(CASE WHEN kind = 'stored_value' THEN paid_fen ELSE 0 END) AS stored_fen,
            sum(CASE WHEN kind = 'stored_value' THEN coalesce(bonus_fen, 0) ELSE 0 END) AS given_fen,
            min(occurred_at) AS first_at, max(occurred_at) AS last_at
        FROM (
            SELECT
                o.sold_store_id AS store_id, CASE WHEN $by = 'clerk' THEN o.clerk_id END AS clerk_id, o.order_id, o.occurred_at,
                o.paid_fen, o.principal_fen, o.bonus_fen, o.points_fen, o.coupon_fen,
                coalesce(o.kind, p.sale_kind, CASE o.product_type WHEN 'punch_card' THEN 'card' ELSE o.product_type END) AS kind
            FROM log.orders AS o
            LEFT JOIN (SELECT product_id, sale_kind FROM products) AS p ON p.product_id = o.product_id
            WHERE o.type = 'sold' AND o.business_day BETWEEN $from AND $to
                AND ($store IS NULL OR o.sold_store_id = $store) AND ($clerk IS NULL OR o.clerk_id = $clerk)
        )
        GROUP BY store_id, clerk_id, order_id
    )
    GROUP BY store_id, clerk_id
    UNION ALL
    SELECT
        store_id, clerk_id, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, sum(CASE WHEN units > 0 THEN 1 ELSE 0 END), sum(units), sum(value_fen),
        sum(reversed_units), sum(reversed_value_fen), 0, 0, 0, 0, min(first_at), max(last_at)
    FROM (
        -- Units of one call share its redemption_id; a producer without such ids makes a call of each.
        SELECT
            redeemed_store_id AS store_id, CASE WHEN $by = 'clerk' THEN clerk_id END AS clerk_id,
            sum(CASE WHEN type = 'redeemed' THEN 1 ELSE 0 END) AS units,
            sum(CASE WHEN type = 'redeemed' THEN value_fen ELSE 0 END) AS value_fen,
            sum(CASE WHEN type = 'reversed' THEN 1 ELSE 0 END) AS reversed_units,
            sum(CASE WHEN type = 'reversed' THEN value_fen ELSE 0 END) AS reversed_value_fen,
            min(occurred_at) AS first_at, max(occurred_at) AS last_at
        FROM log.redemptions
        WHERE type IN ('redeemed', 'reversed') AND business_day BETWEEN $from AND $to
            AND ($store IS NULL OR redeemed_store_id = $store) AND ($clerk IS NULL OR clerk_id = $clerk)
        GROUP BY redeemed_store_id, CASE WHEN $by = 'clerk' THEN clerk_id END, coalesce(redemption_id, event_id)
    )
    GROUP BY store_id, clerk_id
    UNION ALL
    SELECT
        sold_store_id, CASE WHEN $by = 'clerk' THEN clerk_id END, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        count(*), sum(cash_fen), 0, 0, min(occurred_at), max(occurred_at)
    FROM log.orders
    WHERE type = 'refunded' AND business_day BETWEEN $from AND $to
        AND ($store IS NULL OR sold_store_id = $store) AND ($clerk IS NULL OR clerk_id = $clerk)
    GROUP BY sold_store_id, CASE WHEN $by = 'clerk' THEN clerk_id END
    UNION ALL
    SELECT
        store_id, CASE WHEN $by = 'clerk' THEN clerk_id END, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        sum(CASE WHEN type = 'refused' THEN 1 ELSE 0 END), sum(CASE WHEN type = 'slot_full' THEN 1 ELSE 0 END),
        min(occurred_at), max(occurred_at)
    FROM log.refusals
    WHERE business_day BETWEEN $from AND $to AND ($store IS NULL OR store_id = $store) AND ($clerk IS NULL OR clerk_id = $clerk)
    GROUP BY store_id, CASE WHEN $by = 'clerk' THEN clerk_id END
)
SELECT
    h.store_id, s.name AS store_name, h.clerk_id, h.first_at, h.last_at, h.orders, h.lines, h.paid_fen,
    h.paid_fen - h.principal_fen - h.bonus_fen - h.points_fen - h.coupon_fen AS money_fen,
    h.principal_fen, h.bonus_fen, h.points_fen, h.coupon_fen,
    h.card_fen AS card_sold_fen, h.stored_fen AS stored_value_sold_fen, h.given_fen AS bonus_given_fen,
    h.redemptions, h.units, h.value_fen, h.reversed_units, h.reversed_value_fen, h.refunds, h.refunded_fen,
    h.paid_fen - h.principal_fen - h.bonus_fen - h.points_fen - h.coupon_fen - h.refunded_fen AS to_hand_over_fen,
    h.refused, h.slot_full
FROM (
    SELECT
        store_id, clerk_id, min(first_at) AS first_at, max(last_at) AS last_at, sum(orders) AS orders, sum(lines) AS lines,
        sum(paid_fen) AS paid_fen, sum(principal_fen) AS principal_fen, sum(bonus_fen) AS bonus_fen, sum(points_fen) AS points_fen,
        sum(coupon_fen) AS coupon_fen, sum(card_fen) AS card_fen, sum(stored_fen) AS stored_fen, sum(given_fen) AS given_fen,
        sum(redemptions) AS redemptions, sum(units) AS units, sum(value_fen) AS value_fen, sum(reversed_units) AS reversed_units,
        sum(reversed_value_fen) AS reversed_value_fen, sum(refunds) AS refunds, sum(refunded_fen) AS refunded_fen,
        sum(refused) AS refused, sum(slot_full) AS slot_full
    FROM happened
    GROUP BY store_id, clerk_id
) AS h
LEFT JOIN stores AS s ON s.store_id = h.store_id
ORDER BY h.store_id, h.clerk_id
