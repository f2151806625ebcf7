-- decisions
-- Title: Periods, recommendations and schedules
-- Grain: decision.
SELECT * FROM log.decisions
