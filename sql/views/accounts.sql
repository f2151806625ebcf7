-- accounts
-- Title: Accounts of the legal entities as they are now
-- Grain: account.
SELECT id AS account_id, legal_entity_id, name, account, effective_from
FROM catalog_current
WHERE kind = 'account'
