-- refusals
-- Title: Attempts that were turned down
-- Grain: attempt that was refused by a rule (refused) or found no free slot (slot_full).
SELECT * FROM log.refusals
