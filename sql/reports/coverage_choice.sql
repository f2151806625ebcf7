-- coverage_choice
-- Title: Where to widen applicable stores first
-- Title zh: 适用门店扩容方案
-- Grain: store × product to add to the applicable stores, in the order to take them; a store for all products where by is store.
-- Roles: head_office
-- Param k: int = 5. Budget: at most so many additions.
-- Param aim: redemptions|units|members = redemptions. What to gain most of: expected redemptions, units or members.
-- Param by: product|store = product. Whether an addition is a store for one product or for all.
-- Param product: text = none. Only this product.
-- Param radius_m: number = 3000. How far a store may be from a home to cover it, in metres, great-circle.
-- Param days: int = 90. Completed business days from which the rates are taken.
-- Key: rank
-- Additive: members_added, units_added, expected_redemptions_30d_added
-- Heading expected_redemptions_30d_added: added redemptions in 30 days: upper estimate, associational
-- Drill members_alone: coverage_members store=store_id, product=product_id, radius_m=$radius_m
-- Drill units_alone: coverage_members store=store_id, product=product_id, radius_m=$radius_m
-- Chart: bars store_name units_added
-- R16's greedy choice: each row is the addition that gains most after those above it, of the members that none of them covers
--    yet. So rows add up, which those of coverage_gap don't, and any first rows are within 1 − 1/e (63 %) of the best choice
--    of that many. Ties go by the store's and the product's id. It ends where nothing more is gained.
-- Holders, rates and expected_redemptions_30d are coverage_gap's. A product with too few redemptions for rates has none
--    expected: it is chosen only when aiming at units or members. A member with two products is added with the first one.
-- members_alone and units_alone are what the addition would gain without those above it: coverage_gap's members_gained and
--    units_gained.
WITH store AS MATERIALIZED (
    SELECT store_id, name, lat, lon, head_office, time_zone, opened_on, closed_on, today FROM stores
),
product AS MATERIALIZED (
    SELECT product_id, name FROM products
),
zone AS MATERIALIZED (
    SELECT coalesce(min(time_zone), 'UTC') AS zone FROM store
),
-- What changed the lists of orders sold before, by day.
change AS MATERIALIZED (
    SELECT
        c.product_id, c.nth, c.store_id, c.added, CAST(c.known_from AS BIGINT) AS known_from,
        CAST(business_day(c.effective_from, z.zone, 4) AS INT) AS day
    FROM applicable_store_changes AS c
    CROSS JOIN zone AS z
    WHERE c.binds AND c.effective_from <= now()
),
switch AS MATERIALIZED (
    SELECT
        s.enabled, CAST(business_day(s.effective_from, z.zone, 4) AS INT) AS from_day,
        coalesce(CAST(business_day(s.effective_until, z.zone, 4) AS INT), 1000000) AS until_day
    FROM cross_store_switch AS s
    CROSS JOIN zone AS z
    WHERE s.effective_from <= now()
),
-- Times within which a product's list and the switch did not change; the last one is now.
epoch_day AS MATERIALIZED (
    SELECT DISTINCT product_id, greatest(day, CAST($today AS INT) - $days) AS from_day
    FROM (
        SELECT product_id, 0 AS day FROM product
        UNION ALL
        SELECT product_id, day FROM change
        UNION ALL
        SELECT p.product_id, s.from_day FROM product AS p CROSS JOIN switch AS s
    )
    WHERE day <= CAST($today AS INT)
),
epoch AS MATERIALIZED (
    SELECT a.product_id, a.from_day, coalesce(min(b.from_day), 1000000) AS until_day, coalesce(bool_or(s.enabled), false) AS crossing
    FROM epoch_day AS a
    LEFT JOIN epoch_day AS b ON b.product_id = a.product_id AND b.from_day > a.from_day
    LEFT JOIN switch AS s ON s.from_day <= a.from_day AND a.from_day < s.until_day
    GROUP BY a.product_id, a.from_day
),
-- Sales between two changes have the first in their own list; −1 is before any.
version AS MATERIALIZED (
    SELECT a.product_id, a.known_from, coalesce(min(b.known_from), 9000000000000000000) AS until_at
    FROM (SELECT DISTINCT product_id, unnest([known_from, -1]) AS known_from FROM change) AS a
    LEFT JOIN change AS b ON b.product_id = a.product_id AND b.known_from > a.known_from
    GROUP BY a.product_id, a.known_from
),
-- What the last change since decided about a store.
decided AS MATERIALIZED (
    SELECT v.product_id, v.known_from, e.from_day AS epoch_day, c.store_id,
        max(c.nth * 2 + CASE WHEN c.added THEN 1 ELSE 0 END) % 2 = 1 AS added
    FROM version AS v
    JOIN change AS c ON c.product_id = v.product_id AND c.known_from > v.known_from
    JOIN epoch AS e ON e.product_id = v.product_id AND c.day <= e.from_day
    GROUP BY v.product_id, v.known_from, e.from_day, c.store_id
),
open_store AS MATERIALIZED (
    SELECT store_id, name, lat, lon, head_office
    FROM store
    WHERE lat IS NOT NULL AND lon IS NOT NULL AND (opened_on IS NULL OR opened_on <= today) AND (closed_on IS NULL OR closed_on >= today)
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
),
home AS (
    SELECT
        h.member_id, CAST(business_day(h.from_at, z.zone, 4) AS INT) AS from_day,
        coalesce(CAST(business_day(h.until_at, z.zone, 4) AS INT), 1000000) AS until_day, h.home_lat AS lat, h.home_lon AS lon,
        h3_cell(h.home_lat, h.home_lon, CASE WHEN $radius_m <= 6000 THEN 8 WHEN $radius_m <= 45000 THEN 6 ELSE 4 END) AS cell
    FROM member_homes AS h
    CROSS JOIN zone AS z
),
-- A home once per store within the radius, or once without a store.
home_near AS MATERIALIZED (
    SELECT h.member_id, h.from_day, h.until_day, s.store_id
    FROM home AS h
    LEFT JOIN store_cell AS s ON s.cell = h.cell AND haversine_m(s.lat, s.lon, h.lat, h.lon) <= $radius_m
),
-- Units coming and going by day, everything before the window on the day before it.
moved AS (
    SELECT
        entitlement_id, greatest(day, CAST($today AS INT) - $days - 1) AS day,
        sum(gained) AS gained, sum(lost) AS lost, sum(redeemed) AS redeemed, sum(asked) AS asked, max(valid_until) AS valid_until
    FROM (
        SELECT
            entitlement_id, CAST(business_day AS INT) AS day, CASE WHEN type = 'reversed' THEN 1 ELSE 0 END AS gained,
            -- A booked unit was taken away by the booking.
            CASE WHEN type = 'redeemed' AND booked_store_id IS NULL THEN 1 ELSE 0 END AS lost,
            CASE WHEN type = 'redeemed' THEN 1 ELSE 0 END AS redeemed, 0 AS asked, valid_until
        FROM log.redemptions
        WHERE type IN ('redeemed', 'reversed') AND product_type IN ('booking', 'card', 'punch_card')
            AND entitlement_id IS NOT NULL
        UNION ALL
        -- What was reversed did not stand on its own day.
        SELECT
            entitlement_id,
            CAST((CAST(original_redeemed_at AS BIGINT) / 1000000 + (CAST(utc_offset_min AS BIGINT) - 240) * 60) / 86400 AS INT),
            0, 0, -1, 0, NULL
        FROM log.redemptions
        WHERE type = 'reversed' AND entitlement_id IS NOT NULL
        UNION ALL
        SELECT
            entitlement_id,
            CASE
                WHEN type IN ('sold', 'opening_balance') THEN greatest(CAST(business_day AS INT),
                    CAST((CAST(valid_from AS BIGINT) / 1000000 + (CAST(utc_offset_min AS BIGINT) - 240) * 60) / 86400 AS INT))
                ELSE CAST(business_day AS INT)
            END,
            CASE WHEN type IN ('sold', 'opening_balance') THEN units ELSE 0 END,
            CASE WHEN type IN ('refunded', 'expired') THEN CAST(cardinality(unit_ordinals) AS BIGINT) ELSE 0 END,
            0,
            CASE WHEN type = 'refund_requested' THEN 1 WHEN type IN ('refund_withdrawn', 'refunded') THEN -1 ELSE 0 END,
            CASE WHEN type IN ('sold', 'opening_balance') THEN valid_until END
        FROM log.orders
        WHERE entitlement_id IS NOT NULL
            AND (type NOT IN ('sold', 'opening_balance') OR product_type IN ('booking', 'card', 'punch_card'))
        UNION ALL
        SELECT
            entitlement_id, CAST(business_day AS INT), CASE WHEN type IN ('cancelled', 'no_show') THEN 1 ELSE 0 END,
            CASE WHEN type = 'booked' THEN 1 ELSE 0 END, 0, 0, NULL
        FROM log.bookings
        WHERE entitlement_id IS NOT NULL
    )
    GROUP BY 1, 2
),
-- What was used up before the window is gone. A claim is a span of days on which a unit was available, a day on which some
-- were redeemed as −(day × 1024 + units), or 0 for now.
entitlement AS (
    SELECT
        entitlement_id, CASE WHEN sum(asked) > 0 THEN 0 ELSE sum(gained) - sum(lost) END AS available, max(valid_until) AS valid_until,
        held_spans(CAST(day AS BIGINT), CAST(gained AS BIGINT), CAST(lost AS BIGINT)) AS spans,
        array_agg(CASE WHEN redeemed > 0 AND day >= CAST($today AS INT) - $days AND day < CAST($today AS INT)
            THEN -(day * 1024 + redeemed) ELSE 0 END) AS redeemed
    FROM moved
    WHERE gained <> lost OR day >= CAST($today AS INT) - $days
    GROUP BY entitlement_id
),
sale AS (
    SELECT
        s.entitlement_id, s.product_id, s.sold_store_id, v.known_from,
        -- The list as one text between separators: looking into a list costs 50 µs a row.
        concat(chr(31), array_to_string(s.applicable_store_ids, chr(31)), chr(31)) AS listed,
        coalesce(a.stands_for_member_id, t.to_member_id, s.member_id) AS member_id,
        CAST(s.utc_offset_min AS BIGINT) AS utc_offset_min
    FROM log.orders AS s
    LEFT JOIN (
        SELECT entitlement_id, last_value(to_member_id ORDER BY occurred_at, log_partition, log_offset) AS to_member_id
        FROM log.orders
        WHERE type = 'transferred' AND to_member_id IS NOT NULL
        GROUP BY entitlement_id
    ) AS t ON t.entitlement_id = s.entitlement_id
    LEFT JOIN member_aliases AS a ON a.member_id = coalesce(t.to_member_id, s.member_id)
    LEFT JOIN version AS v ON v.product_id = s.product_id
        AND CAST(s.occurred_at AS BIGINT) >= v.known_from AND CAST(s.occurred_at AS BIGINT) < v.until_at
    WHERE s.type IN ('sold', 'opening_balance') AND s.product_type IN ('booking', 'card', 'punch_card')
        AND s.head_office_product AND s.member_id IS NOT NULL
),
claim AS (
    SELECT
        entitlement_id, product_id, member_id, sold_store_id, listed, known_from, usable, valid_until, claim,
        CASE
            WHEN claim > 0 THEN greatest(claim / 16777216, CAST($today AS INT) - $days)
            WHEN claim < 0 THEN -claim / 1024
            ELSE CAST($today AS INT)
        END AS from_day,
        CASE
            WHEN claim > 0 THEN least(claim % 16777216, CAST($today AS INT), until_day)
            WHEN claim < 0 THEN -claim / 1024 + 1
            ELSE CAST($today AS INT) + 1
        END AS until_day
    FROM (
        SELECT
            s.*, e.valid_until,
            CASE WHEN e.valid_until IS NULL OR e.valid_until > now() THEN e.available ELSE 0 END AS usable,
            (CAST(e.valid_until AS BIGINT) / 1000000 - 1 + (s.utc_offset_min - 240) * 60) / 86400 + 1 AS until_day,
            unnest(array_concat(e.spans, array_distinct(array_append(e.redeemed, 0)))) AS claim
        FROM entitlement AS e
        JOIN sale AS s ON s.entitlement_id = e.entitlement_id
    )
),
-- Every claim in each home and epoch it falls into, with whether a store covers it there.
placed AS (
    SELECT
        entitlement_id, product_id, member_id, claim, from_day, until_day, home_known,
        max(usable) AS available, max(coalesce(CAST(valid_until AS BIGINT), 9000000000000000000)) AS valid_until,
        bool_or(covers) AS covered
    FROM (
        SELECT
            c.entitlement_id, c.product_id, c.member_id, c.claim, c.usable, c.valid_until, h.member_id IS NOT NULL AS home_known,
            greatest(c.from_day, e.from_day, h.from_day) AS from_day, least(c.until_day, e.until_day, h.until_day) AS until_day,
            CASE
                WHEN h.store_id IS NULL THEN false
                WHEN NOT e.crossing THEN h.store_id = c.sold_store_id
                ELSE coalesce(d.added, strpos(c.listed, concat(chr(31), h.store_id, chr(31))) > 0)
            END AS covers
        FROM claim AS c
        JOIN epoch AS e ON e.product_id = c.product_id AND e.from_day < c.until_day AND c.from_day < e.until_day
        LEFT JOIN home_near AS h ON h.member_id = c.member_id AND h.from_day < c.until_day AND c.from_day < h.until_day
        LEFT JOIN decided AS d ON d.product_id = c.product_id AND d.known_from = c.known_from AND d.epoch_day = e.from_day
            AND d.store_id = h.store_id
        WHERE c.from_day < c.until_day
    )
    WHERE from_day < until_day
    GROUP BY entitlement_id, product_id, member_id, claim, from_day, until_day, home_known
),
holder AS (
    SELECT
        product_id, member_id, min(entitlement_id) AS holder_id,
        coalesce(span_days(CASE WHEN claim > 0 AND home_known AND covered THEN from_day END, until_day), 0) AS covered_days,
        coalesce(span_days(CASE WHEN claim > 0 AND home_known THEN from_day END, until_day), 0) AS held_days,
        sum(CASE WHEN claim < 0 AND home_known AND covered THEN -claim % 1024 ELSE 0 END) AS covered_redeemed,
        sum(CASE WHEN claim < 0 AND home_known AND NOT covered THEN -claim % 1024 ELSE 0 END) AS uncovered_redeemed,
        sum(CASE WHEN claim = 0 AND home_known AND NOT covered THEN available ELSE 0 END) AS uncovered_available,
        max(CASE WHEN claim = 0 AND home_known AND NOT covered AND available > 0 THEN valid_until END) AS uncovered_until
    FROM placed
    GROUP BY product_id, member_id
),
-- Each holder with the figures of the product and of the chain.
rated AS (
    SELECT
        *,
        (covered_redeemed + 20 * coalesce(chain_covered_redeemed / nullif(chain_covered_months, 0), 0)) / (covered_months + 20)
            AS rate_covered,
        (uncovered_redeemed + 20 * coalesce(chain_uncovered_redeemed / nullif(chain_uncovered_months, 0), 0)) / (uncovered_months + 20)
            AS rate_uncovered,
        covered_redeemed < 30 OR uncovered_redeemed < 30 AS insufficient
    FROM (
        SELECT
            product_id, member_id, holder_id, uncovered_available, uncovered_until,
            sum(covered_days) OVER product / 30.0 AS covered_months,
            sum(held_days - covered_days) OVER product / 30.0 AS uncovered_months,
            sum(covered_redeemed) OVER product AS covered_redeemed, sum(uncovered_redeemed) OVER product AS uncovered_redeemed,
            sum(covered_days) OVER () / 30.0 AS chain_covered_months,
            sum(held_days - covered_days) OVER () / 30.0 AS chain_uncovered_months,
            sum(covered_redeemed) OVER () AS chain_covered_redeemed, sum(uncovered_redeemed) OVER () AS chain_uncovered_redeemed
        FROM holder
        WINDOW product AS (PARTITION BY product_id)
    )
),
able AS MATERIALIZED (
    SELECT store_id, product_id FROM performable
),
-- Every holder that no store covers with each addition that would.
pair AS MATERIALIZED (
    SELECT
        concat(n.store_id, chr(31), CASE WHEN $by = 'product' THEN h.product_id ELSE '' END) AS choice,
        h.holder_id, h.member_id, h.uncovered_available AS units,
        CASE WHEN h.insufficient THEN NULL ELSE least(CAST(h.uncovered_available AS DOUBLE),
            greatest(0.0, h.rate_covered - h.rate_uncovered)
                * least(30.0, (h.uncovered_until - CAST(arrow_cast(now(), 'Timestamp(Microsecond, Some("UTC"))') AS BIGINT)) / 86400000000.0)
                / 30.0) END AS expected
    FROM rated AS h
    JOIN home_near AS n ON n.member_id = h.member_id AND n.until_day = 1000000
    JOIN able AS f ON f.store_id = n.store_id AND f.product_id = h.product_id
    JOIN open_store AS s ON s.store_id = n.store_id AND NOT s.head_office
    WHERE h.uncovered_available > 0 AND ($product IS NULL OR h.product_id = $product)
),
chosen AS MATERIALIZED (
    SELECT unnest(choices) AS choice, unnest(generate_series(1, CAST(cardinality(choices) AS BIGINT))) AS rank
    FROM (
        SELECT
            greedy_cover(
                choice, CASE WHEN $aim = 'members' THEN member_id ELSE holder_id END,
                CASE WHEN $aim = 'members' THEN 1.0 WHEN $aim = 'units' THEN CAST(units AS DOUBLE) ELSE expected END, $k
            ) AS choices
        FROM pair
        WHERE $aim <> 'redemptions' OR expected > 0
    )
),
-- What each addition covers first.
added AS (
    SELECT holder_id, member_id, max(units) AS units, max(expected) AS expected, min(rank) AS rank
    FROM pair AS p
    JOIN chosen AS c ON c.choice = p.choice
    GROUP BY holder_id, member_id
),
first_added AS (
    SELECT member_id, min(rank) AS rank FROM added GROUP BY member_id
),
gain AS (
    SELECT rank, sum(units) AS units_added, sum(expected) AS expected_added FROM added GROUP BY rank
),
alone AS (
    SELECT c.rank, count(DISTINCT p.member_id) AS members_alone, sum(p.units) AS units_alone
    FROM pair AS p
    JOIN chosen AS c ON c.choice = p.choice
    GROUP BY c.rank
)
SELECT
    c.rank, split_part(c.choice, chr(31), 1) AS store_id, s.name AS store_name,
    nullif(split_part(c.choice, chr(31), 2), '') AS product_id, q.name AS product_name,
    coalesce(m.members_added, 0) AS members_added, coalesce(g.units_added, 0) AS units_added,
    g.expected_added AS expected_redemptions_30d_added, a.members_alone, a.units_alone, CAST(NULL AS VARCHAR) AS note
FROM chosen AS c
LEFT JOIN gain AS g ON g.rank = c.rank
LEFT JOIN alone AS a ON a.rank = c.rank
LEFT JOIN (SELECT rank, count(*) AS members_added FROM first_added GROUP BY rank) AS m ON m.rank = c.rank
LEFT JOIN store AS s ON s.store_id = split_part(c.choice, chr(31), 1)
LEFT JOIN product AS q ON q.product_id = split_part(c.choice, chr(31), 2)
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'no member has a known home'
FROM (SELECT count(*) AS homes FROM member_homes WHERE until_at IS NULL)
WHERE homes = 0
ORDER BY rank
