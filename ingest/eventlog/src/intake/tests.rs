use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use event::{Event, Id, Instant, Redemption, Stream, Table};
use expect_test::{Expect, expect};
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

use super::{Intake, IntakeConfig, KnownEvents};
use crate::{Body, Partition, Position, Segment, Taken, outbox};

const RECORDED_AT: Instant = Instant(1_780_000_000_000_000);

/// A lake of plain files: what `ingest` does with Delta, as little as these tests need.
#[derive(Debug)]
struct Lake {
    dir: tempfile::TempDir,
    files: Mutex<HashMap<(Table, String), Vec<PathBuf>>>,
    rows: Mutex<BTreeMap<Table, Vec<RecordBatch>>>,
    committed: Mutex<BTreeMap<Table, Position>>,
}

impl KnownEvents for Lake {
    fn files(&self, table: Table, month: Option<&str>) -> crate::Result<Vec<PathBuf>> {
        Ok(self.files.lock().get(&(table, month.unwrap_or_default().to_owned())).cloned().unwrap_or_default())
    }
}

impl Lake {
    fn new() -> Arc<Self> {
        Arc::new(Lake {
            dir: tempfile::tempdir().unwrap(),
            files: Mutex::default(),
            rows: Mutex::default(),
            committed: Mutex::new(Table::all().map(|t| (t, Position::default())).collect()),
        })
    }

    fn commit(&self, table: Table, batches: &[RecordBatch], upto: &Position) {
        for batch in batches {
            let months: Vec<String> = match table.partitioned() {
                true => batch.column(batch.num_columns() - 1).as_string::<i32>().iter().map(|m| m.unwrap().to_owned()).collect(),
                false => vec![String::new(); batch.num_rows()],
            };
            let mut distinct = months.clone();
            distinct.sort();
            distinct.dedup();
            for month in distinct {
                let mask: Vec<bool> = months.iter().map(|m| *m == month).collect();
                let mut part = filter_record_batch(batch, &mask.into()).unwrap();
                if table.partitioned() {
                    part.remove_column(part.num_columns() - 1);
                }
                let mut files = self.files.lock();
                let n = files.values().map(Vec::len).sum::<usize>();
                let path = self.dir.path().join(format!("{n}.parquet"));
                let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), part.schema(), None).unwrap();
                writer.write(&part).unwrap();
                writer.close().unwrap();
                files.entry((table, month)).or_default().push(path);
            }
            self.rows.lock().entry(table).or_default().push(batch.clone());
        }
        self.committed.lock().insert(table, upto.clone());
    }

    /// Offsets of the rows of a table, in order of commit.
    fn offsets(&self, table: Table) -> Vec<i64> {
        let rows = self.rows.lock();
        let batches = rows.get(&table).map(Vec::as_slice).unwrap_or_default();
        batches
            .iter()
            .flat_map(|b| b.column_by_name("log_offset").unwrap().as_primitive::<Int64Type>().values().to_vec())
            .collect()
    }

    fn intake(self: &Arc<Self>, cached_ids: usize) -> Intake {
        Intake::new(self.clone(), self.committed.lock().clone(), IntakeConfig { cached_ids })
    }
}

fn segment(first_offset: i64, stream: Stream, messages: &[String]) -> Segment {
    let messages: Vec<Vec<u8>> = messages.iter().map(|m| m.clone().into_bytes()).collect();
    let body = match messages.as_slice() {
        [one] => Body::One(one.clone()),
        many => Body::ZstdLines(outbox::compress(many)),
    };
    let next_offset = first_offset + messages.len() as i64;
    Segment { partition: Partition::WHOLE, first_offset, next_offset, stream, recorded_at: RECORDED_AT, body }
}

fn redeemed(id: i64, value_fen: i64, day: u32) -> String {
    let at = Instant::parse(&format!("2026-0{}-{:02}T12:00:00+08:00", 1 + day / 28, 1 + day % 28)).unwrap().with_offset(480);
    let event = Event::Redemption(Redemption {
        redeemed_store_id: Some("S1".into()),
        product_id: Some("P1".into()),
        entitlement_id: Some(Id(7)),
        value_fen: Some(value_fen),
        ..Redemption::new("till", id, "redeemed", at)
    });
    let mut json = Vec::new();
    event.encode(&mut json);
    String::from_utf8(json).unwrap()
}

