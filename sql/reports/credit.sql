-- credit
-- Title: Performance credit
-- Title zh: 业绩归属
-- Grain: store, seller or technician; a person at each store where the credit arose.
-- Roles: head_office, store by $store
-- Param from: day = today-30. First business day, inclusive.
-- Param to: day = today-1. Last business day, inclusive.
-- Param by: store|seller|technician = store. Whose credit a row is.
-- Param store: text = none. Only the credit of this store or of people there.
-- Param product: text = none. Only this product.
-- Key: store_id, person_id
-- Additive: sale_credit_fen, refund_credit_fen, redemption_credit_fen, reversal_credit_fen, adjustment_credit_fen,
--    sold_credit_fen, served_credit_fen, credit_fen, uncredited_fen
-- Heading sold_credit_fen: of it, as the one who sold
-- Heading served_credit_fen: of it, as the one who served
-- Heading uncredited_fen: amounts without a rule in force
-- Formula credit_fen: sale_credit_fen + refund_credit_fen + redemption_credit_fen + reversal_credit_fen + adjustment_credit_fen
-- Chart: bars store_name credit_fen
-- Each sale (what was paid) and each redemption (the unit's value, R9) is credited in four shares, to the selling store, the
--    serving store, the seller and the technician, by the credit rule in force at the time; a sale counts as served where it was
--    sold. The shares are basis points of their sum; fen are dealt by largest remainder, the earlier of equals first, so that
--    the four sum to the amount exactly. The share of somebody who is not known goes to the store: the seller's to the selling
--    store, the technician's to the serving store. The credits of all stores, sellers and technicians sum to all amounts.
-- Of the rules that fit, one that names the store where it happened goes before one that names the product, then the type.
-- A reversal takes back what its redemption was credited, to the fen, in the period in which it happens (R7); a refund takes the
--    carrying value of its units back from the sale's credit; an adjustment credits its own signed amount like its original.
--    These follow the rule of the original's time. Credit moves no money. Without a rule nothing is credited: uncredited_fen, at
--    the store where it happened.
WITH entry AS (
    SELECT
        'sale' AS what, sold_store_id, sold_store_id AS served_store_id, sold_store_id AS acting_store_id, product_id, product_type,
        seller_id, technician_id, occurred_at AS priced_at, 1 AS sign, paid_fen AS fen
    FROM log.orders
    WHERE type = 'sold' AND business_day BETWEEN $from AND $to
    UNION ALL
    SELECT
        'refund', r.sold_store_id, r.sold_store_id AS served_store_id, r.sold_store_id AS acting_store_id,
        coalesce(s.product_id, r.product_id), coalesce(s.product_type, r.product_type), s.seller_id, s.technician_id,
        coalesce(s.occurred_at, r.occurred_at), -1, r.carrying_fen
    FROM (SELECT * FROM log.orders WHERE type = 'refunded' AND business_day BETWEEN $from AND $to) AS r
    LEFT JOIN (SELECT * FROM log.orders WHERE type = 'sold') AS s ON s.entitlement_id = r.entitlement_id AND s.source = r.source
    UNION ALL
    SELECT
        CASE type WHEN 'redeemed' THEN 'redemption' WHEN 'reversed' THEN 'reversal' ELSE 'adjustment' END,
        coalesce(sold_store_id, redeemed_store_id), redeemed_store_id, redeemed_store_id AS acting_store_id,
        product_id, product_type, seller_id, technician_id, priced_at,
        CASE WHEN value_fen < 0 THEN -sign ELSE sign END, abs(value_fen)
    FROM redemption_entries
    WHERE business_day BETWEEN $from AND $to
),
ruled AS (
    SELECT
        e.*, c.sold_store_bp, c.redeemed_store_bp, c.seller_bp, c.technician_bp,
        nullif(c.sold_store_bp + c.redeemed_store_bp + c.seller_bp + c.technician_bp, 0) AS whole
    -- The few choices are the hashed side, whatever the planner thinks of their number.
    FROM credit_rule_choices AS c
    RIGHT JOIN (
        SELECT n.*, coalesce(s.id, '') AS store, coalesce(p.id, '') AS product, coalesce(k.id, '') AS kind
        FROM entry AS n
        LEFT JOIN (SELECT DISTINCT store_id AS id FROM credit_rules WHERE store_id IS NOT NULL) AS s ON s.id = n.acting_store_id
        LEFT JOIN (SELECT DISTINCT product_id AS id FROM credit_rules WHERE product_id IS NOT NULL) AS p ON p.id = n.product_id
        LEFT JOIN (SELECT DISTINCT product_type AS id FROM credit_rules WHERE product_type IS NOT NULL) AS k
            ON k.id = n.product_type
        WHERE ($store IS NULL OR n.sold_store_id = $store OR n.served_store_id = $store)
            AND ($product IS NULL OR n.product_id = $product)
    ) AS e
        ON c.store = e.store AND c.product = e.product AND c.kind = e.kind AND e.priced_at >= c.from_at AND e.priced_at < c.until_at
),
-- What each share comes to, rounded down, and what that leaves over, in parts of a fen.
floored AS (
    SELECT
        *, fen * sold_store_bp / whole AS sold_floor, fen * sold_store_bp % whole AS sold_rest,
        fen * redeemed_store_bp / whole AS served_floor, fen * redeemed_store_bp % whole AS served_rest,
        fen * seller_bp / whole AS seller_floor, fen * seller_bp % whole AS seller_rest,
        fen * technician_bp / whole AS technician_floor, fen * technician_bp % whole AS technician_rest
    FROM ruled
),
-- A share gets one more fen while fewer of the others have more left over than there are fen to deal.
dealt AS (
    SELECT
        what, sold_store_id, served_store_id, acting_store_id, seller_id, technician_id, sign, whole, fen,
        sold_floor + CASE WHEN CAST(served_rest > sold_rest AS BIGINT) + CAST(seller_rest > sold_rest AS BIGINT)
            + CAST(technician_rest > sold_rest AS BIGINT) < left_over THEN 1 ELSE 0 END AS sold_fen,
        served_floor + CASE WHEN CAST(sold_rest >= served_rest AS BIGINT) + CAST(seller_rest > served_rest AS BIGINT)
            + CAST(technician_rest > served_rest AS BIGINT) < left_over THEN 1 ELSE 0 END AS served_fen,
        seller_floor + CASE WHEN CAST(sold_rest >= seller_rest AS BIGINT) + CAST(served_rest >= seller_rest AS BIGINT)
            + CAST(technician_rest > seller_rest AS BIGINT) < left_over THEN 1 ELSE 0 END AS seller_fen,
        technician_floor + CASE WHEN CAST(sold_rest >= technician_rest AS BIGINT) + CAST(served_rest >= technician_rest AS BIGINT)
            + CAST(seller_rest >= technician_rest AS BIGINT) < left_over THEN 1 ELSE 0 END AS technician_fen
    FROM (SELECT *, fen - sold_floor - served_floor - seller_floor - technician_floor AS left_over FROM floored)
),
-- By store, who is not known leaves the share to the store; by person, only the person's own share counts.
credited AS (
    SELECT
        what, sold_store_id, served_store_id, acting_store_id,
        CASE $by WHEN 'seller' THEN seller_id WHEN 'technician' THEN technician_id END AS person_id,
        sum(sign * CASE
            WHEN $by = 'technician' THEN 0
            WHEN $by = 'seller' THEN seller_fen
            WHEN seller_id IS NULL THEN sold_fen + seller_fen
            ELSE sold_fen
        END) AS sold_fen,
        sum(sign * CASE
            WHEN $by = 'seller' THEN 0
            WHEN $by = 'technician' THEN technician_fen
            WHEN technician_id IS NULL THEN served_fen + technician_fen
            ELSE served_fen
        END) AS served_fen,
        sum(CASE WHEN whole IS NULL THEN sign * fen ELSE 0 END) AS uncredited_fen
    FROM dealt
    WHERE $by = 'store' OR CASE $by WHEN 'seller' THEN seller_id ELSE technician_id END IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
),
-- Each from the side of the sale and of the service.
side AS (
    SELECT
        what, person_id, CASE WHEN sold_side THEN sold_store_id ELSE served_store_id END AS store_id,
        CASE WHEN sold_side THEN coalesce(sold_fen, 0) ELSE 0 END AS sold_fen,
        CASE WHEN sold_side THEN 0 ELSE coalesce(served_fen, 0) END AS served_fen,
        -- Once, at the store where it happened; by person, at the one of the person.
        CASE WHEN $by <> 'store' OR sold_side = (what IN ('sale', 'refund')) THEN uncredited_fen ELSE 0 END AS uncredited_fen
    FROM (
        SELECT *, unnest(CASE $by WHEN 'seller' THEN [true] WHEN 'technician' THEN [false] ELSE [true, false] END) AS sold_side
        FROM credited
    )
)
SELECT
    c.store_id, s.name AS store_name, c.person_id, c.sale_credit_fen, c.refund_credit_fen, c.redemption_credit_fen,
    c.reversal_credit_fen, c.adjustment_credit_fen, c.sold_credit_fen, c.served_credit_fen,
    c.sold_credit_fen + c.served_credit_fen AS credit_fen, c.uncredited_fen
FROM (
    SELECT
        store_id, person_id,
        sum(CASE WHEN what = 'sale' THEN sold_fen + served_fen ELSE 0 END) AS sale_credit_fen,
        sum(CASE WHEN what = 'refund' THEN sold_fen + served_fen ELSE 0 END) AS refund_credit_fen,
        sum(CASE WHEN what = 'redemption' THEN sold_fen + served_fen ELSE 0 END) AS redemption_credit_fen,
        sum(CASE WHEN what = 'reversal' THEN sold_fen + served_fen ELSE 0 END) AS reversal_credit_fen,
        sum(CASE WHEN what = 'adjustment' THEN sold_fen + served_fen ELSE 0 END) AS adjustment_credit_fen,
        sum(sold_fen) AS sold_credit_fen, sum(served_fen) AS served_credit_fen, sum(uncredited_fen) AS uncredited_fen
    FROM side
    WHERE $store IS NULL OR store_id = $store
    GROUP BY store_id, person_id
) AS c
LEFT JOIN stores AS s ON s.store_id = c.store_id
ORDER BY c.store_id, c.person_id
