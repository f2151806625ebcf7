-- breakage_recognised
-- Title: Breakage in the stores' liability
-- Grain: selling store × product × month of sale × month in which the amount changed (R12, R13).
-- A cohort's recognised_fen dealt over its stores in proportion to what is left of their sales, floors first, the rest to
--    the last store by id; change_fen is what a month added to it or, below 0, took back.
-- Months are counted from year 0: year × 12 + month − 1; the change is that of the month's last day.
WITH store AS (
    SELECT
        c.product_id, c.legal_entity_id, c.sold_month, c.month, f.sold_store_id AS store_id,
        max(c.recognised_fen) AS recognised_fen, max(c.remaining_fen) AS cohort_fen, max(c.newest_month) AS newest_month,
        sum(f.sold_fen - f.refunded_fen - f.redeemed_fen - f.expired_fen - f.owed_fen) AS remaining_fen
    FROM breakage_cohorts AS c
    JOIN (
        SELECT f.*, coalesce(s.legal_entity_id, '') AS legal_entity_id
        FROM breakage_flow AS f
        LEFT JOIN stores AS s ON s.store_id = f.sold_store_id
    ) AS f ON f.product_id = c.product_id AND f.legal_entity_id = c.legal_entity_id AND f.sold_month = c.sold_month
        AND f.month <= c.month
    WHERE c.recognised_fen > 0 AND c.remaining_fen > 0
    GROUP BY c.product_id, c.legal_entity_id, c.sold_month, c.month, f.sold_store_id
),
dealt AS (
    SELECT
        *,
        CAST((CAST(recognised_fen AS DECIMAL(20, 0)) * remaining_fen
            - (CAST(recognised_fen AS DECIMAL(20, 0)) * remaining_fen) % cohort_fen)
            / cohort_fen AS BIGINT) AS floor_fen
    FROM store
),
level AS (
    SELECT
        product_id, store_id, sold_month, month, newest_month,
        floor_fen + CASE WHEN store_id = max(store_id) OVER cohort THEN recognised_fen - sum(floor_fen) OVER cohort
            ELSE 0 END AS level_fen
    FROM dealt
    WINDOW cohort AS (PARTITION BY product_id, legal_entity_id, sold_month, month)
),
change AS (
    SELECT store_id, product_id, sold_month, change_month, sum(CASE WHEN starts THEN level_fen ELSE -level_fen END) AS moved_fen
    FROM (
        SELECT *, CASE WHEN starts THEN month ELSE month + 1 END AS change_month
        FROM (SELECT *, unnest(CASE WHEN month < newest_month THEN [true, false] ELSE [true] END) AS starts FROM level)
    )
    GROUP BY store_id, product_id, sold_month, change_month
)
SELECT
    store_id, product_id, sold_month, change_month AS month, moved_fen AS change_fen,
    CAST(CAST(make_date(CAST((change_month + 1) / 12 AS INT), CAST((change_month + 1) % 12 + 1 AS INT), 1) AS INT)
        - 1 AS DATE) AS business_day
FROM change
WHERE moved_fen <> 0