/// What became of each message: `offset table`, or with the reason for a dead letter.
fn told(taken: &Taken) -> String {
    let mut lines = Vec::new();
    for (table, batch) in &taken.batches {
        let offsets = batch.column_by_name("log_offset").unwrap().as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let reason = match table {
                Table::DeadLetters => format!(": {}", batch.column_by_name("reason").unwrap().as_string::<i32>().value(row)),
                Table::Events(_) => String::new(),
            };
            lines.push(format!("{} {table}{reason}\n", offsets.value(row)));
        }
    }
    lines.sort_by_key(|l| l.split(' ').next().unwrap().parse::<i64>().unwrap());
    lines.concat()
}

/// Takes `messages` of `redemptions` twice: in one batch after another and each alone, with and without a commit between.
fn check(messages: &[String], expect: Expect) {
    for (run, commit) in [(1, false), (1, true), (2, true), (messages.len(), false)] {
        for cached_ids in [0, 1_000] {
            let lake = Lake::new();
            let mut intake = lake.intake(cached_ids);
            let mut all = String::new();
            let mut offset = 0;
            for run in messages.chunks(run) {
                let taken = intake.take(&[segment(offset, Stream::Redemptions, run)]).unwrap();
                offset += run.len() as i64;
                all += &told(&taken);
                if commit {
                    for table in [Table::DeadLetters, Table::Events(Stream::Redemptions)] {
                        let batches: Vec<_> = taken.batches.iter().filter(|(t, _)| *t == table).map(|(_, b)| b.clone()).collect();
                        lake.commit(table, &batches, &taken.upto);
                        intake.committed(table, &taken.upto);
                    }
                }
            }
            expect.assert_eq(&all);
        }
    }
}

