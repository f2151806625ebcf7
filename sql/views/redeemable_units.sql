-- redeemable_units
-- Title: Units left, and where they may be redeemed
-- Grain: entitlement with available units, valid now and without an open refund.
-- stores is a text, ids between unit separators: strpos(stores, chr(31) || store_id || chr(31)) > 0 asks about one. It is the
--    list the order was sold with, and what changes since added or took away; the selling store alone while the switch is off
--    and for what does not cross stores (R3). crosses: made by head office, of a type that redeems across stores.
WITH change AS (
    SELECT product_id, nth, store_id, added, known_from
    FROM applicable_store_changes
    WHERE binds AND effective_from <= now()
),
-- Sales between two changes have the first in their own list.
version AS (
    SELECT a.product_id, a.known_from, min(b.known_from) AS until_at
    FROM (
        SELECT DISTINCT product_id, unnest([known_from, CAST('2000-01-01T00:00:00Z' AS TIMESTAMP WITH TIME ZONE)]) AS known_from
        FROM change
    ) AS a
    LEFT JOIN change AS b ON b.product_id = a.product_id AND b.known_from > a.known_from
    GROUP BY a.product_id, a.known_from
),
-- What the last change since decided about a store.
decided AS (
    SELECT
        product_id, sold_from, sold_until, array_agg(CASE WHEN added THEN store_id ELSE '' END) AS gained,
        array_agg(CASE WHEN added THEN '' ELSE store_id END) AS lost
    FROM (
        SELECT
            v.product_id, v.known_from AS sold_from, v.until_at AS sold_until, c.store_id,
            max(c.nth * 2 + CASE WHEN c.added THEN 1 ELSE 0 END) % 2 = 1 AS added
        FROM version AS v
        JOIN change AS c ON c.product_id = v.product_id AND c.known_from > v.known_from
        GROUP BY v.product_id, v.known_from, v.until_at, c.store_id
    )
    GROUP BY product_id, sold_from, sold_until
)
SELECT
    entitlement_id, order_id, product_id, member_id, available_units, sold_at, valid_until, sold_store_id, crosses,
    concat(chr(31), array_to_string(CASE
        WHEN NOT (crosses AND crossing) THEN make_array(CAST(sold_store_id AS VARCHAR))
        ELSE array_except(array_concat(coalesce(listed, make_array('')), coalesce(gained, make_array(''))),
            coalesce(lost, make_array('')))
    END, chr(31)), chr(31)) AS stores
FROM (
    SELECT
        e.entitlement_id, e.order_id, e.product_id, e.member_id, e.available_units, e.sold_at, e.valid_until, e.sold_store_id,
        e.head_office_product AND e.product_type IN ('booking', 'card', 'punch_card') AS crosses, s.crossing,
        arrow_cast(e.applicable_store_ids, 'List(Utf8)') AS listed,
        arrow_cast(d.gained, 'List(Utf8)') AS gained, arrow_cast(d.lost, 'List(Utf8)') AS lost
    FROM entitlements AS e
    CROSS JOIN (
        SELECT coalesce(bool_or(enabled), false) AS crossing
        FROM cross_store_switch
        WHERE effective_from <= now() AND (effective_until IS NULL OR effective_until > now())
    ) AS s
    LEFT JOIN decided AS d ON d.product_id = e.product_id AND e.sold_at >= d.sold_from
        AND (d.sold_until IS NULL OR e.sold_at < d.sold_until)
    WHERE e.available_units > 0 AND NOT e.refund_open AND (e.valid_until IS NULL OR e.valid_until > now())
)
