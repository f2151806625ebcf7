-- ended_units
-- Title: Units that ended otherwise than by redemption
-- Grain: event that refunded units, let them expire, or moved them into another store's liability (R6, R12).
-- store_id is the store that owed them: the seller, or the one the whole entitlement was transferred to before. movement is
--    the event's type, or expired_owed where no expiry policy made the expiry income: the money stays owed.
-- wallet: stored value, which has no units; bonus_fen is what of its bonus the event names.
WITH handed AS (
    SELECT
        entitlement_id, to_store_id AS owing_store_id, occurred_at AS from_at,
        lead(occurred_at) OVER (PARTITION BY entitlement_id ORDER BY occurred_at, log_partition, log_offset) AS until_at
    FROM log.orders
    WHERE type = 'transferred' AND entitlement_id IS NOT NULL AND to_store_id IS NOT NULL
),
-- When an expiry is income, by store, product and time between two changes of policies. The most specific policy in force
-- decides: store, legal entity, product, type, in that order; of two alike the one that is not income.
expiry AS (
    SELECT
        c.sold_store_id, c.product_id, c.product_type, t.from_at, t.until_at,
        max(CASE WHEN p.store_id IS NULL THEN 0 ELSE 16 END + CASE WHEN p.legal_entity_id IS NULL THEN 0 ELSE 8 END
            + CASE WHEN p.product_id IS NULL THEN 0 ELSE 4 END + CASE WHEN p.product_type IS NULL THEN 0 ELSE 2 END
            + CASE WHEN p.rule_kind = 'income' THEN 0 ELSE 1 END) % 2 = 0 AS income
    FROM (
        SELECT e.sold_store_id, e.product_id, coalesce(e.product_type, '') AS product_type, s.legal_entity_id
        FROM (SELECT DISTINCT sold_store_id, product_id, product_type FROM log.orders WHERE type = 'expired') AS e
        LEFT JOIN stores AS s ON s.store_id = e.sold_store_id
    ) AS c
    JOIN policies AS p ON p.kind = 'expiry_policy'
        AND (p.store_id IS NULL OR p.store_id = c.sold_store_id) AND (p.product_id IS NULL OR p.product_id = c.product_id)
        AND (p.product_type IS NULL OR p.product_type = c.product_type)
        AND (p.legal_entity_id IS NULL OR p.legal_entity_id = c.legal_entity_id)
    JOIN (
        SELECT from_at, lead(from_at) OVER (ORDER BY from_at) AS until_at
        FROM (SELECT DISTINCT unnest([effective_from, effective_until]) AS from_at FROM policies WHERE kind = 'expiry_policy')
        WHERE from_at IS NOT NULL
    ) AS t ON p.effective_from <= t.from_at AND (p.effective_until IS NULL OR p.effective_until > t.from_at)
    GROUP BY c.sold_store_id, c.product_id, c.product_type, t.from_at, t.until_at
),
-- A refund or a transfer may leave out what its sale says. Under names of their own: a filter on the joined rows, pushed below
-- the join, takes columns of one name for one.
named AS (
    SELECT s.entitlement_id, s.product_id AS sale_product_id, s.product_type AS sale_type, s.kind AS sale_kind
    FROM (
        SELECT DISTINCT entitlement_id FROM log.orders WHERE type IN ('refunded', 'transferred') AND product_id IS NULL
    ) AS n
    JOIN log.orders AS s ON s.entitlement_id = n.entitlement_id AND s.type = 'sold'
)
SELECT
    e.source, e.event_id, e.occurred_at, e.business_day, e.type, coalesce(h.owing_store_id, e.sold_store_id) AS store_id,
    coalesce(e.product_id, n.sale_product_id) AS product_id,
    coalesce(e.product_type, e.kind, n.sale_type, n.sale_kind, '') = 'stored_value' AS wallet,
    e.order_id, e.entitlement_id, e.member_id, CAST(cardinality(e.unit_ordinals) AS BIGINT) AS units,
    coalesce(e.carrying_fen, 0) AS carrying_fen, coalesce(e.bonus_fen, 0) AS bonus_fen, coalesce(e.cash_fen, 0) AS cash_fen,
    e.from_store_id, e.to_store_id, e.reason,
    CASE WHEN e.type = 'expired' AND NOT coalesce(x.income, false) THEN 'expired_owed' ELSE e.type END AS movement
-- The small sides of the joins stand first, which are the hashed ones.
FROM expiry AS x
RIGHT JOIN (
    named AS n
    RIGHT JOIN (
        handed AS h
        RIGHT JOIN (
            SELECT * FROM log.orders
            WHERE type IN ('refunded', 'expired')
                OR (type = 'transferred' AND to_store_id <> coalesce(from_store_id, sold_store_id))
        ) AS e ON h.entitlement_id = e.entitlement_id AND e.type <> 'transferred'
            AND e.occurred_at >= h.from_at AND (h.until_at IS NULL OR e.occurred_at < h.until_at)
    ) ON n.entitlement_id = e.entitlement_id AND e.product_id IS NULL
) ON x.sold_store_id = e.sold_store_id AND x.product_id = e.product_id AND x.product_type = coalesce(e.product_type, '')
    AND e.occurred_at >= x.from_at AND (x.until_at IS NULL OR e.occurred_at < x.until_at)
