use std::collections::{BTreeMap, BTreeSet, HashMap};

use event::{Day, Event, Id, Instant, Stream};
use expect_test::expect;
use redemption::{Payment, UnitState};

use super::{Chain, ChainConfig, EntitlementState, FinalState, Step};
use crate::{FileFormat, Files};

fn small() -> ChainConfig {
    let end_day = Day::from_ymd(2026, 4, 30).unwrap();
    ChainConfig { stores: 18, members: 500, closed_entitlements: true, ..ChainConfig::sized(40_000, 500, end_day) }
}

/// Everything a chain hands out.
struct Made {
    /// Stream, and the messages in the order they came.
    messages: Vec<(Stream, Vec<u8>)>,
    closed: Vec<EntitlementState>,
    end: FinalState,
}

fn make(config: ChainConfig) -> Made {
    let mut chain = Chain::new(config);
    let (mut messages, mut closed) = (Vec::new(), Vec::new());
    for step in chain.by_ref() {
        match step {
            Step::Events(chunk) => {
                assert!(chunk.count <= crate::CHUNK_EVENTS);
                assert_eq!(chunk.messages().count(), chunk.count as usize);
                messages.extend(chunk.messages().map(|m| (chunk.stream, m.to_vec())));
            }
            Step::Closed(states) => closed.extend(states),
        }
    }
    assert_eq!(chain.progress(), 1.0);
    Made { messages, closed, end: chain.into_state() }
}

/// What the events say about one entitlement.
#[derive(Debug)]
struct Seen {
    order: Id,
    member: Option<Id>,
    units: Vec<UnitState>,
    payment: Payment,
    product: String,
    crosses: bool,
    sold_store: String,
    stores: BTreeSet<String>,
    valid_until: Option<Instant>,
    /// Whether a unit of it was redeemed already.
    used: bool,
    /// (ordinal, store) per booking.
    holds: HashMap<Id, (i32, String)>,
}

/// The simplest model of a ledger: it believes nothing that the events before do not allow.
#[derive(Default)]
struct Model {
    seen: HashMap<Id, Seen>,
    cross_store: bool,
    /// Products' applicable stores now.
    scopes: HashMap<String, BTreeSet<String>>,
    /// Redemptions that stand, by event id.
    standing: HashMap<Id, (Id, i32, i64, Instant)>,
    last: (Id, Instant),
    merged_into: HashMap<Id, Id>,
}

impl Model {
    /// The member that an id has become.
    fn merged(&self, mut id: Id) -> Id {
        while let Some(into) = self.merged_into.get(&id) {
            id = *into;
        }
        id
    }

    fn unit(&mut self, entitlement: Option<Id>, ordinal: i32, from: &[UnitState], to: UnitState) -> &mut Seen {
        let seen = self.seen.get_mut(&entitlement.unwrap()).expect("an entitlement that was sold");
        let state = &mut seen.units[ordinal as usize - 1];
        assert!(from.contains(state), "{state:?} to {to:?}");
        *state = to;
        seen
    }

