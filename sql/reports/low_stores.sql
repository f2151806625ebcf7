-- low_stores
-- Title: Stores that redeem persistently little
-- Title zh: 核销偏低门店
-- Grain: store.
-- Roles: head_office
-- Param radius_m: number = 3000. How far a home may be from a store to be in its catchment, in metres, great-circle.
-- Param weeks: int = 8. Weeks up to yesterday that are looked at.
-- Param weeks_low: int = 6. Low weeks from which a store is low.
-- Param ratio: number = 0.7. Share of the peers' median up to which a week is low.
-- Param p: number = 0.01. Chance below which the whole is no accident.
-- Param worse: number = 0.1. How much worse than the peers' median a figure is to be a likely cause: points of a share, or a
--    share of the opening hours.
-- Param rows: low|all = low. Only low stores, or all that have peers.
-- Key: store_id
-- Additive: units, slot_full, out_of_stock
-- Heading rate: units per catchment member
-- Heading peer_rate: median of the peers' units per catchment member
-- Heading p_value: chance of so few units at the peers' median
-- Heading scope_share: share of the units held nearby that may not be redeemed here
-- Heading full_share: full slots per unit redeemed or turned away
-- Heading stock_share: out of stock per unit redeemed or turned away
-- Formula rate: CAST(units AS DOUBLE) / members
-- Formula ratio: rate / nullif(peer_rate, 0)
-- Formula scope_share: CAST(units_not_here AS DOUBLE) / units_nearby
-- Formula full_share: CAST(slot_full AS DOUBLE) / nullif(units + slot_full, 0)
-- Formula stock_share: CAST(out_of_stock AS DOUBLE) / nullif(units + out_of_stock, 0)
-- Chart: bars store_name rate
-- R17. members live within the radius of the store; units are redemptions that stand. Peers have the same format, city tier and
--    skills (what they can perform: which products they may redeem is one of the causes looked for), and like the store
--    itself were open all these weeks. A store without peers or without members nearby is not judged.
-- weeks_low counts the weeks with rate ≤ ratio × the peers' median of that week. p_value is Poisson's P(X ≤ units) with the mean
--    peer_rate × members, all weeks pooled. low: weeks_low and p_value reach their limits.
-- causes, each where the figure is worse than the peers' median: applicable_stores (scope_share: of units_nearby, units held in
--    the catchment that the store could perform, those it may not redeem, as of now), opening_hours (open_hours_per_week),
--    capacity (full_share) and stock (stock_share, from refusals with the reason out_of_stock).
-- If nobody's home is known, note says so.
WITH place AS MATERIALIZED (
    SELECT
        store_id, name, format, city_tier, lat, lon,
        concat(coalesce(format, ''), chr(31), coalesce(city_tier, ''), chr(31), coalesce(array_to_string(array_sort(skills), ','), ''))
            AS kind
    FROM stores
    WHERE NOT head_office AND lat IS NOT NULL AND lon IS NOT NULL
        AND (opened_on IS NULL OR opened_on <= CAST(CAST($today AS INT) - 7 * $weeks AS DATE)) AND (closed_on IS NULL OR closed_on >= $today)
),
able AS MATERIALIZED (
    SELECT store_id, product_id FROM performable
),
-- Cells are narrowed to a disk that holds the radius wherever in its cell a store lies, as in coverage_gap.
near AS MATERIALIZED (
    SELECT h.member_id, s.store_id
    FROM (
        SELECT
            member_id, home_lat, home_lon,
            h3_cell(home_lat, home_lon, CASE WHEN $radius_m <= 6000 THEN 8 WHEN $radius_m <= 45000 THEN 6 ELSE 4 END) AS cell
        FROM members
        WHERE home_lat IS NOT NULL AND home_lon IS NOT NULL
    ) AS h
    JOIN (
        SELECT
            store_id, lat, lon,
            unnest(CASE
                WHEN $radius_m <= 6000 THEN h3_disk(h3_cell(lat, lon, 8), CAST(ceil($radius_m / 450) + 1 AS BIGINT))
                WHEN $radius_m <= 45000 THEN h3_disk(h3_cell(lat, lon, 6), CAST(ceil($radius_m / 3150) + 1 AS BIGINT))
                ELSE h3_disk(h3_cell(lat, lon, 4), CAST(ceil($radius_m / 22000) + 1 AS BIGINT))
            END) AS cell
        FROM place
    ) AS s ON s.cell = h.cell AND haversine_m(s.lat, s.lon, h.home_lat, h.home_lon) <= $radius_m
),
week AS MATERIALIZED (
    SELECT p.store_id, p.kind, m.members, n.week, coalesce(r.units, 0) AS units, CAST(coalesce(r.units, 0) AS DOUBLE) / m.members AS rate
    FROM place AS p
    JOIN (SELECT store_id, count(*) AS members FROM near GROUP BY store_id) AS m ON m.store_id = p.store_id
    CROSS JOIN (SELECT unnest(generate_series(0, $weeks - 1)) AS week) AS n
    LEFT JOIN (
        SELECT redeemed_store_id AS store_id, (CAST($today AS INT) - 1 - CAST(business_day AS INT)) / 7 AS week, count(*) AS units
        FROM standing_redemptions
        WHERE business_day >= CAST(CAST($today AS INT) - 7 * $weeks AS DATE) AND business_day < $today
        GROUP BY 1, 2
    ) AS r ON r.store_id = p.store_id AND r.week = n.week
),
held AS (
    SELECT
        n.store_id, sum(u.available_units) AS units_nearby,
        sum(CASE WHEN strpos(u.stores, concat(chr(31), n.store_id, chr(31))) > 0 THEN 0 ELSE u.available_units END) AS units_not_here
    FROM redeemable_units AS u
    JOIN near AS n ON n.member_id = u.member_id
    JOIN able AS a ON a.store_id = n.store_id AND a.product_id = u.product_id
    WHERE u.crosses
    GROUP BY n.store_id
),
open AS (
    SELECT store_id, CAST(sum(cardinality(hours_of(open_mask))) AS DOUBLE) / $weeks AS open_hours_per_week
    FROM open_days
    WHERE day >= CAST(CAST($today AS INT) - 7 * $weeks AS DATE) AND day < $today
    GROUP BY store_id
),
turned_away AS (
    SELECT
        store_id, sum(CASE WHEN type = 'slot_full' THEN 1 ELSE 0 END) AS slot_full,
        sum(CASE WHEN reason = 'out_of_stock' THEN 1 ELSE 0 END) AS out_of_stock
    FROM log.refusals
    WHERE business_day >= CAST(CAST($today AS INT) - 7 * $weeks AS DATE) AND business_day < $today
    GROUP BY store_id
),
figure AS MATERIALIZED (
    SELECT
        w.store_id, w.kind, w.members, w.units, CAST(w.units AS DOUBLE) / w.members AS rate,
        h.units_nearby, h.units_not_here, CAST(h.units_not_here AS DOUBLE) / h.units_nearby AS scope_share, o.open_hours_per_week,
        coalesce(t.slot_full, 0) AS slot_full,
        CAST(coalesce(t.slot_full, 0) AS DOUBLE) / nullif(w.units + coalesce(t.slot_full, 0), 0) AS full_share,
        coalesce(t.out_of_stock, 0) AS out_of_stock,
        CAST(coalesce(t.out_of_stock, 0) AS DOUBLE) / nullif(w.units + coalesce(t.out_of_stock, 0), 0) AS stock_share
    FROM (SELECT store_id, kind, members, sum(units) AS units FROM week GROUP BY store_id, kind, members) AS w
    LEFT JOIN held AS h ON h.store_id = w.store_id
    LEFT JOIN open AS o ON o.store_id = w.store_id
    LEFT JOIN turned_away AS t ON t.store_id = w.store_id
),
peer AS (
    SELECT
        a.store_id, count(*) AS peers, median(b.rate) AS rate, median(b.scope_share) AS scope_share,
        median(b.open_hours_per_week) AS open_hours_per_week, median(b.full_share) AS full_share, median(b.stock_share) AS stock_share
    FROM figure AS a
    JOIN figure AS b ON b.kind = a.kind AND b.store_id <> a.store_id
    GROUP BY a.store_id
),
-- 0.7 × 10 / 7 is more than 1 by the last bit of it: a rate at the limit counts.
low_week AS (
    SELECT a.store_id, sum(CASE WHEN a.rate <= $ratio * p.rate + 1e-12 AND p.rate > 0 THEN 1 ELSE 0 END) AS weeks_low
    FROM week AS a
    JOIN (
        SELECT a.store_id, a.week, median(b.rate) AS rate
        FROM week AS a
        JOIN week AS b ON b.kind = a.kind AND b.week = a.week AND b.store_id <> a.store_id
        GROUP BY a.store_id, a.week
    ) AS p ON p.store_id = a.store_id AND p.week = a.week
    GROUP BY a.store_id
),
judged AS (
    SELECT
        f.*, p.peers, p.rate AS peer_rate, l.weeks_low, poisson_at_most(CAST(f.units AS BIGINT), p.rate * f.members) AS p_value,
        p.scope_share AS peer_scope_share, p.open_hours_per_week AS peer_open_hours_per_week, p.full_share AS peer_full_share,
        p.stock_share AS peer_stock_share,
        l.weeks_low >= $weeks_low AND poisson_at_most(CAST(f.units AS BIGINT), p.rate * f.members) < $p AS low
    FROM figure AS f
    JOIN peer AS p ON p.store_id = f.store_id
    JOIN low_week AS l ON l.store_id = f.store_id
)
SELECT
    j.store_id, s.name AS store_name, s.format, s.city_tier, j.low, j.peers, j.members, j.units, j.rate, j.peer_rate,
    j.rate / nullif(j.peer_rate, 0) AS ratio, j.weeks_low, j.p_value,
    CASE WHEN j.low THEN nullif(concat_ws(', ',
        CASE WHEN j.scope_share >= coalesce(j.peer_scope_share, 0) + $worse THEN 'applicable_stores' END,
        CASE WHEN j.open_hours_per_week <= j.peer_open_hours_per_week * (1 - $worse) THEN 'opening_hours' END,
        CASE WHEN j.full_share >= coalesce(j.peer_full_share, 0) + $worse THEN 'capacity' END,
        CASE WHEN j.stock_share >= coalesce(j.peer_stock_share, 0) + $worse THEN 'stock' END
    ), '') END AS causes,
    j.units_nearby, j.units_not_here, j.scope_share, j.peer_scope_share, j.open_hours_per_week, j.peer_open_hours_per_week,
    j.slot_full, j.full_share, j.peer_full_share, j.out_of_stock, j.stock_share, j.peer_stock_share, CAST(NULL AS VARCHAR) AS note
FROM judged AS j
JOIN place AS s ON s.store_id = j.store_id
WHERE j.low OR $rows = 'all'
UNION ALL
SELECT
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, 'no member has a known home'
FROM (SELECT count(*) AS homes FROM members WHERE home_lat IS NOT NULL AND home_lon IS NOT NULL)
WHERE homes = 0
ORDER BY low DESC NULLS LAST, p_value NULLS LAST, store_id
