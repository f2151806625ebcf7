//! The embedded log: tables in the ledger's own SQLite file, so that state and outbox change in one transaction.
//!
//! Owns the tables' statements and what they promise: offsets are contiguous, in commit order and never reused, also after
//! pruning; `recorded_at` never moves back. It opens no file: every function works on the caller's connection, and
//! appending inside the caller's transaction (`BEGIN IMMEDIATE`, so that the clock is read under the write lock).

use event::{Clock, Instant, Stream};
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::{Result, attempt};
use crate::{Body, Error, Partition, Segment};

/// A segment has at most this many messages: 4,096 of 437 B are 1.8 MB of NDJSON, 0.2 MB compressed, which one read brings
/// without stalling its neighbours.
pub const SEGMENT_MESSAGES_LIMIT: usize = 4_096;

/// … and is cut at this many bytes before compression: large messages must not make a segment nobody can hold.
pub const SEGMENT_BYTES_LIMIT: usize = 16 << 20;

/// Level 1: as small as 3 on these messages (the lake's measure) for a third of the time.
const ZSTD_LEVEL: i32 = 1;

/// A chunk of pruning stops here: it holds the ledger's write lock, and clerks wait behind it. 4 MiB of pages go to the
/// free list in about 5 ms.
const PRUNE_BYTES: i64 = 4 << 20;

/// Pages given back to the file system per pruned chunk, 5 MiB: a little more than a chunk frees, so that the file shrinks,
/// and little enough to move under the write lock.
const VACUUM_PAGES: u32 = 1_280;

/// Where a run of messages was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first message.
    pub first_offset: i64,
    /// Offset after the last: the position a reader waits for to see them all.
    pub next_offset: i64,
    /// When the log recorded them.
    pub recorded_at: Instant,
}

/// Creates the log's tables, a random log id and the counter of partition 0, unless they are there.
pub fn create(conn: &Connection, clock: &dyn Clock) -> Result<()> {
    conn.execute_batch(include_str!("../../../sql/migrations/outbox.sql")).map_err(attempt("create the log's tables"))?;
    let mut id = [0u8; 16];
    getrandom::fill(&mut id).map_err(|e| Error::Sqlite {
        attempt: "make a log id",
        source: rusqlite::Error::ToSqlConversionFailure(Box::new(std::io::Error::other(e.to_string()))),
    })?;
    let id: String = id.iter().map(|b| format!("{b:02x}")).collect();
    conn.execute(
        "INSERT INTO event_log (partition, log_id, next_offset, recorded_at, pruned_to) VALUES (0, ?1, 0, ?2, 0)
         ON CONFLICT (partition) DO NOTHING",
        params![id, clock.now().0],
    )
    .map_err(attempt("create the log's counter"))?;
    Ok(())
}

/// Appends messages of one stream, in order, inside the caller's transaction. One message is stored as it is, more as
/// compressed segments.
pub fn append(conn: &Connection, clock: &dyn Clock, stream: Stream, messages: &[Vec<u8>]) -> Result<Appended> {
    let appended = advance(conn, clock, messages.len() as i64)?;
    let mut offset = appended.first_offset;
    for run in runs(messages) {
        match run {
            [one] => insert(conn, offset, 1, stream, appended.recorded_at, false, one)?,
            many => insert(conn, offset, many.len() as u32, stream, appended.recorded_at, true, &compress(many))?,
        }
        offset += run.len() as i64;
    }
    Ok(appended)
}

/// Appends one segment that the caller compressed (see [`compress`]) off the writer's thread.
pub fn append_segment(conn: &Connection, clock: &dyn Clock, stream: Stream, count: u32, zstd_lines: &[u8]) -> Result<Appended> {
    if count == 0 || count as usize > SEGMENT_MESSAGES_LIMIT {
        return Err(Error::Segment { count, recorded_at: clock.now(), what: "it must have 1 to 4,096 messages" });
    }
    let appended = advance(conn, clock, i64::from(count))?;
    insert(conn, appended.first_offset, count, stream, appended.recorded_at, true, zstd_lines)?;
    Ok(appended)
}

