-- settlement_redemptions
-- Title: Settlement by redemption
-- Title zh: 结算明细
-- Grain: unit redeemed, reversed or adjusted away from the store that sold it.
-- Roles: head_office, store by $store
-- Param from: day = today-30. First business day on which it settles, inclusive.
-- Param to: day = today. Last business day on which it settles, inclusive.
-- Param store: text = none. Only what this store sold or served.
-- Param owing: text = none. Only what this store owes.
-- Param owed: text = none. Only what this store is owed.
-- Param owing_entity: text = none. Only what this legal entity owes.
-- Param owed_entity: text = none. Only what this legal entity is owed.
-- Param entity: text = none. Only what this legal entity owes or is owed.
-- Param product: text = none. Only this product.
-- Param only: all|late|above_value|no_rule|adjusted = all. Only the rows with this flag.
-- Key: source, event_id
-- Additive: units, value_fen, principal_fen, bonus_fen, points_fen, coupon_fen, base_fen, transfer_fen, fee_fen
-- Heading value_fen: V
-- Heading transfer_fen: T, owed by the seller to the server
-- Heading fee_fen: head office's part of T
-- Heading above_value: T above V
-- Formula payout_fen: transfer_fen - fee_fen
-- Drill value_fen: redemption_records order_id=order_id
-- One row per unit: who sold it and who served it, what it was worth (R9) and from what it was paid, the rule in force at the
--    redemption's time (of those that fit the most specific: one naming the seller before one that does not, then the server,
--    the product, the type) with its version, the amount its share is of, and T, rounded half up to the fen. A list share is of
--    the serving store's list price. The base takes V without the bonus (principal), the bonus alone (bonus) or all of V; what
--    was not drawn from stored value counts as principal; without VAT it is V / (1 + rate), itself rounded half up.
-- A reversal has its original's amounts, rule and parties with the other sign, whatever holds now (R7). An adjustment moves its
--    own signed amount, without a fee: more than 0 goes to the server, less than 0 back to the seller; bearing_entity_id pays
--    it, else the seller pays what is more and the server what goes back. A third party that bears it is the one that owes.
-- period is the first day of the month of settled_on, the serving store's business day. What was recorded after the lock of that
--    day, of the seller's store or entity or of the server's, settles on the business day on which it was recorded, and is late.
-- Within one legal entity T is 0. Where no rule was in force, or the share is of a list price that is not known, T is empty.
SELECT
    CAST(date_trunc('month', settled_on) AS DATE) AS period, settled_on, business_day, occurred_at, type, late,
    sold_store_id, sold_entity_id, redeemed_store_id, redeemed_entity_id, product_id, product_type,
    order_id, entitlement_id, unit_ordinal, units, value_fen, principal_fen, bonus_fen, points_fen, coupon_fen, vat_rate_bp,
    settlement_rule_id, rule_from, rule_kind, base, base_fen, share_bp, transfer_fen, fee_fen,
    transfer_fen - fee_fen AS payout_fen,
    owing_store_id, owing_entity_id, owed_store_id, owed_entity_id, same_entity, no_rule, above_value,
    bearing_entity_id, reason, original_event_id, redemption_id, source, event_id
FROM settlement_units
WHERE settled_on BETWEEN $from AND $to
    -- What files have to be read for it: those of the days, and those recorded in them; two days' grace, for zones and day starts.
    AND (business_day BETWEEN $from AND $to
        OR (business_day < $from
            AND recorded_at >= arrow_cast($from, 'Timestamp(Microsecond, Some("UTC"))') - INTERVAL '2 days'
            AND recorded_at < arrow_cast($to, 'Timestamp(Microsecond, Some("UTC"))') + INTERVAL '3 days'))
    AND ($store IS NULL OR sold_store_id = $store OR redeemed_store_id = $store)
    AND ($owing IS NULL OR owing_store_id = $owing)
    AND ($owed IS NULL OR owed_store_id = $owed)
    AND ($owing_entity IS NULL OR owing_entity_id = $owing_entity)
    AND ($owed_entity IS NULL OR owed_entity_id = $owed_entity)
    AND ($entity IS NULL OR owing_entity_id = $entity OR owed_entity_id = $entity)
    AND ($product IS NULL OR product_id = $product)
    AND CASE $only
        WHEN 'late' THEN late
        WHEN 'above_value' THEN above_value
        WHEN 'no_rule' THEN no_rule
        WHEN 'adjusted' THEN type = 'adjusted'
        ELSE true
    END
ORDER BY settled_on, occurred_at, source, event_id
