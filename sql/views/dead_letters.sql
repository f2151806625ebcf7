-- dead_letters
-- Title: Messages that could not be events
-- Grain: message of the log (R20), with its bytes, place and reason.
SELECT * FROM log.dead_letters
