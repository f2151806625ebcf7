-- bookings
-- Title: Bookings taken, moved and freed
-- Grain: event of a booking: booked, switched, cancelled, no_show (R4).
SELECT * FROM log.bookings
