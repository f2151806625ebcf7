-- orders
-- Title: Order lines and what became of them besides redemption
-- Grain: event of an order line: sold, refund_requested, refund_withdrawn, refunded, expired, transferred, opening_balance.
SELECT source, event_id, type, occurred_at, business_day, local_hour, weekday, utc_offset_min, recorded_at,
  order_id, entitlement_id, sold_store_id, product_id, product_version, product_type, kind, units, paid_fen, principal_fen,
  bonus_fen, points_fen, coupon_fen, list_price_fen, vat_rate_bp, seller_id, member_id, technician_id, clerk_id, service_start_at,
  service_minutes, valid_from, valid_until, applicable_store_ids, channel, unit_ordinals, carrying_fen, cash_fen,
  bearing_entity_id, from_member_id, to_member_id, from_store_id, to_store_id, reason, head_office_product, blackouts, month,
  log_partition, log_offset
FROM log.orders
