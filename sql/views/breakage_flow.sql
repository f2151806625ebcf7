-- breakage_flow
-- Title: What became of each month's sales, month by month
-- Grain: selling store × product × month of sale × month in which something became of it (R13).
-- Empty unless a breakage policy looks at completed cohorts. Months are counted from year 0: year × 12 + month − 1. Amounts
--    are what was paid, with VAT: sold, refunded, redeemed (less what was reversed), expired (income by the expiry policy),
--    owed (expired and still owed). vat_rate_bp is that of the sales, 0 where nothing was sold.
-- Stored value is left out, and so are opening balances: the month of their sale is not known. Corrections (R7) are no
--    redemptions, and what was transferred since stays with the store that sold it.
-- No policy, no types: the logs are then not read. The small side of a join stands first, which is the hashed one.
WITH wanted AS (
    SELECT unnest(['sold', 'redeemed', 'reversed', 'refunded', 'expired']) AS type
    FROM (SELECT DISTINCT kind FROM policies WHERE kind = 'breakage_policy' AND rule_kind = 'completed_cohorts'
        AND store_id IS NULL)
),
flow AS (
    SELECT
        sold_store_id, product_id, product_type, coalesce(vat_rate_bp, 0) AS vat_rate_bp,
        date_part('year', business_day) * 12 + date_part('month', business_day) - 1 AS sold_month,
        date_part('year', business_day) * 12 + date_part('month', business_day) - 1 AS month,
        paid_fen AS sold_fen, 0 AS refunded_fen, 0 AS redeemed_fen, 0 AS expired_fen, 0 AS owed_fen
    FROM wanted AS w
    JOIN log.orders AS s ON s.type = w.type
    WHERE s.type = 'sold' AND coalesce(product_type, kind, '') <> 'stored_value'
    UNION ALL
    -- The day of the sale is that of sold_at at the redemption's offset: a redemption stands alone.
    SELECT
        sold_store_id, product_id, product_type, 0 AS vat_rate_bp,
        date_part('year', sold_on) * 12 + date_part('month', sold_on) - 1 AS sold_month, month, 0 AS sold_fen, 0 AS refunded_fen,
        value_fen AS redeemed_fen, 0 AS expired_fen, 0 AS owed_fen
    FROM (
        SELECT
            sold_store_id, product_id, product_type,
            date_part('year', business_day) * 12 + date_part('month', business_day) - 1 AS month,
            CAST(CAST((CAST(coalesce(sold_at, occurred_at) AS BIGINT) / 1000000
                + (CAST(utc_offset_min AS BIGINT) - 240) * 60) / 86400 AS INT) AS DATE) AS sold_on,
            CASE WHEN r.type = 'redeemed' THEN value_fen ELSE -value_fen END AS value_fen
        FROM wanted AS w
        JOIN log.redemptions AS r ON r.type = w.type
        WHERE r.type IN ('redeemed', 'reversed') AND coalesce(product_type, '') <> 'stored_value'
    )
    UNION ALL
    SELECT
        s.sold_store_id, s.product_id, s.product_type, 0 AS vat_rate_bp,
        date_part('year', s.business_day) * 12 + date_part('month', s.business_day) - 1 AS sold_month,
        date_part('year', e.business_day) * 12 + date_part('month', e.business_day) - 1 AS month, 0 AS sold_fen,
        CASE WHEN e.movement = 'refunded' THEN e.carrying_fen ELSE 0 END AS refunded_fen, 0 AS redeemed_fen,
        CASE WHEN e.movement = 'expired' THEN e.carrying_fen ELSE 0 END AS expired_fen,
        CASE WHEN e.movement = 'expired_owed' THEN e.carrying_fen ELSE 0 END AS owed_fen
    FROM wanted AS w
    JOIN ended_units AS e ON e.type = w.type
    JOIN log.orders AS s ON s.entitlement_id = e.entitlement_id AND s.type = 'sold'
    WHERE e.type IN ('refunded', 'expired') AND NOT e.wallet
)
SELECT
    sold_store_id, product_id, sold_month, month, max(product_type) AS product_type, max(vat_rate_bp) AS vat_rate_bp,
    sum(sold_fen) AS sold_fen, sum(refunded_fen) AS refunded_fen, sum(redeemed_fen) AS redeemed_fen,
    sum(expired_fen) AS expired_fen,
    sum(owed_fen) AS owed_fen
FROM flow
GROUP BY sold_store_id, product_id, sold_month, month
