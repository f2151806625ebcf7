-- entitlements
-- Title: What members bought and what is left of it
-- Grain: entitlement (order line).
-- `available_units` is R4's: sold - redeemed + reversed - held - refunded - expired. Whether time has run out says
-- `valid_until`, which first use may have set (R5). `last_change_on` is the last business day on which units were taken or
-- given back.
WITH used AS (
  SELECT entitlement_id, sum(CASE type WHEN 'reversed' THEN -1 ELSE 1 END) AS units, max(valid_until) AS valid_until,
    max(business_day) AS last_on, max(occurred_at) AS last_redeemed_at,
    sum(CASE WHEN type = 'redeemed' AND booked_store_id IS NOT NULL THEN 1 ELSE 0 END) AS bookings_used
  FROM log.redemptions
  WHERE type IN ('redeemed', 'reversed') AND entitlement_id IS NOT NULL
  GROUP BY entitlement_id
), changed AS (
  SELECT entitlement_id,
    sum(CASE type WHEN 'refunded' THEN cardinality(unit_ordinals) ELSE 0 END) AS refunded,
    sum(CASE type WHEN 'expired' THEN cardinality(unit_ordinals) ELSE 0 END) AS expired,
    sum(CASE type WHEN 'refund_requested' THEN 1 WHEN 'refund_withdrawn' THEN -1 WHEN 'refunded' THEN -1 ELSE 0 END) AS requests,
    max(CASE WHEN type IN ('refunded', 'expired') THEN business_day END) AS last_on,
    last_value(to_member_id ORDER BY occurred_at, log_partition, log_offset) FILTER (WHERE type = 'transferred') AS to_member_id
  FROM log.orders
  WHERE type IN ('refunded', 'expired', 'transferred', 'refund_requested', 'refund_withdrawn') AND entitlement_id IS NOT NULL
  GROUP BY entitlement_id
), booked AS (
  SELECT entitlement_id, sum(CASE type WHEN 'booked' THEN 1 WHEN 'switched' THEN 0 ELSE -1 END) AS bookings
  FROM log.bookings
  WHERE entitlement_id IS NOT NULL
  GROUP BY entitlement_id
)
SELECT s.entitlement_id, s.order_id, s.sold_store_id, s.product_id, s.product_type, s.kind, s.units,
  coalesce(s.paid_fen, s.carrying_fen) AS paid_fen, coalesce(c.to_member_id, s.member_id) AS member_id, s.occurred_at AS sold_at,
  s.business_day AS sold_on, s.valid_from, coalesce(u.valid_until, s.valid_until) AS valid_until, s.applicable_store_ids,
  s.head_office_product,
  coalesce(u.units, 0) AS redeemed_units, coalesce(c.refunded, 0) AS refunded_units, coalesce(c.expired, 0) AS expired_units,
  greatest(coalesce(b.bookings, 0) - coalesce(u.bookings_used, 0), 0) AS held_units, coalesce(c.requests, 0) > 0 AS refund_open,
  s.units - coalesce(u.units, 0) - coalesce(c.refunded, 0) - coalesce(c.expired, 0)
    - greatest(coalesce(b.bookings, 0) - coalesce(u.bookings_used, 0), 0) AS available_units,
  u.last_redeemed_at, greatest(u.last_on, c.last_on) AS last_change_on
FROM log.orders AS s
LEFT JOIN used AS u ON u.entitlement_id = s.entitlement_id
LEFT JOIN changed AS c ON c.entitlement_id = s.entitlement_id
LEFT JOIN booked AS b ON b.entitlement_id = s.entitlement_id
WHERE s.type IN ('sold', 'opening_balance') AND s.entitlement_id IS NOT NULL
