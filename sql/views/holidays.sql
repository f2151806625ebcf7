-- holidays
-- Title: Holidays and make-up workdays
-- Grain: day; of one store where store_id is there, else of the chain.
SELECT id AS holiday_id, on_day, holiday_kind, store_id, name, effective_from FROM catalog_in_force WHERE kind = 'holiday'
