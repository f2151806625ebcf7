-- bookings
-- Title: Bookings and what became of them
-- Grain: event of a booking: booked, switched, cancelled, no_show (R4).
SELECT * FROM log.bookings