    fn play(&mut self, event: &Event<'_>) {
        use UnitState::*;
        let at = event.occurred_at().at;
        assert!(Id(event.event_id()) > self.last.0 && at >= self.last.1, "ids and times rise");
        self.last = (Id(event.event_id()), at);
        match event {
            Event::Order(o) => match o.r#type.as_str() {
                "sold" => {
                    let fen = |v: Option<i64>| v.unwrap_or(0);
                    let stored_value = o.product_type.as_deref() == Some("stored_value");
                    let payment = Payment {
                        paid_fen: fen(o.paid_fen),
                        principal_fen: fen(o.principal_fen),
                        bonus_fen: fen(o.bonus_fen),
                        points_fen: fen(o.points_fen),
                        coupon_fen: fen(o.coupon_fen),
                    };
                    assert!(payment.check().is_ok());
                    let stores = o.applicable_store_ids.iter().flatten().map(|s| s.to_string()).collect();
                    let kind = o.product_type.as_deref().unwrap();
                    let seen = Seen {
                        order: o.order_id.unwrap(),
                        member: o.member_id,
                        units: vec![Available; o.units.unwrap() as usize],
                        payment,
                        product: o.product_id.as_deref().unwrap().to_owned(),
                        crosses: o.head_office_product.unwrap() && matches!(kind, "booking" | "card" | "punch_card"),
                        sold_store: o.sold_store_id.as_deref().unwrap().to_owned(),
                        stores,
                        valid_until: o.valid_until,
                        used: false,
                        holds: HashMap::new(),
                    };
                    assert!(stored_value || seen.payment.of_unit(1, 1).paid_fen == payment.paid_fen);
                    assert!(o.valid_until.is_none_or(|until| until > at));
                    assert!(self.seen.insert(o.entitlement_id.unwrap(), seen).is_none());
                }
                "opening_balance" => assert!(o.entitlement_id.is_none()),
                event_type => {
                    let seen = &self.seen[&o.entitlement_id.unwrap()];
                    assert_eq!(o.order_id, Some(seen.order));
                    let total = seen.units.len() as i32;
                    let ordinals = o.unit_ordinals.clone().unwrap();
                    assert!(!ordinals.is_empty());
                    let carrying: i64 = ordinals.iter().map(|n| seen.payment.of_unit(*n, total).paid_fen).sum();
                    assert_eq!(o.carrying_fen, Some(carrying));
                    for n in ordinals {
                        match event_type {
                            "refund_requested" => self.unit(o.entitlement_id, n, &[Available], RefundOpen),
                            "refund_withdrawn" => self.unit(o.entitlement_id, n, &[RefundOpen], Available),
                            "refunded" => self.unit(o.entitlement_id, n, &[RefundOpen], Refunded),
                            "expired" => self.unit(o.entitlement_id, n, &[Available], Expired),
                            "transferred" => self.unit(o.entitlement_id, n, &[Available], Available),
                            other => panic!("{other}"),
                        };
                    }
                    let seen = self.seen.get_mut(&o.entitlement_id.unwrap()).unwrap();
                    match event_type {
                        "refunded" => assert!((0..=carrying).contains(&o.cash_fen.unwrap())),
                        "expired" => assert!(o.valid_until.unwrap() <= at),
                        "transferred" => {
                            assert_eq!(o.from_member_id, seen.member);
                            seen.member = o.to_member_id;
                        }
                        _ => {}
                    }
                }
            },
            Event::Redemption(r) => match r.r#type.as_str() {
                "redeemed" => {
                    let n = r.unit_ordinal.unwrap();
                    let (cross_store, scopes) = (self.cross_store, self.scopes.clone());
                    let store = r.redeemed_store_id.as_deref().unwrap().to_owned();
                    let seen = self.unit(r.entitlement_id, n, &[Available, Held], Redeemed);
                    match &r.booked_store_id {
                        Some(booked) => {
                            assert_eq!(booked.as_str(), store);
                            let before = seen.holds.len();
                            seen.holds.retain(|_, (held, at)| (*held, at.as_str()) != (n, store.as_str()));
                            assert_eq!(seen.holds.len() + 1, before);
                        }
                        None => assert!(seen.holds.values().all(|(held, _)| *held != n)),
                    }
                    // R3.
                    if cross_store && seen.crosses {
                        assert!(seen.stores.contains(&store) || scopes[&seen.product].contains(&store));
                    } else {
                        assert_eq!(store, seen.sold_store);
                    }
                    // R5; the first use may start the validity.
                    assert!(seen.valid_until.is_none_or(|until| at < until));
                    if seen.valid_until.is_none() && !seen.used {
                        seen.valid_until = r.valid_until;
                    }
                    seen.used = true;
                    assert_eq!(r.valid_until, seen.valid_until);
                    assert!(!seen.units.contains(&RefundOpen), "R6");
                    let left = seen.units.iter().filter(|u| matches!(u, Available | Held)).count() as i32;
                    assert_eq!((r.remaining_before, r.remaining_after), (Some(left + 1), Some(left)));
                    let value = seen.payment.of_unit(n, seen.units.len() as i32);
                    assert_eq!(r.value_fen, Some(value.paid_fen), "R9");
                    assert_eq!(r.principal_fen.unwrap_or(0), value.principal_fen);
                    assert_eq!(r.coupon_fen.unwrap_or(0), value.coupon_fen);
                    assert_eq!((r.order_id, r.member_id), (Some(seen.order), seen.member));
                    assert_eq!(r.product_id.as_deref(), Some(seen.product.as_str()));
                    self.standing.insert(r.event_id, (r.entitlement_id.unwrap(), n, value.paid_fen, at));
                }
                "reversed" => {
                    let original = self.standing.remove(&r.original_event_id.unwrap()).expect("a redemption that stands");
                    assert_eq!((original.0, original.1), (r.entitlement_id.unwrap(), r.unit_ordinal.unwrap()));
                    assert_eq!((r.value_fen, r.original_redeemed_at), (Some(original.2), Some(original.3)));
                    assert!(at.0 - original.3.0 < 24 * 3_600_000_000, "R7");
                    let seen = self.unit(r.entitlement_id, original.1, &[Redeemed], Available);
                    let left = seen.units.iter().filter(|u| matches!(u, Available | Held | RefundOpen)).count() as i32;
                    assert_eq!((r.remaining_before, r.remaining_after), (Some(left - 1), Some(left)));
                }
                _ => assert!(self.standing.contains_key(&r.original_event_id.unwrap())),
            },
            Event::Booking(b) => {
                let (id, n) = (b.booking_id.unwrap(), b.unit_ordinal.unwrap());
                let store = b.booked_store_id.as_deref().unwrap().to_owned();
                match b.r#type.as_str() {
                    "booked" => {
                        let seen = self.unit(b.entitlement_id, n, &[Available], Held);
                        assert!(b.start_at.unwrap() > at);
                        assert!(seen.holds.insert(id, (n, store)).is_none());
                    }
                    "switched" => {
                        let seen = self.unit(b.entitlement_id, n, &[Held], Held);
                        let from = seen.holds.insert(id, (n, store)).unwrap();
                        assert_eq!(b.from_store_id.as_deref(), Some(from.1.as_str()));
                    }
                    _ => {
                        let seen = self.unit(b.entitlement_id, n, &[Held], Available);
                        assert_eq!(seen.holds.remove(&id), Some((n, store)));
                    }
                }
            }
            Event::Member(m) if m.r#type.as_str() == "merged" => {
                self.merged_into.insert(m.member_id.unwrap(), m.merged_into_member_id.unwrap());
                for seen in self.seen.values_mut().filter(|s| s.member == m.member_id) {
                    seen.member = m.merged_into_member_id;
                }
            }
            Event::Catalog(c) => match c.kind.as_deref() {
                Some("cross_store") => self.cross_store = c.enabled.unwrap(),
                Some("applicable_stores") => {
                    let stores = c.store_ids.iter().flatten().map(|s| s.to_string()).collect();
                    self.scopes.insert(c.id.as_deref().unwrap().to_owned(), stores);
                }
                _ => {}
            },
            Event::Refusal(r) => {
                if let Some(entitlement) = r.entitlement_id {
                    assert!(self.seen.contains_key(&entitlement));
                }
            }
            _ => {}
        }
    }
}

