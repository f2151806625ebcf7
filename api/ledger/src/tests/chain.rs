//! A small chain to test with: head office, three stores, four products, one member. The clock stands still until it is set.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use event::{Event, Instant, ManualClock, Stream};
use redemption::{EntitlementId, MemberId, ProductId, Refusal, StoreId};
use rusqlite::Connection;
use serde_json::{Map, Value, json};

use crate::{
    Config, Counted, Days, Ledger, MemberEntry, Redeem, Redeemed, Request, Result, Sell, SellLine, Sold, Take, Total, Totals,
    Written,
};

/// Wednesday 2026-05-06, 15:00 in Shanghai.
pub(super) const NOON: &str = "2026-05-06T15:00:00+08:00";

pub(super) struct Chain {
    pub(super) ledger: Ledger,
    pub(super) clock: Arc<ManualClock>,
    pub(super) folder: tempfile::TempDir,
    keys: AtomicU32,
}

pub(super) fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

pub(super) fn store(id: &str) -> StoreId {
    StoreId::new(id).unwrap()
}

pub(super) fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

/// A fast ledger: what is durable is not asked of these tests, but of those that say so.
pub(super) fn config() -> Config {
    Config { secret: Some([7; 32]), ..Config::default() }
}

pub(super) fn open(folder: &Path, clock: &Arc<ManualClock>, config: Config) -> Result<Ledger> {
    Ledger::open(&folder.join("ledger.sqlite"), clock.clone(), "till", config)
}

impl Chain {
    /// HQ made P1 (punch card of 3 for 100.00, applicable at S1 and S2), P2 (card of 2, 30 days from first use, S1 to S3),
    /// P3 (service) and S1 made P4 (punch card of its own). Cards redeem across stores.
    pub(super) async fn new() -> Chain {
        Chain::with(config()).await
    }

    pub(super) async fn with(config: Config) -> Chain {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(at(NOON)));
        let ledger = open(folder.path(), &clock, config).unwrap();
        let chain = Chain { ledger, clock, folder, keys: AtomicU32::new(0) };
        for (id, head_office) in [("HQ", true), ("S1", false), ("S2", false), ("S3", false)] {
            chain.put("store", id, json!({"name": id, "time_zone": "Asia/Shanghai", "head_office": head_office})).await;
        }
        chain.put("cross_store", "chain", json!({"enabled": true})).await;
        for (id, product) in [
            (
                "P1",
                json!({"name": "Nails", "product_type": "punch_card", "creator_store_id": "HQ", "units": 3, "list_price_fen": 10_000, "vat_rate_bp": 600, "skill": "nails", "service_minutes": 60}),
            ),
            (
                "P2",
                json!({"name": "Facial", "product_type": "card", "creator_store_id": "HQ", "units": 2, "list_price_fen": 5_000, "validity": "days_from_first_use", "valid_days": 30}),
            ),
            (
                "P3",
                json!({"name": "Wash", "product_type": "service", "creator_store_id": "HQ", "units": 1, "list_price_fen": 3_000}),
            ),
            (
                "P4",
                json!({"name": "Own", "product_type": "punch_card", "creator_store_id": "S1", "units": 5, "list_price_fen": 9_900, "validity": "days_from_purchase", "valid_days": 30}),
            ),
        ] {
            chain.put("product", id, product).await;
        }
        chain.put("applicable_stores", "P1", json!({"store_ids": ["S1", "S2"]})).await;
        chain.put("applicable_stores", "P2", json!({"store_ids": ["S1", "S2", "S3"]})).await;
        chain.ledger.put_member(None, Some(MemberId(1)), MemberEntry::default()).await.unwrap();
        chain
    }

    pub(super) async fn put(&self, kind: &str, id: &str, entry: Value) {
        self.ledger.put_catalog(kind, id, fields(entry)).await.unwrap();
    }

    /// A request with a key of its own.
    pub(super) fn request(&self) -> Request {
        Request::new("test", &format!("key-{}", self.keys.fetch_add(1, Ordering::Relaxed))).unwrap()
    }

    pub(super) async fn sell(&self, store_id: &str, product: &str) -> Sold {
        self.ledger.sell(&self.request(), sale(store_id, &[product])).await.unwrap().outcome.unwrap()
    }

    pub(super) async fn redeem(&self, store_id: &str, take: Take) -> Written<Result<Redeemed, Refusal>> {
        self.ledger.redeem(&self.request(), redemption(store_id, vec![take])).await.unwrap()
    }

    /// Every event of the log of these streams, as JSON, in order.
    pub(super) fn events(&self, streams: &[Stream]) -> Vec<Value> {
        log(&self.file()).into_iter().filter(|(stream, _)| streams.contains(stream)).map(|(_, event)| event).collect()
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("ledger.sqlite")
    }
}

