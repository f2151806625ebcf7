-- stores
-- Title: Stores as they are now
-- Grain: store.
-- today is the store's business day now.
SELECT
    id AS store_id, name, region, city, city_tier, format, legal_entity_id, ownership, skills, lat, lon, time_zone,
    opened_on, closed_on, coalesce(day_start, 4) AS day_start_hour, min_technicians,
    coalesce(head_office, false) AS head_office,
    business_day(arrow_cast(now(), 'Timestamp(Microsecond, Some("UTC"))'), time_zone, CAST(coalesce(day_start, 4) AS BIGINT)) AS today,
    effective_from
FROM catalog_in_force
WHERE kind = 'store'
