-- member_figures
-- Title: Members, loyalty and average ticket
-- Title zh: 会员数据
-- Grain: all members, joining store or its city × month; over the whole period where per is total.
-- Roles: head_office, store by $store
-- Param from: day = month-12. First business day, inclusive; per month the whole of its month.
-- Param to: day = month_end-1. Last business day, inclusive; per month the whole of its month.
-- Param per: total|month = month. How long a row's period is.
-- Param by: total|store|city = total. Whether rows are about the chain, stores or cities.
-- Param store: text = none. Only members who joined this store, and what it sold.
-- Key: key, period
-- Additive: new_members, paid_fen, refunded_fen, net_fen, paying_visits, card_paid_fen, card_refunded_fen, card_visits,
--    stored_value_paid_fen, stored_value_refunded_fen, stored_value_visits
-- Heading members: members at the end
-- Heading members_before: members before
-- Heading growth: new members / members before
-- Heading cross_store_share_of_members: members who redeemed away from the selling store / members
-- Heading cross_store_share_of_redeemers: members who redeemed away from the selling store / members who redeemed
-- Heading repurchase_rate: members who paid on 2 days or more of a month / members who paid in it
-- Heading return_rate: members who came on 2 days or more of a month / members who came in it
-- Heading average_ticket_fen: average ticket without cards and stored value
-- Formula members: members_before + new_members
-- Formula growth: CAST(new_members AS DOUBLE) / nullif(members_before, 0)
-- Formula cross_store_share_of_redeemers: CAST(cross_store_members AS DOUBLE) / nullif(redeemers, 0)
-- Formula repurchase_rate: CAST(repurchasing_members AS DOUBLE) / nullif(paying_members, 0)
-- Formula return_rate: CAST(returning_members AS DOUBLE) / nullif(visiting_members, 0)
-- Formula net_fen: paid_fen - refunded_fen
-- Chart: line period members
-- R18. A period that is not over at some open store has a row without figures.
-- Members, from members_before to return_rate, belong to the store they joined, wherever they redeem, pay or come; so the rows
--    of stores add up to the chain's. Who was merged counts as the member who stands for them; erased members are no members
--    any more, what they did still counts. Where no joining day is known, they joined before. Without a joining store: key null.
-- redeemers have a redemption that stands (R7) in the period; cross_store_members one of a unit that another store had sold.
--    cross_store_share_of_members leaves out who is no member (any more), above and below.
-- paying_members have an order with money paid; repurchasing_members on two business days or more. visiting_members came: a
--    redemption that stands, or an order not made online or in the mini app; returning_members on two business days or more.
--    All four count within a month; over a longer period they are member-months, added up over the months that lie in it whole.
-- Money belongs to the store that sold: paid_fen of services, goods and bookings; cards and stored value apart. Services paid
--    from stored value count at what they cost. Refunds are netted on the day they are paid out, cash_fen. Paying visits are
--    member × store × business day with such an order, anonymous ones order by order; a refund leaves the visit.
-- average_ticket_fen = net_fen / paying_visits, rounded half-up; card_… and stored_value_… are the same of their own sales.
WITH store AS MATERIALIZED (
    SELECT store_id, name, city, today, closed_on FROM stores
),
-- The first business day that is not over everywhere.
now_day AS MATERIALIZED (
    SELECT least(CAST($today AS INT), coalesce(min(CAST(today AS INT)), 1000000)) AS day
    FROM store
    WHERE closed_on IS NULL OR closed_on >= today
),
-- Slots are months, counted from year 0, or −1 for the whole period.
slot AS MATERIALIZED (
    SELECT
        CASE WHEN $per = 'month' THEN month ELSE -1 END AS slot, min(first_day) AS first_day, max(last_day) AS last_day,
        max(last_day) < max(n.day) AS over
    FROM (
        SELECT
            month,
            CASE WHEN $per = 'month' THEN month_first ELSE greatest(month_first, CAST($from AS INT)) END AS first_day,
            CASE WHEN $per = 'month' THEN month_last ELSE least(month_last, CAST($to AS INT)) END AS last_day
        FROM (
            SELECT
                month, CAST(make_date(CAST(month / 12 AS INT), CAST(month % 12 + 1 AS INT), 1) AS INT) AS month_first,
                CAST(make_date(CAST((month + 1) / 12 AS INT), CAST((month + 1) % 12 + 1 AS INT), 1) AS INT) - 1 AS month_last
            FROM (
                SELECT unnest(generate_series(
                    CAST(date_part('year', $from) * 12 + date_part('month', $from) - 1 AS BIGINT),
                    CAST(date_part('year', $to) * 12 + date_part('month', $to) - 1 AS BIGINT)
                )) AS month
            )
        )
    )
    CROSS JOIN now_day AS n
    GROUP BY 1
),
sold AS (
    SELECT
        o.member_id, o.order_id, o.sold_store_id, CAST(o.business_day AS INT) AS day,
        date_part('year', o.business_day) * 12 + date_part('month', o.business_day) - 1 AS month,
        o.paid_fen, o.channel IS NULL OR o.channel NOT IN ('online', 'mini_app') AS came,
        coalesce(o.kind, p.sale_kind, CASE o.product_type WHEN 'punch_card' THEN 'card' ELSE o.product_type END, 'service') AS kind
    FROM log.orders AS o
    LEFT JOIN (SELECT product_id, sale_kind FROM products) AS p ON p.product_id = o.product_id
    WHERE o.type = 'sold'
        AND o.business_day BETWEEN CASE WHEN $per = 'month' THEN CAST(date_trunc('month', $from) AS DATE) ELSE $from END
            AND CASE WHEN $per = 'month' THEN CAST(date_trunc('month', $to) + INTERVAL '1 month' - INTERVAL '1 day' AS DATE) ELSE $to END
),
-- A member's month in one row: the first and last day of paying and of coming tell whether there were two.
deed AS (
    SELECT
        member_id, month, min(paid_day) AS paid_first, max(paid_day) AS paid_last, min(came_day) AS came_first,
        max(came_day) AS came_last, max(redeemed) AS redeemed, max(away) AS away
    FROM (
        SELECT
            member_id, month, CASE WHEN paid_fen > 0 THEN day END AS paid_day, CASE WHEN came THEN day END AS came_day,
            0 AS redeemed, 0 AS away
        FROM sold
        WHERE member_id IS NOT NULL
        UNION ALL
        SELECT
            member_id, date_part('year', business_day) * 12 + date_part('month', business_day) - 1 AS month,
            NULL AS paid_day, CAST(business_day AS INT) AS came_day,
            1 AS redeemed, CASE WHEN sold_store_id <> redeemed_store_id THEN 1 ELSE 0 END AS away
        FROM standing_redemptions
        WHERE member_id IS NOT NULL
            AND business_day BETWEEN CASE WHEN $per = 'month' THEN CAST(date_trunc('month', $from) AS DATE) ELSE $from END
                AND CASE WHEN $per = 'month' THEN CAST(date_trunc('month', $to) + INTERVAL '1 month' - INTERVAL '1 day' AS DATE)
                    ELSE $to END
    )
    GROUP BY member_id, month
),
-- The same of who stands for them now, with how many of the whole months had two days.
person AS (
    SELECT
        member_id, slot, max(redeemed) AS redeemed, max(away) AS away,
        sum(CASE WHEN whole AND paid_last IS NOT NULL THEN 1 ELSE 0 END) AS paid,
        sum(CASE WHEN whole AND paid_first < paid_last THEN 1 ELSE 0 END) AS paid_twice,
        sum(CASE WHEN whole AND came_last IS NOT NULL THEN 1 ELSE 0 END) AS came,
        sum(CASE WHEN whole AND came_first < came_last THEN 1 ELSE 0 END) AS came_twice
    FROM (
        SELECT
            coalesce(a.stands_for_member_id, d.member_id) AS member_id, CASE WHEN $per = 'month' THEN d.month ELSE -1 END AS slot,
            $per = 'month' OR (CAST(make_date(CAST(d.month / 12 AS INT), CAST(d.month % 12 + 1 AS INT), 1) AS DATE) >= $from
                AND CAST(make_date(CAST((d.month + 1) / 12 AS INT), CAST((d.month + 1) % 12 + 1 AS INT), 1) AS INT) <= CAST($to AS INT) + 1)
                AS whole,
            min(d.paid_first) AS paid_first, max(d.paid_last) AS paid_last, min(d.came_first) AS came_first,
            max(d.came_last) AS came_last, max(d.redeemed) AS redeemed, max(d.away) AS away
        FROM deed AS d
        LEFT JOIN member_aliases AS a ON a.member_id = d.member_id
        GROUP BY coalesce(a.stands_for_member_id, d.member_id), d.month
    )
    GROUP BY member_id, slot
),
member AS (
    SELECT member_id, joined_store_id, CAST(joined_on AS INT) AS joined_day
    FROM members
    WHERE $store IS NULL OR joined_store_id = $store
),
figure AS (
    SELECT
        joined_store_id AS store_id, slot, 0 AS joined_before, 0 AS joined, sum(redeemed) AS redeemers, sum(away) AS away,
        sum(CASE WHEN known THEN away ELSE 0 END) AS members_away, sum(paid) AS paid, sum(paid_twice) AS paid_twice, sum(came) AS came,
        sum(came_twice) AS came_twice, 0 AS paid_fen, 0 AS refunded_fen, 0 AS visits, 0 AS card_paid_fen, 0 AS card_refunded_fen,
        0 AS card_visits, 0 AS value_paid_fen, 0 AS value_refunded_fen, 0 AS value_visits
    FROM (
        SELECT p.*, m.joined_store_id, m.member_id IS NOT NULL AS known
        FROM person AS p
        LEFT JOIN member AS m ON m.member_id = p.member_id
    )
    WHERE $store IS NULL OR known
    GROUP BY joined_store_id, slot
    UNION ALL
    SELECT
        j.store_id, s.slot, sum(CASE WHEN j.day IS NULL OR j.day < s.first_day THEN j.members ELSE 0 END),
        sum(CASE WHEN j.day BETWEEN s.first_day AND s.last_day THEN j.members ELSE 0 END),
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    FROM (SELECT joined_store_id AS store_id, joined_day AS day, count(*) AS members FROM member GROUP BY 1, 2) AS j
    CROSS JOIN slot AS s
    WHERE j.day IS NULL OR j.day <= s.last_day
    GROUP BY j.store_id, s.slot
    UNION ALL
    SELECT
        store_id, slot, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        sum(paid_fen), 0, sum(paid), sum(card_paid_fen), 0, sum(card_paid), sum(value_paid_fen), 0, sum(value_paid)
    FROM (
        SELECT
            sold_store_id AS store_id, CASE WHEN $per = 'month' THEN max(month) ELSE -1 END AS slot,
            sum(CASE WHEN kind IN ('card', 'stored_value') THEN 0 ELSE paid_fen END) AS paid_fen,
            max(CASE WHEN kind IN ('card', 'stored_value') OR paid_fen <= 0 THEN 0 ELSE 1 END) AS paid,
            sum(CASE WHEN kind = 'card' THEN paid_fen ELSE 0 END) AS card_paid_fen,
            max(CASE WHEN kind = 'card' AND paid_fen > 0 THEN 1 ELSE 0 END) AS card_paid,
            sum(CASE WHEN kind = 'stored_value' THEN paid_fen ELSE 0 END) AS value_paid_fen,
            max(CASE WHEN kind = 'stored_value' AND paid_fen > 0 THEN 1 ELSE 0 END) AS value_paid
        FROM sold
        WHERE $store IS NULL OR sold_store_id = $store
        GROUP BY sold_store_id, day, coalesce(member_id, -order_id)
    )
    GROUP BY store_id, slot
    UNION ALL
    SELECT
        sold_store_id, CASE WHEN $per = 'month' THEN month ELSE -1 END, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, sum(CASE WHEN kind IN ('card', 'stored_value') THEN 0 ELSE cash_fen END), 0,
        0, sum(CASE WHEN kind = 'card' THEN cash_fen ELSE 0 END), 0,
        0, sum(CASE WHEN kind = 'stored_value' THEN cash_fen ELSE 0 END), 0
    FROM (
        SELECT
            r.sold_store_id, r.cash_fen, date_part('year', r.business_day) * 12 + date_part('month', r.business_day) - 1 AS month,
            coalesce(r.kind, s.kind, p.sale_kind, CASE s.product_type WHEN 'punch_card' THEN 'card' ELSE s.product_type END, 'service')
                AS kind
        FROM log.orders AS r
        LEFT JOIN (
            -- A refund may leave it to its sale to say what it was.
            SELECT s.entitlement_id, max(s.kind) AS kind, max(s.product_id) AS product_id, max(s.product_type) AS product_type
            FROM (SELECT DISTINCT entitlement_id FROM log.orders WHERE type = 'refunded' AND kind IS NULL) AS u
            JOIN log.orders AS s ON s.entitlement_id = u.entitlement_id
            WHERE s.type IN ('sold', 'opening_balance')
            GROUP BY s.entitlement_id
        ) AS s ON s.entitlement_id = r.entitlement_id
        LEFT JOIN (SELECT product_id, sale_kind FROM products) AS p ON p.product_id = coalesce(r.product_id, s.product_id)
        WHERE r.type = 'refunded' AND ($store IS NULL OR r.sold_store_id = $store)
            AND r.business_day BETWEEN CASE WHEN $per = 'month' THEN CAST(date_trunc('month', $from) AS DATE) ELSE $from END
                AND CASE WHEN $per = 'month' THEN CAST(date_trunc('month', $to) + INTERVAL '1 month' - INTERVAL '1 day' AS DATE)
                    ELSE $to END
    )
    GROUP BY 1, 2
),
total AS (
    SELECT
        CASE $by WHEN 'store' THEN f.store_id WHEN 'city' THEN s.city ELSE 'all' END AS key, f.slot,
        sum(joined_before) AS joined_before, sum(joined) AS joined, sum(redeemers) AS redeemers, sum(away) AS away,
        sum(members_away) AS members_away, sum(paid) AS paid, sum(paid_twice) AS paid_twice, sum(came) AS came,
        sum(came_twice) AS came_twice, sum(paid_fen) AS paid_fen, sum(refunded_fen) AS refunded_fen, sum(visits) AS visits,
        sum(card_paid_fen) AS card_paid_fen, sum(card_refunded_fen) AS card_refunded_fen, sum(card_visits) AS card_visits,
        sum(value_paid_fen) AS value_paid_fen, sum(value_refunded_fen) AS value_refunded_fen, sum(value_visits) AS value_visits,
        sum(paid_fen - refunded_fen) AS net_fen, sum(card_paid_fen - card_refunded_fen) AS card_net_fen,
        sum(value_paid_fen - value_refunded_fen) AS value_net_fen
    FROM figure AS f
    LEFT JOIN store AS s ON s.store_id = f.store_id
    GROUP BY 1, 2
)
SELECT
    t.key, n.name, CAST(CAST(s.first_day AS INT) AS DATE) AS period,
    CASE WHEN s.over THEN t.joined_before END AS members_before,
    CASE WHEN s.over THEN t.joined END AS new_members,
    CASE WHEN s.over THEN t.joined_before + t.joined END AS members,
    CASE WHEN s.over THEN CAST(t.joined AS DOUBLE) / nullif(t.joined_before, 0) END AS growth,
    CASE WHEN s.over THEN t.redeemers END AS redeemers,
    CASE WHEN s.over THEN t.away END AS cross_store_members,
    CASE WHEN s.over THEN CAST(t.members_away AS DOUBLE) / nullif(t.joined_before + t.joined, 0) END AS cross_store_share_of_members,
    CASE WHEN s.over THEN CAST(t.away AS DOUBLE) / nullif(t.redeemers, 0) END AS cross_store_share_of_redeemers,
    CASE WHEN s.over THEN t.paid END AS paying_members,
    CASE WHEN s.over THEN t.paid_twice END AS repurchasing_members,
    CASE WHEN s.over THEN CAST(t.paid_twice AS DOUBLE) / nullif(t.paid, 0) END AS repurchase_rate,
    CASE WHEN s.over THEN t.came END AS visiting_members,
    CASE WHEN s.over THEN t.came_twice END AS returning_members,
    CASE WHEN s.over THEN CAST(t.came_twice AS DOUBLE) / nullif(t.came, 0) END AS return_rate,
    CASE WHEN s.over THEN t.paid_fen END AS paid_fen,
    CASE WHEN s.over THEN t.refunded_fen END AS refunded_fen,
    CASE WHEN s.over THEN t.net_fen END AS net_fen,
    CASE WHEN s.over THEN t.visits END AS paying_visits,
    -- Half-up, below 0 as above.
    CASE WHEN s.over THEN (t.net_fen * 2 + CASE WHEN t.net_fen < 0 THEN -t.visits ELSE t.visits END) / nullif(t.visits * 2, 0) END
        AS average_ticket_fen,
    CASE WHEN s.over THEN t.card_paid_fen END AS card_paid_fen,
    CASE WHEN s.over THEN t.card_refunded_fen END AS card_refunded_fen,
    CASE WHEN s.over THEN t.card_visits END AS card_visits,
    CASE
        WHEN s.over THEN (t.card_net_fen * 2 + CASE WHEN t.card_net_fen < 0 THEN -t.card_visits ELSE t.card_visits END)
            / nullif(t.card_visits * 2, 0)
    END AS card_average_ticket_fen,
    CASE WHEN s.over THEN t.value_paid_fen END AS stored_value_paid_fen,
    CASE WHEN s.over THEN t.value_refunded_fen END AS stored_value_refunded_fen,
    CASE WHEN s.over THEN t.value_visits END AS stored_value_visits,
    CASE
        WHEN s.over THEN (t.value_net_fen * 2 + CASE WHEN t.value_net_fen < 0 THEN -t.value_visits ELSE t.value_visits END)
            / nullif(t.value_visits * 2, 0)
    END AS stored_value_average_ticket_fen
FROM total AS t
JOIN slot AS s ON s.slot = t.slot
LEFT JOIN (SELECT store_id AS id, name FROM store WHERE $by = 'store') AS n ON n.id = t.key
ORDER BY period, t.key