pub(super) fn sale(store_id: &str, products: &[&str]) -> Sell {
    let line = |product: &&str| SellLine {
        product_id: ProductId::new(product).unwrap(),
        quantity: 1,
        payment: None,
        technician_id: None,
        service_start_at: None,
    };
    Sell {
        store_id: store(store_id),
        member_id: Some(MemberId(1)),
        clerk_id: None,
        seller_id: None,
        terminal_id: None,
        channel: None,
        lines: products.iter().map(line).collect(),
        package: None,
    }
}

pub(super) fn redemption(store_id: &str, takes: Vec<Take>) -> Redeem {
    Redeem {
        store_id: store(store_id),
        takes,
        clerk_id: None,
        terminal_id: None,
        technician_id: None,
        service_start_at: None,
        service_minutes: None,
        channel: None,
    }
}

pub(super) fn units(take: Take, units: u32) -> Take {
    Take { units: NonZeroU32::new(units).unwrap(), ..take }
}

/// The log of a ledger's file, checked: every message is a good event, offsets are contiguous.
pub(super) fn log(file: &Path) -> Vec<(Stream, Value)> {
    let conn = Connection::open(file).unwrap();
    let mut events = Vec::new();
    let mut from = 0;
    loop {
        let segments = eventlog::outbox::read(&conn, from, 1 << 20).unwrap();
        if segments.is_empty() {
            assert_eq!(from, eventlog::outbox::end(&conn).unwrap());
            return events;
        }
        for segment in segments {
            assert_eq!(segment.first_offset, from);
            for (.., message) in segment.messages().unwrap().iter() {
                Event::decode(segment.stream, message, segment.recorded_at).unwrap();
                events.push((segment.stream, serde_json::from_slice(message).unwrap()));
            }
            from = segment.next_offset;
        }
    }
}

/// The totals of the log of a ledger's file.
pub(super) fn totals_of_log(file: &Path) -> Totals {
    let conn = Connection::open(file).unwrap();
    let mut totals = Totals::new();
    let mut from = 0;
    while from < eventlog::outbox::end(&conn).unwrap() {
        for segment in eventlog::outbox::read(&conn, from, 1 << 20).unwrap() {
            for (.., message) in segment.messages().unwrap().iter() {
                let event = Event::decode(segment.stream, message, segment.recorded_at).unwrap();
                if let Some(counted) = Counted::of(&event) {
                    totals.entry(counted.of).or_insert(Total::ZERO).add(counted.units, counted.fen, Some(counted.event_id));
                }
            }
            from = segment.next_offset;
        }
    }
    totals
}

/// One line per outcome, for tables.
pub(super) fn show(written: &Written<Result<Redeemed, Refusal>>) -> String {
    let repeated = if written.repeated { " (again)" } else { "" };
    match &written.outcome {
        Ok(redeemed) => {
            let unit = |u: &crate::RedeemedUnit| {
                format!(
                    "{}#{} {}->{} worth {}",
                    u.product_id, u.unit_ordinal, u.remaining_before, u.remaining_after, u.value.value_fen
                )
            };
            format!("{}{repeated}", redeemed.units.iter().map(unit).collect::<Vec<_>>().join(", "))
        }
        Err(refusal) => format!("{} {}{repeated}", refusal.rule().unwrap_or("-"), refusal.code()),
    }
}

