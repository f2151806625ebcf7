-- accounts
-- Title: Accounts of the books as they are now
-- Grain: account.
SELECT id AS account_id, name, legal_entity_id, account, effective_from FROM catalog_in_force WHERE kind = 'account'
