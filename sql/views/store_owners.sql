-- store_owners
-- Title: Who stores belonged to, and when
-- Grain: store × time without a change of its entry, half-open [from_at, until_at).
-- What was said first counts from the beginning, what was said last for ever, also after the entry was removed: what a store
--    owes and is owed does not end with it. A store without a legal entity is a party of its own, by its own id.
SELECT
    store_id, coalesce(legal_entity_id, store_id) AS entity_id, head_office, time_zone, day_start_hour,
    CASE
        WHEN row_number() OVER store = 1 THEN arrow_cast('2000-01-01T00:00:00Z', 'Timestamp(Microsecond, Some("UTC"))')
        ELSE effective_from
    END AS from_at,
    coalesce(lead(effective_from) OVER store, arrow_cast('2200-01-01T00:00:00Z', 'Timestamp(Microsecond, Some("UTC"))'))
        AS until_at
FROM stores_history
WINDOW store AS (PARTITION BY store_id ORDER BY effective_from)
