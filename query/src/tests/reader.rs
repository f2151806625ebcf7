//! A second process sees what the first one acknowledged, committed or not.

use event::{Event, Instant, ManualClock, Stream, Table};
use eventlog::outbox;
use rusqlite::Connection;

use super::fixture::engine;
use super::{lake, views::rows};
use crate::{EngineConfig, Params, reader};

const NOW: Instant = Instant(1_780_000_000_000_000);
const TABLE: Table = Table::Events(Stream::Refusals);

fn message(id: i64, reason: &str) -> Vec<u8> {
    let mut refusal = event::Refusal::new("t", id, "refused", Instant(NOW.0 - 1_000_000).with_offset(480));
    refusal.store_id = Some("S1".into());
    refusal.reason = Some(reason.to_owned().into());
    let mut out = Vec::new();
    Event::Refusal(refusal).encode(&mut out);
    out
}

async fn count(data: &std::path::Path) -> String {
    let view = match reader::load(data, None).await {
        Ok(view) => view,
        Err(error) => return format!("{error}: {}", std::error::Error::source(&error).unwrap()),
    };
    let sql = "SELECT (SELECT count(*) FROM refusals) AS refusals, (SELECT count(DISTINCT event_id) FROM refusals) AS ids, \
        (SELECT count(*) FROM dead_letters) AS dead";
    let answer = engine(NOW, EngineConfig::default()).sql(&view, sql, &Params::new()).await.unwrap();
    let freshness = serde_json::to_string(&answer.freshness).unwrap();
    let batch = answer.collect().await.unwrap().remove(0);
    let cells: Vec<String> = batch.columns().iter().map(|c| arrow::util::display::array_value_to_string(c, 0).unwrap()).collect();
    format!("{} · {freshness}", cells.join(" "))
}

#[tokio::test]
async fn the_log_after_the_lake_is_read_once() {
    let data = tempfile::tempdir().unwrap();
    let missing = count(data.path()).await;
    assert!(missing.contains("it has no lake"), "{missing}");

    std::fs::create_dir(data.path().join("lake")).unwrap();
    expect_test::expect![[r#"0 0 0 · {"as_of":null,"lake_versions":{},"log_position":{},"tail_rows":0}"#]]
        .assert_eq(&count(data.path()).await);

    let clock = ManualClock::new(NOW);
    let conn = Connection::open(data.path().join("ledger.sqlite")).unwrap();
    conn.pragma_update(None, "journal_mode", "wal").unwrap();
    outbox::create(&conn, &clock).unwrap();
    let log_id = outbox::log_id(&conn).unwrap();
    let first: Vec<Vec<u8>> = (0..100).map(|i| message(i, "expired")).collect();
    outbox::append(&conn, &clock, Stream::Refusals, &first).unwrap();
    expect_test::expect![[
        r#"100 100 0 · {"as_of":"2026-05-28T20:26:40Z","lake_versions":{},"log_position":{"0":100},"tail_rows":100}"#
    ]]
    .assert_eq(&count(data.path()).await);

    // The lake has the first 60, the log all; a copy, a conflict and a bad message come after.
    let mut delta = lake::create(&data.path().join("lake"), TABLE, &log_id).await;
    let sixty: Vec<Vec<u8>> = first[..60].to_vec();
    let mut decoded = event::Rows::new(Stream::Refusals);
    for (offset, message) in sixty.iter().enumerate() {
        let event = Event::decode(Stream::Refusals, message, NOW).unwrap();
        decoded.push(&event, event::Place { partition: 0, offset: offset as i64, recorded_at: NOW });
    }
    lake::commit(&mut delta, TABLE, &[decoded.finish()], &log_id, 60).await;
    clock.advance(1_000_000);
    outbox::append(&conn, &clock, Stream::Refusals, &[message(7, "expired"), message(8, "other"), b"{}".to_vec()]).unwrap();
    expect_test::expect![[
        r#"100 100 2 · {"as_of":"2026-05-28T20:26:41Z","lake_versions":{"refusals":1},"log_position":{"0":103},"tail_rows":42}"#
    ]]
    .assert_eq(&count(data.path()).await);

    let others = tempfile::tempdir().unwrap();
    let mut delta = lake::create(&others.path().join("lake"), TABLE, "another").await;
    lake::commit(&mut delta, TABLE, &[rows(0, 5)], "another", 5).await;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    std::fs::copy(data.path().join("ledger.sqlite"), others.path().join("ledger.sqlite")).unwrap();
    let said = count(others.path()).await;
    assert!(said.contains("the lake was filled from another"), "{said}");
}