/// Segments that hold the messages from `from` on, in order, of about `max_bytes` as stored and at least one if there is
/// one. The first may start below `from`; the reader skips what it knows.
pub fn read(conn: &Connection, from: i64, max_bytes: usize) -> Result<Vec<Segment>> {
    let failed = "read the log";
    let mut statement = conn
        .prepare_cached(
            "SELECT first_offset, count, stream, recorded_at, compressed, body FROM outbox
             WHERE first_offset >= coalesce((SELECT max(first_offset) FROM outbox WHERE first_offset <= ?1), ?1)
               AND first_offset + count > ?1 ORDER BY first_offset",
        )
        .map_err(attempt(failed))?;
    let mut rows = statement.query([from]).map_err(attempt(failed))?;
    let (mut segments, mut bytes, mut expected) = (Vec::new(), 0, None);
    while let Some(row) = rows.next().map_err(attempt(failed))? {
        let segment = segment(row)?;
        if expected.is_some_and(|offset| offset != segment.first_offset) {
            return Err(Error::Damaged { offset: segment.first_offset, what: "messages before it are missing".to_owned() });
        }
        expected = Some(segment.next_offset);
        bytes += segment.body.bytes().len();
        segments.push(segment);
        if bytes >= max_bytes {
            break;
        }
    }
    // Read after the rows: `pruned_to` only grows, so what it allows now it allowed when the rows were read.
    let pruned_to = pruned_to(conn)?;
    if from < pruned_to {
        return Err(Error::Pruned { log: Partition::WHOLE.log(), partition: Partition::WHOLE, from, pruned_to });
    }
    if segments.first().is_some_and(|s| s.first_offset > from) {
        return Err(Error::Damaged { offset: from, what: "messages are missing".to_owned() });
    }
    Ok(segments)
}

/// The offset the next message will get.
pub fn end(conn: &Connection) -> Result<i64> {
    counter(conn, "SELECT next_offset FROM event_log WHERE partition = 0")
}

/// The first offset that is left.
pub fn pruned_to(conn: &Connection) -> Result<i64> {
    counter(conn, "SELECT pruned_to FROM event_log WHERE partition = 0")
}

/// When the last message was recorded; the log's creation if there is none.
pub fn last_recorded_at(conn: &Connection) -> Result<Instant> {
    counter(conn, "SELECT recorded_at FROM event_log WHERE partition = 0").map(Instant)
}

/// The log's random id.
pub fn log_id(conn: &Connection) -> Result<String> {
    conn.prepare_cached("SELECT log_id FROM event_log WHERE partition = 0")
        .and_then(|mut s| s.query_row([], |row| row.get(0)))
        .map_err(attempt("read the log's id"))
}

/// Up to where the log is relayed to `target`; `None` if it never was.
pub fn relayed_to(conn: &Connection, target: &str) -> Result<Option<i64>> {
    conn.prepare_cached("SELECT relayed_to FROM relays WHERE target = ?1")
        .and_then(|mut s| s.query_row([target], |row| row.get(0)).optional())
        .map_err(attempt("read how far the log is relayed"))
}

/// Notes that everything below `relayed_to` is acknowledged by `target`; never less than before.
pub fn note_relayed(conn: &Connection, target: &str, relayed_to: i64) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO relays (target, relayed_to) VALUES (?1, ?2)
         ON CONFLICT (target) DO UPDATE SET relayed_to = max(relayed_to, excluded.relayed_to)",
    )
    .and_then(|mut s| s.execute(params![target, relayed_to]))
    .map_err(attempt("note how far the log is relayed"))?;
    Ok(())
}

/// Deletes the oldest segments that lie whole below `below`, at most `max_rows` of them and 4 MiB, and gives pages back to
/// the file system. Returns how many it deleted; 0 means there is nothing left to do.
pub fn prune(conn: &Connection, below: i64, max_rows: usize) -> Result<usize> {
    let failed = "prune the log";
    // Chosen before the write lock is taken: rows never change, and another pruner can only have been faster.
    let upto: Option<i64> = conn
        .prepare_cached(
            "SELECT max(first_offset + count) FROM (
                 SELECT first_offset, count, sum(length(body)) OVER (ORDER BY first_offset) - length(body) AS before
                 FROM (SELECT * FROM outbox WHERE first_offset < ?1 AND first_offset + count <= ?1 ORDER BY first_offset LIMIT ?2)
             ) WHERE before < ?3",
        )
        .and_then(|mut s| s.query_row(params![below, max_rows as i64, PRUNE_BYTES], |row| row.get(0)).optional())
        .map_err(attempt(failed))?
        .flatten();
    let Some(upto) = upto else { return Ok(0) };
    let in_savepoint = || -> rusqlite::Result<usize> {
        // The first statement writes, so that the lock is asked for at once and waited for.
        conn.prepare_cached("UPDATE event_log SET pruned_to = max(pruned_to, ?1) WHERE partition = 0")?.execute([upto])?;
        conn.prepare_cached("DELETE FROM outbox WHERE first_offset < ?1")?.execute([upto])
    };
    conn.execute_batch("SAVEPOINT prune").map_err(attempt(failed))?;
    let deleted = match in_savepoint() {
        Ok(deleted) => deleted,
        Err(source) => {
            conn.execute_batch("ROLLBACK TO prune; RELEASE prune").map_err(attempt(failed))?;
            return Err(Error::Sqlite { attempt: failed, source });
        }
    };
    conn.execute_batch("RELEASE prune").map_err(attempt(failed))?;
    shrink(conn).map_err(attempt("shrink the ledger's file"))?;
    Ok(deleted)
}

