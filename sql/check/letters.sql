-- letters
-- Grain: the number of dead letters of one source.
SELECT count(*) AS events FROM log.dead_letters WHERE source = $source
