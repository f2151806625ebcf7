-- liability_movements
-- Title: Movements behind the liability
-- Title zh: 预收款变动明细
-- Grain: change of one store's liability by one event, in the order it happened.
-- Roles: head_office, store by $store
-- Param from: day = month-1. First business day, inclusive.
-- Param to: day = month_end-1. Last business day, inclusive.
-- Param store: text = none. Only what this store owes.
-- Param entity: text = none. Only what this legal entity owes.
-- Param product: text = none. Only this product; stored_value is all stored value.
-- Param part: text = none. Only paid, principal or bonus.
-- Param movement: text = none. Only opened, sold, redeemed, reversed, refunded, expired, expired_owed, breakage, transferred
--    or adjusted.
-- Param limit: int = 1000. At most so many of the latest rows.
-- Key: source, event_id, store_id, part, movement, sold_in
-- Additive: change_fen, units, cash_fen
-- Heading change_fen: change of what is owed
-- Heading carrying_fen: carrying value given up
-- Drill change_fen: redemption_records entitlement_id=entitlement_id
-- The rows of a cell of liability: change_fen sums to it, with the sign of what is owed (redeemed, refunded, expired below
--    0).
-- refunded: cash_fen was paid back, the rest of carrying_fen is the refund's difference. expired_owed changes nothing: the
--    units are gone and the money stays owed. breakage has no event: it is the month's change for the sales of sold_in (R13).
-- Definitions of movement and part: liability.
WITH entries AS (
    SELECT
        occurred_at, business_day, movement, store_id, product_id, part, change_fen, units, cash_fen, carrying_fen,
        order_id, entitlement_id, unit_ordinal, redeemed_store_id, CAST(NULL AS DATE) AS sold_in, reason, source, event_id
    FROM liability_entries
    WHERE business_day BETWEEN $from AND $to AND ($store IS NULL OR store_id = $store)
        AND ($product IS NULL OR product_id = $product)
        AND ($part IS NULL OR part = $part) AND ($movement IS NULL OR movement = $movement)
    UNION ALL
    SELECT
        NULL AS occurred_at, business_day, 'breakage' AS movement, store_id, product_id, 'paid' AS part,
        -change_fen AS change_fen,
        0 AS units, 0 AS cash_fen, 0 AS carrying_fen, NULL AS order_id, NULL AS entitlement_id, NULL AS unit_ordinal,
        NULL AS redeemed_store_id, make_date(CAST(sold_month / 12 AS INT), CAST(sold_month % 12 + 1 AS INT), 1) AS sold_in,
        NULL AS reason, NULL AS source, NULL AS event_id
    FROM breakage_recognised
    WHERE business_day BETWEEN $from AND $to AND ($store IS NULL OR store_id = $store)
        AND ($product IS NULL OR product_id = $product)
        AND coalesce($part, 'paid') = 'paid' AND coalesce($movement, 'breakage') = 'breakage'
),
latest AS (
    SELECT e.*, s.name AS store_name, s.legal_entity_id
    FROM entries AS e
    LEFT JOIN stores AS s ON s.store_id = e.store_id
    WHERE $entity IS NULL OR s.legal_entity_id = $entity
    ORDER BY e.business_day DESC, e.occurred_at DESC, e.event_id DESC, e.store_id, e.part
    LIMIT $limit
)
SELECT
    l.occurred_at, l.business_day, l.movement, l.store_id, l.store_name, l.legal_entity_id, l.product_id,
    p.name AS product_name, l.part,
    l.change_fen, l.units, l.cash_fen, l.carrying_fen, l.order_id, l.entitlement_id, l.unit_ordinal, l.redeemed_store_id,
    l.sold_in,
    l.reason, l.source, l.event_id
FROM latest AS l
LEFT JOIN products AS p ON p.product_id = l.product_id
ORDER BY l.business_day, l.occurred_at, l.event_id, l.store_id, l.part
