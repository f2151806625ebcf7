-- Key: store_id, person_id
-- Case:
-- Case: from=first to=today
-- Case: from=today-60 to=today-1 by=seller
-- Case: from=today-60 to=today-1 by=technician
-- Case: from=today-200 to=today-100 by=technician store=S001
-- Case: from=today-90 to=today-1 product=P01
WITH sold AS (
    SELECT source, entitlement_id, occurred_at, sold_store_id, seller_id, technician_id, product_id, product_type FROM orders WHERE type = 'sold'
), amounts AS (
    SELECT 'sale' AS what, occurred_at AS at, sold_store_id AS sold_at, sold_store_id AS served_at, seller_id AS seller, technician_id AS technician, product_id AS product, product_type AS ptype, 1 AS sign, paid_fen AS amount
    FROM orders WHERE type = 'sold' AND business_day BETWEEN $from AND $to
    UNION ALL
    SELECT 'refund', s.occurred_at, s.sold_store_id, s.sold_store_id, s.seller_id, s.technician_id, s.product_id, s.product_type, -1, o.carrying_fen
    FROM orders AS o JOIN sold AS s USING (source, entitlement_id) WHERE o.type = 'refunded' AND o.business_day BETWEEN $from AND $to
    UNION ALL
    SELECT 'redemption', occurred_at, sold_store_id, redeemed_store_id, seller_id, technician_id, product_id, product_type, 1, value_fen
    FROM redemptions WHERE type = 'redeemed' AND business_day BETWEEN $from AND $to
    UNION ALL
    SELECT 'reversal', priced_at, "of".sold, "of".redeemed, "of".seller, "of".technician, "of".product, "of".ptype, -1, "of".value
    FROM reversals WHERE business_day BETWEEN $from AND $to
    UNION ALL
    SELECT 'adjustment', priced_at, sold_by, served_by, seller, technician, product, ptype, CASE WHEN value_fen < 0 THEN -1 ELSE 1 END, abs(value_fen)
    FROM adjustments WHERE business_day BETWEEN $from AND $to
), rules AS (
    SELECT *, [coalesce(credit_sold_store_bp, 0), coalesce(credit_redeemed_store_bp, 0), coalesce(credit_seller_bp, 0), coalesce(credit_technician_bp, 0)] AS bp
    FROM versions WHERE kind = 'credit_rule'
), numbered AS (
    SELECT *, row_number() OVER () AS n FROM amounts WHERE $product IS NULL OR product = $product
), ruled AS (
    SELECT a.*, r.bp, list_sum(r.bp) AS total
    FROM numbered AS a LEFT JOIN rules AS r ON r.effective_from <= a.at AND a.at < r.until_at AND (r.store_id IS NULL OR r.store_id = a.served_at)
        AND (r.product_id IS NULL OR r.product_id = a.product) AND (r.product_type IS NULL OR r.product_type = a.ptype)
    QUALIFY row_number() OVER (PARTITION BY a.n ORDER BY r.store_id IS NULL, r.product_id IS NULL, r.product_type IS NULL, r.effective_from DESC, r.log_offset DESC) = 1
), shared AS (
    SELECT *, [amount * b // total FOR b IN bp] AS floors, [amount * b % total FOR b IN bp] AS rests FROM ruled
), dealt AS (
    SELECT *, amount - list_sum(floors) AS left_over,
        [floors[i] + CASE WHEN len([j FOR j IN range(1, 5) IF rests[j] > rests[i] OR (rests[j] = rests[i] AND j < i)]) < amount - list_sum(floors) THEN 1 ELSE 0 END FOR i IN range(1, 5)] AS parts
    FROM shared
), credits AS (
    -- The share of somebody who is not known goes to the store.
    SELECT what, 'sold' AS role, sold_at AS store, sign * (parts[1] + CASE WHEN seller IS NULL THEN parts[3] ELSE 0 END) AS fen, CAST(NULL AS VARCHAR) AS person, 'store' AS whose, 0 AS uncredited FROM dealt
    UNION ALL
    SELECT what, 'served', served_at, sign * (parts[2] + CASE WHEN technician IS NULL THEN parts[4] ELSE 0 END), NULL, 'store', 0 FROM dealt
    UNION ALL
    SELECT what, 'sold', sold_at, sign * parts[3], seller, 'seller', 0 FROM dealt WHERE seller IS NOT NULL
    UNION ALL
    SELECT what, 'served', served_at, sign * parts[4], technician, 'technician', 0 FROM dealt WHERE technician IS NOT NULL
    UNION ALL
    SELECT what, 'none', served_at, 0, NULL, 'store', sign * amount FROM dealt WHERE bp IS NULL
)
SELECT c.store AS store_id, n.name AS store_name, person AS person_id,
    coalesce(sum(fen) FILTER (what = 'sale'), 0) AS sale_credit_fen, coalesce(sum(fen) FILTER (what = 'refund'), 0) AS refund_credit_fen,
    coalesce(sum(fen) FILTER (what = 'redemption'), 0) AS redemption_credit_fen, coalesce(sum(fen) FILTER (what = 'reversal'), 0) AS reversal_credit_fen,
    coalesce(sum(fen) FILTER (what = 'adjustment'), 0) AS adjustment_credit_fen, coalesce(sum(fen) FILTER (role = 'sold'), 0) AS sold_credit_fen,
    coalesce(sum(fen) FILTER (role = 'served'), 0) AS served_credit_fen, coalesce(sum(fen), 0) AS credit_fen, coalesce(sum(uncredited), 0) AS uncredited_fen
FROM credits AS c LEFT JOIN stores AS n ON n.store_id = c.store
WHERE whose = $by AND ($store IS NULL OR c.store = $store)
GROUP BY ALL
