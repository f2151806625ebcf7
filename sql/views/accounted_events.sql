-- accounted_events
-- Title: Orders and redemptions as the ledger's totals count them
-- Grain: event of orders or redemptions.
-- units and fen are what the event says, a reversal positive: of sales what was paid for the line, of expired, refunded and
--    transferred units their carrying value. `hexiao check` holds them against the ledger.
SELECT
    source, event_id, type, redeemed_store_id AS store_id, business_day, month, entitlement_id,
    CAST(1 AS BIGINT) AS units, coalesce(value_fen, 0) AS fen, log_offset
FROM log.redemptions
UNION ALL
SELECT
    source, event_id, type, sold_store_id AS store_id, business_day, month, entitlement_id,
    coalesce(CAST(units AS BIGINT), CAST(cardinality(unit_ordinals) AS BIGINT), 0) AS units,
    coalesce(paid_fen, carrying_fen, 0) AS fen, log_offset
FROM log.orders
