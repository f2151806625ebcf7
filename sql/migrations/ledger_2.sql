-- The ledger's operational state, version 2: what `hexiao check` holds against the lake. Rows of an older file are filled in
-- by `totals::fill`.

-- Grain: store × business day × type of event, of this ledger's own orders and redemptions. Changed in the transaction that
-- writes the rows and their events.
CREATE TABLE totals (
    store_id     TEXT   NOT NULL,
    -- Days since 1970-01-01.
    business_day BIGINT NOT NULL,
    type         TEXT   NOT NULL,
    events       BIGINT NOT NULL,
    units        BIGINT NOT NULL,
    fen          BIGINT NOT NULL,
    -- Sum of event_id * (2 * fen + 1) modulo 2^62; null where some event's id is not known.
    fingerprint  BIGINT,
    PRIMARY KEY (store_id, business_day, type)
) WITHOUT ROWID;

-- Grain: type whose totals leave out events with lower ids; '' stands for all types without a row of their own. Empty unless
-- the file was made before there were totals.
CREATE TABLE totals_since (
    type     TEXT   PRIMARY KEY,
    event_id BIGINT NOT NULL
) WITHOUT ROWID;

ALTER TABLE orders ADD COLUMN business_day BIGINT;
CREATE INDEX orders_of_day ON orders (sold_store_id, business_day);

ALTER TABLE redemptions ADD COLUMN business_day BIGINT;
CREATE INDEX redemptions_of_day ON redemptions (redeemed_store_id, business_day);
