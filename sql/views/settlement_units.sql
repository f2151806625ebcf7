-- settlement_units
-- Title: What each unit redeemed away from its seller settles at
-- Grain: unit redeemed, reversed or adjusted that was sold at one store and redeemed at another (R11).
-- The rule is the one in force at the redemption's time (settlement_rule_choices). base_fen is what its share is of: value_fen;
--    less the bonus where the base is principal; the bonus alone where it is bonus; the list price for a list share; all of
--    these divided by 1 + the VAT rate and rounded half up where the base is without VAT. What was not drawn from stored value
--    counts as principal. transfer_fen (T) is the share of base_fen, rounded half up, or the fixed amount; fee_fen the head
--    office's share of T, rounded half up.
-- owing owes owed T, of which fee_fen goes on to head office: the seller owes the server. Within one legal entity both are 0.
--    Where no rule is in force, or the share is of a list price that is not known, they are null and no_rule is set.
-- A reversal has the original's amounts with the other sign. An adjustment moves its own signed amount, without a fee: more than
--    0 is owed to the server, less than 0 goes back to the seller. bearing_entity_id pays it; where it is not there, the seller
--    pays what is more and the server what goes back. Who bears and receives moves nothing; a third party that bears owes it.
-- settled_on is the business day; where the seller's or the server's day was locked before the event was recorded, the serving
--    store's business day on which it was recorded (late).
WITH unit AS (
    SELECT
        e.*, coalesce(seller.entity_id, e.sold_store_id) AS sold_entity_id,
        coalesce(server.entity_id, e.redeemed_store_id) AS redeemed_entity_id, server.time_zone, server.day_start_hour
    FROM redemption_entries AS e
    LEFT JOIN store_owners AS seller
        ON seller.store_id = e.sold_store_id AND e.priced_at >= seller.from_at AND e.priced_at < seller.until_at
    LEFT JOIN store_owners AS server
        ON server.store_id = e.redeemed_store_id AND e.priced_at >= server.from_at AND e.priced_at < server.until_at
    WHERE e.sold_store_id <> e.redeemed_store_id OR (e.type = 'adjusted' AND e.bearing_entity_id IS NOT NULL)
),
ruled AS (
    SELECT
        u.*, c.settlement_rule_id, c.rule_from, c.rule_kind, c.share_bp, c.amount_fen, c.base, c.fee_bp,
        CASE
            WHEN c.rule_kind = 'list_share' THEN u.list_price_fen
            WHEN c.rule_kind IS DISTINCT FROM 'share' THEN NULL
            WHEN strpos(c.base, 'bonus') > 0 AND strpos(c.base, 'principal') = 0 THEN coalesce(u.bonus_fen, 0)
            WHEN strpos(c.base, 'principal') > 0 AND strpos(c.base, 'bonus') = 0 THEN u.value_fen - coalesce(u.bonus_fen, 0)
            ELSE u.value_fen
        END AS gross_fen,
        -- The rate as a divisor: 10600 for 6 %.
        10000 + CASE WHEN strpos(c.base, 'without_vat') > 0 THEN coalesce(CAST(u.vat_rate_bp AS BIGINT), 0) ELSE 0 END AS divisor
    -- The few choices are the hashed side, whatever the planner thinks of their number.
    FROM settlement_rule_choices AS c
    RIGHT JOIN (
        SELECT
            e.*, coalesce(s.id, '') AS seller, coalesce(j.id, '') AS server, coalesce(p.id, '') AS product,
            coalesce(k.id, '') AS kind
        FROM unit AS e
        LEFT JOIN (SELECT DISTINCT sold_store_id AS id FROM settlement_rules WHERE sold_store_id IS NOT NULL) AS s
            ON s.id = e.sold_store_id
        LEFT JOIN (SELECT DISTINCT redeemed_store_id AS id FROM settlement_rules WHERE redeemed_store_id IS NOT NULL) AS j
            ON j.id = e.redeemed_store_id
        LEFT JOIN (SELECT DISTINCT product_id AS id FROM settlement_rules WHERE product_id IS NOT NULL) AS p
            ON p.id = e.product_id
        LEFT JOIN (SELECT DISTINCT product_type AS id FROM settlement_rules WHERE product_type IS NOT NULL) AS k
            ON k.id = e.product_type
    ) AS u
        ON c.seller = u.seller AND c.server = u.server AND c.product = u.product AND c.kind = u.kind
        AND u.priced_at >= c.from_at AND u.priced_at < c.until_at
),
based AS (
    SELECT *, CASE WHEN divisor = 10000 THEN gross_fen ELSE (gross_fen * 20000 + divisor) / (2 * divisor) END AS base_fen
    FROM ruled
),
-- What the seller owes the server for one unit; of an adjustment, which way it goes and who bears it.
owed AS (
    SELECT
        *,
        CASE
            WHEN type = 'adjusted' THEN value_fen
            WHEN sold_entity_id = redeemed_entity_id THEN 0
            WHEN rule_kind = 'fixed' THEN amount_fen
            ELSE (base_fen * share_bp * 2 + 10000) / 20000
        END AS unit_fen,
        CASE
            WHEN type <> 'adjusted' THEN 'seller'
            WHEN bearing_entity_id IS NULL THEN CASE WHEN value_fen >= 0 THEN 'seller' ELSE 'server' END
            WHEN bearing_entity_id = sold_entity_id AND bearing_entity_id = redeemed_entity_id THEN 'both'
            WHEN bearing_entity_id = sold_entity_id THEN 'seller'
            WHEN bearing_entity_id = redeemed_entity_id THEN 'server'
            ELSE 'third'
        END AS bearer
    FROM based
),
parted AS (
    SELECT
        *,
        CASE
            WHEN bearer = 'third' THEN abs(unit_fen)
            WHEN type <> 'adjusted' THEN sign * unit_fen
            WHEN sold_entity_id = redeemed_entity_id OR bearer <> CASE WHEN unit_fen >= 0 THEN 'seller' ELSE 'server' END THEN 0
            ELSE unit_fen
        END AS transfer_fen
    FROM owed
    WHERE sold_store_id <> redeemed_store_id OR bearer = 'third'
)
SELECT
    u.source, u.event_id, u.type, u.occurred_at, u.business_day, u.month, u.recorded_at, u.log_partition, u.log_offset,
    CASE WHEN u.locked_at < u.recorded_at
        THEN greatest(u.business_day, business_day(u.recorded_at, coalesce(u.time_zone, 'UTC'), coalesce(u.day_start_hour, 4)))
        ELSE u.business_day
    END AS settled_on,
    coalesce(u.locked_at < u.recorded_at, false) AS late,
    u.original_event_id, u.original_known, u.redemption_id, u.order_id, u.entitlement_id, u.unit_ordinal,
    u.sold_store_id, u.sold_entity_id, u.redeemed_store_id, u.redeemed_entity_id, u.product_id, u.product_type,
    CASE WHEN u.type = 'adjusted' THEN 0 ELSE u.sign END AS units,
    u.sign * u.value_fen AS value_fen, u.sign * u.principal_fen AS principal_fen, u.sign * u.bonus_fen AS bonus_fen,
    u.sign * u.points_fen AS points_fen, u.sign * u.coupon_fen AS coupon_fen, u.vat_rate_bp,
    CASE WHEN u.type <> 'adjusted' THEN u.settlement_rule_id END AS settlement_rule_id,
    CASE WHEN u.type <> 'adjusted' THEN u.rule_from END AS rule_from,
    CASE WHEN u.type <> 'adjusted' THEN u.rule_kind END AS rule_kind,
    CASE WHEN u.type <> 'adjusted' THEN u.base END AS base,
    CASE WHEN u.type <> 'adjusted' THEN u.sign * u.base_fen END AS base_fen,
    CASE WHEN u.type <> 'adjusted' THEN u.share_bp END AS share_bp,
    u.transfer_fen,
    CASE
        WHEN u.type = 'adjusted' OR u.sold_entity_id = u.redeemed_entity_id THEN 0
        ELSE u.sign * ((u.unit_fen * coalesce(u.fee_bp, 0) * 2 + 10000) / 20000)
    END AS fee_fen,
    CASE WHEN u.bearer = 'third' THEN b.store_id ELSE u.sold_store_id END AS owing_store_id,
    CASE WHEN u.bearer = 'third' THEN u.bearing_entity_id ELSE u.sold_entity_id END AS owing_entity_id,
    CASE WHEN u.bearer = 'third' AND u.unit_fen < 0 THEN u.sold_store_id ELSE u.redeemed_store_id END AS owed_store_id,
    CASE WHEN u.bearer = 'third' AND u.unit_fen < 0 THEN u.sold_entity_id ELSE u.redeemed_entity_id END AS owed_entity_id,
    u.sold_entity_id = u.redeemed_entity_id AS same_entity,
    u.transfer_fen IS NULL AS no_rule,
    coalesce(u.type <> 'adjusted' AND u.sold_entity_id <> u.redeemed_entity_id AND u.unit_fen > u.value_fen, false) AS above_value,
    u.bearing_entity_id, u.reason
FROM (
    SELECT p.*, least(s.locked_at, r.locked_at) AS locked_at
    FROM settlement_locks AS r
    RIGHT JOIN (
        settlement_locks AS s
        RIGHT JOIN parted AS p ON s.store_id = p.sold_store_id AND s.business_day = p.business_day
    ) ON r.store_id = p.redeemed_store_id AND r.business_day = p.business_day
) AS u
-- A third party's line is that of its head office, or of its only store.
LEFT JOIN (
    SELECT
        legal_entity_id AS entity_id,
        CASE WHEN bool_or(head_office) THEN min(CASE WHEN head_office THEN store_id END) WHEN count(*) = 1 THEN min(store_id) END
            AS store_id
    FROM stores
    WHERE legal_entity_id IS NOT NULL
    GROUP BY legal_entity_id
) AS b ON b.entity_id = u.bearing_entity_id
