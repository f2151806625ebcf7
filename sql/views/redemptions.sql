-- redemptions
-- Title: Units redeemed and taken back
-- Grain: unit redeemed (units 1) or reversed (units −1, value negative), at the time it happened.
-- Sums of units and value_fen are what money follows: a reversal counts in the period in which it happens (R7). Activity
--    leaves a reversed redemption out where it was: see standing_redemptions. Corrections after the lock: adjustments.
SELECT
    source, event_id, type, occurred_at, business_day, local_hour, weekday, month, utc_offset_min,
    redemption_id, order_id, entitlement_id, unit_ordinal,
    sold_store_id, booked_store_id, redeemed_store_id,
    product_id, product_version, product_type, skill,
    member_id, clerk_id, seller_id, technician_id,
    remaining_before, remaining_after, valid_until,
    CASE WHEN type = 'reversed' THEN -1 ELSE 1 END AS units,
    CASE WHEN type = 'reversed' THEN -value_fen ELSE value_fen END AS value_fen,
    CASE WHEN type = 'reversed' THEN -principal_fen ELSE principal_fen END AS principal_fen,
    CASE WHEN type = 'reversed' THEN -bonus_fen ELSE bonus_fen END AS bonus_fen,
    CASE WHEN type = 'reversed' THEN -points_fen ELSE points_fen END AS points_fen,
    CASE WHEN type = 'reversed' THEN -coupon_fen ELSE coupon_fen END AS coupon_fen,
    vat_rate_bp, list_price_fen, sold_at, service_start_at, service_minutes, channel,
    original_event_id, original_redeemed_at, reason,
    recorded_at, log_partition, log_offset
FROM log.redemptions
WHERE type IN ('redeemed', 'reversed')
