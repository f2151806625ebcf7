-- Key: source, event_id
-- Case: from=today-40 to=today
-- Case: from=first to=first+200
-- Case: from=today-40 to=today store=S001
-- Case: from=first to=today only=adjusted
-- Case: from=today-100 to=today entity=E00
-- Case: from=today-60 to=today owing=HQ product=P01
-- Case: from=today-60 to=today owing_entity=E00 owed_entity=E-华东
SELECT date_trunc('month', settled_on)::DATE AS period, settled_on, business_day, occurred_at, type, late,
    sold AS sold_store_id, sold_entity AS sold_entity_id, redeemed AS redeemed_store_id, redeemed_entity AS redeemed_entity_id,
    product AS product_id, ptype AS product_type, order_id, entitlement AS entitlement_id, ordinal AS unit_ordinal,
    CASE WHEN adjusted THEN 0 ELSE sign END AS units, sign * v AS value_fen, sign * principal AS principal_fen, sign * bonus AS bonus_fen,
    sign * points AS points_fen, sign * coupon AS coupon_fen, vat AS vat_rate_bp,
    CASE WHEN NOT adjusted THEN rule_id END AS settlement_rule_id, CASE WHEN NOT adjusted THEN rule_from END AS rule_from,
    CASE WHEN NOT adjusted THEN rule_kind END AS rule_kind, CASE WHEN NOT adjusted THEN base END AS base,
    CASE WHEN NOT adjusted THEN sign * base_fen END AS base_fen, CASE WHEN NOT adjusted THEN share_bp END AS share_bp,
    t AS transfer_fen, fee AS fee_fen, t - fee AS payout_fen,
    owing_store AS owing_store_id, owing_entity AS owing_entity_id, owed_store AS owed_store_id, owed_entity AS owed_entity_id,
    same_entity, no_rule, NOT adjusted AND coalesce(sign * t > v, false) AS above_value, bearer AS bearing_entity_id, reason,
    original_event_id, call AS redemption_id, source, event_id
FROM (SELECT *, owing_entity = owed_entity AS same_entity FROM settling)
WHERE settled_on BETWEEN $from AND $to
    AND ($store IS NULL OR sold = $store OR redeemed = $store)
    AND ($owing IS NULL OR owing_store = $owing) AND ($owed IS NULL OR owed_store = $owed)
    AND ($owing_entity IS NULL OR owing_entity = $owing_entity) AND ($owed_entity IS NULL OR owed_entity = $owed_entity)
    AND ($entity IS NULL OR owing_entity = $entity OR owed_entity = $entity) AND ($product IS NULL OR product = $product)
    AND CASE $only WHEN 'late' THEN late WHEN 'above_value' THEN NOT adjusted AND sign * t > v WHEN 'no_rule' THEN no_rule WHEN 'adjusted' THEN adjusted ELSE true END
