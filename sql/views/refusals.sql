-- refusals
-- Title: What was asked for and not given
-- Grain: attempt that was refused, or found no slot.
SELECT * FROM log.refusals
