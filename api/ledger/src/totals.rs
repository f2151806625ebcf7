//! Totals per store, business day and type of event: what the ledger says happened, without looking at every row.
//!
//! They change in the transaction that writes rows and events, so that they are right as of any position of the log.
//! Imports have sources of their own and count nothing here.

use std::collections::BTreeMap;

use event::{DEFAULT_DAY_START_HOUR, Day, Event, Instant};
use eventlog::{Body, Partition, Segment};
use redemption::StoreId;
use rusqlite::{Connection, params};

use crate::LogSegment;
use crate::catalog::Catalog;
use crate::error::{Result, attempt, invalid};

/// Fingerprints count modulo 2^62: two of them add up without leaving 64 bits, in every dialect. Ids stay below it until 2089.
const FINGERPRINT_MASK: i64 = (1 << 62) - 1;

/// What a total is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TotalOf {
    /// The acting store.
    pub store_id: String,
    /// Its business day.
    pub business_day: Day,
    /// Type of event: `redeemed`, `sold`, …
    pub event_type: String,
}

/// Events of one store, business day and type, added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// How many; of sales, order lines.
    pub events: i64,
    /// Their units.
    pub units: i64,
    /// Their value: of sales what was paid, of expired and refunded units the carrying value.
    pub fen: i64,
    /// See [`fingerprint`]; `None` if some event's id is not known.
    pub fingerprint: Option<i64>,
}

/// An event as the totals count it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The total it is in.
    pub of: TotalOf,
    /// Its id.
    pub event_id: i64,
    /// The entitlement it is about.
    pub entitlement_id: Option<i64>,
    /// Its units.
    pub units: i64,
    /// Its value.
    pub fen: i64,
}

impl Total {
    /// Nothing yet.
    pub const ZERO: Total = Total { events: 0, units: 0, fen: 0, fingerprint: Some(0) };

    /// With one more event.
    pub fn add(&mut self, units: i64, fen: i64, event_id: Option<i64>) {
        self.change(1, units, fen, event_id.map(|id| fingerprint(id, fen)));
    }

    /// Without an event that is in it.
    pub fn take_out(&mut self, units: i64, fen: i64, event_id: i64) {
        self.change(-1, -units, -fen, Some(fingerprint(event_id, fen).wrapping_neg()));
    }

    fn change(&mut self, events: i64, units: i64, fen: i64, fingerprint: Option<i64>) {
        self.events += events;
        self.units += units;
        self.fen += fen;
        self.fingerprint = self.fingerprint.zip(fingerprint).map(|(a, b)| a.wrapping_add(b) & FINGERPRINT_MASK);
    }
}

/// What tells one event from others in a sum: `event_id × (2 × fen + 1)` modulo 2^62. The factor is odd and so has an inverse:
/// where a sum lacks one event, or has one twice, the difference of events, fen and fingerprints names it.
pub fn fingerprint(event_id: i64, fen: i64) -> i64 {
    event_id.wrapping_mul(fen.wrapping_mul(2).wrapping_add(1)) & FINGERPRINT_MASK
}

/// A sum of fingerprints that was computed modulo 2^64.
pub fn reduced(sum: i64) -> i64 {
    sum & FINGERPRINT_MASK
}

/// The id of the one event whose value is `fen` and whose fingerprint this is.
pub fn named_by(fingerprint: i64, fen: i64) -> i64 {
    let factor = fen.wrapping_mul(2).wrapping_add(1);
    // Newton: each step doubles the bits that are right, from 3 to 96.
    let inverse = (0..5).fold(factor, |inverse, _| inverse.wrapping_mul(2i64.wrapping_sub(factor.wrapping_mul(inverse))));
    fingerprint.wrapping_mul(inverse) & FINGERPRINT_MASK
}

