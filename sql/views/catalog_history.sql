-- catalog_history
-- Title: The catalog as it was
-- Grain: version of a catalog entry (kind × id), in force during the half-open [effective_from, effective_until).
-- effective_until is null for the last version. A version that another one of the same instant replaces is in force never
--    and left out; so are the gaps after removals.
SELECT *
FROM (
    SELECT
        *,
        lead(effective_from) OVER (PARTITION BY kind, id ORDER BY effective_from, log_partition, log_offset) AS effective_until
    FROM log.catalog
)
WHERE type = 'upserted' AND (effective_until IS NULL OR effective_until > effective_from)
