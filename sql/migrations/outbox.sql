-- outbox: the embedded event log, in the ledger's own file. Idempotent.
-- event_log, grain: log partition (the embedded log has one, 0).
-- outbox, grain: segment, one or more consecutive messages of one stream recorded at one instant.
-- relays, grain: where the log is relayed to.

CREATE TABLE IF NOT EXISTS event_log (
    partition   INTEGER PRIMARY KEY,
    -- Random; part of the app id in the lake, so that offsets of another log are never taken for this one's.
    log_id      TEXT    NOT NULL,
    -- The counter: contiguous, in commit order, never reused. A rowid would restart once pruning empties the table.
    next_offset BIGINT  NOT NULL,
    -- Microseconds since 1970 of the last append; never moves back.
    recorded_at BIGINT  NOT NULL,
    -- Everything below it was deleted.
    pruned_to   BIGINT  NOT NULL
);

CREATE TABLE IF NOT EXISTS outbox (
    first_offset INTEGER PRIMARY KEY,
    count        INTEGER NOT NULL,
    stream       TEXT    NOT NULL,
    recorded_at  BIGINT  NOT NULL,
    -- 0: body is the one message; 1: body is zstd of the messages joined by line feeds.
    compressed   INTEGER NOT NULL,
    body         BLOB    NOT NULL
);

CREATE TABLE IF NOT EXISTS relays (
    target     TEXT   PRIMARY KEY,
    -- Everything below it is acknowledged there.
    relayed_to BIGINT NOT NULL
);
