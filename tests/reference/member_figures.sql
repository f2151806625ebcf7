-- Key: key, period
-- Not compared: cross_store_share_of_members, whose numerator in the report has members who joined after the period: what an account
--    merged into theirs did before. Here it has members of the period only, as the denominator has (R18).
-- Case:
-- Case: from=today-200 to=today by=store
-- Case: from=today-100 to=today-30 per=total by=city
-- Case: from=first to=today-1
-- Case: from=first to=today-1 by=store
CREATE OR REPLACE TEMP TABLE periods AS
SELECT m::DATE AS period, m::DATE AS a, last_day(m::DATE) AS b
FROM unnest(generate_series(date_trunc('month', $from)::TIMESTAMP, date_trunc('month', $to)::TIMESTAMP, INTERVAL 1 MONTH)) AS t(m) WHERE $per = 'month'
UNION ALL SELECT $from, $from, $to WHERE $per = 'total';
CREATE OR REPLACE TEMP TABLE who AS
SELECT p.member_id, coalesce(m.stands, p.member_id) AS stands, p.member, p.joined_on, p.store_id
FROM people AS p LEFT JOIN merged AS m ON m.member_id = p.member_id;
CREATE OR REPLACE TEMP TABLE doings AS
WITH acts AS (
    SELECT member_id, business_day, true AS redeemed, sold_store_id <> redeemed_store_id AS crossed, false AS paid, true AS came FROM standing WHERE member_id IS NOT NULL
    UNION ALL
    SELECT member_id, business_day, false, false, paid_fen > 0, channel IS NULL OR channel NOT IN ('online', 'mini_app') FROM orders WHERE type = 'sold' AND member_id IS NOT NULL
), days AS (
    SELECT coalesce(w.stands, a.member_id) AS member_id, business_day, bool_or(redeemed) AS redeemed, bool_or(crossed) AS crossed, bool_or(paid) AS paid, bool_or(came) AS came
    FROM acts AS a LEFT JOIN who AS w ON w.member_id = a.member_id GROUP BY ALL
)
SELECT d.*, w.store_id, coalesce(w.member, false) AS member, w.joined_on FROM days AS d LEFT JOIN who AS w ON w.member_id = d.member_id;
WITH keys AS (
    SELECT store_id, CASE $by WHEN 'store' THEN store_id WHEN 'city' THEN city END AS key FROM stores
), joined AS (
    SELECT CASE WHEN $by = 'total' THEN 'all' ELSE k.key END AS key, period, count(*) FILTER (joined_on IS NULL OR joined_on < a) AS members_before, count(*) FILTER (joined_on >= a) AS new_members
    FROM periods, who LEFT JOIN keys AS k USING (store_id)
    WHERE member AND (joined_on IS NULL OR joined_on <= b) AND ($store IS NULL OR store_id = $store) GROUP BY ALL
), redeeming AS (
    SELECT CASE WHEN $by = 'total' THEN 'all' ELSE k.key END AS key, period, count(DISTINCT member_id) FILTER (redeemed) AS redeemers, count(DISTINCT member_id) FILTER (crossed) AS crossers,
        count(DISTINCT member_id) FILTER (crossed AND member AND (joined_on IS NULL OR joined_on <= b)) AS crossing_members
    FROM periods JOIN doings ON business_day BETWEEN a AND b LEFT JOIN keys AS k USING (store_id)
    WHERE $store IS NULL OR store_id = $store GROUP BY ALL
), months AS (
    SELECT CASE WHEN $by = 'total' THEN 'all' ELSE k.key END AS key, p.period, d.member_id, date_trunc('month', business_day) AS month, count(*) FILTER (paid) AS paid_days, count(*) FILTER (came) AS came_days
    FROM periods AS p JOIN doings AS d ON business_day BETWEEN a AND b LEFT JOIN keys AS k USING (store_id)
    WHERE ($store IS NULL OR store_id = $store) AND date_trunc('month', business_day)::DATE >= a AND last_day(business_day) <= b GROUP BY ALL
), loyal AS (
    SELECT key, period, count(*) FILTER (paid_days > 0) AS paying, count(*) FILTER (paid_days > 1) AS repurchasing, count(*) FILTER (came_days > 0) AS visiting, count(*) FILTER (came_days > 1) AS returning_
    FROM months GROUP BY ALL
), sales AS (
    -- A visit is that of the account that paid: those of accounts merged later are not put together.
    SELECT CASE WHEN $by = 'total' THEN 'all' ELSE k.key END AS key, period, CASE WHEN o.kind IN ('card', 'stored_value') THEN o.kind ELSE 'other' END AS kind,
        coalesce(sum(paid_fen) FILTER (type = 'sold'), 0)::BIGINT AS paid, coalesce(sum(cash_fen) FILTER (type = 'refunded'), 0)::BIGINT AS refunded,
        count(DISTINCT (o.member_id, sold_store_id, business_day)) FILTER (type = 'sold' AND paid_fen > 0 AND o.member_id IS NOT NULL)
            + count(DISTINCT o.order_id) FILTER (type = 'sold' AND paid_fen > 0 AND o.member_id IS NULL) AS visits
    FROM periods JOIN orders AS o ON business_day BETWEEN a AND b LEFT JOIN keys AS k ON k.store_id = o.sold_store_id
    WHERE type IN ('sold', 'refunded') AND ($store IS NULL OR sold_store_id = $store) GROUP BY ALL
), money AS (
    SELECT key, period, coalesce(sum(paid) FILTER (kind = 'other'), 0)::BIGINT AS paid_fen, coalesce(sum(refunded) FILTER (kind = 'other'), 0)::BIGINT AS refunded_fen, coalesce(sum(visits) FILTER (kind = 'other'), 0)::BIGINT AS paying_visits,
        coalesce(sum(paid) FILTER (kind = 'card'), 0)::BIGINT AS card_paid_fen, coalesce(sum(refunded) FILTER (kind = 'card'), 0)::BIGINT AS card_refunded_fen, coalesce(sum(visits) FILTER (kind = 'card'), 0)::BIGINT AS card_visits,
        coalesce(sum(paid) FILTER (kind = 'stored_value'), 0)::BIGINT AS sv_paid, coalesce(sum(refunded) FILTER (kind = 'stored_value'), 0)::BIGINT AS sv_refunded, coalesce(sum(visits) FILTER (kind = 'stored_value'), 0)::BIGINT AS sv_visits
    FROM sales GROUP BY ALL
), listed AS (
    SELECT key, period FROM joined UNION SELECT key, period FROM redeeming UNION SELECT key, period FROM loyal UNION SELECT key, period FROM money
), figures AS (
    SELECT l.key, l.period, (SELECT p.b < (SELECT min(today) FROM stores) FROM periods AS p WHERE p.period = l.period) AS over,
        coalesce(members_before, 0) AS members_before, coalesce(new_members, 0) AS new_members, coalesce(redeemers, 0) AS redeemers, coalesce(crossers, 0) AS crossers, coalesce(crossing_members, 0) AS crossing,
        coalesce(paying, 0) AS paying, coalesce(repurchasing, 0) AS repurchasing, coalesce(visiting, 0) AS visiting, coalesce(returning_, 0) AS returning_,
        coalesce(paid_fen, 0) AS paid_fen, coalesce(refunded_fen, 0) AS refunded_fen, coalesce(paying_visits, 0) AS paying_visits, coalesce(card_paid_fen, 0) AS card_paid_fen, coalesce(card_refunded_fen, 0) AS card_refunded_fen,
        coalesce(card_visits, 0) AS card_visits, coalesce(sv_paid, 0) AS sv_paid, coalesce(sv_refunded, 0) AS sv_refunded, coalesce(sv_visits, 0) AS sv_visits
    FROM listed AS l LEFT JOIN joined AS j ON j.key IS NOT DISTINCT FROM l.key AND j.period = l.period LEFT JOIN redeeming AS r ON r.key IS NOT DISTINCT FROM l.key AND r.period = l.period
    LEFT JOIN loyal AS y ON y.key IS NOT DISTINCT FROM l.key AND y.period = l.period LEFT JOIN money AS m ON m.key IS NOT DISTINCT FROM l.key AND m.period = l.period
)
SELECT key, CASE WHEN $by = 'store' THEN s.name END AS name, period,
    CASE WHEN over THEN members_before END AS members_before, CASE WHEN over THEN new_members END AS new_members, CASE WHEN over THEN members_before + new_members END AS members,
    CASE WHEN over AND members_before > 0 THEN new_members / members_before END AS growth, CASE WHEN over THEN redeemers END AS redeemers, CASE WHEN over THEN crossers END AS cross_store_members,
    CASE WHEN over AND members_before + new_members > 0 THEN crossing / (members_before + new_members) END AS cross_store_share_of_members,
    CASE WHEN over AND redeemers > 0 THEN crossers / redeemers END AS cross_store_share_of_redeemers,
    CASE WHEN over THEN paying END AS paying_members, CASE WHEN over THEN repurchasing END AS repurchasing_members, CASE WHEN over AND paying > 0 THEN repurchasing / paying END AS repurchase_rate,
    CASE WHEN over THEN visiting END AS visiting_members, CASE WHEN over THEN returning_ END AS returning_members, CASE WHEN over AND visiting > 0 THEN returning_ / visiting END AS return_rate,
    CASE WHEN over THEN paid_fen END AS paid_fen, CASE WHEN over THEN refunded_fen END AS refunded_fen, CASE WHEN over THEN paid_fen - refunded_fen END AS net_fen, CASE WHEN over THEN paying_visits END AS paying_visits,
    CASE WHEN over AND paying_visits > 0 THEN CAST(floor((2 * (paid_fen - refunded_fen) + paying_visits) / (2 * paying_visits)) AS BIGINT) END AS average_ticket_fen,
    CASE WHEN over THEN card_paid_fen END AS card_paid_fen, CASE WHEN over THEN card_refunded_fen END AS card_refunded_fen, CASE WHEN over THEN card_visits END AS card_visits,
    CASE WHEN over AND card_visits > 0 THEN CAST(floor((2 * (card_paid_fen - card_refunded_fen) + card_visits) / (2 * card_visits)) AS BIGINT) END AS card_average_ticket_fen,
    CASE WHEN over THEN sv_paid END AS stored_value_paid_fen, CASE WHEN over THEN sv_refunded END AS stored_value_refunded_fen, CASE WHEN over THEN sv_visits END AS stored_value_visits,
    CASE WHEN over AND sv_visits > 0 THEN CAST(floor((2 * (sv_paid - sv_refunded) + sv_visits) / (2 * sv_visits)) AS BIGINT) END AS stored_value_average_ticket_fen
FROM figures AS f LEFT JOIN stores AS s ON s.store_id = f.key
