-- cross_store
-- Title: The cross-store switch over time
-- Grain: version of the switch (R3); `effective_until` is exclusive, null for the last one.
SELECT enabled, effective_from, effective_until
FROM catalog_versions
WHERE kind = 'cross_store' AND type = 'upserted'
