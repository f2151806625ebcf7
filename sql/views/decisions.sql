-- decisions
-- Title: What people decided
-- Grain: decision about a period, a recommendation or a schedule.
SELECT * FROM log.decisions
