-- anomalies
-- Title: Redemptions that ask for a look
-- Title zh: 异常核销
-- Grain: kind × who and where: entitlement, clerk and member, member and day, terminal and day, or clerk.
-- Roles: head_office
-- Param from: day = today-30. First business day, inclusive.
-- Param to: day = today. Last business day, inclusive.
-- Param kind: all|ping_pong|clerk_member_pair|impossible_travel|code_guessing|late_reversals = all. Only this kind.
-- Param store: text = none. Only what was found at this store.
-- Param reversals: int = 2. Reversals of one entitlement from which ping_pong is listed.
-- Param pair: int = 8. Redemptions of one member by one clerk from which a pair is listed.
-- Param kmh: number = 120. Straight speed between two stores that nobody reaches, in km/h.
-- Param km: number = 3. Distance between stores below which nobody travels.
-- Param wrong_codes: int = 5. Wrong codes at a terminal in ten minutes from which code_guessing is listed.
-- Param window_hours: int = 24. Hours within which a redemption may be reversed.
-- Param late_minutes: int = 60. Last minutes of that window that count as late.
-- Param late: int = 2. Late reversals by a clerk from which they are listed.
-- Key: kind, store_id, clerk_id, terminal_id, member_id, entitlement_id, from_on
-- Heading score: times the limit
-- Heading events: events behind it
-- Drill events: redemption_records clerk=clerk_id, member_id=member_id, entitlement_id=entitlement_id, from=from_on, to=to_on
-- Chart: bars kind score
-- Nothing here proves anything: a row says what to look at, evidence the numbers, score how many times its limit was reached (1 is the
--    limit), the highest first. redemption_records with a row's clerk, member, entitlement and days shows the redemptions.
-- ping_pong: an entitlement whose units were taken back `reversals` times or more. score = reversals / limit.
-- clerk_member_pair: of all clerks of a store the one who redeemed most for a member, with `pair` units or more and at least twice the
--    share that the clerk has of the store's units; so never where one clerk does half of all. score = units / limit × share / (2 ×
--    clerk's share). Units taken back count.
-- impossible_travel: the fastest of a member's ways in a business day between two stores at least `km` apart, straight, at `kmh` or
--    more; a time below a minute counts as one. score = speed / limit. Stores without a location are left out.
-- code_guessing: a terminal's (or store's, where none is named) worst ten minutes of a business day with `wrong_codes` or more that were
--    unknown, malformed, forged or refused during a lockout (R10). score = codes / limit.
-- late_reversals: a clerk's reversals within the last minutes of the window (R7), `late` or more. score = reversals / limit.
-- value_fen is what the units concerned are worth; for codes there is none.
WITH store AS MATERIALIZED (
    SELECT store_id, name, lat, lon FROM stores
),
reversal AS (
    SELECT
        redeemed_store_id AS store_id, clerk_id, member_id, entitlement_id, occurred_at, business_day, value_fen, original_redeemed_at,
        CAST(CAST((CAST(original_redeemed_at AS BIGINT) / 1000000 + (CAST(utc_offset_min AS BIGINT) - 240) * 60) / 86400 AS INT) AS DATE)
            AS redeemed_on,
        (CAST(occurred_at AS BIGINT) - CAST(original_redeemed_at AS BIGINT)) / 60000000 AS age_min
    FROM log.redemptions
    WHERE type = 'reversed' AND business_day BETWEEN $from AND $to
),
ping_pong AS (
    SELECT
        'ping_pong' AS kind, CAST(n AS DOUBLE) / $reversals AS score, store_id, CAST(NULL AS VARCHAR) AS clerk_id,
        CAST(NULL AS VARCHAR) AS terminal_id, member_id, entitlement_id, from_on, to_on, first_at, last_at, n AS events, value_fen,
        concat(n, ' reversals by ', clerks, CASE WHEN clerks = 1 THEN ' clerk' ELSE ' clerks' END, ' (', names, ')') AS evidence
    FROM (
        SELECT
            entitlement_id, max(member_id) AS member_id, last_value(store_id ORDER BY occurred_at) AS store_id, count(*) AS n,
            count(DISTINCT clerk_id) AS clerks, coalesce(string_agg(DISTINCT clerk_id, ', ' ORDER BY clerk_id), 'nobody named') AS names,
            min(redeemed_on) AS from_on, max(business_day) AS to_on, min(original_redeemed_at) AS first_at, max(occurred_at) AS last_at,
            sum(value_fen) AS value_fen
        FROM reversal
        WHERE $kind IN ('all', 'ping_pong') AND entitlement_id IS NOT NULL
        GROUP BY entitlement_id
        HAVING count(*) >= $reversals
    )
),
-- The clerk who redeemed most for a member at a store, and how much of the member's that was.
pair AS (
    SELECT
        store_id, member_id, first_value(clerk_id ORDER BY units DESC, clerk_id) AS clerk_id, max(units) AS most, sum(units) AS all_units,
        first_value(value_fen ORDER BY units DESC, clerk_id) AS value_fen, first_value(first_at ORDER BY units DESC, clerk_id) AS first_at,
        first_value(last_at ORDER BY units DESC, clerk_id) AS last_at, first_value(from_on ORDER BY units DESC, clerk_id) AS from_on,
        first_value(to_on ORDER BY units DESC, clerk_id) AS to_on
    FROM (
        SELECT
            redeemed_store_id AS store_id, clerk_id, member_id, count(*) AS units, sum(value_fen) AS value_fen, min(occurred_at) AS first_at,
            max(occurred_at) AS last_at, min(business_day) AS from_on, max(business_day) AS to_on
        FROM log.redemptions
        WHERE type = 'redeemed' AND $kind IN ('all', 'clerk_member_pair') AND clerk_id IS NOT NULL AND member_id IS NOT NULL
            AND business_day BETWEEN $from AND $to
        GROUP BY redeemed_store_id, clerk_id, member_id
    )
    GROUP BY store_id, member_id
    HAVING max(units) >= $pair
),
clerk AS (
    SELECT store_id, clerk_id, CAST(units AS DOUBLE) / sum(units) OVER (PARTITION BY store_id) AS share
    FROM (
        SELECT redeemed_store_id AS store_id, clerk_id, count(*) AS units
        FROM log.redemptions
        WHERE type = 'redeemed' AND $kind IN ('all', 'clerk_member_pair') AND clerk_id IS NOT NULL AND business_day BETWEEN $from AND $to
        GROUP BY redeemed_store_id, clerk_id
    )
),
clerk_member_pair AS (
    SELECT
        'clerk_member_pair' AS kind,
        CAST(p.most AS DOUBLE) / $pair * (CAST(p.most AS DOUBLE) / p.all_units) / (2 * c.share) AS score,
        p.store_id, p.clerk_id, CAST(NULL AS VARCHAR) AS terminal_id, p.member_id, CAST(NULL AS BIGINT) AS entitlement_id,
        p.from_on, p.to_on, p.first_at, p.last_at, p.most AS events, p.value_fen,
        concat(p.most, ' of the member''s ', p.all_units, ' units here; the clerk does ', round(c.share * 100), ' % of all') AS evidence
    FROM pair AS p
    JOIN clerk AS c ON c.store_id = p.store_id AND c.clerk_id = p.clerk_id
    WHERE CAST(p.most AS DOUBLE) / p.all_units >= 2 * c.share
),
-- Members at two stores in one day are few; only theirs are laid side by side.
stop AS MATERIALIZED (
    SELECT r.member_id, r.business_day, r.occurred_at, r.redeemed_store_id AS store_id, r.clerk_id, r.value_fen, s.lat, s.lon
    FROM (
        SELECT member_id, business_day
        FROM log.redemptions
        WHERE type = 'redeemed' AND $kind IN ('all', 'impossible_travel') AND member_id IS NOT NULL AND business_day BETWEEN $from AND $to
        GROUP BY member_id, business_day
        HAVING min(redeemed_store_id) <> max(redeemed_store_id)
    ) AS d
    JOIN (
        SELECT * FROM log.redemptions
        WHERE type = 'redeemed' AND $kind IN ('all', 'impossible_travel') AND member_id IS NOT NULL AND business_day BETWEEN $from AND $to
    ) AS r ON r.member_id = d.member_id AND r.business_day = d.business_day
    JOIN store AS s ON s.store_id = r.redeemed_store_id
    WHERE s.lat IS NOT NULL AND s.lon IS NOT NULL
),
impossible_travel AS (
    SELECT
        'impossible_travel' AS kind, speed / $kmh AS score, store_id, CAST(NULL AS VARCHAR) AS clerk_id, CAST(NULL AS VARCHAR) AS terminal_id,
        member_id, CAST(NULL AS BIGINT) AS entitlement_id, business_day AS from_on, business_day AS to_on, first_at, last_at,
        CAST(2 AS BIGINT) AS events, value_fen,
        concat(round(km, 1), ' km from ', from_store_id, coalesce(concat(' (', from_clerk_id, ')'), ''), ' to ', store_id,
            coalesce(concat(' (', to_clerk_id, ')'), ''), ' in ', minutes, ' min') AS evidence
    FROM (
        SELECT
            member_id, business_day, max(speed) AS speed, first_value(km ORDER BY speed DESC, last_at) AS km,
            first_value(minutes ORDER BY speed DESC, last_at) AS minutes,
            first_value(from_store_id ORDER BY speed DESC, last_at) AS from_store_id,
            first_value(from_clerk_id ORDER BY speed DESC, last_at) AS from_clerk_id,
            first_value(store_id ORDER BY speed DESC, last_at) AS store_id,
            first_value(to_clerk_id ORDER BY speed DESC, last_at) AS to_clerk_id,
            first_value(first_at ORDER BY speed DESC, last_at) AS first_at,
            first_value(last_at ORDER BY speed DESC, last_at) AS last_at,
            first_value(value_fen ORDER BY speed DESC, last_at) AS value_fen
        FROM (
            SELECT *, km * 60000000.0 / greatest(CAST(last_at AS BIGINT) - CAST(first_at AS BIGINT), 60000000) * 60 AS speed,
                (CAST(last_at AS BIGINT) - CAST(first_at AS BIGINT)) / 60000000 AS minutes
            FROM (
                SELECT
                    a.member_id, a.business_day, a.occurred_at AS first_at, b.occurred_at AS last_at, a.store_id AS from_store_id,
                    b.store_id, a.clerk_id AS from_clerk_id, b.clerk_id AS to_clerk_id, a.value_fen + b.value_fen AS value_fen,
                    haversine_m(a.lat, a.lon, b.lat, b.lon) / 1000 AS km
                FROM stop AS a
                JOIN stop AS b ON b.member_id = a.member_id AND b.business_day = a.business_day
                WHERE a.store_id <> b.store_id
                    AND (a.occurred_at < b.occurred_at OR (a.occurred_at = b.occurred_at AND a.store_id < b.store_id))
            )
            WHERE km >= $km
        )
        GROUP BY member_id, business_day
    )
    WHERE speed >= $kmh
),
code_guessing AS (
    SELECT
        'code_guessing' AS kind, CAST(max(codes) AS DOUBLE) / $wrong_codes AS score, store_id,
        CASE WHEN min(clerk_id) = max(clerk_id) THEN min(clerk_id) END AS clerk_id, terminal_id, CAST(NULL AS BIGINT) AS member_id,
        CAST(NULL AS BIGINT) AS entitlement_id, business_day AS from_on, business_day AS to_on, min(occurred_at) AS first_at,
        max(occurred_at) AS last_at, count(*) AS events, CAST(NULL AS BIGINT) AS value_fen,
        concat(max(codes), ' wrong codes in ten minutes, ', count(*), ' that day') AS evidence
    FROM (
        SELECT
            store_id, terminal_id, business_day, clerk_id, occurred_at,
            count(*) OVER (
                PARTITION BY store_id, terminal_id, business_day ORDER BY occurred_at
                RANGE BETWEEN INTERVAL '10 minutes' PRECEDING AND CURRENT ROW
            ) AS codes
        FROM log.refusals
        WHERE $kind IN ('all', 'code_guessing') AND business_day BETWEEN $from AND $to
            AND reason IN ('unknown_code', 'malformed_code', 'qr_forged', 'locked_out')
    )
    GROUP BY store_id, terminal_id, business_day
    HAVING max(codes) >= $wrong_codes
),
late_reversals AS (
    SELECT
        'late_reversals' AS kind, CAST(count(*) AS DOUBLE) / $late AS score, store_id, clerk_id, CAST(NULL AS VARCHAR) AS terminal_id,
        CAST(NULL AS BIGINT) AS member_id, CAST(NULL AS BIGINT) AS entitlement_id, min(redeemed_on) AS from_on, max(business_day) AS to_on,
        min(original_redeemed_at) AS first_at, max(occurred_at) AS last_at, count(*) AS events, sum(value_fen) AS value_fen,
        concat(count(*), ' reversals in the last ', $late_minutes, ' min of ', $window_hours, ' h, the closest with ',
            $window_hours * 60 - max(age_min), ' min left') AS evidence
    FROM reversal
    WHERE $kind IN ('all', 'late_reversals') AND age_min >= $window_hours * 60 - $late_minutes AND age_min <= $window_hours * 60
    GROUP BY store_id, clerk_id
    HAVING count(*) >= $late
),
-- The planner cannot sort a union of parts that have a constant each: few rows, put down first.
found AS MATERIALIZED (
    SELECT * FROM ping_pong
    UNION ALL SELECT * FROM clerk_member_pair
    UNION ALL SELECT * FROM impossible_travel
    UNION ALL SELECT * FROM code_guessing
    UNION ALL SELECT * FROM late_reversals
)
SELECT
    a.kind, a.score, a.store_id, s.name AS store_name, a.clerk_id, a.terminal_id, a.member_id, a.entitlement_id, a.from_on, a.to_on,
    a.first_at, a.last_at, a.events, a.value_fen, a.evidence
FROM found AS a
LEFT JOIN store AS s ON s.store_id = a.store_id
WHERE $store IS NULL OR a.store_id = $store
ORDER BY a.score DESC, a.kind, a.store_id, a.clerk_id, a.member_id, a.entitlement_id, a.from_on
