-- activity
-- Title: What happened when, reversed redemptions left out (R7)
-- Grain: one unit redeemed (units 1), and one row of units -1 at the same business day and hour for each that was reversed.
-- For sums: they come out as over `standing_redemptions`, for less, because only the reversals have to find their original.
SELECT business_day, month, local_hour, weekday, sold_store_id, redeemed_store_id, product_id, member_id, entitlement_id,
  1 AS units, value_fen
FROM log.redemptions
WHERE type = 'redeemed'
UNION ALL
SELECT business_day, month, local_hour, weekday, sold_store_id, redeemed_store_id, product_id, member_id, entitlement_id,
  -1 AS units, -value_fen AS value_fen
FROM reversals
