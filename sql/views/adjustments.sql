-- adjustments
-- Title: Corrections after the lock
-- Grain: adjustment of one redemption (R7).
-- value_fen is signed; the redemption it names, (source, original_event_id), never changes.
SELECT
    source, event_id, occurred_at, business_day, month,
    redemption_id, order_id, entitlement_id, unit_ordinal,
    sold_store_id, redeemed_store_id, product_id, product_type, member_id, clerk_id,
    value_fen, principal_fen, bonus_fen, points_fen, coupon_fen,
    original_event_id, original_redeemed_at, bearing_entity_id, reason,
    recorded_at, log_partition, log_offset
FROM log.redemptions
WHERE type = 'adjusted'
