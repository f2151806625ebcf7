//! What `hexiao check` asks the ledger: its totals as of one position of its log, and the rows of single days. Read from the
//! file without a lock, beside the process that writes it.

use std::path::Path;

use event::{Day, Event, Instant};
use eventlog::outbox;
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::{Error, Result, attempt};
use crate::file;
use crate::totals::{Counted, Total, TotalOf, Totals};

/// Bytes of the log read at a time.
const READ_BYTES: usize = 16 << 20;

/// Days and the store to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Days {
    /// First business day, inclusive.
    pub from: Day,
    /// Last business day, inclusive.
    pub to: Day,
    /// Only this store.
    pub store_id: Option<String>,
}

/// The ledger as of one position of its log.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The name its events are written under.
    pub source: String,
    /// The random id of its log.
    pub log_id: String,
    /// Everything below this offset of the log is in the totals.
    pub end: i64,
    /// No event in the totals has a higher id.
    pub last_id: i64,
    /// When it was read, by the clock of this machine.
    pub read_at: Instant,
    /// Totals of events below `end`, without those of `pending`.
    pub totals: Totals,
    /// Events below `end` that are not yet known to be relayed.
    pub pending: Vec<Counted>,
    /// Lowest event id in the totals of a type, where that is not all; `""` stands for the other types.
    pub since: Vec<(String, i64)>,
}

impl Cut {
    /// The lowest event id that the totals of this type have.
    pub fn since(&self, event_type: &str) -> i64 {
        let of = |name: &str| self.since.iter().find(|(t, _)| t == name).map(|(_, since)| *since);
        of(event_type).or_else(|| of("")).unwrap_or(i64::MIN)
    }
}

/// One row of the ledger that an event of the lake stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// `redeemed` or `sold`.
    pub event_type: &'static str,
    /// Id of the event, where the ledger keeps it: of redemptions.
    pub event_id: Option<i64>,
    /// The entitlement.
    pub entitlement_id: i64,
    /// Units.
    pub units: i64,
    /// Value of the unit, or what was paid for the line.
    pub fen: i64,
}

