-- catalog_in_force
-- Title: The catalog as it is now
-- Grain: entry of the catalog (kind × id) in force now.
-- The last version by (effective_from, place in the log) that has taken effect; a removal ends the entry.
SELECT *
FROM (
    SELECT
        *,
        row_number() OVER (PARTITION BY kind, id ORDER BY effective_from DESC, log_partition DESC, log_offset DESC) AS nth
    FROM log.catalog
    WHERE effective_from <= now()
)
WHERE nth = 1 AND type = 'upserted'
