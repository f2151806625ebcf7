-- breakage_cohorts
-- Title: Breakage of each month's sales, month by month
-- Grain: product × selling entity × month of sale × month that is over since (R13). Empty without a breakage policy.
-- price_fen is what was paid less what was refunded; redeemed_fen, expired_fen (income) and owed_fen (expired, still owed)
--    are what became of it so far, remaining_fen what is left. All by value, so that a cohort of which everything is
--    expected to be redeemed recognises exactly R9.
-- expected_fen = redeemed + owed + remaining × later_redeemed / later_ended: of what completed cohorts of the product, of
--    all entities, had left at the same age in months, what part was redeemed later rather than expired. A cohort is
--    completed when nothing is left; for a month those count that were completed by its end. Without any, or without a
--    policy in force at the month's end, it is null and nothing is expected to break.
-- recognised_fen = price × redeemed / max(redeemed, expected), rounded half-up, less redeemed and expired, never below 0:
--    what has been recognised beyond R9 and expiry, VAT included, as the liability has it. net_… are the same without VAT at
--    the highest rate of the month's sales, rounded half-up to date, so that a completed cohort has earned its net price
--    exactly.
-- Months are counted from year 0: year × 12 + month − 1.
-- Every step reads the one before once: an expression named twice would be computed twice.
WITH zone AS (
    SELECT coalesce(min(time_zone), 'UTC') AS zone, max(today) AS today FROM stores
),
flow AS (
    SELECT
        f.product_id, coalesce(s.legal_entity_id, '') AS legal_entity_id, f.sold_month, f.month,
        max(f.product_type) AS product_type,
        sum(f.sold_fen - f.refunded_fen) AS price_fen, sum(f.redeemed_fen) AS redeemed_fen, sum(f.expired_fen) AS expired_fen,
        sum(f.owed_fen) AS owed_fen, max(f.vat_rate_bp) AS vat_rate_bp
    FROM breakage_flow AS f
    LEFT JOIN stores AS s ON s.store_id = f.sold_store_id
    GROUP BY f.product_id, coalesce(s.legal_entity_id, ''), f.sold_month, f.month
),
-- Every month that is over, with what was until its end.
standing AS (
    SELECT
        product_id, legal_entity_id, sold_month, upto_month AS month, newest_month, max(product_type) AS product_type,
        max(month) AS changed_month, sum(price_fen) AS price_fen, sum(redeemed_fen) AS redeemed_fen,
        sum(expired_fen) AS expired_fen, sum(owed_fen) AS owed_fen, max(vat_rate_bp) AS vat_rate_bp
    FROM (
        SELECT
            f.*, date_part('year', z.today) * 12 + date_part('month', z.today) - 2 AS newest_month,
            unnest(generate_series(f.month, date_part('year', z.today) * 12 + date_part('month', z.today) - 2)) AS upto_month
        FROM flow AS f
        CROSS JOIN zone AS z
    ) AS f
    GROUP BY product_id, legal_entity_id, sold_month, upto_month, newest_month
),
-- With the most specific policy: entity, product, type, in that order; of two alike the one that recognises nothing.
ruled AS (
    SELECT
        s.product_id, s.legal_entity_id, s.sold_month, s.month, s.newest_month, s.changed_month, s.price_fen, s.redeemed_fen,
        s.expired_fen, s.owed_fen, s.vat_rate_bp,
        max(CASE WHEN p.legal_entity_id IS NULL THEN 0 ELSE 8 END + CASE WHEN p.product_id IS NULL THEN 0 ELSE 4 END
            + CASE WHEN p.product_type IS NULL THEN 0 ELSE 2 END
                + CASE WHEN p.rule_kind = 'completed_cohorts' THEN 0 ELSE 1 END) % 2 = 0
            AS recognises
    FROM standing AS s
    LEFT JOIN (
        SELECT
            p.product_id, p.product_type, p.legal_entity_id, p.rule_kind,
            business_day(p.effective_from, z.zone, 0) AS from_day, business_day(p.effective_until, z.zone, 0) AS until_day
        FROM policies AS p
        CROSS JOIN zone AS z
        WHERE p.kind = 'breakage_policy' AND p.store_id IS NULL
    ) AS p ON p.from_day < make_date(CAST((s.month + 1) / 12 AS INT), CAST((s.month + 1) % 12 + 1 AS INT), 1)
        AND (p.until_day IS NULL
            OR p.until_day >= make_date(CAST((s.month + 1) / 12 AS INT), CAST((s.month + 1) % 12 + 1 AS INT), 1))
        AND (p.product_id IS NULL OR p.product_id = s.product_id) AND (p.product_type IS NULL OR p.product_type = s.product_type)
        AND (p.legal_entity_id IS NULL OR p.legal_entity_id = s.legal_entity_id)
    GROUP BY
        s.product_id, s.legal_entity_id, s.sold_month, s.month, s.newest_month, s.changed_month, s.price_fen, s.redeemed_fen,
        s.expired_fen, s.owed_fen, s.vat_rate_bp
),
-- With what the cohort is at the end: the sums of its newest month.
final AS (
    SELECT
        *, price_fen - redeemed_fen - expired_fen - owed_fen AS remaining_fen,
        sum(CASE WHEN month = newest_month THEN price_fen - redeemed_fen - expired_fen - owed_fen
            ELSE 0 END) OVER cohort AS final_remaining_fen,
        sum(CASE WHEN month = newest_month THEN redeemed_fen ELSE 0 END) OVER cohort AS final_redeemed_fen,
        sum(CASE WHEN month = newest_month THEN redeemed_fen + expired_fen + owed_fen ELSE 0 END) OVER cohort AS final_ended_fen,
        max(changed_month) OVER cohort AS completed_month
    FROM ruled
    WINDOW cohort AS (PARTITION BY product_id, legal_entity_id, sold_month)
),
-- Each row asks at its own month; that of a completed cohort answers from the month on in which it was completed.
asked AS (
    SELECT
        *,
        sum(CASE WHEN asks THEN 0 ELSE final_redeemed_fen - redeemed_fen END) OVER known AS later_redeemed_fen,
        sum(CASE WHEN asks THEN 0 ELSE final_ended_fen - redeemed_fen - expired_fen - owed_fen END) OVER known AS later_ended_fen
    FROM (
        SELECT *, CASE WHEN asks THEN month ELSE completed_month END AS known_month
        FROM (SELECT *, unnest(CASE WHEN final_remaining_fen = 0 THEN [true, false] ELSE [true] END) AS asks FROM final)
    )
    WINDOW known AS (PARTITION BY product_id, month - sold_month ORDER BY known_month)
),
-- Rounded half-up: (2x + y) / 2y without its remainder.
estimated AS (
    SELECT
        *,
        CASE WHEN remaining_fen = 0 AND recognises THEN redeemed_fen + owed_fen WHEN later_ended_fen > 0 AND recognises THEN
            redeemed_fen + owed_fen + CAST((CAST(2 * remaining_fen AS DECIMAL(20, 0)) * later_redeemed_fen + later_ended_fen
                - (CAST(2 * remaining_fen AS DECIMAL(20, 0)) * later_redeemed_fen + later_ended_fen) % (2 * later_ended_fen))
                / (2 * later_ended_fen) AS BIGINT)
        END AS expected_fen,
        (price_fen * 20000 + 10000 + vat_rate_bp) / (20000 + 2 * vat_rate_bp) AS net_price_fen,
        (redeemed_fen * 20000 + 10000 + vat_rate_bp) / (20000 + 2 * vat_rate_bp) AS net_redeemed_fen,
        ((redeemed_fen + expired_fen) * 20000 + 10000 + vat_rate_bp) / (20000 + 2 * vat_rate_bp) AS net_earned_fen
    FROM asked
    WHERE asks
),
cumulative AS (
    SELECT
        *,
        CASE WHEN expected_fen > redeemed_fen THEN
            CAST((CAST(2 * price_fen AS DECIMAL(20, 0)) * redeemed_fen + expected_fen
                - (CAST(2 * price_fen AS DECIMAL(20, 0)) * redeemed_fen
                    + expected_fen) % (2 * expected_fen)) / (2 * expected_fen) AS BIGINT)
            WHEN expected_fen IS NOT NULL THEN price_fen
        END AS revenue_fen,
        CASE WHEN expected_fen > redeemed_fen THEN
            CAST((CAST(2 * net_price_fen AS DECIMAL(20, 0)) * redeemed_fen + expected_fen
                - (CAST(2 * net_price_fen AS DECIMAL(20, 0)) * redeemed_fen
                    + expected_fen) % (2 * expected_fen)) / (2 * expected_fen) AS BIGINT)
            WHEN expected_fen IS NOT NULL THEN net_price_fen
        END AS net_revenue_fen
    FROM estimated
)
SELECT
    product_id, legal_entity_id, sold_month, month, newest_month, coalesce(recognises, false) AS recognises,
    price_fen, redeemed_fen, expired_fen, owed_fen, remaining_fen,
    CASE WHEN recognises THEN later_redeemed_fen END AS later_redeemed_fen,
    CASE WHEN recognises THEN later_ended_fen END AS later_ended_fen,
    expected_fen, net_price_fen, net_redeemed_fen, net_earned_fen - net_redeemed_fen AS net_expired_fen,
    greatest(coalesce(revenue_fen, 0) - redeemed_fen - expired_fen, 0) AS recognised_fen,
    greatest(coalesce(net_revenue_fen, 0) - net_earned_fen, 0) AS net_recognised_fen
FROM cumulative