/// Checks what must hold of any ledger: counters equal unit states, the log tells of exactly the units that are gone, and
/// their values sum (R1, R4, R9), and so do the totals. `loaded` entitlements have no history of their own here.
pub(super) fn check_invariants(file: &Path) {
    let conn = Connection::open(file).unwrap();
    let mut redeemed: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    let mut values: BTreeMap<i64, i64> = BTreeMap::new();
    let mut expired: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    let id = |event: &Value, name: &str| event[name].as_str().unwrap().parse::<i64>().unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for (stream, event) in log(file) {
        assert!(ids.insert(id(&event, "event_id")), "an event id twice: {event}");
        match (stream, event["type"].as_str().unwrap()) {
            (Stream::Redemptions, "redeemed") => {
                let entitlement = id(&event, "entitlement_id");
                redeemed.entry(entitlement).or_default().push(event["unit_ordinal"].as_i64().unwrap());
                *values.entry(entitlement).or_default() += event["value_fen"].as_i64().unwrap();
                let before_after = (event["remaining_before"].as_i64().unwrap(), event["remaining_after"].as_i64().unwrap());
                assert_eq!(before_after.0, before_after.1 + 1);
            }
            (Stream::Orders, "expired") => {
                let ordinals = event["unit_ordinals"].as_array().unwrap().iter().map(|o| o.as_i64().unwrap());
                expired.entry(id(&event, "entitlement_id")).or_default().extend(ordinals);
                *values.entry(id(&event, "entitlement_id")).or_default() += event["carrying_fen"].as_i64().unwrap();
            }
            _ => {}
        }
    }
    let mut statement = conn
        .prepare("SELECT entitlement_id, total, redeemed, held, refund_open, refunded, expired, unit_states, paid_fen FROM entitlements")
        .unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let id = EntitlementId(row.get(0).unwrap());
        let states: String = row.get(7).unwrap();
        let count = |letter: u8| states.bytes().filter(|b| *b == letter).count() as i64;
        let counters: Vec<i64> = (1..=6).map(|i| row.get(i).unwrap()).collect();
        let expected: Vec<i64> = vec![states.len() as i64, count(b'r'), count(b'h'), count(b'q'), count(b'f'), count(b'x')];
        assert_eq!(counters, expected, "entitlement {id}: {states}");
        let ordinals = |letter: u8| -> Vec<i64> {
            states.bytes().enumerate().filter(|(_, b)| *b == letter).map(|(i, _)| i as i64 + 1).collect()
        };
        let told = |map: &BTreeMap<i64, Vec<i64>>| {
            let mut told = map.get(&id.0).cloned().unwrap_or_default();
            told.sort_unstable();
            told
        };
        assert_eq!(ordinals(b'r'), told(&redeemed), "entitlement {id}: {states}");
        assert_eq!(ordinals(b'x'), told(&expired), "entitlement {id}: {states}");
        let paid: i64 = row.get(8).unwrap();
        let gone = values.get(&id.0).copied().unwrap_or_default();
        assert!(
            gone <= paid && (count(b'r') + count(b'x') < states.len() as i64 || gone == paid),
            "entitlement {id}: {gone} of {paid}"
        );
    }
    let days = Days { from: event::Day(0), to: event::Day(100_000), store_id: None };
    assert_eq!(crate::cut(file, &days, false, Instant(0)).unwrap().totals, totals_of_log(file));
    let rows: i64 = conn.query_row("SELECT count(*) FROM redemptions", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, redeemed.values().map(Vec::len).sum::<usize>() as i64);
}
