-- totals
-- Grain: store × business day × type of event, of one source.
-- Sums of the fingerprint wrap around at 2^64, which the ledger's arithmetic modulo 2^62 takes in its stride. A ledger older
-- than its totals has them from some id on only, by type.
SELECT
    store_id, business_day, type,
    count(*) AS events, sum(units) AS units, sum(fen) AS fen, sum(event_id * (2 * fen + 1)) AS fingerprint
FROM accounted_events
WHERE source = $source
    AND business_day BETWEEN $from AND $to
    AND ($store IS NULL OR store_id = $store)
    AND ($whole OR event_id >= CASE type WHEN 'redeemed' THEN $redeemed_since WHEN 'sold' THEN $sold_since ELSE $since END)
GROUP BY store_id, business_day, type
