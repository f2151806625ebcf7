-- sales
-- Title: Order lines sold
-- Grain: order line sold.
SELECT
    source, event_id, occurred_at, business_day, local_hour, weekday, month,
    order_id, entitlement_id, sold_store_id,
    product_id, product_version, product_type, kind, units,
    paid_fen, principal_fen, bonus_fen, points_fen, coupon_fen, list_price_fen, vat_rate_bp,
    seller_id, member_id, technician_id, clerk_id, service_start_at, service_minutes,
    valid_from, valid_until, applicable_store_ids, head_office_product, channel,
    recorded_at, log_partition, log_offset
FROM log.orders
WHERE type = 'sold'
