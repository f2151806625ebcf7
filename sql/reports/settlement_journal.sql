-- settlement_journal
-- Title: Settlement as accounting lines
-- Title zh: 结算凭证
-- Grain: settlement period × legal entity × counter entity × what it is for × account purpose × VAT rate.
-- Roles: head_office
-- Param from: day = today-30. First business day on which it settles, inclusive.
-- Param to: day = today. Last business day on which it settles, inclusive.
-- Param per: month|total = month. How long a row's period is.
-- Param entity: text = none. Only the books of this legal entity.
-- Key: period, entity_id, counter_entity_id, kind, purpose, vat_rate_bp
-- Additive: debit_fen, credit_fen
-- For each pair of legal entities and VAT rate what settlement_redemptions sums to: the transfer T between seller and server,
--    and head office's fee between the server and head office. Who owes books the amount without VAT as a cost, the VAT as
--    input tax, and owes the whole; who is owed books revenue, output tax and a claim. Amounts hold VAT at the unit's own rate,
--    the fee as well: the tax is what is left when the sum / (1 + rate) is taken out, rounded half up.
-- Debits and credits are equal for every entity against every other, in every period. A sum below 0, where more was reversed
--    than redeemed, stands on the other side. Within one legal entity nothing is booked.
-- account is the catalog's account whose id is the purpose and the entity, such as `settlement_cost/E01`, or else the purpose
--    alone, for all entities; without one it is empty. Purposes: settlement_cost, settlement_revenue, fee_cost, fee_revenue,
--    vat_input, vat_output, settlement_payable, settlement_receivable.
WITH flow AS MATERIALIZED (
    SELECT
        CASE WHEN $per = 'month' THEN CAST(date_trunc('month', settled_on) AS DATE) ELSE $from END AS period,
        owing_entity_id, owed_entity_id,
        coalesce(CAST(vat_rate_bp AS BIGINT), 0) AS vat_rate_bp, sum(transfer_fen) AS transfer_fen, sum(fee_fen) AS fee_fen
    FROM settlement_units
    WHERE settled_on BETWEEN $from AND $to
        -- What files have to be read for it: those of the days, and those recorded in them; two days' grace.
        AND (business_day BETWEEN $from AND $to
            OR (business_day < $from
                AND recorded_at >= arrow_cast($from, 'Timestamp(Microsecond, Some("UTC"))') - INTERVAL '2 days'
                AND recorded_at < arrow_cast($to, 'Timestamp(Microsecond, Some("UTC"))') + INTERVAL '3 days'))
    GROUP BY settled_on, owing_entity_id, owed_entity_id, coalesce(CAST(vat_rate_bp AS BIGINT), 0)
),
office AS (
    SELECT min(coalesce(legal_entity_id, store_id)) AS entity_id
    FROM (SELECT store_id, legal_entity_id FROM stores WHERE head_office ORDER BY store_id LIMIT 1)
),
-- Who pays whom how much for what, with VAT.
payment AS (
    SELECT period, kind, payer, payee, vat_rate_bp, sum(part_fen) AS fen
    FROM (
        SELECT period, 'transfer' AS kind, owing_entity_id AS payer, owed_entity_id AS payee, vat_rate_bp, transfer_fen AS part_fen
        FROM flow
        UNION ALL
        SELECT f.period, 'fee' AS kind, f.owed_entity_id AS payer, o.entity_id AS payee, f.vat_rate_bp, f.fee_fen AS part_fen
        FROM flow AS f
        CROSS JOIN office AS o
    )
    WHERE payer <> payee OR payee IS NULL
    GROUP BY period, kind, payer, payee, vat_rate_bp
    HAVING sum(part_fen) <> 0
),
taxed AS (
    SELECT *, CASE WHEN fen < 0 THEN -1 ELSE 1 END * ((abs(fen) * 20000 + divisor) / (2 * divisor)) AS net_fen
    FROM (SELECT *, 10000 + vat_rate_bp AS divisor FROM payment)
),
posted AS (
    SELECT
        period, kind, vat_rate_bp, nth,
        CASE WHEN nth <= 3 THEN payer ELSE payee END AS entity_id,
        CASE WHEN nth <= 3 THEN payee ELSE payer END AS counter_entity_id,
        CASE nth
            WHEN 1 THEN CASE WHEN kind = 'fee' THEN 'fee_cost' ELSE 'settlement_cost' END
            WHEN 2 THEN 'vat_input'
            WHEN 3 THEN 'settlement_payable'
            WHEN 4 THEN 'settlement_receivable'
            WHEN 5 THEN CASE WHEN kind = 'fee' THEN 'fee_revenue' ELSE 'settlement_revenue' END
            ELSE 'vat_output'
        END AS purpose,
        CASE nth
            WHEN 1 THEN net_fen
            WHEN 2 THEN fen - net_fen
            WHEN 3 THEN -fen
            WHEN 4 THEN fen
            WHEN 5 THEN -net_fen
            ELSE net_fen - fen
        END AS debit_fen
    FROM (SELECT *, unnest([1, 2, 3, 4, 5, 6]) AS nth FROM taxed)
)
SELECT
    p.period, greatest(p.period, $from) AS first_on,
    CASE
        WHEN $per = 'month' THEN least(CAST(p.period + INTERVAL '1 month' - INTERVAL '1 day' AS DATE), $to)
        ELSE $to
    END AS last_on,
    p.entity_id, p.counter_entity_id, p.kind, p.purpose, coalesce(own.account, general.account) AS account,
    coalesce(own.name, general.name) AS account_name, p.vat_rate_bp,
    CASE WHEN p.debit_fen > 0 THEN p.debit_fen ELSE 0 END AS debit_fen,
    CASE WHEN p.debit_fen < 0 THEN -p.debit_fen ELSE 0 END AS credit_fen
FROM posted AS p
LEFT JOIN (SELECT account_id, account, name FROM accounts) AS own ON own.account_id = concat(p.purpose, '/', p.entity_id)
LEFT JOIN (SELECT account_id, account, name FROM accounts) AS general ON general.account_id = p.purpose
WHERE p.debit_fen <> 0 AND ($entity IS NULL OR p.entity_id = $entity)
ORDER BY p.period, p.entity_id, p.counter_entity_id, p.kind, p.nth, p.vat_rate_bp
