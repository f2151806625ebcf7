-- service_demand
-- Title: Minutes of service that were asked for, by the hours they occupy
-- Grain: service × local hour that it occupies (R15).
-- kind: redeemed (stands), paid (a service sold and served at once, without a card) or unmet. business_day is the day of the
--    service; hours after midnight are 0, 1, …. Skill and minutes are the event's own, else the product's; what has no
--    minutes is no demand on anybody's time.
-- unmet: refused as not applicable here or sold only elsewhere, or found no free slot: once per member, product, store and
--    day of the wish, and not at all if the member was served there that day (goods are no service). Somebody unknown counts by the card, else by
--    the attempt.
-- A filter on business_day reaches the tables, so that a report reads its own weeks only.
WITH piece AS (
    SELECT
        redeemed_store_id AS store_id, business_day, 'redeemed' AS kind, product_id, skill,
        CAST(coalesce(service_start_at, occurred_at) AS BIGINT) / 60000000 + utc_offset_min AS start_minute, service_minutes
    FROM standing_redemptions
    UNION ALL
    SELECT
        sold_store_id, business_day, 'paid', product_id, NULL,
        CAST(service_start_at AS BIGINT) / 60000000 + utc_offset_min, service_minutes
    FROM log.orders
    WHERE type = 'sold' AND service_start_at IS NOT NULL
    UNION ALL
    SELECT r.store_id, r.wished_on, 'unmet', r.product_id, NULL, r.start_minute, r.service_minutes
    FROM (
        SELECT
            store_id, wished_on, product_id, member_id, min(start_minute) AS start_minute, max(service_minutes) AS service_minutes
        FROM (
            SELECT
                f.store_id, f.product_id, f.member_id,
                CASE WHEN f.member_id IS NULL THEN coalesce(f.entitlement_id, f.event_id) END AS unknown_id,
                CAST(CAST((f.start_minute - coalesce(s.day_start_hour, 4) * 60) / 1440 AS INT) AS DATE) AS wished_on,
                f.start_minute, f.service_minutes
            FROM (
                SELECT *, CAST(coalesce(wished_start_at, occurred_at) AS BIGINT) / 60000000 + utc_offset_min AS start_minute
                FROM log.refusals
                WHERE type = 'slot_full' OR reason IN ('store_not_applicable', 'sold_store_only')
            ) AS f
            LEFT JOIN stores AS s ON s.store_id = f.store_id
        )
        GROUP BY store_id, wished_on, product_id, member_id, unknown_id
    ) AS r
    LEFT ANTI JOIN (
        SELECT redeemed_store_id AS store_id, business_day, member_id
        FROM standing_redemptions
        WHERE coalesce(product_type, '') <> 'goods'
        UNION ALL
        SELECT sold_store_id, business_day, member_id FROM log.orders WHERE type = 'sold' AND service_start_at IS NOT NULL
    ) AS e ON e.store_id = r.store_id AND e.business_day = r.wished_on AND e.member_id = r.member_id
)
SELECT
    store_id, business_day, kind, product_id, skill, hour_no % 24 AS hour,
    least(end_minute, hour_no * 60 + 60) - greatest(start_minute, hour_no * 60) AS minutes
FROM (
    SELECT
        store_id, business_day, kind, product_id, skill, start_minute, end_minute,
        unnest(generate_series(start_minute / 60, (end_minute - 1) / 60)) AS hour_no
    FROM (
        SELECT
            p.store_id, p.business_day, p.kind, p.product_id, coalesce(p.skill, q.skill) AS skill,
            p.start_minute, p.start_minute + coalesce(p.service_minutes, q.service_minutes) AS end_minute
        FROM piece AS p
        LEFT JOIN products AS q ON q.product_id = p.product_id
        WHERE coalesce(p.service_minutes, q.service_minutes) > 0
    )
)
