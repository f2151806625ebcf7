-- dead_letters_open
-- Title: Dead letters that are still open
-- Grain: dead letter whose event does not stand in its topic's table.
-- A repaired message keeps its source and event_id: once it stands, its letter is done. A letter that names no event stays
--    open, and so do one whose event went to another stream and one whose event stood before with other content.
-- The few letters are the hashed side of the join.
WITH events AS (
    SELECT 'orders' AS topic, source, event_id FROM log.orders
    UNION ALL SELECT 'redemptions', source, event_id FROM log.redemptions
    UNION ALL SELECT 'refusals', source, event_id FROM log.refusals
    UNION ALL SELECT 'bookings', source, event_id FROM log.bookings
    UNION ALL SELECT 'members', source, event_id FROM log.members
    UNION ALL SELECT 'catalog', source, event_id FROM log.catalog
    UNION ALL SELECT 'decisions', source, event_id FROM log.decisions
)
SELECT l.recorded_at, l.topic, l.log_partition, l.log_offset, l.source, l.event_id, l.reason, l.payload
FROM log.dead_letters AS l
LEFT ANTI JOIN events AS e
    ON e.event_id = l.event_id AND e.source = l.source AND e.topic = l.topic
    AND l.reason <> 'event ' || l.source || '/' || l.event_id || ' exists with other content'
