-- Key: period, owing_entity_id, owing_store_id, owed_entity_id, owed_store_id
-- Case:
-- Case: from=first to=today
-- Case: from=first to=today per=total
-- Case: from=today-100 to=today-35 by=entity
-- Case: from=today-400 to=today by=entity per=total
-- Case: from=today-90 to=today-10 store=S001
WITH pieces AS (
    SELECT *, CASE WHEN $per = 'total' THEN $from ELSE date_trunc('month', settled_on)::DATE END AS period,
        CASE WHEN $by = 'store' THEN owing_store END AS left_store, CASE WHEN $by = 'store' THEN owed_store END AS right_store
    FROM settling
    WHERE settled_on BETWEEN $from AND $to AND ($store IS NULL OR owing_store = $store OR owed_store = $store)
), one_way AS (
    SELECT period, owing_entity, left_store, owed_entity, right_store, sum(CASE WHEN adjusted THEN 0 ELSE sign END) AS units,
        sum(CASE WHEN adjusted THEN 0 ELSE sign * v END) AS value_fen, coalesce(sum(t), 0) AS t, coalesce(sum(fee), 0) AS fee,
        coalesce(sum(t) FILTER (adjusted), 0) AS adjusted_fen,
        coalesce(sum(sign) FILTER (late AND NOT adjusted), 0) AS late_units, coalesce(sum(t) FILTER (late), 0) AS late_fen,
        coalesce(sum(sign) FILTER (NOT adjusted AND sign * t > v), 0) AS above_value, coalesce(sum(sign) FILTER (no_rule), 0) AS no_rule
    FROM pieces GROUP BY ALL
), pairs AS (
    SELECT period, owing_entity, left_store, owed_entity, right_store FROM one_way
    UNION
    SELECT period, owed_entity, right_store, owing_entity, left_store FROM one_way
)
SELECT p.period, greatest(p.period, $from) AS first_on,
    CASE WHEN $per = 'total' THEN $to ELSE least(last_day(p.period), $to) END AS last_on,
    p.owing_entity AS owing_entity_id, p.left_store AS owing_store_id, p.owed_entity AS owed_entity_id, p.right_store AS owed_store_id,
    p.owing_entity = p.owed_entity AS same_entity,
    coalesce(a.units, 0) AS units, coalesce(a.value_fen, 0) AS value_fen, coalesce(a.t, 0) AS transfer_fen, coalesce(b.t, 0) AS transfer_back_fen,
    coalesce(a.t, 0) - coalesce(b.t, 0) AS net_fen, coalesce(a.fee, 0) AS fee_fen, coalesce(a.t, 0) - coalesce(a.fee, 0) AS payout_fen,
    coalesce(a.adjusted_fen, 0) AS adjusted_fen, coalesce(a.late_units, 0) AS late_units, coalesce(a.late_fen, 0) AS late_transfer_fen,
    coalesce(a.above_value, 0) AS above_value_units, coalesce(a.no_rule, 0) AS no_rule_units
FROM pairs AS p
LEFT JOIN one_way AS a ON a.period = p.period AND a.owing_entity = p.owing_entity AND a.owed_entity = p.owed_entity
    AND a.left_store IS NOT DISTINCT FROM p.left_store AND a.right_store IS NOT DISTINCT FROM p.right_store
LEFT JOIN one_way AS b ON b.period = p.period AND b.owing_entity = p.owed_entity AND b.owed_entity = p.owing_entity
    AND b.left_store IS NOT DISTINCT FROM p.right_store AND b.right_store IS NOT DISTINCT FROM p.left_store
