-- reversals
-- Title: Redemptions that were taken back
-- Grain: reversed redemption, named by (source, original_event_id).
-- A unit is given back at most once (R7); a producer's second reversal of the same redemption adds no row.
SELECT
    source, original_event_id,
    min(occurred_at) AS reversed_at,
    min(business_day) AS reversed_on,
    min(original_redeemed_at) AS redeemed_at
FROM log.redemptions
WHERE type = 'reversed'
GROUP BY source, original_event_id
