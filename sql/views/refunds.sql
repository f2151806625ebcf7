-- refunds
-- Title: Refunds requested, withdrawn and paid
-- Grain: event of a refund; the units concerned by ordinal (R6).
SELECT
    source, event_id, type, occurred_at, business_day, month,
    order_id, entitlement_id, sold_store_id, product_id, member_id,
    unit_ordinals, CAST(cardinality(unit_ordinals) AS BIGINT) AS units,
    carrying_fen, cash_fen, bearing_entity_id, reason,
    recorded_at, log_partition, log_offset
FROM log.orders
WHERE type IN ('refund_requested', 'refund_withdrawn', 'refunded')
