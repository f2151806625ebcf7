-- catalog_current
-- Title: The catalog as it is now
-- Grain: catalog entry (kind, id) that exists now.
SELECT *
FROM catalog_versions
WHERE type = 'upserted' AND effective_from <= now() AND (effective_until IS NULL OR effective_until > now())