/// Reads totals and position in one transaction. `relayed`: what is not relayed yet is told apart.
pub fn cut(path: &Path, days: &Days, relayed: bool, now: Instant) -> Result<Cut> {
    read(path, |conn| {
        let failed = attempt("read the ledger's totals");
        let mut cut = Cut {
            source: setting(conn)?,
            log_id: outbox::log_id(conn)?,
            end: outbox::end(conn)?,
            last_id: conn
                .query_row("SELECT value FROM counters WHERE name = 'last_id'", [], |row| row.get(0))
                .map_err(&failed)?,
            read_at: now,
            totals: Totals::new(),
            pending: Vec::new(),
            since: conn
                .prepare("SELECT type, event_id FROM totals_since")
                .and_then(|mut s| s.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
                .map_err(&failed)?,
        };
        let mut statement = conn
            .prepare(
                "SELECT store_id, business_day, type, events, units, fen, fingerprint FROM totals
                 WHERE business_day BETWEEN $1 AND $2 AND ($3 IS NULL OR store_id = $3)",
            )
            .map_err(&failed)?;
        let mut rows = statement.query(params![days.from.0, days.to.0, days.store_id]).map_err(&failed)?;
        while let Some(row) = rows.next().map_err(&failed)? {
            let read = || -> rusqlite::Result<(TotalOf, Total)> {
                let of = TotalOf { store_id: row.get(0)?, business_day: Day(row.get(1)?), event_type: row.get(2)? };
                let total = Total { events: row.get(3)?, units: row.get(4)?, fen: row.get(5)?, fingerprint: row.get(6)? };
                Ok((of, total))
            };
            let (of, total) = read().map_err(&failed)?;
            cut.totals.insert(of, total);
        }
        if relayed {
            cut.pending = pending(conn, &cut)?;
            for counted in &cut.pending {
                if let Some(total) = cut.totals.get_mut(&counted.of) {
                    total.take_out(counted.units, counted.fen, counted.event_id);
                }
            }
        }
        Ok(cut)
    })
}

/// Where the log in the file ends now.
pub fn log_end(path: &Path) -> Result<i64> {
    read(path, |conn| Ok(outbox::end(conn)?))
}

/// The rows of one store and business day, without what came after `cut`. Redemptions that were loaded set-wise have none.
pub fn rows_of(path: &Path, cut: &Cut, store_id: &str, day: Day) -> Result<Vec<LedgerRow>> {
    let failed = attempt("read the ledger's rows");
    let mut found = read(path, |conn| {
        let redeemed: Vec<LedgerRow> = conn
            .prepare(
                "SELECT event_id, entitlement_id, 1, value_fen FROM redemptions
                 WHERE redeemed_store_id = $1 AND business_day = $2 AND event_id <= $3 ORDER BY event_id",
            )
            .and_then(|mut s| {
                let row = |row: &rusqlite::Row<'_>| {
                    Ok(LedgerRow {
                        event_type: "redeemed",
                        event_id: Some(row.get(0)?),
                        entitlement_id: row.get(1)?,
                        units: row.get(2)?,
                        fen: row.get(3)?,
                    })
                };
                s.query_map(params![store_id, day.0, cut.last_id], row)?.collect()
            })
            .map_err(&failed)?;
        let sold: Vec<LedgerRow> = conn
            .prepare(
                "SELECT e.entitlement_id, e.total, e.paid_fen FROM orders o JOIN entitlements e ON e.order_id = o.order_id
                 WHERE o.sold_store_id = $1 AND o.business_day = $2 AND o.order_id <= $3 ORDER BY e.entitlement_id",
            )
            .and_then(|mut s| {
                let row = |row: &rusqlite::Row<'_>| {
                    Ok(LedgerRow {
                        event_type: "sold",
                        event_id: None,
                        entitlement_id: row.get(0)?,
                        units: row.get(1)?,
                        fen: row.get(2)?,
                    })
                };
                s.query_map(params![store_id, day.0, cut.last_id], row)?.collect()
            })
            .map_err(&failed)?;
        Ok([redeemed, sold].concat())
    })?;
    found.retain(|row| {
        let same = |p: &&Counted| match row.event_id {
            Some(event_id) => p.event_id == event_id,
            None => p.of.event_type == row.event_type && p.entitlement_id == Some(row.entitlement_id),
        };
        !cut.pending.iter().any(|p| same(&p))
    });
    Ok(found)
}

/// Events of the log that no relay has had acknowledged, as far as the totals count them.
fn pending(conn: &Connection, cut: &Cut) -> Result<Vec<Counted>> {
    let relayed_to = conn
        .query_row("SELECT max(relayed_to) FROM relays", [], |row| row.get::<_, Option<i64>>(0))
        .optional()
        .map_err(attempt("read how far the log is relayed"))?
        .flatten();
    let mut next = relayed_to.unwrap_or(0).max(outbox::pruned_to(conn)?);
    let mut pending = Vec::new();
    while next < cut.end {
        let segments = outbox::read(conn, next, READ_BYTES)?;
        let Some(last) = segments.last() else { break };
        let upto = last.next_offset;
        for segment in &segments {
            let messages = segment.messages()?;
            for (_, recorded_at, message) in messages.iter().filter(|(offset, ..)| *offset >= next) {
                let Ok(event) = Event::decode(segment.stream, message, recorded_at) else { continue };
                let own = match &event {
                    Event::Redemption(r) => r.source.as_str() == cut.source,
                    Event::Order(o) => o.source.as_str() == cut.source,
                    _ => false,
                };
                pending.extend(Counted::of(&event).filter(|_| own));
            }
        }
        next = upto;
    }
    Ok(pending)
}

fn setting(conn: &Connection) -> Result<String> {
    conn.query_row("SELECT value FROM settings WHERE name = 'source'", [], |row| row.get(0))
        .map_err(attempt("read the ledger's settings"))
}

/// Runs `body` in one transaction that reads, on a connection of its own.
fn read<T>(path: &Path, body: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    let conn = file::open_reader(path)?;
    let found = file::format(&conn)?;
    if found < file::TOTALS_SINCE {
        return Err(Error::Older { path: path.to_owned(), found });
    }
    let transaction = conn.unchecked_transaction().map_err(attempt("read the ledger"))?;
    body(&transaction)
}
