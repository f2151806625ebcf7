-- Key: period, entity_id, store_id
-- Case:
-- Case: from=first to=today
-- Case: from=first to=today per=total
-- Case: from=today-90 to=today-10 store=S001
-- Case: from=today-120 to=today entity=E-华东
WITH pieces AS (
    SELECT *, CASE WHEN $per = 'total' THEN $from ELSE date_trunc('month', settled_on)::DATE END AS period FROM settling WHERE settled_on BETWEEN $from AND $to
), sides AS (
    -- The side that owes, the side that receives, and head office's fee.
    SELECT period, owing_entity AS entity, owing_store AS store, CASE WHEN adjusted THEN 0 ELSE sign END AS sold, 0 AS served, coalesce(t, 0) AS owed, 0 AS receivable, 0 AS fee, 0 AS received,
        late, adjusted, no_rule, sign FROM pieces
    UNION ALL
    SELECT period, owed_entity, owed_store, 0, CASE WHEN adjusted THEN 0 ELSE sign END, 0, coalesce(t, 0), coalesce(fee, 0), 0, late, adjusted, no_rule, sign FROM pieces
    UNION ALL
    SELECT p.period, h.entity_id, h.store_id, 0, 0, 0, 0, 0, coalesce(fee, 0), late, adjusted, false, sign FROM pieces AS p, (FROM stores WHERE head_office) AS h WHERE fee <> 0
), lines AS (
    SELECT period, entity, store, sum(sold) AS sold_units, sum(owed) AS owed_fen, sum(served) AS served_units, sum(receivable) AS receivable_fen, sum(fee) AS fee_fen,
        sum(received) AS fee_received_fen, sum(receivable - owed - fee + received) AS net_fen,
        coalesce(sum(sold + served) FILTER (late), 0) AS late_units, coalesce(sum(receivable - owed - fee + received) FILTER (late), 0) AS late_net_fen,
        coalesce(sum(receivable - owed - fee + received) FILTER (adjusted), 0) AS adjusted_net_fen, coalesce(sum(sign) FILTER (no_rule), 0) AS no_rule_units
    FROM sides GROUP BY ALL
), decided AS (
    SELECT l.period, l.entity, l.store, d.type, d.recorded_at, d.log_partition, d.log_offset
    FROM lines AS l JOIN decisions AS d ON d.type IN ('period_drafted', 'period_confirmed', 'period_disputed', 'period_locked')
        AND last_day(l.period) BETWEEN d.period_from AND d.period_to
        AND CASE WHEN d.store_id IS NOT NULL THEN d.store_id = l.store WHEN d.entity_id IS NOT NULL THEN d.entity_id = l.entity ELSE true END
    WHERE $per = 'month'
), states AS (
    SELECT period, entity, store,
        CASE WHEN bool_or(type = 'period_locked') THEN 'locked' ELSE replace(replace(arg_max(type, (log_partition, log_offset)), 'period_', ''), 'drafted', 'draft') END AS state,
        min(recorded_at) FILTER (type = 'period_locked') AS locked_at
    FROM decided GROUP BY ALL
)
SELECT l.period, greatest(l.period, $from) AS first_on, CASE WHEN $per = 'total' THEN $to ELSE least(last_day(l.period), $to) END AS last_on,
    l.entity AS entity_id, l.store AS store_id, n.name AS store_name, sold_units, owed_fen, served_units, receivable_fen, fee_fen, fee_received_fen, net_fen,
    late_units, late_net_fen, adjusted_net_fen, no_rule_units, CASE WHEN $per = 'month' THEN coalesce(s.state, 'open') END AS state, s.locked_at
FROM lines AS l
LEFT JOIN states AS s ON s.period = l.period AND s.entity = l.entity AND s.store IS NOT DISTINCT FROM l.store
LEFT JOIN stores AS n ON n.store_id = l.store
WHERE ($store IS NULL OR l.store = $store) AND ($entity IS NULL OR l.entity = $entity)
