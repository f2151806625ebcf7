-- redemption_records
-- Title: Redemption records
-- Title zh: 核销记录
-- Grain: one unit redeemed, given back or corrected, in the order it happened.
-- Roles: head_office, store by $store, clerk by $store
-- Param order_id: int = none. Only this order.
-- Param entitlement_id: int = none. Only this entitlement.
-- Param member_id: int = none. Only this member.
-- Param store: text = none. Only what this store redeemed.
-- Param clerk: text = none. Only what this clerk redeemed.
-- Param from: day = none. First business day, inclusive.
-- Param to: day = none. Last business day, inclusive.
-- Param limit: int = 1000. At most so many of the latest rows; none are left out up to 1000.
-- Key: source, event_id
-- Additive: units, value_fen
-- Answers "I used it once and was charged twice": every redemption with time, store, clerk, and the units before and after.
-- `reversed_at` is when the unit was given back, on the redemption's own row; the reversal is a row as well.
WITH records AS (
  SELECT *
  FROM log.redemptions
  WHERE ($order_id IS NULL OR order_id = $order_id)
    AND ($entitlement_id IS NULL OR entitlement_id = $entitlement_id)
    AND ($member_id IS NULL OR member_id = $member_id)
    AND ($store IS NULL OR redeemed_store_id = $store)
    AND ($clerk IS NULL OR clerk_id = $clerk)
    AND ($from IS NULL OR business_day >= $from)
    AND ($to IS NULL OR business_day <= $to)
  ORDER BY occurred_at DESC, log_partition DESC, log_offset DESC
  LIMIT $limit
), reversed AS (
  SELECT source, original_event_id, max(occurred_at) AS reversed_at
  FROM log.redemptions
  WHERE type = 'reversed'
    AND ($order_id IS NULL OR order_id = $order_id)
    AND ($entitlement_id IS NULL OR entitlement_id = $entitlement_id)
    AND ($member_id IS NULL OR member_id = $member_id)
    AND ($from IS NULL OR business_day >= $from)
  GROUP BY source, original_event_id
)
SELECT r.occurred_at, r.business_day, r.local_hour, r.type, r.order_id, r.entitlement_id, r.unit_ordinal, r.product_id,
  p.name AS product_name, r.redeemed_store_id, s.name AS redeemed_store_name, r.sold_store_id, r.booked_store_id, r.clerk_id,
  r.technician_id, r.member_id, r.remaining_before, r.remaining_after, r.valid_until,
  CASE r.type WHEN 'redeemed' THEN 1 WHEN 'reversed' THEN -1 ELSE 0 END AS units,
  CASE r.type WHEN 'reversed' THEN -r.value_fen ELSE r.value_fen END AS value_fen,
  r.channel, v.reversed_at, r.original_event_id, r.reason, r.redemption_id, r.source, r.event_id
FROM records AS r
LEFT JOIN reversed AS v ON v.original_event_id = r.event_id AND v.source = r.source AND r.type = 'redeemed'
LEFT JOIN stores AS s ON s.store_id = r.redeemed_store_id
LEFT JOIN products AS p ON p.product_id = r.product_id
ORDER BY r.occurred_at, r.log_partition, r.log_offset
