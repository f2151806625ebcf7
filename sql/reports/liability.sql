-- liability
-- Title: Prepaid money owed: roll-forward
-- Title zh: 预收款变动表
-- Grain: selling store × product × part × month, or what `by` and `per` say.
-- Roles: head_office, store by $store
-- Param from: day = month-1. First business day, inclusive.
-- Param to: day = month_end-1. Last business day, inclusive.
-- Param by: store_product|store|entity_product|entity|product|total = store_product. What a row is about.
-- Param per: month|total = month. How long a row's period is.
-- Param store: text = none. Only what this store owes.
-- Param product: text = none. Only this product; stored_value is all stored value.
-- Param entity: text = none. Only what this legal entity owes.
-- Key: period, legal_entity_id, store_id, product_id, part
-- Additive: sold_fen, opened_fen, redeemed_fen, reversed_fen, refunded_cash_fen, refund_difference_fen, expired_fen,
--    breakage_recognised_fen, transferred_fen, adjusted_fen, expired_owed_fen, sold_units, opened_units, redeemed_units,
--    reversed_units, refunded_units, expired_units, transferred_units
-- Heading opened_fen: opening balances of a former system
-- Heading refund_difference_fen: carrying value given up in refunds − cash paid back
-- Heading expired_owed_fen: expired in the period and still owed (part of the closing balance)
-- Formula closing_fen: opening_fen + opened_fen + sold_fen - redeemed_fen + reversed_fen - refunded_cash_fen -
--    refund_difference_fen - expired_fen - breakage_recognised_fen + transferred_fen + adjusted_fen
-- Formula closing_units: opening_units + opened_units + sold_units - redeemed_units + reversed_units - refunded_units -
--    expired_units + transferred_units
-- Drill opened_fen: liability_movements store=store_id, entity=legal_entity_id, product=product_id, part=part,
--    movement='opened', from=first_on, to=last_on
-- Drill sold_fen: liability_movements store=store_id, entity=legal_entity_id, product=product_id, part=part,
--    movement='sold', from=first_on, to=last_on
-- Drill redeemed_fen: liability_movements store=store_id, entity=legal_entity_id, product=product_id, part=part,
--    movement='redeemed', from=first_on, to=last_on
-- Drill reversed_fen: liability_movements store=store_id, entity=legal_entity_id, product=product_id, part=part,
--    movement='reversed', from=first_on, to=last_on
-- Drill refunded_cash_fen: liability_movements store=store_id, entity=legal_entity_id, product=product_id, part=part,
--    movement='refunded', from=first_on, to=last_on
-- Drill refund_difference_fen: liability_movements store=store_id, entity=legal_entity_id, product=product_id, part=part,
--    movement='refunded', from=first_on, to=last_on
-- Drill expired_fen: liability_movements store=store_id, entity=legal_entity_id, product=product_id, part=part,
--    movement='expired', from=first_on, to=last_on
-- Drill breakage_recognised_fen: liability_movements store=store_id, entity=legal_entity_id, product=product_id, part=part,
--    movement='breakage', from=first_on, to=last_on
-- Drill transferred_fen: liability_movements store=store_id, entity=legal_entity_id, product=product_id, part=part,
--    movement='transferred', from=first_on, to=last_on
-- Drill adjusted_fen: liability_movements store=store_id, entity=legal_entity_id, product=product_id, part=part,
--    movement='adjusted', from=first_on, to=last_on
-- Drill expired_owed_fen: liability_movements store=store_id, entity=legal_entity_id, product=product_id, part=part,
--    movement='expired_owed', from=first_on, to=last_on
-- Chart: line period closing_fen
-- R12, with VAT as it was paid. A row is a month, or the whole period; its opening is the closing of the one before.
--    Balances at both ends of a month that lies partly in the period are those of the period's ends: of first_on's morning
--    and last_on's night.
-- part: paid, for what is sold in units (R9's values); principal and bonus of stored value, which is one product,
--    stored_value: what is drawn from it does not say from which, and counts as redeemed. Its bonus was given, not paid.
--    Points and coupons are parts of what was paid: the log does not say what was issued of them.
-- sold − redeemed + reversed: by the day on which each happened, at the store that sold. refunded_cash is money that left,
--    refund_difference what is kept of the carrying value (income; below 0 where more was paid than carried).
-- expired is income: only where an expiry_policy of rule_kind income was in force when it expired (the most specific of
--    store, entity, product, type decides); elsewhere the units are gone and the money stays owed: expired_owed, which the
--    closing has.
-- breakage_recognised is income at month ends, by a breakage_policy (R13): less where redemption catches up.
-- transferred: from and to other stores. adjusted: a correction of a redemption (R7), here with the sign of what is owed:
--    −500 on the value leaves 500 more.
-- Units are counted where they exist: null for stored value. Breakage moves no units.
-- The entity is that of the store now. A row without a store is of redemptions whose seller is unknown.
WITH store AS MATERIALIZED (
    SELECT store_id, name, legal_entity_id FROM stores
),
-- Months are counted from year 0; 0 is all that was before the period. Grouped before anything is joined.
moved AS (
    SELECT
        store_id, product_id, part, movement, bucket, sum(change_fen) AS change_fen, sum(units) AS units,
        sum(cash_fen) AS cash_fen,
        sum(carrying_fen) AS carrying_fen
    FROM (
        SELECT
            store_id, product_id, part, movement, change_fen, units, cash_fen, carrying_fen,
            CASE
                WHEN business_day < $from THEN 0
                WHEN $per = 'month' THEN date_part('year', business_day) * 12 + date_part('month', business_day) - 1
                ELSE 1
            END AS bucket
        FROM liability_entries
        WHERE business_day <= $to AND ($store IS NULL OR store_id = $store) AND ($product IS NULL OR product_id = $product)
        UNION ALL
        SELECT
            store_id, product_id, 'paid' AS part, 'breakage' AS movement, -change_fen AS change_fen, 0 AS units, 0 AS cash_fen,
            0 AS carrying_fen,
            CASE WHEN business_day < $from THEN 0 WHEN $per = 'month' THEN month ELSE 1 END AS bucket
        FROM breakage_recognised
        WHERE business_day <= $to AND ($store IS NULL OR store_id = $store) AND ($product IS NULL OR product_id = $product)
    )
    GROUP BY store_id, product_id, part, movement, bucket
),
cell AS MATERIALIZED (
    SELECT
        CASE WHEN $by <> 'product' AND $by <> 'total' THEN s.legal_entity_id END AS legal_entity_id,
        CASE WHEN $by = 'store_product' OR $by = 'store' THEN m.store_id END AS store_id,
        CASE WHEN $by IN ('store_product', 'entity_product', 'product') THEN m.product_id END AS product_id,
        m.part, m.bucket, sum(m.change_fen) AS change_fen, sum(m.units) AS units,
        sum(CASE WHEN m.movement = 'opened' THEN m.change_fen ELSE 0 END) AS opened_fen,
        sum(CASE WHEN m.movement = 'sold' THEN m.change_fen ELSE 0 END) AS sold_fen,
        -sum(CASE WHEN m.movement = 'redeemed' THEN m.change_fen ELSE 0 END) AS redeemed_fen,
        sum(CASE WHEN m.movement = 'reversed' THEN m.change_fen ELSE 0 END) AS reversed_fen,
        sum(CASE WHEN m.movement = 'refunded' THEN m.cash_fen ELSE 0 END) AS refunded_cash_fen,
        -sum(CASE WHEN m.movement = 'refunded' THEN m.change_fen + m.cash_fen ELSE 0 END) AS refund_difference_fen,
        -sum(CASE WHEN m.movement = 'expired' THEN m.change_fen ELSE 0 END) AS expired_fen,
        -sum(CASE WHEN m.movement = 'breakage' THEN m.change_fen ELSE 0 END) AS breakage_recognised_fen,
        sum(CASE WHEN m.movement = 'transferred' THEN m.change_fen ELSE 0 END) AS transferred_fen,
        sum(CASE WHEN m.movement = 'adjusted' THEN m.change_fen ELSE 0 END) AS adjusted_fen,
        sum(CASE WHEN m.movement = 'expired_owed' THEN m.carrying_fen ELSE 0 END) AS expired_owed_fen,
        sum(CASE WHEN m.movement = 'opened' THEN m.units END) AS opened_units,
        sum(CASE WHEN m.movement = 'sold' THEN m.units END) AS sold_units,
        -sum(CASE WHEN m.movement = 'redeemed' THEN m.units END) AS redeemed_units,
        sum(CASE WHEN m.movement = 'reversed' THEN m.units END) AS reversed_units,
        -sum(CASE WHEN m.movement = 'refunded' THEN m.units END) AS refunded_units,
        -sum(CASE WHEN m.movement IN ('expired', 'expired_owed') THEN m.units END) AS expired_units,
        sum(CASE WHEN m.movement = 'transferred' THEN m.units END) AS transferred_units
    FROM moved AS m
    LEFT JOIN store AS s ON s.store_id = m.store_id
    WHERE $entity IS NULL OR s.legal_entity_id = $entity
    GROUP BY 1, 2, 3, 4, 5
),
-- Every period with every row that ever had something: a month in which nothing moved still carries its balance.
period AS (
    SELECT unnest(generate_series(
        CAST(CASE WHEN $per = 'month' THEN date_part('year', $from) * 12 + date_part('month', $from) - 1 ELSE 1 END AS BIGINT),
        CAST(CASE WHEN $per = 'month' THEN date_part('year', $to) * 12 + date_part('month', $to) - 1 ELSE 1 END AS BIGINT)
    )) AS bucket
),
rolled AS (
    SELECT
        p.bucket, r.legal_entity_id, r.store_id, r.product_id, r.part,
        sum(CASE WHEN c.bucket < p.bucket THEN c.change_fen ELSE 0 END) AS opening_fen,
        sum(CASE WHEN c.bucket = p.bucket THEN c.opened_fen ELSE 0 END) AS opened_fen,
        sum(CASE WHEN c.bucket = p.bucket THEN c.sold_fen ELSE 0 END) AS sold_fen,
        sum(CASE WHEN c.bucket = p.bucket THEN c.redeemed_fen ELSE 0 END) AS redeemed_fen,
        sum(CASE WHEN c.bucket = p.bucket THEN c.reversed_fen ELSE 0 END) AS reversed_fen,
        sum(CASE WHEN c.bucket = p.bucket THEN c.refunded_cash_fen ELSE 0 END) AS refunded_cash_fen,
        sum(CASE WHEN c.bucket = p.bucket THEN c.refund_difference_fen ELSE 0 END) AS refund_difference_fen,
        sum(CASE WHEN c.bucket = p.bucket THEN c.expired_fen ELSE 0 END) AS expired_fen,
        sum(CASE WHEN c.bucket = p.bucket THEN c.breakage_recognised_fen ELSE 0 END) AS breakage_recognised_fen,
        sum(CASE WHEN c.bucket = p.bucket THEN c.transferred_fen ELSE 0 END) AS transferred_fen,
        sum(CASE WHEN c.bucket = p.bucket THEN c.adjusted_fen ELSE 0 END) AS adjusted_fen,
        sum(c.change_fen) AS closing_fen,
        sum(CASE WHEN c.bucket = p.bucket THEN c.expired_owed_fen ELSE 0 END) AS expired_owed_fen,
        sum(CASE WHEN c.bucket < p.bucket THEN c.units ELSE 0 END) AS opening_units,
        sum(CASE WHEN c.bucket = p.bucket THEN coalesce(c.opened_units, 0) ELSE 0 END) AS opened_units,
        sum(CASE WHEN c.bucket = p.bucket THEN coalesce(c.sold_units, 0) ELSE 0 END) AS sold_units,
        sum(CASE WHEN c.bucket = p.bucket THEN coalesce(c.redeemed_units, 0) ELSE 0 END) AS redeemed_units,
        sum(CASE WHEN c.bucket = p.bucket THEN coalesce(c.reversed_units, 0) ELSE 0 END) AS reversed_units,
        sum(CASE WHEN c.bucket = p.bucket THEN coalesce(c.refunded_units, 0) ELSE 0 END) AS refunded_units,
        sum(CASE WHEN c.bucket = p.bucket THEN coalesce(c.expired_units, 0) ELSE 0 END) AS expired_units,
        sum(CASE WHEN c.bucket = p.bucket THEN coalesce(c.transferred_units, 0) ELSE 0 END) AS transferred_units,
        coalesce(sum(c.units), 0) AS closing_units,
        count(CASE WHEN c.bucket = p.bucket THEN 1 END) AS moves
    FROM (SELECT legal_entity_id, store_id, product_id, part, min(bucket) AS first_bucket FROM cell GROUP BY 1, 2, 3, 4) AS r
    JOIN period AS p ON p.bucket >= r.first_bucket
    JOIN cell AS c ON c.part = r.part AND (c.legal_entity_id IS NOT DISTINCT FROM r.legal_entity_id)
        AND (c.store_id IS NOT DISTINCT FROM r.store_id) AND (c.product_id IS NOT DISTINCT FROM r.product_id)
            AND c.bucket <= p.bucket
    GROUP BY p.bucket, r.legal_entity_id, r.store_id, r.product_id, r.part
)
SELECT
    CASE WHEN $per = 'month' THEN make_date(CAST(r.bucket / 12 AS INT), CAST(r.bucket % 12 + 1 AS INT), 1)
        ELSE $from END AS period,
    CASE WHEN $per = 'month' THEN greatest($from, make_date(CAST(r.bucket / 12 AS INT), CAST(r.bucket % 12 + 1 AS INT), 1))
        ELSE $from END AS first_on,
    CASE WHEN $per = 'month' THEN
            least($to, CAST(CAST(make_date(CAST((r.bucket + 1) / 12 AS INT), CAST((r.bucket + 1) % 12 + 1 AS INT), 1) AS INT)
                - 1 AS DATE))
        ELSE $to END AS last_on,
    r.legal_entity_id, r.store_id, s.name AS store_name, r.product_id, p.name AS product_name, r.part,
    r.opening_fen, r.opened_fen, r.sold_fen, r.redeemed_fen, r.reversed_fen, r.refunded_cash_fen, r.refund_difference_fen,
    r.expired_fen,
    r.breakage_recognised_fen, r.transferred_fen, r.adjusted_fen, r.closing_fen, r.expired_owed_fen,
    CASE WHEN r.part = 'paid' THEN r.opening_units END AS opening_units,
    CASE WHEN r.part = 'paid' THEN r.opened_units END AS opened_units,
    CASE WHEN r.part = 'paid' THEN r.sold_units END AS sold_units,
    CASE WHEN r.part = 'paid' THEN r.redeemed_units END AS redeemed_units,
    CASE WHEN r.part = 'paid' THEN r.reversed_units END AS reversed_units,
    CASE WHEN r.part = 'paid' THEN r.refunded_units END AS refunded_units,
    CASE WHEN r.part = 'paid' THEN r.expired_units END AS expired_units,
    CASE WHEN r.part = 'paid' THEN r.transferred_units END AS transferred_units,
    CASE WHEN r.part = 'paid' THEN r.closing_units END AS closing_units
FROM rolled AS r
LEFT JOIN store AS s ON s.store_id = r.store_id
LEFT JOIN products AS p ON p.product_id = r.product_id
WHERE r.moves > 0 OR r.opening_fen <> 0 OR r.closing_fen <> 0 OR r.opening_units <> 0
ORDER BY period, r.legal_entity_id, r.store_id, r.product_id, r.part
