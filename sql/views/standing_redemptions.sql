-- standing_redemptions
-- Title: Redemptions that stand
-- Grain: unit redeemed and not taken back since, at its original day and hour (R7: activity).
-- The few reversals are the hashed side of the join, whatever the planner thinks of their number.
SELECT
    e.source, e.event_id, e.occurred_at, e.business_day, e.local_hour, e.weekday, e.month, e.utc_offset_min,
    e.redemption_id, e.order_id, e.entitlement_id, e.unit_ordinal,
    e.sold_store_id, e.booked_store_id, e.redeemed_store_id,
    e.product_id, e.product_version, e.product_type, e.skill,
    e.member_id, e.clerk_id, e.seller_id, e.technician_id,
    e.remaining_before, e.remaining_after, e.valid_until,
    e.value_fen, e.principal_fen, e.bonus_fen, e.points_fen, e.coupon_fen,
    e.vat_rate_bp, e.list_price_fen, e.sold_at, e.service_start_at, e.service_minutes, e.channel,
    e.recorded_at, e.log_partition, e.log_offset
FROM (SELECT source, original_event_id FROM log.redemptions WHERE type = 'reversed') AS r
RIGHT ANTI JOIN (SELECT * FROM log.redemptions WHERE type = 'redeemed') AS e
    ON r.original_event_id = e.event_id AND r.source = e.source
