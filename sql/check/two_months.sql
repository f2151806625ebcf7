-- two_months
-- Grain: event of another source than the ledger's that stands in two business months: a copy is looked for in its own month.
-- Events of the ledger's own source that stand twice are found by its totals.
SELECT source, event_id, count(*) AS events, min(business_day) AS first_day, max(business_day) AS last_day
FROM accounted_events
WHERE source <> $source AND business_day BETWEEN $from AND $to AND ($store IS NULL OR store_id = $store)
GROUP BY source, event_id
HAVING min(month) <> max(month)
ORDER BY source, event_id
LIMIT 1000
