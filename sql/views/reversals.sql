-- reversals
-- Title: Reversals with the redemption they give back
-- Grain: one unit given back; the business time is the original's, `reversed_at` and `reversed_on` are the reversal's own.
-- The few reversals are the side that is held in memory, so they stand first.
SELECT v.source, v.event_id, o.event_id AS original_event_id, v.occurred_at AS reversed_at, v.business_day AS reversed_on,
  o.occurred_at, o.business_day, o.local_hour, o.weekday, o.month, o.sold_store_id, o.redeemed_store_id, o.product_id, o.member_id,
  o.order_id, o.entitlement_id, o.unit_ordinal, o.value_fen
FROM (
  SELECT source, event_id, original_event_id, occurred_at, business_day
  FROM log.redemptions
  WHERE type = 'reversed'
) AS v
JOIN (SELECT * FROM log.redemptions WHERE type = 'redeemed') AS o
  ON o.event_id = v.original_event_id AND o.source = v.source
