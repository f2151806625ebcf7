-- stores_history
-- Title: Stores as they were
-- Grain: version of a store, in force during the half-open [effective_from, effective_until).
SELECT
    id AS store_id, name, region, city, city_tier, format, legal_entity_id, ownership, skills, lat, lon, time_zone,
    opened_on, closed_on, coalesce(day_start, 4) AS day_start_hour, min_technicians,
    coalesce(head_office, false) AS head_office, effective_from, effective_until, recorded_at
FROM catalog_history
WHERE kind = 'store'
