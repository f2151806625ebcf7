-- orders
-- Title: Sales and what became of them besides redemption
-- Grain: event of an order line: sold, refund_requested, refund_withdrawn, refunded, expired, transferred, opening_balance.
SELECT * FROM log.orders
