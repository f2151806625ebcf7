-- redemption_entries
-- Title: Units redeemed, taken back and corrected
-- Grain: unit redeemed (sign 1), reversed (sign −1) or adjusted (sign 1, amounts signed), at the time it happened.
-- What a reversal takes back is what its original says, to the fen (R7): stores, people, product and amounts of a reversal are
--    the original's, and priced_at, the instant whose rules hold, is the original's time. Amounts of a reversal stay positive.
--    An adjustment has its own amounts; what it leaves out of stores, people and product is its original's.
-- An original that is not there: the reversal's own fields stand for it, and original_known is false.
SELECT
    source, event_id, type, occurred_at, business_day, month, recorded_at, log_partition, log_offset,
    1 AS sign, occurred_at AS priced_at, CAST(NULL AS BIGINT) AS original_event_id, true AS original_known,
    redemption_id, order_id, entitlement_id, unit_ordinal,
    sold_store_id, redeemed_store_id, product_id, product_version, product_type, clerk_id, seller_id, technician_id,
    value_fen, principal_fen, bonus_fen, points_fen, coupon_fen, vat_rate_bp, list_price_fen,
    bearing_entity_id, reason
FROM log.redemptions
WHERE type = 'redeemed'
UNION ALL
SELECT
    r.source, r.event_id, r.type, r.occurred_at, r.business_day, r.month, r.recorded_at, r.log_partition, r.log_offset,
    CASE WHEN r.type = 'reversed' THEN -1 ELSE 1 END AS sign,
    coalesce(o.occurred_at, r.original_redeemed_at, r.occurred_at) AS priced_at,
    r.original_event_id, o.event_id IS NOT NULL AS original_known,
    coalesce(r.redemption_id, o.redemption_id) AS redemption_id, coalesce(o.order_id, r.order_id) AS order_id,
    coalesce(o.entitlement_id, r.entitlement_id) AS entitlement_id, coalesce(o.unit_ordinal, r.unit_ordinal) AS unit_ordinal,
    coalesce(o.sold_store_id, r.sold_store_id) AS sold_store_id,
    coalesce(o.redeemed_store_id, r.redeemed_store_id) AS redeemed_store_id,
    coalesce(o.product_id, r.product_id) AS product_id, coalesce(o.product_version, r.product_version) AS product_version,
    coalesce(o.product_type, r.product_type) AS product_type, r.clerk_id,
    coalesce(o.seller_id, r.seller_id) AS seller_id, coalesce(o.technician_id, r.technician_id) AS technician_id,
    CASE WHEN o.event_id IS NULL OR r.type = 'adjusted' THEN r.value_fen ELSE o.value_fen END AS value_fen,
    CASE WHEN o.event_id IS NULL OR r.type = 'adjusted' THEN r.principal_fen ELSE o.principal_fen END AS principal_fen,
    CASE WHEN o.event_id IS NULL OR r.type = 'adjusted' THEN r.bonus_fen ELSE o.bonus_fen END AS bonus_fen,
    CASE WHEN o.event_id IS NULL OR r.type = 'adjusted' THEN r.points_fen ELSE o.points_fen END AS points_fen,
    CASE WHEN o.event_id IS NULL OR r.type = 'adjusted' THEN r.coupon_fen ELSE o.coupon_fen END AS coupon_fen,
    coalesce(o.vat_rate_bp, r.vat_rate_bp) AS vat_rate_bp,
    CASE WHEN o.event_id IS NULL THEN r.list_price_fen ELSE o.list_price_fen END AS list_price_fen,
    r.bearing_entity_id, r.reason
FROM (SELECT * FROM log.redemptions WHERE type IN ('reversed', 'adjusted')) AS r
LEFT JOIN (SELECT * FROM log.redemptions WHERE type = 'redeemed') AS o
    ON o.event_id = r.original_event_id AND o.source = r.source
