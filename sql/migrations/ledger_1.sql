-- The ledger's operational state, version 1. Statements on it keep to the dialect that SQLite and PostgreSQL share; only
-- this file is SQLite's own (an INTEGER PRIMARY KEY is the row's id and saves an index). Instants are microseconds since
-- 1970 UTC, money is fen.

-- Grain: setting. The source, and a check of the secret.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Grain: counter. `last_id`: the last id given to an event, an order, an entitlement; never given again.
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);

-- Grain: version of a catalog entry. In force at an instant: the last by (effective_from, seq) that has taken effect.
CREATE TABLE catalog (
    kind           TEXT    NOT NULL,
    id             TEXT    NOT NULL,
    effective_from BIGINT  NOT NULL,
    seq            BIGINT  NOT NULL,
    removed        BOOLEAN NOT NULL,
    -- The entry's own fields, as JSON.
    entry          TEXT    NOT NULL,
    PRIMARY KEY (kind, id, effective_from, seq)
);

-- Grain: member.
CREATE TABLE members (
    member_id INTEGER PRIMARY KEY,
    entry     TEXT NOT NULL
);

-- Grain: API key. Only its hash is kept.
CREATE TABLE api_keys (
    key_id     TEXT PRIMARY KEY,
    key_hash   BLOB   NOT NULL UNIQUE,
    name       TEXT   NOT NULL,
    role       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

-- Grain: order.
CREATE TABLE orders (
    order_id      INTEGER PRIMARY KEY,
    sold_store_id TEXT   NOT NULL,
    sold_at       BIGINT NOT NULL,
    member_id     BIGINT,
    clerk_id      TEXT,
    seller_id     TEXT,
    channel       TEXT   NOT NULL,
    -- What a clerk may see of the code (R10).
    last_four     TEXT
);

-- Grain: redemption code, as its keyed hash (R10).
CREATE TABLE codes (
    code_hash BLOB   PRIMARY KEY,
    order_id  BIGINT NOT NULL
);

-- Grain: distinct terms of sale: a product's facts as they stood when it was sold. Thousands of sales share one row.
CREATE TABLE terms (
    terms_id INTEGER PRIMARY KEY,
    body     TEXT NOT NULL UNIQUE
);

-- Grain: entitlement, what one order line gave a member.
CREATE TABLE entitlements (
    entitlement_id INTEGER PRIMARY KEY,
    order_id       BIGINT  NOT NULL,
    line           INTEGER NOT NULL,
    terms_id       BIGINT  NOT NULL,
    -- The catalog's sequence number at the sale (R3).
    catalog_seq    BIGINT  NOT NULL,
    list_price_fen BIGINT  NOT NULL,
    paid_fen       BIGINT  NOT NULL,
    principal_fen  BIGINT  NOT NULL,
    bonus_fen      BIGINT  NOT NULL,
    points_fen     BIGINT  NOT NULL,
    coupon_fen     BIGINT  NOT NULL,
    valid_from     BIGINT  NOT NULL,
    valid_until    BIGINT,
    total          INTEGER NOT NULL,
    redeemed       INTEGER NOT NULL,
    held           INTEGER NOT NULL,
    refund_open    INTEGER NOT NULL,
    refunded       INTEGER NOT NULL,
    expired        INTEGER NOT NULL,
    -- One letter per unit: a available, h held, r redeemed, q refund requested, f refunded, x expired.
    unit_states    TEXT    NOT NULL,
    CHECK (redeemed >= 0 AND held >= 0 AND refund_open >= 0 AND refunded >= 0 AND expired >= 0),
    -- R4: available is never negative.
    CHECK (redeemed + held + refund_open + refunded + expired <= total),
    CHECK (length(unit_states) = total)
);
CREATE INDEX entitlements_of_order ON entitlements (order_id, line);
-- What the sweep looks for (R5); rows leave the index as soon as nothing can expire any more.
CREATE INDEX entitlements_expiring ON entitlements (valid_until)
    WHERE valid_until IS NOT NULL AND total > redeemed + refund_open + refunded + expired;

-- Grain: unit held by a booking (R4).
CREATE TABLE holds (
    entitlement_id  BIGINT  NOT NULL,
    unit_ordinal    INTEGER NOT NULL,
    booking_id      BIGINT  NOT NULL,
    booked_store_id TEXT    NOT NULL,
    start_at        BIGINT,
    PRIMARY KEY (entitlement_id, unit_ordinal)
);

-- Grain: unit redeemed by this ledger; never changed (R1). Reversal (R7) reads them until their period is locked.
CREATE TABLE redemptions (
    event_id          INTEGER PRIMARY KEY,
    redemption_id     BIGINT  NOT NULL,
    entitlement_id    BIGINT  NOT NULL,
    unit_ordinal      INTEGER NOT NULL,
    redeemed_store_id TEXT    NOT NULL,
    redeemed_at       BIGINT  NOT NULL,
    value_fen         BIGINT  NOT NULL
);
CREATE INDEX redemptions_of_entitlement ON redemptions (entitlement_id, unit_ordinal);

-- Grain: write that carried a key (R2). The key itself is kept as a keyed hash: a sold code is sealed with it (R10).
CREATE TABLE idempotency (
    key_hash    BLOB   PRIMARY KEY,
    params_hash BLOB   NOT NULL,
    outcome     TEXT   NOT NULL,
    position    BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- Grain: wrong code tried; scope is `terminal:ID` or `store:ID` (R10).
CREATE TABLE code_failures (
    scope     TEXT   NOT NULL,
    failed_at BIGINT NOT NULL
);
CREATE INDEX code_failures_of_scope ON code_failures (scope, failed_at);

-- Grain: time step of an order's QR token that was redeemed (R10).
CREATE TABLE qr_used (
    order_id BIGINT NOT NULL,
    step     BIGINT NOT NULL,
    PRIMARY KEY (order_id, step)
);

-- Grain: chunk of a set-wise load that is in.
CREATE TABLE loads (
    load_id   TEXT    NOT NULL,
    chunk     INTEGER NOT NULL,
    loaded_at BIGINT  NOT NULL,
    PRIMARY KEY (load_id, chunk)
);
