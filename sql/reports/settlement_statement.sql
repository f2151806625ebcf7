-- settlement_statement
-- Title: Settlement statement
-- Title zh: 结算单
-- Grain: settlement period × store with its legal entity, against head office as the clearing party.
-- Roles: head_office, store by $store
-- Param from: day = today-30. First business day on which it settles, inclusive.
-- Param to: day = today. Last business day on which it settles, inclusive.
-- Param per: month|total = month. How long a row's period is.
-- Param store: text = none. Only this store's line.
-- Param entity: text = none. Only the lines of this legal entity.
-- Key: period, entity_id, store_id
-- Additive: sold_units, owed_fen, served_units, receivable_fen, fee_fen, fee_received_fen, net_fen, late_net_fen, adjusted_net_fen
-- Heading owed_fen: owed for what it sold and others served
-- Heading receivable_fen: to receive for what it served and others sold
-- Heading fee_fen: head office's fee out of that
-- Heading net_fen: to receive (+) or to pay (−)
-- Formula net_fen: receivable_fen - owed_fen - fee_fen + fee_received_fen
-- Drill owed_fen: settlement_redemptions owing_entity=entity_id, owing=store_id, from=first_on, to=last_on
-- Drill receivable_fen: settlement_redemptions owed_entity=entity_id, owed=store_id, from=first_on, to=last_on
-- Drill late_net_fen: settlement_redemptions store=store_id, only='late', from=first_on, to=last_on
-- Chart: bars store_name net_fen
-- owed_fen and receivable_fen are T of settlement_redemptions, of both directions, adjustments with them; fee_fen is what head
--    office keeps of what the store is to receive, fee_received_fen the same on head office's own line. net_fen sums to exactly 0
--    over all lines of a period. sold_units and served_units are units redeemed less those reversed, T or not.
-- late_units and late_net_fen are the part of the line that belongs to days locked before it was recorded; adjusted_net_fen the
--    part that adjustments moved. T of units without a rule is in no sum: no_rule_units counts them.
-- state is what was decided last on the period that the month's last day lies in, for the store, its entity or all: draft,
--    confirmed, disputed, locked, or open where nothing was. What is locked stays so. locked_at is when that was recorded.
-- period is the first day of the month, or $from of the total, which has no state; first_on and last_on are the days of it that
--    from and to leave. A third party that bears an adjustment and has no store has a line without one.
WITH flow AS MATERIALIZED (
    SELECT
        CASE WHEN $per = 'month' THEN CAST(date_trunc('month', settled_on) AS DATE) ELSE $from END AS period,
        owing_entity_id, owing_store_id, owed_entity_id, owed_store_id,
        sum(units) AS units, coalesce(sum(transfer_fen), 0) AS transfer_fen, coalesce(sum(fee_fen), 0) AS fee_fen,
        sum(CASE WHEN late THEN units ELSE 0 END) AS late_units,
        coalesce(sum(CASE WHEN late THEN transfer_fen END), 0) AS late_transfer_fen,
        coalesce(sum(CASE WHEN late THEN fee_fen END), 0) AS late_fee_fen,
        coalesce(sum(CASE WHEN type = 'adjusted' THEN transfer_fen END), 0) AS adjusted_fen,
        sum(CASE WHEN no_rule THEN units ELSE 0 END) AS no_rule_units
    FROM settlement_units
    WHERE settled_on BETWEEN $from AND $to
        -- What files have to be read for it: those of the days, and those recorded in them; two days' grace.
        AND (business_day BETWEEN $from AND $to
            OR (business_day < $from
                AND recorded_at >= arrow_cast($from, 'Timestamp(Microsecond, Some("UTC"))') - INTERVAL '2 days'
                AND recorded_at < arrow_cast($to, 'Timestamp(Microsecond, Some("UTC"))') + INTERVAL '3 days'))
    GROUP BY settled_on, owing_entity_id, owing_store_id, owed_entity_id, owed_store_id
),
-- The clearing party. A chain without one has the fees on a line without a store.
office AS (
    SELECT min(store_id) AS store_id, min(coalesce(legal_entity_id, store_id)) AS entity_id
    FROM (SELECT store_id, legal_entity_id FROM stores WHERE head_office ORDER BY store_id LIMIT 1)
),
-- Each flow from the side of who owes, of who is owed, and of head office, which has the fee.
side AS (
    SELECT
        period, side,
        CASE side WHEN 'owes' THEN owing_entity_id WHEN 'is owed' THEN owed_entity_id ELSE office_entity_id END AS entity_id,
        CASE side WHEN 'owes' THEN owing_store_id WHEN 'is owed' THEN owed_store_id ELSE office_store_id END AS store_id,
        units, transfer_fen, fee_fen, late_units, late_transfer_fen, late_fee_fen, adjusted_fen, no_rule_units
    FROM (
        SELECT
            f.*, o.entity_id AS office_entity_id, o.store_id AS office_store_id,
            unnest(CASE WHEN f.fee_fen <> 0 OR f.late_fee_fen <> 0 THEN ['owes', 'is owed', 'clears'] ELSE ['owes', 'is owed'] END)
                AS side
        FROM flow AS f
        CROSS JOIN office AS o
    )
),
line AS (
    SELECT
        period, entity_id, store_id,
        sum(CASE WHEN side = 'owes' THEN units ELSE 0 END) AS sold_units,
        sum(CASE WHEN side = 'owes' THEN transfer_fen ELSE 0 END) AS owed_fen,
        sum(CASE WHEN side = 'is owed' THEN units ELSE 0 END) AS served_units,
        sum(CASE WHEN side = 'is owed' THEN transfer_fen ELSE 0 END) AS receivable_fen,
        sum(CASE WHEN side = 'is owed' THEN fee_fen ELSE 0 END) AS fee_fen,
        sum(CASE WHEN side = 'clears' THEN fee_fen ELSE 0 END) AS fee_received_fen,
        sum(CASE side
            WHEN 'owes' THEN -transfer_fen WHEN 'is owed' THEN transfer_fen - fee_fen ELSE fee_fen
        END) AS net_fen,
        sum(CASE WHEN side = 'clears' THEN 0 ELSE late_units END) AS late_units,
        sum(CASE side
            WHEN 'owes' THEN -late_transfer_fen WHEN 'is owed' THEN late_transfer_fen - late_fee_fen ELSE late_fee_fen
        END) AS late_net_fen,
        sum(CASE side WHEN 'owes' THEN -adjusted_fen WHEN 'is owed' THEN adjusted_fen ELSE 0 END) AS adjusted_net_fen,
        sum(CASE WHEN side = 'clears' THEN 0 ELSE no_rule_units END) AS no_rule_units
    FROM side
    GROUP BY period, entity_id, store_id
),
decision AS (
    SELECT type, entity_id, store_id, period_from, period_to, occurred_at, recorded_at, log_partition, log_offset
    FROM log.decisions
    WHERE type IN ('period_drafted', 'period_confirmed', 'period_disputed', 'period_locked')
),
decided AS (
    SELECT
        l.period, l.entity_id, l.store_id,
        last_value(d.type ORDER BY d.occurred_at, d.log_partition, d.log_offset) AS last_type,
        min(CASE WHEN d.type = 'period_locked' THEN d.recorded_at END) AS locked_at
    FROM (
        SELECT
            period, entity_id, store_id,
            CAST(period + INTERVAL '1 month' - INTERVAL '1 day' AS DATE) AS last_on
        FROM line
        WHERE $per = 'month'
    ) AS l
    JOIN decision AS d
        ON l.last_on BETWEEN d.period_from AND d.period_to AND coalesce(d.store_id = l.store_id, d.entity_id = l.entity_id, true)
    GROUP BY l.period, l.entity_id, l.store_id
)
SELECT
    l.period, greatest(l.period, $from) AS first_on,
    CASE
        WHEN $per = 'month' THEN least(CAST(l.period + INTERVAL '1 month' - INTERVAL '1 day' AS DATE), $to)
        ELSE $to
    END AS last_on,
    l.entity_id, l.store_id, s.name AS store_name, l.sold_units, l.owed_fen, l.served_units, l.receivable_fen,
    l.fee_fen, l.fee_received_fen, l.net_fen, l.late_units, l.late_net_fen, l.adjusted_net_fen, l.no_rule_units,
    CASE
        WHEN $per = 'total' THEN NULL
        WHEN d.locked_at IS NOT NULL THEN 'locked'
        WHEN d.last_type = 'period_drafted' THEN 'draft'
        WHEN d.last_type = 'period_confirmed' THEN 'confirmed'
        WHEN d.last_type = 'period_disputed' THEN 'disputed'
        ELSE 'open'
    END AS state,
    d.locked_at
FROM line AS l
LEFT JOIN decided AS d
    ON d.period = l.period AND (d.entity_id IS NOT DISTINCT FROM l.entity_id) AND (d.store_id IS NOT DISTINCT FROM l.store_id)
LEFT JOIN stores AS s ON s.store_id = l.store_id
WHERE ($store IS NULL OR l.store_id = $store) AND ($entity IS NULL OR l.entity_id = $entity)
ORDER BY l.period, l.entity_id, l.store_id
