-- settlement
-- Title: Settlement between stores
-- Title zh: 门店结算
-- Grain: settlement period × who owes × who is owed, as stores or as legal entities.
-- Roles: head_office, store by $store
-- Param from: day = today-30. First business day on which it settles, inclusive.
-- Param to: day = today. Last business day on which it settles, inclusive.
-- Param per: month|total = month. How long a row's period is.
-- Param by: store|entity = store. What a pair is of.
-- Param store: text = none. Only what this store owes or is owed.
-- Key: period, owing_entity_id, owing_store_id, owed_entity_id, owed_store_id
-- Additive: units, value_fen, transfer_fen, fee_fen, adjusted_fen, late_units, late_transfer_fen, above_value_units, no_rule_units
-- Heading transfer_fen: owed from left to right (T)
-- Heading net_fen: owed from left to right less owed back
-- Heading fee_fen: head office's part of T
-- Heading payout_fen: paid out to who is owed
-- Formula net_fen: transfer_fen - transfer_back_fen
-- Formula payout_fen: transfer_fen - fee_fen
-- Drill transfer_fen: settlement_redemptions owing_entity=owing_entity_id, owing=owing_store_id,
--    owed_entity=owed_entity_id, owed=owed_store_id, from=first_on, to=last_on
-- Drill late_transfer_fen: settlement_redemptions owing_entity=owing_entity_id, owing=owing_store_id,
--    owed_entity=owed_entity_id, owed=owed_store_id, only='late', from=first_on, to=last_on
-- Chart: bars owing_store_id transfer_fen
-- The seller owes the server T for each unit redeemed there (settlement_redemptions says how each came about). transfer_fen is
--    what the left one owes the right one, transfer_back_fen the other way round, net_fen the difference: the two rows of a pair
--    have the same net with opposite signs. A pair stands here both ways, also where only one owes.
-- units are those redeemed less those reversed, value_fen their V; adjusted_fen is the part of transfer_fen that adjustments
--    moved. fee_fen goes from who is owed to head office. Stores of one legal entity are shown and owe each other 0. T of units
--    without a rule is not in the sums: no_rule_units counts them.
-- A unit settles in the month of settlement_redemptions' settled_on; period is its first day, or $from of the total, first_on and
--    last_on the days of it that from and to leave. late_… is the part that belongs to days locked before it was recorded.
WITH flow AS MATERIALIZED (
    SELECT
        CASE WHEN $per = 'month' THEN CAST(date_trunc('month', settled_on) AS DATE) ELSE $from END AS period,
        owing_entity_id, owing_store_id, owed_entity_id, owed_store_id,
        sum(units) AS units, sum(CASE WHEN type = 'adjusted' THEN 0 ELSE value_fen END) AS value_fen,
        coalesce(sum(transfer_fen), 0) AS transfer_fen, coalesce(sum(fee_fen), 0) AS fee_fen,
        sum(CASE WHEN type = 'adjusted' THEN transfer_fen ELSE 0 END) AS adjusted_fen,
        sum(CASE WHEN late THEN units ELSE 0 END) AS late_units,
        coalesce(sum(CASE WHEN late THEN transfer_fen ELSE 0 END), 0) AS late_transfer_fen,
        sum(CASE WHEN above_value THEN units ELSE 0 END) AS above_value_units,
        sum(CASE WHEN no_rule THEN units ELSE 0 END) AS no_rule_units
    FROM settlement_units
    WHERE settled_on BETWEEN $from AND $to
        -- What files have to be read for it: those of the days, and those recorded in them; two days' grace.
        AND (business_day BETWEEN $from AND $to
            OR (business_day < $from
                AND recorded_at >= arrow_cast($from, 'Timestamp(Microsecond, Some("UTC"))') - INTERVAL '2 days'
                AND recorded_at < arrow_cast($to, 'Timestamp(Microsecond, Some("UTC"))') + INTERVAL '3 days'))
        AND ($store IS NULL OR owing_store_id = $store OR owed_store_id = $store)
    GROUP BY settled_on, owing_entity_id, owing_store_id, owed_entity_id, owed_store_id
),
-- Each flow seen from both ends.
pair AS (
    SELECT
        period, CASE WHEN there THEN owing_entity_id ELSE owed_entity_id END AS owing_entity_id,
        CASE WHEN $by = 'entity' THEN NULL WHEN there THEN owing_store_id ELSE owed_store_id END AS owing_store_id,
        CASE WHEN there THEN owed_entity_id ELSE owing_entity_id END AS owed_entity_id,
        CASE WHEN $by = 'entity' THEN NULL WHEN there THEN owed_store_id ELSE owing_store_id END AS owed_store_id,
        CASE WHEN there THEN units ELSE 0 END AS units, CASE WHEN there THEN value_fen ELSE 0 END AS value_fen,
        CASE WHEN there THEN transfer_fen ELSE 0 END AS transfer_fen,
        CASE WHEN there THEN 0 ELSE transfer_fen END AS transfer_back_fen,
        CASE WHEN there THEN fee_fen ELSE 0 END AS fee_fen, CASE WHEN there THEN adjusted_fen ELSE 0 END AS adjusted_fen,
        CASE WHEN there THEN late_units ELSE 0 END AS late_units,
        CASE WHEN there THEN late_transfer_fen ELSE 0 END AS late_transfer_fen,
        CASE WHEN there THEN above_value_units ELSE 0 END AS above_value_units,
        CASE WHEN there THEN no_rule_units ELSE 0 END AS no_rule_units
    FROM (SELECT *, unnest([true, false]) AS there FROM flow)
)
SELECT
    period, greatest(period, $from) AS first_on,
    CASE
        WHEN $per = 'month' THEN least(CAST(period + INTERVAL '1 month' - INTERVAL '1 day' AS DATE), $to)
        ELSE $to
    END AS last_on,
    owing_entity_id, owing_store_id, owed_entity_id, owed_store_id, owing_entity_id = owed_entity_id AS same_entity,
    sum(units) AS units, sum(value_fen) AS value_fen, sum(transfer_fen) AS transfer_fen,
    sum(transfer_back_fen) AS transfer_back_fen,
    sum(transfer_fen) - sum(transfer_back_fen) AS net_fen, sum(fee_fen) AS fee_fen, sum(transfer_fen) - sum(fee_fen) AS payout_fen,
    sum(adjusted_fen) AS adjusted_fen, sum(late_units) AS late_units, sum(late_transfer_fen) AS late_transfer_fen,
    sum(above_value_units) AS above_value_units, sum(no_rule_units) AS no_rule_units
FROM pair
GROUP BY period, owing_entity_id, owing_store_id, owed_entity_id, owed_store_id
ORDER BY period, owing_entity_id, owing_store_id, owed_entity_id, owed_store_id
