-- standing_redemptions
-- Title: Redemptions that were not reversed
-- Grain: one unit redeemed and not given back since (R7, activity).
-- The few reversals are the side that is held in memory, so they stand first.
SELECT r.*
FROM (SELECT source, original_event_id FROM log.redemptions WHERE type = 'reversed') AS v
RIGHT ANTI JOIN (SELECT * FROM redemptions WHERE type = 'redeemed') AS r
  ON r.event_id = v.original_event_id AND r.source = v.source
