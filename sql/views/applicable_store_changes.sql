-- applicable_store_changes
-- Title: Stores that products gained and lost
-- Grain: product × change of its list × store that the change added or took away.
-- nth counts the product's changes in order of (effective_from, place in the log). known_from is when a change was both
--    entered and in effect: sales after it have it in their own list (R3). binds: it also changes orders sold before.
WITH versions AS (
    SELECT
        coalesce(product_id, id) AS product_id, effective_from,
        greatest(effective_from, occurred_at) AS known_from,
        CASE WHEN type = 'upserted' THEN store_ids END AS store_ids,
        coalesce(applies_to_sold, true) AS widens_sold,
        coalesce(reason, '') IN ('closed', 'cannot_serve') AS narrows_sold,
        CAST(row_number() OVER (
            PARTITION BY coalesce(product_id, id) ORDER BY effective_from, log_partition, log_offset
        ) AS BIGINT) AS nth
    FROM log.catalog
    WHERE kind = 'applicable_stores'
),
listed AS (
    SELECT DISTINCT product_id, nth, unnest(store_ids) AS store_id FROM versions
),
added AS (
    SELECT l.product_id, l.nth, l.store_id
    FROM listed AS l
    LEFT ANTI JOIN listed AS b ON b.product_id = l.product_id AND b.store_id = l.store_id AND b.nth + 1 = l.nth
),
removed AS (
    SELECT l.product_id, l.nth + 1 AS nth, l.store_id
    FROM listed AS l
    LEFT ANTI JOIN listed AS a ON a.product_id = l.product_id AND a.store_id = l.store_id AND a.nth = l.nth + 1
)
SELECT v.product_id, v.nth, v.effective_from, v.known_from, a.store_id, true AS added, v.widens_sold AS binds
FROM added AS a
JOIN versions AS v ON v.product_id = a.product_id AND v.nth = a.nth
UNION ALL
SELECT v.product_id, v.nth, v.effective_from, v.known_from, r.store_id, false AS added, v.narrows_sold AS binds
FROM removed AS r
JOIN versions AS v ON v.product_id = r.product_id AND v.nth = r.nth