impl Counted {
    /// As the totals count `event`; `None` if they don't.
    pub fn of(event: &Event<'_>) -> Option<Counted> {
        let (envelope, store_id, entitlement_id, units, fen) = match event {
            Event::Redemption(r) => {
                let time = r.occurred_at.business_time(r.day_start_hour.unwrap_or(DEFAULT_DAY_START_HOUR));
                ((time.day, &r.r#type, r.event_id), r.redeemed_store_id.as_ref(), r.entitlement_id, 1, r.value_fen)
            }
            Event::Order(o) => {
                let time = o.occurred_at.business_time(o.day_start_hour.unwrap_or(DEFAULT_DAY_START_HOUR));
                let ordinals = o.unit_ordinals.as_ref().map_or(0, |ordinals| ordinals.len() as i64);
                let (units, fen) = (o.units.map_or(ordinals, i64::from), o.paid_fen.or(o.carrying_fen));
                ((time.day, &o.r#type, o.event_id), o.sold_store_id.as_ref(), o.entitlement_id, units, fen)
            }
            _ => return None,
        };
        let (business_day, event_type, event_id) = envelope;
        let of = TotalOf { store_id: store_id?.as_str().to_owned(), business_day, event_type: event_type.as_str().to_owned() };
        Some(Counted { of, event_id: event_id.0, entitlement_id: entitlement_id.map(|id| id.0), units, fen: fen.unwrap_or(0) })
    }
}

/// Totals by what they are of.
pub type Totals = BTreeMap<TotalOf, Total>;

/// Adds `of` to the ledger's totals.
pub(crate) fn add(conn: &Connection, of: &TotalOf, total: &Total) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO totals (store_id, business_day, type, events, units, fen, fingerprint) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (store_id, business_day, type) DO UPDATE SET events = totals.events + excluded.events,
             units = totals.units + excluded.units, fen = totals.fen + excluded.fen,
             fingerprint = (totals.fingerprint + excluded.fingerprint) & 4611686018427387903",
    )
    .and_then(|mut s| {
        let Total { events, units, fen, fingerprint } = total;
        s.execute(params![of.store_id, of.business_day.0, of.event_type, events, units, fen, fingerprint])
    })
    .map_err(attempt("add to the ledger's totals"))?;
    Ok(())
}

/// What the segments add to the totals of `source`. Messages that are no events add nothing: they come to no row either.
pub(crate) fn of_segments(source: &str, segments: &[LogSegment], now: Instant) -> Result<Totals> {
    let mut totals = Totals::new();
    for LogSegment { stream, count, zstd_lines } in segments {
        if !matches!(stream, event::Stream::Orders | event::Stream::Redemptions) {
            continue;
        }
        let segment = Segment {
            partition: Partition::WHOLE,
            first_offset: 0,
            next_offset: i64::from(*count),
            stream: *stream,
            recorded_at: now,
            body: Body::ZstdLines(zstd_lines.clone()),
        };
        for (.., message) in segment.messages().map_err(|e| invalid(format!("a segment can't be read: {e}")))?.iter() {
            let Ok(event) = Event::decode(*stream, message, now) else { continue };
            let own = match &event {
                Event::Redemption(r) => r.source.as_str() == source,
                Event::Order(o) => o.source.as_str() == source,
                _ => false,
            };
            if let Some(counted) = Counted::of(&event).filter(|_| own) {
                let total = totals.entry(counted.of).or_insert(Total::ZERO);
                total.add(counted.units, counted.fen, Some(counted.event_id));
            }
        }
    }
    Ok(totals)
}

/// Rows of an older file looked at at a time: its ids, stores and times are 1 MB.
const FILL_ROWS: i64 = 10_000;

/// Fills the totals of a file from before there were any, as far as its rows tell: redemptions by id, sales without the ids of
/// their events. Redemptions that were loaded set-wise have no rows, and what expired has none: `totals_since` says so.
pub(crate) fn fill(conn: &Connection, home_zone: &str) -> Result<()> {
    let failed = attempt("fill the ledger's totals");
    let catalog = Catalog::read(conn, home_zone)?;
    let day = |store: &str, at: i64| -> Result<Day> {
        let store = StoreId::new(store).map_err(|e| invalid(e.to_string()))?;
        Ok(catalog.zone(&store, Instant(at)).business_time(Instant(at)).day)
    };
    let count = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).map_err(&failed);
    let mut totals = Totals::new();
    let mut last = i64::MIN;
    loop {
        let rows: Vec<(i64, String, i64, i64)> = conn
            .prepare_cached(
                "SELECT event_id, redeemed_store_id, redeemed_at, value_fen FROM redemptions WHERE event_id > $1
                 ORDER BY event_id LIMIT $2",
            )
            .and_then(|mut s| {
                s.query_map(params![last, FILL_ROWS], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))?.collect()
            })
            .map_err(&failed)?;
        let Some((newest, ..)) = rows.last() else { break };
        last = *newest;
        for (event_id, store_id, at, fen) in rows {
            let business_day = day(&store_id, at)?;
            conn.prepare_cached("UPDATE redemptions SET business_day = $1 WHERE event_id = $2")
                .and_then(|mut s| s.execute(params![business_day.0, event_id]))
                .map_err(&failed)?;
            let of = TotalOf { store_id, business_day, event_type: "redeemed".to_owned() };
            totals.entry(of).or_insert(Total::ZERO).add(1, fen, Some(event_id));
        }
    }
    last = i64::MIN;
    loop {
        let rows: Vec<(i64, String, i64)> = conn
            .prepare_cached("SELECT order_id, sold_store_id, sold_at FROM orders WHERE order_id > $1 ORDER BY order_id LIMIT $2")
            .and_then(|mut s| s.query_map(params![last, FILL_ROWS], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?.collect())
            .map_err(&failed)?;
        let Some((newest, ..)) = rows.last() else { break };
        last = *newest;
        for (order_id, store_id, at) in rows {
            let business_day = day(&store_id, at)?;
            conn.prepare_cached("UPDATE orders SET business_day = $1 WHERE order_id = $2")
                .and_then(|mut s| s.execute(params![business_day.0, order_id]))
                .map_err(&failed)?;
            let lines: Vec<(i64, i64)> = conn
                .prepare_cached("SELECT total, paid_fen FROM entitlements WHERE order_id = $1")
                .and_then(|mut s| s.query_map([order_id], |r| Ok((r.get(0)?, r.get(1)?)))?.collect())
                .map_err(&failed)?;
            let of = TotalOf { store_id, business_day, event_type: "sold".to_owned() };
            let total = totals.entry(of).or_insert(Total::ZERO);
            lines.into_iter().for_each(|(units, paid_fen)| total.add(units, paid_fen, None));
        }
    }
    totals.iter().try_for_each(|(of, total)| add(conn, of, total))?;
    let after = count("SELECT value + 1 FROM counters WHERE name = 'last_id'")?.unwrap_or(0);
    let redeemed = match count("SELECT count(*) FROM loads")? {
        Some(0) | None => i64::MIN,
        Some(_) => count("SELECT min(event_id) FROM redemptions")?.unwrap_or(after),
    };
    for (event_type, since) in [("redeemed", redeemed), ("sold", i64::MIN), ("", after)] {
        conn.execute("INSERT INTO totals_since (type, event_id) VALUES ($1, $2)", params![event_type, since]).map_err(&failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_that_lacks_one_event_names_it() {
        for (id, fen) in [(1, 0), (468_012_345_678_901_234, 3_300), (468_012_345_678_901_235, -1), (7, i64::MAX / 4)] {
            let mut all = Total::ZERO;
            all.add(1, 12, Some(99));
            let mut lacks = all;
            all.add(1, fen, Some(id));
            let difference = reduced(all.fingerprint.unwrap().wrapping_sub(lacks.fingerprint.unwrap()));
            assert_eq!(named_by(difference, fen), id);
            all.take_out(1, fen, id);
            assert_eq!(all, lacks);
            lacks.add(1, 1, None);
            assert_eq!(lacks.fingerprint, None);
        }
    }
}
