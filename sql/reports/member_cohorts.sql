-- member_cohorts
-- Title: Retention by joining month
-- Title zh: 会员留存
-- Grain: joining month × age in months; of the chain, or of a joining store.
-- Roles: head_office, store by $store
-- Param from: day = month-12. First day of joining; the whole of its month.
-- Param to: day = month_end-1. Last day of joining; the whole of its month.
-- Param months: int = 12. The last age shown.
-- Param by: total|store = total. Whether cohorts are the chain's or a store's.
-- Param store: text = none. Only members who joined this store.
-- Key: key, cohort, age_months
-- Heading members: members of the cohort
-- Heading retention_visits: members who came / members of the cohort
-- Heading retention_paid: members who paid / members of the cohort
-- Formula retention_visits: CAST(visiting_members AS DOUBLE) / nullif(members, 0)
-- Formula retention_paid: CAST(paying_members AS DOUBLE) / nullif(members, 0)
-- Chart: heat cohort age_months retention_visits
-- R18. Age 0 is the joining month, age 1 the month after it. A cell is blank until its month is over at every open store, and so
--    are the members of a cohort that is not complete.
-- visiting_members have a redemption that stands (R7) in that month, anywhere, or an order not made online or in the mini app;
--    paying_members an order with money paid, of any kind. Refunds don't undo that.
-- Merged members are those who stand for them; erased members and those whose joining day is not known are in no cohort.
WITH store AS MATERIALIZED (
    SELECT store_id, name, today, closed_on FROM stores
),
-- The first month that is not over everywhere, counted from year 0.
now_month AS MATERIALIZED (
    SELECT date_part('year', day) * 12 + date_part('month', day) - 1 AS month
    FROM (
        SELECT least($today, coalesce(min(today), $today)) AS day
        FROM store
        WHERE closed_on IS NULL OR closed_on >= today
    )
),
member AS (
    SELECT
        member_id, CASE WHEN $by = 'store' THEN joined_store_id ELSE 'all' END AS key,
        date_part('year', joined_on) * 12 + date_part('month', joined_on) - 1 AS cohort
    FROM members
    WHERE joined_on BETWEEN CAST(date_trunc('month', $from) AS DATE)
            AND CAST(date_trunc('month', $to) + INTERVAL '1 month' - INTERVAL '1 day' AS DATE)
        AND ($store IS NULL OR joined_store_id = $store)
),
-- Each member's months with anything in them, each once.
deed AS (
    SELECT coalesce(a.stands_for_member_id, d.member_id) AS member_id, d.month, max(d.came) AS came, max(d.paid) AS paid
    FROM (
        SELECT member_id, month, max(came) AS came, max(paid) AS paid
        FROM (
            SELECT
                member_id, date_part('year', business_day) * 12 + date_part('month', business_day) - 1 AS month,
                CASE WHEN channel IN ('online', 'mini_app') THEN 0 ELSE 1 END AS came, CASE WHEN paid_fen > 0 THEN 1 ELSE 0 END AS paid
            FROM log.orders
            WHERE type = 'sold' AND member_id IS NOT NULL AND business_day >= CAST(date_trunc('month', $from) AS DATE)
            UNION ALL
            SELECT
                member_id, date_part('year', business_day) * 12 + date_part('month', business_day) - 1 AS month, 1 AS came, 0 AS paid
            FROM standing_redemptions
            WHERE member_id IS NOT NULL AND business_day >= CAST(date_trunc('month', $from) AS DATE)
        )
        GROUP BY member_id, month
    ) AS d
    LEFT JOIN member_aliases AS a ON a.member_id = d.member_id
    GROUP BY 1, 2
),
active AS (
    SELECT m.key, m.cohort, d.month - m.cohort AS age, sum(d.came) AS came, sum(d.paid) AS paid
    FROM deed AS d
    JOIN member AS m ON m.member_id = d.member_id
    WHERE d.month BETWEEN m.cohort AND m.cohort + $months
    GROUP BY 1, 2, 3
),
-- Every age of every cohort, whether anybody came or not.
cell AS (
    SELECT key, cohort, members, unnest(generate_series(0, $months)) AS age
    FROM (SELECT key, cohort, count(*) AS members FROM member GROUP BY key, cohort)
)
SELECT
    key, name, make_date(CAST(cohort / 12 AS INT), CAST(cohort % 12 + 1 AS INT), 1) AS cohort, age AS age_months,
    CASE WHEN complete THEN members END AS members,
    CASE WHEN over THEN came END AS visiting_members,
    CASE WHEN over THEN paid END AS paying_members,
    CASE WHEN over THEN CAST(came AS DOUBLE) / members END AS retention_visits,
    CASE WHEN over THEN CAST(paid AS DOUBLE) / members END AS retention_paid
FROM (
    SELECT
        c.key, s.name, c.cohort, c.age, c.members, coalesce(a.came, 0) AS came, coalesce(a.paid, 0) AS paid,
        c.cohort < n.month AS complete, c.cohort + c.age < n.month AS over
    FROM cell AS c
    CROSS JOIN now_month AS n
    LEFT JOIN active AS a ON (a.key IS NOT DISTINCT FROM c.key) AND a.cohort = c.cohort AND a.age = c.age
    LEFT JOIN store AS s ON s.store_id = c.key AND $by = 'store'
)
ORDER BY cohort, key, age_months
