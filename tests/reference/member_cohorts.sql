-- Key: key, cohort, age_months
-- Case:
-- Case: from=first to=today by=store months=5
-- Case: from=today-300 to=today-100 store=S001
CREATE OR REPLACE TEMP TABLE who AS
SELECT p.member_id, coalesce(m.stands, p.member_id) AS stands, p.member, p.joined_on, p.store_id
FROM people AS p LEFT JOIN merged AS m ON m.member_id = p.member_id;
WITH acts AS (
    SELECT member_id, date_trunc('month', business_day)::DATE AS month, false AS paid, true AS came FROM standing WHERE member_id IS NOT NULL
    UNION ALL
    SELECT member_id, date_trunc('month', business_day)::DATE, paid_fen > 0, channel IS NULL OR channel NOT IN ('online', 'mini_app') FROM orders WHERE type = 'sold' AND member_id IS NOT NULL
), active AS (
    SELECT coalesce(w.stands, a.member_id) AS member_id, month, bool_or(paid) AS paid, bool_or(came) AS came FROM acts AS a LEFT JOIN who AS w ON w.member_id = a.member_id GROUP BY ALL
), joiners AS (
    SELECT member_id, date_trunc('month', joined_on)::DATE AS cohort, CASE WHEN $by = 'store' THEN store_id ELSE 'all' END AS key
    FROM who WHERE member AND joined_on IS NOT NULL AND joined_on BETWEEN date_trunc('month', $from)::DATE AND last_day($to) AND ($store IS NULL OR store_id = $store)
), cohorts AS (
    SELECT key, cohort, count(*) AS members FROM joiners GROUP BY ALL
), seen AS (
    SELECT j.key, j.cohort, datediff('month', j.cohort, a.month) AS age, count(*) FILTER (came) AS came, count(*) FILTER (paid) AS paid
    FROM joiners AS j JOIN active AS a ON a.member_id = j.member_id GROUP BY ALL
), cells AS (
    SELECT c.*, age, last_day((cohort + age * INTERVAL 1 MONTH)::DATE) < (SELECT min(today) FROM stores) AS over, last_day(cohort) < (SELECT min(today) FROM stores) AS complete
    FROM cohorts AS c, (SELECT unnest(range(0, CAST($months AS BIGINT) + 1)) AS age)
)
SELECT c.key, CASE WHEN $by = 'store' THEN n.name END AS name, c.cohort, c.age AS age_months, CASE WHEN complete THEN members END AS members,
    CASE WHEN over THEN coalesce(came, 0) END AS visiting_members, CASE WHEN over THEN coalesce(paid, 0) END AS paying_members,
    CASE WHEN over THEN coalesce(came, 0) / members END AS retention_visits, CASE WHEN over THEN coalesce(paid, 0) / members END AS retention_paid
FROM cells AS c LEFT JOIN seen AS s ON s.key IS NOT DISTINCT FROM c.key AND s.cohort = c.cohort AND s.age = c.age LEFT JOIN stores AS n ON n.store_id = c.key