/// Gives free pages back. The pragma frees one page per step, so it is stepped to its end.
fn shrink(conn: &Connection) -> rusqlite::Result<()> {
    let mut statement = conn.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    let mut steps = statement.query([])?;
    while steps.next()?.is_some() {}
    Ok(())
}

/// The messages joined by line feeds and compressed: the body of a segment. Messages must hold no line feed.
pub fn compress(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(messages.iter().map(|m| m.len() + 1).sum());
    for (i, message) in messages.iter().enumerate() {
        if i > 0 {
            lines.push(b'\n');
        }
        lines.extend_from_slice(message);
    }
    zstd::bulk::compress(&lines, ZSTD_LEVEL).expect("compressing into memory cannot fail")
}

/// Cuts messages into segments; one that holds a line feed stands alone, as it is.
fn runs(messages: &[Vec<u8>]) -> Vec<&[Vec<u8>]> {
    let mut runs = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (i, message) in messages.iter().enumerate() {
        let alone = message.contains(&b'\n');
        if i > start && (alone || i - start == SEGMENT_MESSAGES_LIMIT || bytes + message.len() > SEGMENT_BYTES_LIMIT) {
            runs.push(&messages[start..i]);
            (start, bytes) = (i, 0);
        }
        bytes += message.len() + 1;
        if alone {
            runs.push(&messages[i..=i]);
            (start, bytes) = (i + 1, 0);
        }
    }
    if start < messages.len() {
        runs.push(&messages[start..]);
    }
    runs
}

/// Moves the counter on by `count` and tells where the messages go.
fn advance(conn: &Connection, clock: &dyn Clock, count: i64) -> Result<Appended> {
    conn.prepare_cached(
        "UPDATE event_log SET next_offset = next_offset + ?1, recorded_at = max(recorded_at, ?2) WHERE partition = 0
         RETURNING next_offset, recorded_at",
    )
    .and_then(|mut s| {
        s.query_row(params![count, clock.now().0], |row| {
            let next_offset: i64 = row.get(0)?;
            Ok(Appended { first_offset: next_offset - count, next_offset, recorded_at: Instant(row.get(1)?) })
        })
    })
    .map_err(attempt("advance the log's counter"))
}

fn insert(
    conn: &Connection,
    first_offset: i64,
    count: u32,
    stream: Stream,
    at: Instant,
    compressed: bool,
    body: &[u8],
) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO outbox (first_offset, count, stream, recorded_at, compressed, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .and_then(|mut s| s.execute(params![first_offset, count, stream.name(), at.0, compressed, body]))
    .map_err(attempt("append to the log"))?;
    Ok(())
}

fn segment(row: &rusqlite::Row<'_>) -> Result<Segment> {
    let failed = attempt("read a segment of the log");
    let read = || -> rusqlite::Result<(i64, u32, String, i64, bool, Vec<u8>)> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
    };
    let (first_offset, count, stream, recorded_at, compressed, body) = read().map_err(failed)?;
    let stream = stream.parse().map_err(|what| Error::Damaged { offset: first_offset, what })?;
    let body = if compressed { Body::ZstdLines(body) } else { Body::One(body) };
    Ok(Segment {
        partition: Partition::WHOLE,
        first_offset,
        next_offset: first_offset + i64::from(count),
        stream,
        recorded_at: Instant(recorded_at),
        body,
    })
}

fn counter(conn: &Connection, sql: &str) -> Result<i64> {
    conn.prepare_cached(sql).and_then(|mut s| s.query_row([], |row| row.get(0))).map_err(attempt("read the log's counter"))
}

#[cfg(test)]
mod tests;
