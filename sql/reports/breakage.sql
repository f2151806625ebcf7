-- breakage
-- Title: Breakage: prepaid money that nobody will come for
-- Title zh: 沉淀收入（预收款中预计不会核销的部分）
-- Grain: product × legal entity × month of sale × month in which revenue is recognised.
-- Roles: head_office
-- Param from: day = month-12. First business day, inclusive; months whose last day lies in the period are shown.
-- Param to: day = month_end-1. Last business day, inclusive.
-- Param product: text = none. Only this product.
-- Param entity: text = none. Only this legal entity.
-- Key: product_id, legal_entity_id, sold_in, month
-- Additive: revenue_fen, redeemed_revenue_fen, expired_revenue_fen, breakage_recognised_fen
-- Heading sold_in: month of sale
-- Heading expected_share: expected to be redeemed in all, share of the price
-- Heading cumulative_revenue_fen: revenue to date, without VAT
-- Heading breakage_to_date_fen: breakage to date, without VAT
-- Formula revenue_fen: redeemed_revenue_fen + expired_revenue_fen + breakage_recognised_fen
-- Formula cumulative_revenue_fen: recognised_before_fen + revenue_fen
-- Drill breakage_recognised_fen: liability_movements product=product_id, entity=legal_entity_id, movement='breakage',
--    from=$from, to=$to
-- Chart: bars product_name breakage_recognised_fen
-- R13 (ASC 606-10-55-46..49, IFRS 15 B44–47). A policy of kind breakage_policy and rule_kind completed_cohorts, of the whole
--    chain or of a product, type or legal entity, switches it on; without one revenue is recognised at redemption (R9), and
--    this says so.
-- price_fen is what the month's sales of the product were paid less what was refunded, redeemed_fen what of it is redeemed
--    so far, expected_fen what will be in all: redeemed + expired and still owed + remaining × redeemed later / ended later,
--    as completed cohorts of the product, all entities together, had it at the same age in months. These four have VAT in
--    them.
-- cumulative revenue = price × redeemed / max(redeemed, expected), in amounts without VAT, at least what is redeemed and
--    expired as income; revenue_fen is what it grew by in the month, and breakage_recognised_fen what of that exceeds R9 and
--    expiry: below 0 where redemption or expiry catches up with what was recognised early. Estimates change at month ends
--    only, forwards: a cohort counts as completed from the month on in which its last unit ended.
-- The liability gives up the same with VAT, dealt over the stores: see breakage_recognised there, and its movements.
WITH cohort AS MATERIALIZED (
    SELECT
        *, net_redeemed_fen + net_expired_fen + net_recognised_fen AS net_total_fen
    FROM breakage_cohorts
    WHERE ($product IS NULL OR product_id = $product) AND ($entity IS NULL OR legal_entity_id = $entity)
)
SELECT
    c.product_id, p.name AS product_name, nullif(c.legal_entity_id, '') AS legal_entity_id,
    make_date(CAST(c.sold_month / 12 AS INT), CAST(c.sold_month % 12 + 1 AS INT), 1) AS sold_in,
    make_date(CAST(c.month / 12 AS INT), CAST(c.month % 12 + 1 AS INT), 1) AS month,
    c.price_fen, c.redeemed_fen, c.remaining_fen, c.expected_fen,
    CAST(c.expected_fen AS DOUBLE) / nullif(c.price_fen, 0) AS expected_share,
    CAST(c.later_redeemed_fen AS DOUBLE) / nullif(c.later_ended_fen, 0) AS later_redeemed_share,
    c.net_price_fen, c.net_total_fen AS cumulative_revenue_fen, coalesce(b.net_total_fen, 0) AS recognised_before_fen,
    c.net_total_fen - coalesce(b.net_total_fen, 0) AS revenue_fen,
    c.net_redeemed_fen - coalesce(b.net_redeemed_fen, 0) AS redeemed_revenue_fen,
    c.net_expired_fen - coalesce(b.net_expired_fen, 0) AS expired_revenue_fen,
    c.net_recognised_fen - coalesce(b.net_recognised_fen, 0) AS breakage_recognised_fen,
    c.net_recognised_fen AS breakage_to_date_fen, CAST(NULL AS VARCHAR) AS note
FROM cohort AS c
LEFT JOIN cohort AS b ON b.product_id = c.product_id AND b.legal_entity_id = c.legal_entity_id AND b.sold_month = c.sold_month
    AND b.month + 1 = c.month
LEFT JOIN products AS p ON p.product_id = c.product_id
WHERE (c.recognises OR coalesce(b.net_recognised_fen, 0) <> 0)
    AND (c.remaining_fen <> 0 OR c.net_total_fen <> coalesce(b.net_total_fen, 0))
    AND CAST(CAST(make_date(CAST((c.month + 1) / 12 AS INT), CAST((c.month + 1) % 12 + 1 AS INT), 1) AS INT)
        - 1 AS DATE) BETWEEN $from AND $to
UNION ALL
SELECT
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    'no breakage policy looks at completed cohorts: revenue is recognised at redemption'
FROM (
    SELECT count(*) AS policies FROM policies
    WHERE kind = 'breakage_policy' AND rule_kind = 'completed_cohorts' AND store_id IS NULL
)
WHERE policies = 0
ORDER BY product_id, legal_entity_id, sold_in, month
