-- liability_entries
-- Title: Movements of what stores owe for prepayments
-- Grain: change that one event makes to one part of one store's liability (R12); a transfer between stores has two.
-- change_fen is the change, + what is owed more and − what less; units likewise, null for stored value. carrying_fen is what
--    the event gave up where that is not the change: expired_owed keeps it owed, because no expiry policy made it income.
-- movement: opened (balance of a former system), sold, redeemed, reversed, refunded (cash_fen of it was paid back), expired,
--    expired_owed, transferred, adjusted (a correction of −500 to a redemption's value leaves 500 more owed).
-- part: paid for what is sold in units; principal and bonus of stored value, which is one product, stored_value, because a
--    payment drawn from it does not say from which; it is spent only where it was sold (R3). A draw counts as redeemed.
-- A refund or an expiry of stored value takes the bonus that it names.
-- valid_until is the end that a sale or a use says; list_price_fen what a unit taken costs singly, below 0 where it was
--    given back.
-- store_id is the store that owes: the seller, or the one the whole entitlement was transferred to.
WITH handed AS (
    SELECT
        entitlement_id, to_store_id AS owing_store_id, occurred_at AS from_at,
        lead(occurred_at) OVER (PARTITION BY entitlement_id ORDER BY occurred_at, log_partition, log_offset) AS until_at
    FROM log.orders
    WHERE type = 'transferred' AND entitlement_id IS NOT NULL AND to_store_id IS NOT NULL
),
-- A correction may leave out what its original says. Names of their own: see ended_units.
corrected AS (
    SELECT
        a.source, a.event_id, a.occurred_at, a.business_day, a.order_id, a.entitlement_id, a.member_id, a.unit_ordinal,
        a.redeemed_store_id, a.value_fen, a.bonus_fen, a.reason,
        coalesce(a.sold_store_id, o.original_store_id) AS sold_store_id,
        coalesce(a.product_id, o.original_product_id) AS product_id,
        coalesce(a.product_type, o.original_type, '') = 'stored_value' AS wallet
    FROM log.redemptions AS a
    LEFT JOIN (
        SELECT
            r.source, r.event_id, r.sold_store_id AS original_store_id, r.product_id AS original_product_id,
            r.product_type AS original_type
        FROM (
            SELECT source, original_event_id FROM log.redemptions
            WHERE type = 'adjusted' AND (sold_store_id IS NULL OR product_id IS NULL)
            GROUP BY source, original_event_id
        ) AS n
        JOIN log.redemptions AS r ON r.event_id = n.original_event_id AND r.source = n.source
    ) AS o ON o.event_id = a.original_event_id AND o.source = a.source
    WHERE a.type = 'adjusted'
)
SELECT
    source, event_id, occurred_at, business_day, sold_store_id AS store_id,
    CASE WHEN coalesce(product_type, kind, '') = 'stored_value' THEN 'stored_value' ELSE product_id END AS product_id,
    CASE WHEN coalesce(product_type, kind, '') = 'stored_value' THEN 'principal' ELSE 'paid' END AS part,
    CASE WHEN type = 'sold' THEN 'sold' ELSE 'opened' END AS movement,
    CASE WHEN coalesce(product_type, kind, '') = 'stored_value' THEN NULL ELSE CAST(units AS BIGINT) END AS units,
    CASE WHEN type = 'sold' THEN coalesce(paid_fen, 0) ELSE coalesce(carrying_fen, 0) END AS change_fen, 0 AS cash_fen,
    0 AS carrying_fen, order_id, entitlement_id, CAST(NULL AS INT) AS unit_ordinal, member_id,
    CAST(NULL AS VARCHAR) AS redeemed_store_id, reason,
    valid_until, CAST(NULL AS BIGINT) AS list_price_fen
FROM log.orders
WHERE type IN ('sold', 'opening_balance')
UNION ALL
SELECT
    source, event_id, occurred_at, business_day, sold_store_id AS store_id, 'stored_value' AS product_id,
    'principal' AS part, 'redeemed' AS movement, CAST(NULL AS BIGINT) AS units, -principal_fen AS change_fen, 0 AS cash_fen,
    0 AS carrying_fen, order_id, entitlement_id, CAST(NULL AS INT) AS unit_ordinal, member_id,
    sold_store_id AS redeemed_store_id, reason,
    arrow_cast(NULL, 'Timestamp(Microsecond, Some("UTC"))') AS valid_until, CAST(NULL AS BIGINT) AS list_price_fen
FROM log.orders
WHERE type = 'sold' AND principal_fen <> 0 AND coalesce(product_type, kind, '') <> 'stored_value'
UNION ALL
SELECT
    source, event_id, occurred_at, business_day, sold_store_id AS store_id, 'stored_value' AS product_id, 'bonus' AS part,
    CASE WHEN coalesce(product_type, kind, '') <> 'stored_value' THEN 'redeemed' WHEN type = 'sold' THEN 'sold'
        ELSE 'opened' END AS movement,
    CAST(NULL AS BIGINT) AS units,
    CASE WHEN coalesce(product_type, kind, '') = 'stored_value' THEN bonus_fen ELSE -bonus_fen END AS change_fen, 0 AS cash_fen,
    0 AS carrying_fen, order_id, entitlement_id, CAST(NULL AS INT) AS unit_ordinal, member_id,
    CASE WHEN coalesce(product_type, kind, '') <> 'stored_value' THEN sold_store_id END AS redeemed_store_id, reason,
    arrow_cast(NULL, 'Timestamp(Microsecond, Some("UTC"))') AS valid_until, CAST(NULL AS BIGINT) AS list_price_fen
FROM log.orders
WHERE type IN ('sold', 'opening_balance') AND bonus_fen <> 0
UNION ALL
-- A transfer has two legs, stored value with a bonus twice as many: 1 main, 2 its other end, 3 bonus, 4 its other end.
SELECT
    source, event_id, occurred_at, business_day,
    CASE WHEN leg IN (2, 4) THEN to_store_id WHEN movement = 'transferred' THEN coalesce(from_store_id, store_id)
        ELSE store_id END AS store_id,
    CASE WHEN wallet THEN 'stored_value' ELSE product_id END AS product_id,
    CASE WHEN leg > 2 THEN 'bonus' WHEN wallet THEN 'principal' ELSE 'paid' END AS part, movement,
    CASE WHEN wallet THEN NULL WHEN leg = 2 THEN units ELSE -units END AS units,
    CASE WHEN movement = 'expired_owed' THEN 0 WHEN leg = 1 THEN -carrying_fen WHEN leg = 2 THEN carrying_fen
        WHEN leg = 3 THEN -bonus_fen
        ELSE bonus_fen END AS change_fen,
    CASE WHEN leg = 1 THEN cash_fen ELSE 0 END AS cash_fen,
    CASE WHEN leg > 2 THEN bonus_fen ELSE carrying_fen END AS carrying_fen,
    order_id, entitlement_id, CAST(NULL AS INT) AS unit_ordinal, member_id, CAST(NULL AS VARCHAR) AS redeemed_store_id, reason,
    arrow_cast(NULL, 'Timestamp(Microsecond, Some("UTC"))') AS valid_until, CAST(NULL AS BIGINT) AS list_price_fen
FROM (
    SELECT
        *,
        unnest(CASE WHEN movement = 'transferred' AND wallet AND bonus_fen <> 0 THEN [1, 2, 3, 4]
            WHEN movement = 'transferred' THEN [1, 2]
            WHEN wallet AND bonus_fen <> 0 THEN [1, 3] ELSE [1] END) AS leg
    FROM ended_units
)
UNION ALL
SELECT
    r.source, r.event_id, r.occurred_at, r.business_day, coalesce(h.owing_store_id, r.sold_store_id) AS store_id,
    CASE WHEN r.product_type = 'stored_value' THEN 'stored_value' ELSE r.product_id END AS product_id,
    CASE WHEN r.product_type = 'stored_value' THEN 'principal' ELSE 'paid' END AS part, r.type AS movement,
    CASE WHEN r.product_type = 'stored_value' THEN NULL WHEN r.type = 'redeemed' THEN -1 ELSE 1 END AS units,
    CASE WHEN r.type = 'redeemed' THEN -r.value_fen ELSE r.value_fen END AS change_fen, 0 AS cash_fen, 0 AS carrying_fen,
    r.order_id, r.entitlement_id, r.unit_ordinal, r.member_id, r.redeemed_store_id, r.reason, r.valid_until,
    CASE WHEN r.type = 'redeemed' THEN 1 ELSE -1 END * coalesce(r.list_price_fen, r.value_fen) AS list_price_fen
-- The few transfers are the hashed side.
FROM handed AS h
RIGHT JOIN log.redemptions AS r ON h.entitlement_id = r.entitlement_id
    AND r.occurred_at >= h.from_at AND (h.until_at IS NULL OR r.occurred_at < h.until_at)
WHERE r.type IN ('redeemed', 'reversed')
UNION ALL
SELECT
    source, event_id, occurred_at, business_day, sold_store_id AS store_id, 'stored_value' AS product_id, 'bonus' AS part,
    type AS movement, CAST(NULL AS BIGINT) AS units, CASE WHEN type = 'redeemed' THEN -bonus_fen ELSE bonus_fen END AS change_fen,
    0 AS cash_fen, 0 AS carrying_fen, order_id, entitlement_id, unit_ordinal, member_id, redeemed_store_id, reason,
    arrow_cast(NULL, 'Timestamp(Microsecond, Some("UTC"))') AS valid_until, CAST(NULL AS BIGINT) AS list_price_fen
FROM log.redemptions
WHERE type IN ('redeemed', 'reversed') AND product_type = 'stored_value' AND bonus_fen <> 0
UNION ALL
SELECT
    a.source, a.event_id, a.occurred_at, a.business_day, coalesce(h.owing_store_id, a.sold_store_id) AS store_id,
    CASE WHEN a.wallet THEN 'stored_value' ELSE a.product_id END AS product_id,
    CASE WHEN a.wallet THEN 'principal' ELSE 'paid' END AS part, 'adjusted' AS movement,
    CASE WHEN a.wallet THEN NULL ELSE 0 END AS units, -a.value_fen AS change_fen, 0 AS cash_fen, 0 AS carrying_fen, a.order_id,
    a.entitlement_id, a.unit_ordinal, a.member_id, a.redeemed_store_id, a.reason,
    arrow_cast(NULL, 'Timestamp(Microsecond, Some("UTC"))') AS valid_until, CAST(NULL AS BIGINT) AS list_price_fen
FROM corrected AS a
LEFT JOIN handed AS h ON h.entitlement_id = a.entitlement_id
    AND a.occurred_at >= h.from_at AND (h.until_at IS NULL OR a.occurred_at < h.until_at)