#[test]
fn r20_a_copy_changes_nothing_and_other_content_is_a_dead_letter_once() {
    let reordered = redeemed(1, 100, 3).replace(r#""source":"till","#, "").replace('}', r#","source":"till","unknown":1}"#);
    check(
        &[
            redeemed(1, 100, 3),
            redeemed(2, 100, 3),
            redeemed(1, 100, 3),
            reordered,
            redeemed(1, 999, 3),
            redeemed(1, 999, 3),
            redeemed(3, 1, 3),
        ],
        expect![[r#"
            0 redemptions
            1 redemptions
            4 dead_letters: event till/1 exists with other content
            6 redemptions
        "#]],
    );
}

#[test]
fn r20_identity_is_source_and_id_within_the_month() {
    check(
        &[
            redeemed(1, 100, 3),
            redeemed(1, 100, 3).replace("till", "pos"),
            redeemed(1, 100, 40),
            redeemed(1, 100, 3).replace("till", "pos"),
        ],
        expect![[r#"
            0 redemptions
            1 redemptions
            2 redemptions
        "#]],
    );
}

#[test]
fn r20_one_bad_message_does_not_stop_its_neighbours() {
    check(
        &[
            redeemed(1, 100, 3),
            "{".to_owned(),
            redeemed(2, 100, 3).replace(r#""product_id":"P1","#, ""),
            "{".to_owned(),
            redeemed(2, 100, 3).replace(r#""product_id":"P1","#, ""),
            redeemed(2, 100, 3),
        ],
        expect![[r#"
            0 redemptions
            1 dead_letters: not a valid `redemptions` message: EOF while parsing an object at line 1 column 1
            2 dead_letters: `redeemed` needs `product_id`
            3 dead_letters: not a valid `redemptions` message: EOF while parsing an object at line 1 column 1
            5 redemptions
        "#]],
    );
}

#[test]
fn r20_a_row_that_could_not_be_mapped_is_kept_once_however_it_is_worded() {
    let wrapper = |id: i64, at: &str, reason: &str| {
        format!(
            r#"{{"source":"import","event_id":"{id}","type":"unmapped","occurred_at":"{at}","reason":"{reason}","raw":"a,b"}}"#
        )
    };
    check(
        &[
            wrapper(1, "2026-01-01T00:00:00Z", "no store"),
            wrapper(1, "2026-01-02T00:00:00Z", "the store is missing"),
            wrapper(2, "2026-01-02T00:00:00Z", "no store"),
        ],
        expect![[r#"
            0 dead_letters: could not be mapped: no store
            2 dead_letters: could not be mapped: no store
        "#]],
    );
}

#[test]
fn a_whole_import_repeated_adds_nothing() {
    let lake = Lake::new();
    let mut intake = lake.intake(1_000_000);
    let messages: Vec<String> = (0..20_000).map(|i| redeemed(i, i % 50, (i % 56) as u32)).collect();
    let mut offset = 0;
    for round in 0..3 {
        for run in messages.chunks(1_000) {
            let taken = intake.take(&[segment(offset, Stream::Redemptions, run)]).unwrap();
            offset += run.len() as i64;
            let table = Table::Events(Stream::Redemptions);
            let batches: Vec<_> = taken.batches.iter().map(|(_, b)| b.clone()).collect();
            assert_eq!(batches.is_empty(), round > 0);
            lake.commit(table, &batches, &taken.upto);
            intake.committed(table, &taken.upto);
        }
    }
    assert_eq!((intake.counts().accepted, intake.counts().copies), (20_000, 40_000));
}

#[test]
fn a_failed_look_up_takes_nothing_and_can_be_tried_again() {
    let lake = Lake::new();
    let mut intake = lake.intake(1_000);
    let table = Table::Events(Stream::Redemptions);
    lake.files.lock().insert((table, "2026-01".to_owned()), vec![lake.dir.path().join("missing")]);
    let segments = [segment(0, Stream::Redemptions, &[redeemed(1, 5, 40), redeemed(2, 5, 3)])];
    assert!(intake.take(&segments).is_err());
    assert_eq!(intake.position().next(Partition::WHOLE), 0);
    lake.files.lock().clear();
    assert_eq!(told(&intake.take(&segments).unwrap()), "0 redemptions\n1 redemptions\n");
}

/// One step of a life of the log, the lake and whoever reads one into the other.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Message>),
    Take(usize),
    /// Commits what was taken, of the tables whose bit is set; dead letters go first.
    Commit(u8),
    /// The process dies; what was not committed is gone.
    Restart,
}

#[derive(Clone, Debug)]
enum Message {
    Event { id: i64, value: i64, day: u32 },
    Refusal { id: i64, reason: bool },
    Bad,
    Unmapped { id: i64 },
}

impl Message {
    fn stream(&self) -> Stream {
        match self {
            Message::Refusal { .. } => Stream::Refusals,
            _ => Stream::Redemptions,
        }
    }

    fn text(&self) -> String {
        match self {
            Message::Event { id, value, day } => redeemed(*id, *value, *day),
            Message::Refusal { id, reason: true } => format!(
                r#"{{"source":"till","event_id":"{id}","type":"refused","occurred_at":"2026-02-02T00:00:00Z","store_id":"S","reason":"r"}}"#
            ),
            Message::Refusal { id, .. } => {
                format!(
                    r#"{{"source":"till","event_id":"{id}","type":"refused","occurred_at":"2026-02-02T00:00:00Z","store_id":"S"}}"#
                )
            }
            Message::Bad => "[]".to_owned(),
            Message::Unmapped { id } => format!(
                r#"{{"source":"import","event_id":"{id}","type":"unmapped","occurred_at":"2026-01-01T00:00:00Z","reason":"r","raw":""}}"#
            ),
        }
    }
}

/// The offsets that belong in each table, told by the rule alone: the first of an identity is the event, another content is
/// a letter once, a bad message without an identity is a letter each time.
fn model(log: &[Message]) -> BTreeMap<Table, Vec<i64>> {
    let mut first: HashMap<(Stream, i64, u32), String> = HashMap::new();
    let mut letters = std::collections::HashSet::new();
    let mut out: BTreeMap<Table, Vec<i64>> = Table::all().map(|t| (t, Vec::new())).collect();
    for (offset, message) in log.iter().enumerate() {
        let text = message.text();
        let table = match message {
            Message::Bad => Some(Table::DeadLetters),
            Message::Unmapped { id } => letters.insert(("unmapped".to_owned(), *id)).then_some(Table::DeadLetters),
            Message::Refusal { id, reason: false } => letters.insert((text, *id)).then_some(Table::DeadLetters),
            Message::Event { id, .. } | Message::Refusal { id, .. } => {
                let month = if let Message::Event { day, .. } = message { day / 28 } else { 0 };
                match first.get(&(message.stream(), *id, month)) {
                    None => {
                        first.insert((message.stream(), *id, month), text);
                        Some(Table::Events(message.stream()))
                    }
                    Some(known) if *known == text => None,
                    Some(_) => letters.insert((text, *id)).then_some(Table::DeadLetters),
                }
            }
        };
        if let Some(table) = table {
            out.get_mut(&table).unwrap().push(offset as i64);
        }
    }
    out
}

fn live(steps: &[Step], cached_ids: usize) -> (Vec<Message>, Arc<Lake>) {
    let lake = Lake::new();
    let mut intake = lake.intake(cached_ids);
    let (mut log, mut segments): (Vec<Message>, Vec<Segment>) = (Vec::new(), Vec::new());
    let mut pending: Vec<Taken> = Vec::new();
    let everything = [Step::Take(usize::MAX), Step::Commit(u8::MAX)];
    for step in steps.iter().chain(&everything) {
        match step {
            Step::Append(messages) => {
                for run in messages.chunk_by(|a, b| a.stream() == b.stream()) {
                    let texts: Vec<String> = run.iter().map(Message::text).collect();
                    segments.push(segment(log.len() as i64, run[0].stream(), &texts));
                    log.extend_from_slice(run);
                }
            }
            Step::Take(n) => {
                let from = intake.position().next(Partition::WHOLE);
                let next: Vec<Segment> = segments.iter().filter(|s| s.next_offset > from).take(*n).cloned().collect();
                pending.push(intake.take(&next).unwrap());
            }
            Step::Commit(tables) => {
                let upto = intake.position().clone();
                for table in [Table::DeadLetters].into_iter().chain(Stream::ALL.map(Table::Events)) {
                    let bit = if let Table::Events(stream) = table { 1 << stream as u8 } else { u8::MAX };
                    // After a restart the intake begins where the slowest table was; the others are ahead of it.
                    if tables & bit == 0 || !upto.covers(&lake.committed.lock()[&table]) {
                        continue;
                    }
                    let mut batches = Vec::new();
                    for taken in &mut pending {
                        taken.batches.retain(|(t, batch)| {
                            if *t == table {
                                batches.push(batch.clone());
                            }
                            *t != table
                        });
                    }
                    lake.commit(table, &batches, &upto);
                    intake.committed(table, &upto);
                }
            }
            Step::Restart => {
                pending.clear();
                intake = lake.intake(cached_ids);
            }
        }
    }
    (log, lake)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let message = prop_oneof![
        6 => (0..12i64, 0..2i64, prop_oneof![Just(3u32), Just(40)]).prop_map(|(id, value, day)| Message::Event { id, value, day }),
        2 => (0..4i64, any::<bool>()).prop_map(|(id, reason)| Message::Refusal { id, reason }),
        1 => Just(Message::Bad),
        1 => (0..3i64).prop_map(|id| Message::Unmapped { id }),
    ];
    let step = prop_oneof![
        4 => prop::collection::vec(message, 1..8).prop_map(Step::Append),
        3 => (1..4usize).prop_map(Step::Take),
        3 => any::<u8>().prop_map(Step::Commit),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn r20_the_lake_is_the_logs_accepted_events_exactly(steps in steps(), cached_ids in prop_oneof![Just(0usize), Just(1_000)]) {
        let (log, lake) = live(&steps, cached_ids);
        for (table, offsets) in model(&log) {
            prop_assert_eq!(lake.offsets(table), offsets, "{}", table);
        }
    }
}
