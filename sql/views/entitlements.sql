-- entitlements
-- Title: What members bought and what is left of it
-- Grain: entitlement (order line).
-- available_units is R4's: units - redeemed - held - refunded - expired; whether time has run out says valid_until, which the
--    first use may have set (R5). member_id is who holds it now, after transfers and merges. refund_open: a refund is asked
--    for, which blocks the order's units until it is decided (R6).
WITH used AS (
    SELECT
        entitlement_id,
        sum(CASE WHEN type = 'redeemed' THEN 1 ELSE -1 END) AS redeemed,
        count(CASE WHEN type = 'redeemed' THEN booked_store_id END) AS holds_used,
        max(valid_until) AS valid_until,
        max(business_day) AS last_used_on
    FROM log.redemptions
    WHERE type IN ('redeemed', 'reversed') AND entitlement_id IS NOT NULL
    GROUP BY entitlement_id
),
changed AS (
    SELECT
        entitlement_id,
        sum(CASE WHEN type = 'refunded' THEN CAST(cardinality(unit_ordinals) AS BIGINT) ELSE 0 END) AS refunded,
        sum(CASE WHEN type = 'expired' THEN CAST(cardinality(unit_ordinals) AS BIGINT) ELSE 0 END) AS expired,
        sum(CASE
            WHEN type = 'refund_requested' THEN CAST(cardinality(unit_ordinals) AS BIGINT)
            WHEN type IN ('refund_withdrawn', 'refunded') THEN -CAST(cardinality(unit_ordinals) AS BIGINT)
            ELSE 0
        END) AS asked_back,
        last_value(to_member_id ORDER BY occurred_at, log_partition, log_offset)
            FILTER (WHERE to_member_id IS NOT NULL) AS to_member_id,
        max(CASE WHEN type IN ('refunded', 'expired') THEN business_day END) AS last_ended_on
    FROM log.orders
    WHERE type NOT IN ('sold', 'opening_balance') AND entitlement_id IS NOT NULL
    GROUP BY entitlement_id
),
booked AS (
    SELECT
        entitlement_id,
        sum(CASE WHEN type = 'booked' THEN 1 WHEN type IN ('cancelled', 'no_show') THEN -1 ELSE 0 END) AS bookings
    FROM log.bookings
    WHERE entitlement_id IS NOT NULL
    GROUP BY entitlement_id
)
SELECT
    s.entitlement_id, s.order_id, s.sold_store_id, s.product_id, s.product_version, s.product_type, s.kind,
    coalesce(a.stands_for_member_id, c.to_member_id, s.member_id) AS member_id,
    s.occurred_at AS sold_at, s.business_day AS sold_on, coalesce(s.paid_fen, s.carrying_fen) AS paid_fen,
    s.valid_from, coalesce(u.valid_until, s.valid_until) AS valid_until,
    s.applicable_store_ids, coalesce(s.head_office_product, false) AS head_office_product,
    s.units,
    coalesce(u.redeemed, 0) AS redeemed_units,
    coalesce(b.bookings, 0) - coalesce(u.holds_used, 0) AS held_units,
    greatest(coalesce(c.asked_back, 0), 0) AS asked_back_units,
    coalesce(c.refunded, 0) AS refunded_units,
    coalesce(c.expired, 0) AS expired_units,
    s.units - coalesce(u.redeemed, 0) - (coalesce(b.bookings, 0) - coalesce(u.holds_used, 0))
        - coalesce(c.refunded, 0) - coalesce(c.expired, 0) AS available_units,
    coalesce(c.asked_back, 0) > 0 AS refund_open,
    u.last_used_on, c.last_ended_on
FROM log.orders AS s
LEFT JOIN used AS u ON u.entitlement_id = s.entitlement_id
LEFT JOIN changed AS c ON c.entitlement_id = s.entitlement_id
LEFT JOIN booked AS b ON b.entitlement_id = s.entitlement_id
LEFT JOIN member_aliases AS a ON a.member_id = coalesce(c.to_member_id, s.member_id)
WHERE s.type IN ('sold', 'opening_balance') AND s.entitlement_id IS NOT NULL
