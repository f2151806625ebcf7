-- credit_rule_choices
-- Title: Which credit rule wins
-- Grain: store × product × type × time without a change of any rule, half-open [from_at, until_at).
-- Only those that some rule names stand here by their names; an empty text stands for all others. Of the rules that fit, one
--    that names the store where it happened goes before one that does not, then the product, the type; of equals the later one.
--    Shares are parts of their sum. Times in which no rule fits are left out.
WITH rule AS (
    SELECT
        *, coalesce(store_id, '') AS store, coalesce(product_id, '') AS product, coalesce(product_type, '') AS kind,
        CASE WHEN store_id IS NULL THEN 0 ELSE 4 END + CASE WHEN product_id IS NULL THEN 0 ELSE 2 END
            + CASE WHEN product_type IS NULL THEN 0 ELSE 1 END AS names,
        CAST(row_number() OVER (ORDER BY effective_from, credit_rule_id) AS BIGINT) AS nth
    FROM credit_rules
),
span AS (
    SELECT
        at AS from_at,
        coalesce(lead(at) OVER (ORDER BY at), arrow_cast('2200-01-01T00:00:00Z', 'Timestamp(Microsecond, Some("UTC"))')) AS until_at
    FROM (
        SELECT effective_from AS at FROM credit_rules
        UNION SELECT effective_until FROM credit_rules WHERE effective_until IS NOT NULL
    )
),
in_force AS (
    SELECT r.names, r.store, r.product, r.kind, r.nth, s.from_at, s.until_at
    FROM rule AS r
    JOIN span AS s ON s.from_at >= r.effective_from AND (r.effective_until IS NULL OR s.from_at < r.effective_until)
),
scope AS (
    SELECT store, product, unnest(kinds) AS kind
    FROM (
        SELECT store, unnest(products) AS product, kinds
        FROM (
            SELECT
                unnest(array_agg(DISTINCT store)) AS store, array_agg(DISTINCT product) AS products,
                array_agg(DISTINCT kind) AS kinds
            FROM (SELECT store, product, kind FROM rule UNION ALL SELECT '', '', '')
        )
    )
),
-- One number holds both how much a rule names and which one it is, so that the largest is the winner.
won AS (
    SELECT o.store, o.product, o.kind, f.from_at, f.until_at, max(f.names * 1000000 + f.nth) % 1000000 AS nth
    FROM scope AS o
    CROSS JOIN (SELECT DISTINCT names FROM rule) AS n
    JOIN in_force AS f
        ON f.names = n.names
        AND f.store = CASE WHEN n.names >= 4 THEN o.store ELSE '' END
        AND f.product = CASE WHEN n.names % 4 >= 2 THEN o.product ELSE '' END
        AND f.kind = CASE WHEN n.names % 2 = 1 THEN o.kind ELSE '' END
    GROUP BY 1, 2, 3, 4, 5
)
-- Of what is unnested the planner does not guess the number of rows. It would guess far too high here, and hash years of units
-- instead of the choices.
SELECT
    w.store, w.product, w.kind, unnest([w.from_at]) AS from_at, w.until_at, r.credit_rule_id, r.effective_from AS rule_from,
    CAST(coalesce(r.credit_sold_store_bp, 0) AS BIGINT) AS sold_store_bp,
    CAST(coalesce(r.credit_redeemed_store_bp, 0) AS BIGINT) AS redeemed_store_bp,
    CAST(coalesce(r.credit_seller_bp, 0) AS BIGINT) AS seller_bp,
    CAST(coalesce(r.credit_technician_bp, 0) AS BIGINT) AS technician_bp
FROM won AS w
JOIN rule AS r ON r.nth = w.nth
