-- store_performance
-- Title: Performance of stores
-- Title zh: 门店业绩
-- Grain: store, region, city, format or product × period.
-- Roles: head_office, store by $store
-- Param from: day = today-30. First business day, inclusive.
-- Param to: day = today-1. Last business day, inclusive.
-- Param by: store|region|city|format|product = store. What a row is about.
-- Param per: total|day|week|month = total. How long a row's period is; weeks start on Monday.
-- Param store: text = none. Only what this store served and what it sold.
-- Param product: text = none. Only this product.
-- Param age: int = 90. Days within which the redemption rate counts redemptions (R21).
-- Key: key, period
-- Additive: redemptions, units, value_fen, sold_here_used_there_units, sold_here_used_there_value_fen,
--    sold_there_used_here_units, sold_there_used_here_value_fen, reversed, refused, slot_full, cohort_units, cohort_redeemed,
--    card_units
-- Formula redemption_rate: CAST(cohort_redeemed AS DOUBLE) / nullif(cohort_units, 0)
-- Formula usage: card_units / nullif(holder_months, 0)
-- Chart: bars name units
-- Heading redemption_rate: units redeemed within the age / units sold
-- Heading usage: card units redeemed per holder-month
-- redemptions are calls, units what they took, value_fen what those units were paid (R9); all at the serving store, without
--    what was reversed since (R7). reversed, refused and slot_full count what happened in the period.
-- Sold here and used there: units redeemed outside the row's store, region, city or format that were sold inside it, and the
--    other way round, by the day of redemption; by product, units redeemed away from the store that sold them, in both.
-- redemption_rate = cohort_redeemed / cohort_units: the units whose age reached the limit in the period, sold that many days
--    before, and those of them redeemed by then; stored value, which has no units, is left out. It belongs to the selling
--    store, and so does usage = card_units / holder_months: units of cards and punch cards redeemed anywhere, per 30 days on
--    which a member held such a card, valid and with a unit left; a member with two of them holds once.
-- Where the period is the total, stores that were open and had nothing are listed with zeros.
WITH store AS MATERIALIZED (
    SELECT store_id, name, region, city, format, head_office, opened_on, closed_on FROM stores
),
place AS MATERIALIZED (
    SELECT store_id, CASE WHEN $by = 'region' THEN region WHEN $by = 'city' THEN city ELSE format END AS area
    FROM store
    WHERE $by IN ('region', 'city', 'format')
),
-- A slot is a day, a week's Monday in days since 1970, a month counted from year 0, or 0. One number that the planner does
-- not see to be constant, because it takes constant columns of a GROUP BY for an order, and a slower way to group. day / 10^6
-- is 0 until the year 4707.
stood AS (
    SELECT
        CASE
            WHEN $per = 'day' THEN CAST(business_day AS INT)
            WHEN $per = 'week' THEN CAST(business_day AS INT) - (CAST(business_day AS INT) + 3) % 7
            WHEN $per = 'month' THEN date_part('year', business_day) * 12 + date_part('month', business_day) - 1
            ELSE CAST(business_day AS INT) / 1000000
        END AS slot,
        *
    FROM standing_redemptions
    WHERE business_day BETWEEN $from AND $to AND ($product IS NULL OR product_id = $product)
),
-- Distinct calls and members are counted by grouping in steps: calls, members, figures.
served AS (
    SELECT slot, key, sum(calls) AS redemptions, sum(units) AS units, sum(value_fen) AS value_fen, count(member_id) AS members
    FROM (
        SELECT member_id, key, slot, count(*) AS calls, sum(units) AS units, sum(value_fen) AS value_fen
        FROM (
            SELECT call_id, member_id, key, slot, count(*) AS units, sum(value_fen) AS value_fen
            FROM (
                SELECT
                    r.slot, r.member_id, coalesce(r.redemption_id, r.event_id) AS call_id, r.value_fen,
                    CASE WHEN $by = 'product' THEN r.product_id WHEN $by = 'store' THEN r.redeemed_store_id ELSE p.area END AS key
                FROM stood AS r
                LEFT JOIN place AS p ON p.store_id = r.redeemed_store_id
                WHERE $store IS NULL OR r.redeemed_store_id = $store
            )
            GROUP BY call_id, member_id, key, slot
        )
        GROUP BY member_id, key, slot
    )
    GROUP BY slot, key
),
-- Every pair of stores once, then seen from both sides.
flow AS (
    SELECT
        slot, key,
        sum(CASE WHEN sold_side AND crosses THEN units ELSE 0 END) AS out_units,
        sum(CASE WHEN sold_side AND crosses THEN value_fen ELSE 0 END) AS out_value_fen,
        sum(CASE WHEN sold_side OR NOT crosses THEN 0 ELSE units END) AS in_units,
        sum(CASE WHEN sold_side OR NOT crosses THEN 0 ELSE value_fen END) AS in_value_fen,
        sum(CASE WHEN sold_side THEN card_units ELSE 0 END) AS card_units
    FROM (
        SELECT
            slot, units, value_fen, card_units, crosses, sold_side,
            CASE WHEN sold_side THEN sold_key ELSE used_key END AS key
        FROM (
            SELECT
                *, unnest([true, false]) AS sold_side,
                CASE WHEN $by = 'product' THEN sold_store_id <> redeemed_store_id ELSE sold_key IS DISTINCT FROM used_key END
                    AS crosses
            FROM (
                SELECT
                    f.*,
                    CASE WHEN $by = 'product' THEN f.product_id WHEN $by = 'store' THEN f.sold_store_id ELSE s.area END AS sold_key,
                    CASE WHEN $by = 'product' THEN f.product_id WHEN $by = 'store' THEN f.redeemed_store_id ELSE u.area END AS used_key
                FROM (
                    SELECT
                        slot, sold_store_id, redeemed_store_id, CASE WHEN $by = 'product' THEN product_id END AS product_id,
                        count(*) AS units, sum(value_fen) AS value_fen,
                        sum(CASE WHEN product_type IN ('card', 'punch_card') THEN 1 ELSE 0 END) AS card_units
                    FROM stood
                    WHERE sold_store_id IS NOT NULL
                        AND ($store IS NULL OR redeemed_store_id = $store OR sold_store_id = $store)
                    GROUP BY 1, 2, 3, 4
                ) AS f
                LEFT JOIN place AS s ON s.store_id = f.sold_store_id
                LEFT JOIN place AS u ON u.store_id = f.redeemed_store_id
            )
        )
        WHERE $store IS NULL OR CASE WHEN sold_side THEN sold_store_id ELSE redeemed_store_id END = $store
    )
    GROUP BY slot, key
),
-- What happened besides, by its own day.
incident AS (
    SELECT store_id, product_id, day, sum(reversed) AS reversed, sum(refused) AS refused, sum(slot_full) AS slot_full
    FROM (
        SELECT
            redeemed_store_id AS store_id, CASE WHEN $by = 'product' THEN product_id END AS product_id,
            CAST(business_day AS INT) AS day, 1 AS reversed, 0 AS refused, 0 AS slot_full
        FROM log.redemptions
        WHERE type = 'reversed'
            AND business_day BETWEEN $from AND $to
            AND ($store IS NULL OR redeemed_store_id = $store) AND ($product IS NULL OR product_id = $product)
        UNION ALL
        SELECT
            store_id, CASE WHEN $by = 'product' THEN product_id END AS product_id,
            CAST(business_day AS INT) AS day, 0 AS reversed,
            CASE WHEN type = 'refused' THEN 1 ELSE 0 END AS refused, CASE WHEN type = 'slot_full' THEN 1 ELSE 0 END AS slot_full
        FROM log.refusals
        WHERE business_day BETWEEN $from AND $to
            AND ($store IS NULL OR store_id = $store) AND ($product IS NULL OR product_id = $product)
    )
    GROUP BY 1, 2, 3
),
-- Units by the day on which they were sold, and those of them redeemed within the age. The selling store's day is that of
-- `sold_at` at the offset of the redemption: a redemption stands alone.
cohort AS (
    SELECT store_id, product_id, sold_day, sum(sold) AS sold, sum(redeemed) AS redeemed
    FROM (
        SELECT
            sold_store_id AS store_id, CASE WHEN $by = 'product' THEN product_id END AS product_id,
            CAST(business_day AS INT) AS sold_day, sum(units) AS sold, 0 AS redeemed
        FROM log.orders
        WHERE type = 'sold' AND coalesce(product_type, '') <> 'stored_value'
            AND business_day BETWEEN CAST(CAST($from AS INT) - $age AS DATE) AND CAST(CAST($to AS INT) - $age AS DATE)
            AND ($store IS NULL OR sold_store_id = $store) AND ($product IS NULL OR product_id = $product)
        GROUP BY 1, 2, 3
        UNION ALL
        SELECT store_id, product_id, sold_day, 0 AS sold, count(*) AS redeemed
        FROM (
            SELECT
                sold_store_id AS store_id, CASE WHEN $by = 'product' THEN product_id END AS product_id,
                CAST(business_day AS INT) AS redeemed_day,
                CAST((CAST(sold_at AS BIGINT) / 1000000 + (CAST(utc_offset_min AS BIGINT) - 240) * 60) / 86400 AS INT) AS sold_day
            FROM standing_redemptions
            WHERE sold_at IS NOT NULL AND coalesce(product_type, '') <> 'stored_value'
                AND business_day BETWEEN CAST(CAST($from AS INT) - $age AS DATE) AND $to
                AND ($store IS NULL OR sold_store_id = $store) AND ($product IS NULL OR product_id = $product)
        )
        WHERE redeemed_day - sold_day <= $age
            AND sold_day + $age BETWEEN CAST($from AS INT) AND CAST($to AS INT)
        GROUP BY 1, 2, 3
    )
    GROUP BY 1, 2, 3
),
-- From the day a card was sold until the day after its last unit was gone or its validity over.
card AS (
    SELECT
        s.sold_store_id AS store_id, s.product_id, coalesce(s.member_id, -s.entitlement_id) AS holder,
        CAST(s.business_day AS INT) AS from_day,
        least(
            CASE WHEN u.gone >= s.units THEN u.last_day + 1 END,
            CAST((CAST(coalesce(u.valid_until, s.valid_until) AS BIGINT) / 1000000 - 1
                + (CAST(s.utc_offset_min AS BIGINT) - 240) * 60) / 86400 AS INT) + 1
        ) AS until_day
    FROM log.orders AS s
    LEFT JOIN (
        SELECT
            entitlement_id, sum(gone) AS gone, max(CASE WHEN gone > 0 THEN CAST(business_day AS INT) END) AS last_day,
            max(valid_until) AS valid_until
        FROM (
            SELECT entitlement_id, CASE WHEN type = 'redeemed' THEN 1 ELSE -1 END AS gone, business_day, valid_until
            FROM log.redemptions
            WHERE type IN ('redeemed', 'reversed') AND product_type IN ('card', 'punch_card')
                AND business_day <= $to
                AND ($store IS NULL OR sold_store_id = $store) AND ($product IS NULL OR product_id = $product)
            UNION ALL
            SELECT entitlement_id, CAST(cardinality(unit_ordinals) AS BIGINT) AS gone, business_day, NULL AS valid_until
            FROM log.orders
            WHERE type IN ('refunded', 'expired') AND business_day <= $to
        )
        WHERE entitlement_id IS NOT NULL
        GROUP BY entitlement_id
    ) AS u ON u.entitlement_id = s.entitlement_id
    WHERE s.type IN ('sold', 'opening_balance') AND s.entitlement_id IS NOT NULL AND s.product_type IN ('card', 'punch_card')
        AND s.business_day <= $to
        AND ($store IS NULL OR s.sold_store_id = $store) AND ($product IS NULL OR s.product_id = $product)
),
-- The days on which a holder held any card, each once; then how many held one from day to day.
holding AS (
    SELECT
        key, sum(holders) AS holder_days,
        CASE
            WHEN $per = 'day' THEN day
            WHEN $per = 'week' THEN day - (day + 3) % 7
            WHEN $per = 'month' THEN date_part('year', CAST(CAST(day AS INT) AS DATE)) * 12
                + date_part('month', CAST(CAST(day AS INT) AS DATE)) - 1
            ELSE day / 1000000
        END AS slot
    FROM (
        SELECT key, holders, unnest(generate_series(day, until_day - 1)) AS day
        FROM (
            SELECT
                key, day, sum(change) OVER (PARTITION BY key ORDER BY day) AS holders,
                lead(day) OVER (PARTITION BY key ORDER BY day) AS until_day
            FROM (
                SELECT key, turn / 2 AS day, sum(1 - turn % 2 * 2) AS change
                FROM (
                    SELECT key, unnest([span / 16777216 * 2, span % 16777216 * 2 + 1]) AS turn
                    FROM (
                        SELECT key, holder, unnest(disjoint_spans(from_day, until_day)) AS span
                        FROM (
                            SELECT
                                CASE WHEN $by = 'product' THEN c.product_id WHEN $by = 'store' THEN c.store_id ELSE p.area END AS key,
                                c.holder,
                                CAST(greatest(c.from_day, CAST($from AS INT)) AS BIGINT) AS from_day,
                                -- Without an end of its own a card is held to this day; least passes over what is null.
                                CAST(least(c.until_day, least(CAST($to AS INT), CAST($today AS INT)) + 1) AS BIGINT) AS until_day
                            FROM card AS c
                            LEFT JOIN place AS p ON p.store_id = c.store_id
                        )
                        WHERE from_day < until_day
                        GROUP BY key, holder
                    )
                )
                GROUP BY key, turn / 2
            )
        )
        WHERE holders > 0
    )
    GROUP BY 1, 3
),
figure AS (
    SELECT
        slot, key, redemptions, units, value_fen, members, 0 AS out_units, 0 AS out_value_fen, 0 AS in_units,
        0 AS in_value_fen, 0 AS reversed, 0 AS refused, 0 AS slot_full, 0 AS cohort_units, 0 AS cohort_redeemed, 0 AS card_units,
        0 AS holder_days
    FROM served
    UNION ALL
    SELECT slot, key, 0, 0, 0, 0, out_units, out_value_fen, in_units, in_value_fen, 0, 0, 0, 0, 0, card_units, 0
    FROM flow
    UNION ALL
    SELECT
        CASE
            WHEN $per = 'day' THEN day
            WHEN $per = 'week' THEN day - (day + 3) % 7
            WHEN $per = 'month' THEN date_part('year', CAST(day AS DATE)) * 12 + date_part('month', CAST(day AS DATE)) - 1
            ELSE 0
        END,
        key, 0, 0, 0, 0, 0, 0, 0, 0, reversed, refused, slot_full, sold, redeemed, 0, 0
    FROM (
        SELECT
            i.day, i.reversed, i.refused, i.slot_full, i.sold, i.redeemed,
            CASE WHEN $by = 'product' THEN i.product_id WHEN $by = 'store' THEN i.store_id ELSE p.area END AS key
        FROM (
            SELECT store_id, product_id, day, reversed, refused, slot_full, 0 AS sold, 0 AS redeemed
            FROM incident
            UNION ALL
            SELECT store_id, product_id, CAST(sold_day + $age AS INT) AS day, 0, 0, 0, sold, redeemed
            FROM cohort
        ) AS i
        LEFT JOIN place AS p ON p.store_id = i.store_id
        WHERE i.day BETWEEN CAST($from AS INT) AND least(CAST($to AS INT), CAST($today AS INT))
    )
    UNION ALL
    SELECT slot, key, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, holder_days
    FROM holding
    UNION ALL
    SELECT 0, CASE WHEN $by = 'store' THEN s.store_id ELSE p.area END, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    FROM store AS s
    LEFT JOIN place AS p ON p.store_id = s.store_id
    WHERE $per = 'total' AND $by <> 'product' AND NOT s.head_office AND ($store IS NULL OR s.store_id = $store)
        AND (s.opened_on IS NULL OR s.opened_on <= $to) AND (s.closed_on IS NULL OR s.closed_on >= $from)
)
SELECT
    t.key, n.name,
    CASE
        WHEN $per IN ('day', 'week') THEN CAST(CAST(t.slot AS INT) AS DATE)
        WHEN $per = 'month' THEN make_date(CAST(t.slot / 12 AS INT), CAST(t.slot % 12 + 1 AS INT), 1)
        ELSE $from
    END AS period,
    t.redemptions, t.units, t.value_fen, t.members,
    t.out_units AS sold_here_used_there_units, t.out_value_fen AS sold_here_used_there_value_fen,
    t.in_units AS sold_there_used_here_units, t.in_value_fen AS sold_there_used_here_value_fen,
    t.reversed, t.refused, t.slot_full,
    t.cohort_units, t.cohort_redeemed, CAST(t.cohort_redeemed AS DOUBLE) / nullif(t.cohort_units, 0) AS redemption_rate,
    t.card_units, t.holder_days / 30.0 AS holder_months, t.card_units * 30.0 / nullif(t.holder_days, 0) AS usage
FROM (
    SELECT
        key, CAST(slot AS BIGINT) AS slot,
        sum(redemptions) AS redemptions, sum(units) AS units, sum(value_fen) AS value_fen, sum(members) AS members,
        sum(out_units) AS out_units, sum(out_value_fen) AS out_value_fen,
        sum(in_units) AS in_units, sum(in_value_fen) AS in_value_fen,
        sum(reversed) AS reversed, sum(refused) AS refused, sum(slot_full) AS slot_full,
        sum(cohort_units) AS cohort_units, sum(cohort_redeemed) AS cohort_redeemed, sum(card_units) AS card_units,
        sum(holder_days) AS holder_days
    FROM figure
    GROUP BY key, slot
) AS t
LEFT JOIN (
    SELECT store_id AS id, name FROM store WHERE $by = 'store'
    UNION ALL
    SELECT product_id AS id, name FROM products WHERE $by = 'product'
) AS n ON n.id = t.key
ORDER BY period, t.key
