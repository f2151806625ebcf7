-- late
-- Grain: event that may be later than the ledger's cut: by its place in the embedded log, or by its id.
SELECT store_id, business_day, type, event_id, entitlement_id, units, fen, log_offset
FROM accounted_events
WHERE source = $source
    AND log_offset >= $from_offset AND log_offset < $to_offset AND event_id >= $from_id
    AND business_day BETWEEN $from AND $to
    AND ($store IS NULL OR store_id = $store)
