//! A View has every row once, whatever lands meanwhile (invariant 2).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use event::{Event, Instant, Place, Refusal, Rows, Stream, Table};
use eventlog::{Partition, Position, Publisher, Taken};

use super::fixture::engine;
use super::lake;
use crate::{EngineConfig, Params, View, Views};

const NOW: Instant = Instant(1_780_000_000_000_000);
const TABLE: Table = Table::Events(Stream::Refusals);

/// Rows for the offsets `from..to`, spread over three months, with one event id per offset.
pub fn rows(from: i64, to: i64) -> RecordBatch {
    let mut rows = Rows::new(Stream::Refusals);
    for offset in from..to {
        let at = Instant(1_770_000_000_000_000 + offset % 90 * 86_400_000_000).with_offset(480);
        let mut refusal = Refusal::new("t", 1000 + offset, "refused", at);
        refusal.store_id = Some(format!("store-{}", offset % 7).into());
        refusal.reason = Some("no_units_left".into());
        rows.push(&Event::Refusal(refusal), Place { partition: 0, offset, recorded_at: Instant(NOW.0 + offset) });
    }
    rows.finish()
}

fn taken(from: i64, to: i64) -> Taken {
    Taken { batches: vec![(TABLE, rows(from, to))], upto: Position::single(to), recorded_at: Some(Instant(NOW.0 + to - 1)) }
}

async fn numbers(engine: &crate::Engine, view: &Arc<View>, sql: &str) -> Vec<i64> {
    let batches = engine.sql(view, sql, &Params::new()).await.unwrap().collect().await.unwrap();
    let batch = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    batch.columns().iter().map(|c| c.as_primitive::<Int64Type>().value(0)).collect()
}

const EVERY_ROW_ONCE: &str = "SELECT (SELECT count(*) FROM refusals) AS a, (SELECT count(DISTINCT event_id) FROM refusals) AS b, \
    (SELECT coalesce(max(log_offset) + 1, 0) FROM refusals) AS c";

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_row_twice_and_none_missing_while_commits_land() {
    let folder = tempfile::tempdir().unwrap();
    let mut delta = lake::create(folder.path(), TABLE, "log").await;
    let views = Views::open(folder.path()).await.unwrap();
    let engine = Arc::new(engine(NOW, EngineConfig { threads: 2, ..EngineConfig::default() }));
    let (stop, checked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (engine, views, stop, checked) = (engine.clone(), views.clone(), stop.clone(), checked.clone());
            tokio::spawn(async move {
                let mut last = 0;
                while !stop.load(Ordering::Relaxed) {
                    let view = views.current();
                    let next = view.position().next(Partition::WHOLE);
                    assert_eq!(numbers(&engine, &view, EVERY_ROW_ONCE).await, vec![next; 3]);
                    assert!(next >= last, "a later View includes what an earlier one did");
                    last = next;
                    checked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();

    let (mut next, mut committed) = (0, 0);
    for round in 0..40 {
        for size in [1, 1, 130, 1, 700] {
            views.taken(taken(next, next + size));
            next += size;
            tokio::task::yield_now().await;
        }
        // A commit ends in the middle of what was taken, sometimes in the middle of a batch.
        let upto = next - round % 300;
        let version = lake::commit(&mut delta, TABLE, &[rows(committed, upto)], "log", upto).await;
        views.taken(taken(next, next + 3));
        next += 3;
        views.committed(TABLE, version, Position::single(upto)).await;
        committed = upto;
        let freshness = views.current().freshness();
        assert_eq!((freshness.lake_versions["refusals"], freshness.tail_rows as i64), (version, next - committed));
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(checked.load(Ordering::Relaxed) > 5);

    // A new process begins with what is committed, and what it reads again is not there twice.
    let views = Views::open(folder.path()).await.unwrap();
    let view = views.current();
    assert_eq!(numbers(&engine, &view, EVERY_ROW_ONCE).await, vec![committed; 3]);
    assert_eq!(view.freshness().as_of.map(|at| at.0 / 1000), Some((NOW.0 + committed - 1) / 1000));
    views.taken(taken(committed - 50, next));
    assert_eq!(numbers(&engine, &views.current(), EVERY_ROW_ONCE).await, vec![next; 3]);
}

#[tokio::test]
async fn a_reader_waits_for_its_own_writes() {
    let views = Views::open(tempfile::tempdir().unwrap().path()).await.unwrap();
    let late = views.wait_for(&Position::single(1), Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(late.kind(), crate::ErrorKind::Unavailable);
    let waiting = tokio::spawn({
        let views = views.clone();
        async move { views.wait_for(&Position::single(10), Duration::from_secs(30)).await.unwrap() }
    });
    views.taken(taken(0, 9));
    views.taken(taken(9, 10));
    assert_eq!(waiting.await.unwrap().position(), &Position::single(10));
}

#[tokio::test]
async fn files_are_left_out_by_month_day_and_id_and_answers_stay_right() {
    let folder = tempfile::tempdir().unwrap();
    let mut delta = lake::create(folder.path(), TABLE, "log").await;
    lake::commit(&mut delta, TABLE, &[rows(0, 900)], "log", 900).await;
    let views = Views::open(folder.path()).await.unwrap();
    views.taken(taken(900, 1000));
    let engine = engine(NOW, EngineConfig { threads: 2, ..EngineConfig::default() });
    let plan = async |filter: &str| {
        let sql = format!("EXPLAIN FORMAT INDENT SELECT clerk_id FROM refusals WHERE {filter}");
        let batches = engine.sql(&views.current(), &sql, &Params::new()).await.unwrap().collect().await.unwrap();
        arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string().matches(".parquet").count()
    };
    assert_eq!(plan("true").await, 4, "February to May");
    assert_eq!(plan("month = '2026-03'").await, 1);
    assert_eq!(plan("business_day BETWEEN DATE '2026-03-05' AND DATE '2026-04-02'").await, 2);
    assert_eq!(plan("store_id = 'nowhere'").await, 0);
    assert_eq!(plan("occurred_at >= '2026-04-15T00:00:00Z'").await, 2);
    let sql = "EXPLAIN FORMAT INDENT SELECT clerk_id FROM refusals WHERE store_id = 'store-3'";
    let batches = engine.sql(&views.current(), sql, &Params::new()).await.unwrap().collect().await.unwrap();
    let text = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
    assert!(text.contains("pruning_predicate="), "the filter reaches the files below the union with the tail: {text}");
    for (filter, count) in [
        ("true", 1000),
        ("event_id = 1005", 1),
        ("store_id = 'store-3'", 143),
        ("log_offset >= 895", 105),
        ("month IN ('2026-02', '2026-03', '2026-04', '2026-05')", 1000),
    ] {
        let sql = format!("SELECT count(*) FROM refusals WHERE {filter}");
        assert_eq!(numbers(&engine, &views.current(), &sql).await, vec![count], "{filter}");
    }
    // The log's statistics cut times to milliseconds: the latest time still comes out exact.
    let sql = "SELECT CAST(date_part('epoch', max(recorded_at)) * 1000000 AS BIGINT) FROM refusals WHERE log_offset < 900";
    assert_eq!(numbers(&engine, &views.current(), sql).await, vec![NOW.0 + 899]);
    let versions =
        "SELECT version, rows, tail_rows FROM system.versions WHERE table_name = 'refusals' AND log_position = '0:900'";
    assert_eq!(numbers(&engine, &views.current(), versions).await, vec![1, 900, 100]);
    let log = "SELECT committed, visible FROM system.log WHERE log_partition = '0'";
    assert_eq!(numbers(&engine, &views.current(), log).await, vec![900, 1000]);
}
