-- redemptions
-- Title: Redemptions and their reversals
-- Grain: one unit redeemed (units 1) or given back (units -1, amounts negative).
-- This is the money's view (R7): a reversal counts when it happened. Figures of activity leave a reversed redemption out at
-- its own day: see `activity` and `standing_redemptions`. A reversal's original is (source, original_event_id).
SELECT source, event_id, type, occurred_at, business_day, local_hour, weekday, utc_offset_min, recorded_at,
  redemption_id, order_id, entitlement_id, unit_ordinal, sold_store_id, booked_store_id, redeemed_store_id, product_id,
  product_version, product_type, skill, member_id, clerk_id, seller_id, technician_id, remaining_before, remaining_after,
  valid_until,
  CASE type WHEN 'reversed' THEN -1 ELSE 1 END AS units,
  CASE type WHEN 'reversed' THEN -value_fen ELSE value_fen END AS value_fen,
  CASE type WHEN 'reversed' THEN -principal_fen ELSE principal_fen END AS principal_fen,
  CASE type WHEN 'reversed' THEN -bonus_fen ELSE bonus_fen END AS bonus_fen,
  CASE type WHEN 'reversed' THEN -points_fen ELSE points_fen END AS points_fen,
  CASE type WHEN 'reversed' THEN -coupon_fen ELSE coupon_fen END AS coupon_fen,
  vat_rate_bp, list_price_fen, sold_at, service_start_at, service_minutes, channel, original_event_id, original_redeemed_at,
  reason, month, log_partition, log_offset
FROM log.redemptions
WHERE type IN ('redeemed', 'reversed')
