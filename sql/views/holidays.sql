-- holidays
-- Title: Holidays and make-up workdays
-- Grain: day that is flagged (R14), for one store or, where store_id is null, for all.
SELECT on_day, holiday_kind, name, store_id
FROM catalog_current
WHERE kind = 'holiday'
