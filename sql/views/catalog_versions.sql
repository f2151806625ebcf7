-- catalog_versions
-- Title: Every version of every catalog entry
-- Grain: version of a catalog entry (kind, id).
-- A version holds from `effective_from` until `effective_until`, which is exclusive and null for the last one. Of two that
-- start at the same instant the one later in the log holds.
SELECT *
FROM (
  SELECT *, lead(effective_from) OVER (PARTITION BY kind, id ORDER BY effective_from, log_partition, log_offset) AS effective_until
  FROM log.catalog
) AS versions
WHERE effective_until IS NULL OR effective_until > effective_from
