-- refund_exposure
-- Title: What it would cost to close a store
-- Title zh: 关店退款敞口
-- Grain: store that is open now.
-- Roles: head_office
-- Param store: text = none. Only if this store closes; else every store, each on its own.
-- Param product: text = none. Only units of this product, and no stored value.
-- Param radius_m: number = 3000. How far a store may be from a home to replace another, in metres, great-circle.
-- Key: store_id
-- Heading holders_stranded: holders who could redeem nowhere
-- Heading units_stranded: units redeemable nowhere
-- Heading owed_at_paid_fen: paid − consumed at the paid price per unit
-- Heading owed_at_list_fen: paid − consumed at list price
-- Heading holders_far: holders left without a store near home
-- Heading far_owed_at_paid_fen: theirs: paid − consumed at the paid price per unit
-- Heading far_owed_at_list_fen: theirs: paid − consumed at list price
-- Heading exposure_at_paid_fen: stranded and stored value, at the paid price
-- Heading exposure_at_list_fen: stranded and stored value, at list price
-- Formula exposure_at_paid_fen: owed_at_paid_fen + stored_value_fen
-- Formula exposure_at_list_fen: owed_at_list_fen + stored_value_fen
-- Chart: bars store_name exposure_at_paid_fen
-- stranded: units for which no other open store remains (R3): those of a card that does not cross stores and was sold here,
--    or whose list has only this store left: the one the order was sold with, and what bound it since; while the switch is
--    off, all that was sold here. far: of the others, those of holders for whom this is the only such store within the
--    radius of their home; holders of unknown home are not among them. Units held by a booking count; those whose time has
--    run out do not.
-- Money owed is R6's for each order line, whoever sold it: paid (less what was refunded or expired of it) − consumed, which
--    is the paid price per unit of the units redeemed and not given back (R9), or their list price where they were served,
--    never below 0.
-- Stored value is spent where it was sold (R3): per member and store paid − consumed × paid / (paid + bonus), rounded
--    half-up; what was drawn without a member comes out of one sum per store, as does a former system's balance.
-- Rows do not add up: what two stores share is stranded by neither alone.
WITH open_store AS MATERIALIZED (
    SELECT store_id, name, legal_entity_id, lat, lon, head_office, time_zone
    FROM stores
    WHERE (opened_on IS NULL OR opened_on <= today) AND (closed_on IS NULL OR closed_on >= today)
),
-- What bound orders sold before; sales between two changes have the first in their own list; −1 is before any.
change AS MATERIALIZED (
    SELECT product_id, nth, store_id, added, CAST(known_from AS BIGINT) AS known_from
    FROM applicable_store_changes
    WHERE binds AND effective_from <= now()
),
version AS MATERIALIZED (
    SELECT a.product_id, a.known_from, coalesce(min(b.known_from), 9000000000000000000) AS until_at
    FROM (SELECT DISTINCT product_id, unnest([known_from, -1]) AS known_from FROM change) AS a
    LEFT JOIN change AS b ON b.product_id = a.product_id AND b.known_from > a.known_from
    GROUP BY a.product_id, a.known_from
),
decided AS MATERIALIZED (
    SELECT v.product_id, v.known_from, c.store_id, max(c.nth * 2 + CASE WHEN c.added THEN 1 ELSE 0 END) % 2 = 1 AS added
    FROM version AS v
    JOIN change AS c ON c.product_id = v.product_id AND c.known_from > v.known_from
    GROUP BY v.product_id, v.known_from, c.store_id
),
switch AS (
    SELECT coalesce(bool_or(enabled), false) AS crossing
    FROM cross_store_switch
    WHERE effective_from <= now() AND (effective_until IS NULL OR effective_until > now())
),
-- Order lines with units left, and R6's two readings of what is owed for them.
left_over AS MATERIALIZED (
    SELECT
        entitlement_id, sum(units) AS units, max(valid_until) AS valid_until,
        greatest(sum(change_fen) - sum(CASE WHEN movement = 'expired_owed' THEN carrying_fen ELSE 0 END), 0) AS owed_at_paid_fen,
        greatest(sum(CASE WHEN movement IN ('redeemed', 'reversed', 'adjusted') THEN 0 ELSE change_fen END)
            - sum(CASE WHEN movement = 'expired_owed' THEN carrying_fen ELSE 0 END) - coalesce(sum(list_price_fen), 0),
            0) AS owed_at_list_fen
    FROM liability_entries
    WHERE part = 'paid' AND entitlement_id IS NOT NULL AND ($product IS NULL OR product_id = $product)
    GROUP BY entitlement_id
    HAVING sum(units) > 0
),
-- Lines of one class may be redeemed at the same stores.
claim AS MATERIALIZED (
    SELECT
        CASE WHEN s.crosses THEN concat(s.product_id, chr(30), v.known_from, chr(30),
            array_to_string(s.applicable_store_ids, chr(31)))
            ELSE s.sold_store_id END AS class,
        s.crosses, s.product_id, s.sold_store_id, v.known_from,
        CASE WHEN s.crosses THEN array_to_string(s.applicable_store_ids, chr(31)) END AS listed,
        coalesce(a.stands_for_member_id, t.to_member_id, s.member_id) AS member_id, s.entitlement_id, s.units, s.owed_at_paid_fen,
        s.owed_at_list_fen
    FROM (
        SELECT
            l.units, l.owed_at_paid_fen, l.owed_at_list_fen, o.entitlement_id, o.product_id, o.sold_store_id,
            o.applicable_store_ids,
            o.member_id, o.occurred_at, w.crossing AND coalesce(o.head_office_product, false)
                AND coalesce(o.product_type, '') IN ('booking', 'card', 'punch_card') AS crosses
        FROM left_over AS l
        JOIN log.orders AS o ON o.entitlement_id = l.entitlement_id AND o.type IN ('sold', 'opening_balance')
        CROSS JOIN switch AS w
        WHERE l.valid_until IS NULL OR l.valid_until > now()
    ) AS s
    LEFT JOIN (
        SELECT entitlement_id, last_value(to_member_id ORDER BY occurred_at, log_partition, log_offset) AS to_member_id
        FROM log.orders
        WHERE type = 'transferred' AND to_member_id IS NOT NULL
        GROUP BY entitlement_id
    ) AS t ON t.entitlement_id = s.entitlement_id
    LEFT JOIN member_aliases AS a ON a.member_id = coalesce(t.to_member_id, s.member_id)
    LEFT JOIN version AS v ON v.product_id = s.product_id
        AND CAST(s.occurred_at AS BIGINT) >= v.known_from AND CAST(s.occurred_at AS BIGINT) < v.until_at
),
class AS MATERIALIZED (
    SELECT
        class, bool_or(crosses) AS crosses, max(product_id) AS product_id, max(sold_store_id) AS sold_store_id,
        max(known_from) AS known_from, max(listed) AS listed
    FROM claim
    GROUP BY class
),
allowed AS MATERIALIZED (
    SELECT l.class, l.store_id
    FROM (
        SELECT class, product_id, known_from, crosses,
        unnest(string_to_array(listed, chr(31))) AS store_id FROM class WHERE crosses
        UNION
        SELECT c.class, c.product_id, c.known_from, c.crosses, d.store_id
        FROM class AS c
        JOIN decided AS d ON d.product_id = c.product_id AND d.known_from = c.known_from
        WHERE c.crosses AND d.added
        UNION
        SELECT class, product_id, known_from, crosses, sold_store_id AS store_id FROM class WHERE NOT crosses
    ) AS l
    JOIN open_store AS s ON s.store_id = l.store_id
    LEFT ANTI JOIN (SELECT product_id, known_from, store_id FROM decided WHERE NOT added) AS d
        ON d.product_id = l.product_id AND d.known_from = l.known_from AND d.store_id = l.store_id AND l.crosses
),
choice AS MATERIALIZED (
    SELECT class, count(*) AS stores, max(store_id) AS only_store_id FROM allowed GROUP BY class
),
-- Cells are narrowed to a disk that holds the radius wherever in its cell a store lies: cell centres are at least 622 m apart
-- per step at resolution 8, 7 times that two resolutions up.
store_cell AS (
    SELECT
        store_id, lat, lon,
        unnest(CASE
            WHEN $radius_m <= 6000 THEN h3_disk(h3_cell(lat, lon, 8), CAST(ceil($radius_m / 450) + 1 AS BIGINT))
            WHEN $radius_m <= 45000 THEN h3_disk(h3_cell(lat, lon, 6), CAST(ceil($radius_m / 3150) + 1 AS BIGINT))
            ELSE h3_disk(h3_cell(lat, lon, 4), CAST(ceil($radius_m / 22000) + 1 AS BIGINT))
        END) AS cell
    FROM open_store
    WHERE lat IS NOT NULL AND lon IS NOT NULL
),
home AS (
    SELECT
        member_id, home_lat AS lat, home_lon AS lon,
        h3_cell(home_lat, home_lon, CASE WHEN $radius_m <= 6000 THEN 8 WHEN $radius_m <= 45000 THEN 6 ELSE 4 END) AS cell
    FROM member_homes
    WHERE until_at IS NULL
),
-- Holders with more than one store to go to, of which one is near.
near AS (
    SELECT c.class, c.member_id, max(h.store_id) AS store_id
    FROM (
        SELECT c.class, c.member_id
        FROM claim AS c
        JOIN choice AS k ON k.class = c.class
        WHERE k.stores > 1 AND c.member_id IS NOT NULL
        GROUP BY c.class, c.member_id
    ) AS c
    JOIN (
        SELECT h.member_id, s.store_id
        FROM store_cell AS s
        JOIN home AS h ON h.cell = s.cell
        WHERE haversine_m(s.lat, s.lon, h.lat, h.lon) <= $radius_m
    ) AS h ON h.member_id = c.member_id
    JOIN allowed AS a ON a.class = c.class AND a.store_id = h.store_id
    GROUP BY c.class, c.member_id
    HAVING count(*) = 1
),
lost AS (
    SELECT
        store_id, sum(CASE WHEN stranded_units > 0 THEN 1 ELSE 0 END) AS holders_stranded, sum(stranded_units) AS units_stranded,
        sum(stranded_at_paid_fen) AS owed_at_paid_fen, sum(stranded_at_list_fen) AS owed_at_list_fen,
        sum(CASE WHEN far_units > 0 THEN 1 ELSE 0 END) AS holders_far, sum(far_units) AS units_far,
        sum(far_at_paid_fen) AS far_owed_at_paid_fen, sum(far_at_list_fen) AS far_owed_at_list_fen
    FROM (
        SELECT
            store_id, holder, sum(CASE WHEN far THEN 0 ELSE units END) AS stranded_units,
            sum(CASE WHEN far THEN 0 ELSE owed_at_paid_fen END) AS stranded_at_paid_fen,
            sum(CASE WHEN far THEN 0 ELSE owed_at_list_fen END) AS stranded_at_list_fen,
            sum(CASE WHEN far THEN units ELSE 0 END) AS far_units,
            sum(CASE WHEN far THEN owed_at_paid_fen ELSE 0 END) AS far_at_paid_fen,
            sum(CASE WHEN far THEN owed_at_list_fen ELSE 0 END) AS far_at_list_fen
        FROM (
            SELECT
                k.only_store_id AS store_id, coalesce(c.member_id, -c.entitlement_id) AS holder, c.units, c.owed_at_paid_fen,
                c.owed_at_list_fen, false AS far
            FROM claim AS c
            JOIN choice AS k ON k.class = c.class
            WHERE k.stores = 1
            UNION ALL
            SELECT n.store_id, c.member_id AS holder, c.units, c.owed_at_paid_fen, c.owed_at_list_fen, true AS far
            FROM claim AS c
            JOIN near AS n ON n.class = c.class AND n.member_id = c.member_id
        )
        GROUP BY store_id, holder
    )
    GROUP BY store_id
),
wallet AS (
    SELECT store_id, count(CASE WHEN owed_fen > 0 THEN member_id END) AS holders, sum(owed_fen) AS owed_fen
    FROM (
        SELECT
            store_id, member_id,
            CASE WHEN paid_fen > 0 AND paid_fen + bonus_fen > consumed_fen THEN
                -- Half-up: (2x + y) / 2y without its remainder.
                CAST((CAST(2 * paid_fen AS DECIMAL(20, 0)) * (paid_fen + bonus_fen - consumed_fen) + paid_fen + bonus_fen
                    - (CAST(2 * paid_fen AS DECIMAL(20, 0)) * (paid_fen + bonus_fen - consumed_fen) + paid_fen + bonus_fen)
                        % (2 * (paid_fen + bonus_fen))) / (2 * (paid_fen + bonus_fen)) AS BIGINT)
                ELSE 0
            END AS owed_fen
        FROM (
            SELECT
                store_id, member_id,
                sum(CASE WHEN part = 'principal' AND movement NOT IN ('redeemed', 'reversed') THEN change_fen
                    ELSE 0 END) AS paid_fen,
                sum(CASE WHEN part = 'bonus' AND movement NOT IN ('redeemed', 'reversed') THEN change_fen
                    ELSE 0 END) AS bonus_fen,
                -sum(CASE WHEN movement IN ('redeemed', 'reversed') THEN change_fen ELSE 0 END) AS consumed_fen
            FROM liability_entries
            WHERE part IN ('principal', 'bonus') AND product_id = 'stored_value' AND $product IS NULL
            GROUP BY store_id, member_id
        )
    )
    GROUP BY store_id
)
SELECT
    s.store_id, s.name AS store_name, s.legal_entity_id, coalesce(l.holders_stranded, 0) AS holders_stranded,
    coalesce(l.units_stranded, 0) AS units_stranded, coalesce(l.owed_at_paid_fen, 0) AS owed_at_paid_fen,
    coalesce(l.owed_at_list_fen, 0) AS owed_at_list_fen, coalesce(l.holders_far, 0) AS holders_far,
    coalesce(l.units_far, 0) AS units_far,
    coalesce(l.far_owed_at_paid_fen, 0) AS far_owed_at_paid_fen, coalesce(l.far_owed_at_list_fen, 0) AS far_owed_at_list_fen,
    coalesce(w.holders, 0) AS stored_value_holders, coalesce(w.owed_fen, 0) AS stored_value_fen,
    coalesce(l.owed_at_paid_fen, 0) + coalesce(w.owed_fen, 0) AS exposure_at_paid_fen,
    coalesce(l.owed_at_list_fen, 0) + coalesce(w.owed_fen, 0) AS exposure_at_list_fen
FROM open_store AS s
LEFT JOIN lost AS l ON l.store_id = s.store_id
LEFT JOIN wallet AS w ON w.store_id = s.store_id
WHERE ($store IS NULL OR s.store_id = $store) AND (NOT s.head_office OR l.store_id IS NOT NULL OR w.store_id IS NOT NULL)
ORDER BY exposure_at_paid_fen DESC, holders_far DESC, s.store_id