#[test]
fn every_event_is_possible_when_it_happens_and_the_final_state_is_what_the_events_say() {
    let config = small();
    let made = make(config.clone());
    let recorded_at = Instant((i64::from(config.end_day.0) + 1) * 86_400_000_000);
    let mut events: Vec<Event<'_>> = Vec::new();
    let mut types: BTreeMap<(Stream, &str), usize> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    let mut per_stream: HashMap<Stream, (i64, String)> = HashMap::new();
    for (stream, message) in &made.messages {
        let event =
            Event::decode(*stream, message, recorded_at).unwrap_or_else(|f| panic!("{f}: {}", String::from_utf8_lossy(message)));
        let mut again = Vec::new();
        event.encode(&mut again);
        assert_eq!(String::from_utf8_lossy(message), String::from_utf8_lossy(&again), "the fast writer is Event::encode");
        assert!(ids.insert(event.event_id()));
        // Within a stream both time and months rise.
        let month = event.occurred_at().business_time(4).day.month();
        let last = per_stream.entry(*stream).or_insert((0, month.clone()));
        assert!(event.event_id() > last.0 && month >= last.1);
        *last = (event.event_id(), month);
        events.push(event);
    }
    events.sort_by_key(Event::event_id);
    let mut model = Model::default();
    for event in &events {
        model.play(event);
        *types.entry((event.stream(), event.event_type())).or_default() += 1;
    }
    let names: Vec<String> = types.keys().map(|(stream, event_type)| format!("{stream} {event_type}")).collect();
    expect![[r#"
        orders expired
        orders opening_balance
        orders refund_requested
        orders refund_withdrawn
        orders refunded
        orders sold
        orders transferred
        redemptions adjusted
        redemptions redeemed
        redemptions reversed
        refusals refused
        refusals slot_full
        bookings booked
        bookings cancelled
        bookings no_show
        bookings switched
        members changed
        members erased
        members joined
        members merged
        catalog removed
        catalog upserted
        decisions period_confirmed
        decisions period_disputed
        decisions period_drafted
        decisions period_locked
        decisions recommendation_accepted
        decisions recommendation_rejected
        decisions schedule_run"#]]
    .assert_eq(&names.join("\n"));
    let count = |stream, event_type| types.get(&(stream, event_type)).copied().unwrap_or(0) as f64;
    let total = events.len() as f64;
    assert!((0.95..1.05).contains(&(total / config.events as f64)), "{total} events\n{types:#?}");
    let share = count(Stream::Redemptions, "redeemed") / total;
    assert!((0.4..0.6).contains(&share), "{share}\n{types:#?}");

    // The final state.
    let states: HashMap<i64, &EntitlementState> =
        made.closed.iter().chain(&made.end.open).map(|e| (e.entitlement_id, e)).collect();
    assert_eq!(states.len(), made.closed.len() + made.end.open.len());
    assert_eq!(states.len(), model.seen.len());
    for (id, seen) in &model.seen {
        let state = states[&id.0];
        assert_eq!(state.units, seen.units, "{id}");
        // What was used up before its member was merged stays with the member who used it.
        let member = |id: Option<i64>| id.map(|id| model.merged(Id(id)));
        assert_eq!((state.order_id, member(state.member_id)), (seen.order.0, member(seen.member.map(|m| m.0))));
        assert_eq!((&*state.sold_store_id, &*state.product_id), (seen.sold_store.as_str(), seen.product.as_str()));
        assert_eq!((state.valid_until, state.payment), (seen.valid_until, seen.payment));
        let holds: HashMap<Id, (i32, String)> =
            state.holds.iter().map(|h| (Id(h.booking_id), (h.unit_ordinal, h.store_id.to_string()))).collect();
        assert_eq!(holds, seen.holds);
    }
    let open = |state| made.end.open.iter().filter(|e| e.units.contains(&state)).count();
    assert!(open(UnitState::Held) > 0 && open(UnitState::RefundOpen) > 0 && open(UnitState::Available) > 50);
    let elsewhere = events.iter().filter(|e| matches!(e, Event::Redemption(r) if r.sold_store_id != r.redeemed_store_id)).count();
    assert!((0.08..0.4).contains(&(elsewhere as f64 / count(Stream::Redemptions, "redeemed"))), "{elsewhere}");
    let kinds: BTreeSet<_> = made.end.catalog.iter().filter_map(|c| c.kind.as_deref()).collect();
    assert_eq!(kinds, BTreeSet::from(event::CatalogEntry::KINDS));
}

#[test]
fn a_seed_makes_one_history() {
    let config = ChainConfig { events: 3_000, days: 60, ..small() };
    let (a, b) = (make(config.clone()), make(config.clone()));
    assert_eq!(a.messages, b.messages);
    assert_eq!(a.end.open, b.end.open);
    let other = make(ChainConfig { seed: config.seed + 1, ..config });
    assert_ne!(a.messages, other.messages);
}

#[test]
fn chains_of_odd_sizes_come_to_an_end() {
    let base = small();
    let odd = [
        ChainConfig { stores: 0, members: 0, events: 0, days: 0, ..base.clone() },
        ChainConfig { stores: 2, members: 1, events: 500, days: 1, ..base.clone() },
        ChainConfig { stores: 3, members: 3, events: 2_000, days: 700, cross_store_share: 1.0, ..base.clone() },
        ChainConfig { stores: 130, members: 200, events: 10_000, days: 40, cross_store_after_days: 0, ..base.clone() },
        ChainConfig { events: 20_000, members: 20, days: 100, cross_store_after_days: 1_000, ..base },
    ];
    for config in odd {
        let made = make(config);
        assert!(!made.messages.is_empty() && !made.end.catalog.is_empty());
    }
}

#[test]
fn files_hold_every_event() {
    let folder = tempfile::tempdir().unwrap();
    let config = ChainConfig { events: 3_000, days: 60, ..small() };
    for format in [FileFormat::Ndjson, FileFormat::Parquet] {
        let mut files = Files::create(folder.path(), format).unwrap();
        for step in Chain::new(config.clone()) {
            if let Step::Events(chunk) = step {
                files.write(&chunk).unwrap();
            }
        }
        files.close().unwrap();
    }
    let made = make(config);
    for stream in Stream::ALL {
        let count = made.messages.iter().filter(|(s, _)| *s == stream).count();
        let lines = std::fs::read_to_string(folder.path().join(format!("{stream}.ndjson"))).unwrap_or_default();
        assert_eq!(lines.lines().count(), count, "{stream}");
        let parquet = std::fs::File::open(folder.path().join(format!("{stream}.parquet")));
        let rows = parquet.map_or(0, |file| {
            let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            assert_eq!(reader.schema().fields(), stream.schema().fields());
            reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum()
        });
        assert_eq!(rows, count, "{stream}");
    }
}

/// Stream, type, and of the catalog the kind.
fn sort_of(stream: Stream, event: &Event<'_>) -> (Stream, String, String) {
    let kind = match event {
        Event::Catalog(c) => c.kind.as_deref().unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    (stream, event.event_type().to_owned(), kind)
}

fn samples() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/chain")
}

#[test]
fn the_committed_samples_have_one_message_of_every_sort() {
    // As `expect-test` does: the same variable updates what is committed.
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        write_samples();
    }
    let mut sorts = BTreeSet::new();
    for stream in Stream::ALL {
        let lines = std::fs::read_to_string(samples().join(format!("{stream}.ndjson"))).unwrap();
        for line in lines.lines() {
            let event = Event::decode(stream, line.as_bytes(), Instant(i64::MAX)).unwrap();
            assert!(sorts.insert(sort_of(stream, &event)), "{line}");
        }
    }
    let upserted = sorts.iter().filter(|(stream, event_type, _)| *stream == Stream::Catalog && event_type == "upserted").count();
    // 17 kinds of entries put, one taken away, and the 27 types of the other streams.
    assert_eq!(
        (upserted, sorts.len()),
        (event::CatalogEntry::KINDS.len(), event::CatalogEntry::KINDS.len() + 1 + 27),
        "{sorts:?}"
    );
}

/// Writes the samples again, the first message of every sort.
fn write_samples() {
    std::fs::create_dir_all(samples()).unwrap();
    let mut first: BTreeMap<(Stream, String, String), Vec<u8>> = BTreeMap::new();
    for (stream, message) in make(small()).messages {
        let event = Event::decode(stream, &message, Instant(i64::MAX)).unwrap();
        let sort = sort_of(stream, &event);
        drop(event);
        first.entry(sort).or_insert(message);
    }
    for stream in Stream::ALL {
        let lines: Vec<&[u8]> = first.iter().filter(|((s, ..), _)| *s == stream).map(|(_, m)| m.as_slice()).collect();
        let mut text = lines.join(&b'\n');
        text.push(b'\n');
        std::fs::write(samples().join(format!("{stream}.ndjson")), text).unwrap();
    }
}
