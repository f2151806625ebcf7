-- cross_store_switch
-- Title: When cards redeemed across stores
-- Grain: time without a change of the switch, half-open [effective_from, effective_until).
-- Without an entry the switch is off (R3).
SELECT enabled, effective_from, effective_until, recorded_at FROM catalog_history WHERE kind = 'cross_store'
