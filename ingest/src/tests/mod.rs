//! The log into the lake, whole: what is committed, what a crash leaves, who is refused.

mod commits;
mod compaction;
mod fuzz;
mod group;
mod kafka;
mod shares;
mod topics;
mod world;

use std::sync::Arc;
use std::time::Duration;

use event::{Instant, Stream, Table};
use eventlog::{LogIds, Position, Source};

use crate::tests::world::{Fault, Flaky, World, config, redeemed, refused};
use crate::{Error, Lake};

const REDEMPTIONS: Table = Table::Events(Stream::Redemptions);
const REFUSALS: Table = Table::Events(Stream::Refusals);

#[tokio::test]
async fn r20_what_is_in_the_log_is_in_the_lake_once() {
    let world = World::new();
    let ingest = world.start(config()).await.unwrap();
    world.append(Stream::Redemptions, &[redeemed(1, 3), redeemed(2, 40), "bad".to_owned()]);
    world.append(Stream::Refusals, &[refused(1)]);
    world.append(Stream::Redemptions, &[redeemed(1, 3), redeemed(3, 2)]);
    ingest.flush().await.unwrap();
    assert_eq!(world.offsets(REDEMPTIONS).await, [0, 1, 5]);
    assert_eq!(world.offsets(REFUSALS).await, [3]);
    assert_eq!(world.offsets(Table::DeadLetters).await, [2]);
    let status = ingest.status();
    assert_eq!(status.tables[&REDEMPTIONS].committed, Position::single(6));
    assert_eq!((status.tables[&REDEMPTIONS].files, status.tables[&REDEMPTIONS].tail_rows), (2, 0));
    assert_eq!((status.counts.accepted, status.counts.copies, status.counts.dead_letters), (4, 1, 1));
    ingest.stop().await.unwrap();
    // Another run finds nothing to do, also with the same events again.
    let ingest = world.start(config()).await.unwrap();
    world.append(Stream::Redemptions, &[redeemed(2, 40), redeemed(4, 3)]);
    ingest.stop().await.unwrap();
    assert_eq!(world.offsets(REDEMPTIONS).await, [0, 1, 5, 7]);
    assert_eq!(world.offsets(Table::DeadLetters).await, [2]);
    world.check_files().await;
    world.check_publishers();
}

#[tokio::test]
async fn rows_are_committed_when_their_time_has_come() {
    let world = World::new();
    let ingest = world.start(config()).await.unwrap();
    world.append(Stream::Redemptions, &[redeemed(1, 3)]);
    world.until(|| ingest.status().taken == Position::single(1)).await;
    assert!(world.offsets(REDEMPTIONS).await.is_empty());
    world.clock.advance(60_000_000);
    world.until(|| ingest.status().tables[&REDEMPTIONS].committed == Position::single(1)).await;
    assert_eq!(world.offsets(REDEMPTIONS).await, [0]);
}

#[tokio::test]
async fn a_tail_at_its_limit_is_committed_and_reading_goes_on() {
    let world = World::new();
    let ingest = world.start(crate::IngestConfig { tail_bytes: 1, commit_bytes: 1, read_bytes: 1, ..config() }).await.unwrap();
    for i in 0..20 {
        world.append(Stream::Redemptions, &[redeemed(i, 3)]);
    }
    ingest.flush().await.unwrap();
    assert_eq!(world.offsets(REDEMPTIONS).await, (0..20).collect::<Vec<i64>>());
}

#[tokio::test]
async fn r20_files_that_no_commit_names_are_nothing() {
    let world = World::new();
    world.append(Stream::Redemptions, &[redeemed(1, 3), redeemed(2, 3)]);
    // The process dies after it has stored the files of a first commit.
    let lake = world.open().await.unwrap();
    let orphan = world.encoded(&[redeemed(1, 3), redeemed(2, 3)]);
    lake.tables[&REDEMPTIONS].store(&orphan, 2).await.unwrap();
    drop(lake);
    world.start(config()).await.unwrap().stop().await.unwrap();
    assert_eq!(world.offsets(REDEMPTIONS).await, [0, 1]);
}

#[test]
fn r20_a_process_that_dies_at_any_moment_neither_loses_nor_doubles() {
    let world = World::new();
    let (mut id, mut appended) = (0, Vec::new());
    for round in 0..25 {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let eager = crate::IngestConfig { commit_every: Duration::ZERO, checkpoint_every: 3, ..config() };
            let ingest = world.start(eager).await.unwrap();
            for _ in 0..appends_of(round) {
                let n = 1 + id % 3;
                let messages: Vec<String> = (0..n).map(|i| redeemed(id + i, ((id + i) % 50) as u32)).collect();
                world.append(Stream::Redemptions, &messages);
                world.append(Stream::Refusals, &[refused(id), "bad".to_owned()]);
                // Everything a second time: copies, whatever was committed before the crash.
                world.append(Stream::Redemptions, &messages);
                appended.push(n);
                id += n;
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            drop(ingest);
        });
        // Tasks end where they stand, as if the process were gone.
        runtime.shutdown_background();
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        // The last round's write may still land, as a process's that was taken for dead: it fences, and we start again.
        while let Err(failure) = world.start(config()).await.unwrap().stop().await {
            assert!(matches!(root(&failure), Error::Fenced { .. } | Error::Overtaken { .. }), "{failure:?}");
        }
        let (mut redemptions, mut refusals, mut letters, mut offset) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for n in appended {
            redemptions.extend(offset..offset + n);
            refusals.push(offset + n);
            letters.push(offset + n + 1);
            offset += 2 * n + 2;
        }
        assert_eq!(world.offsets(REDEMPTIONS).await, redemptions);
        assert_eq!(world.offsets(REFUSALS).await, refusals);
        assert_eq!(world.offsets(Table::DeadLetters).await, letters);
        world.check_files().await;
    });
}

/// A few appends a round, so that crashes fall before, into and after commits.
fn appends_of(round: u64) -> u64 {
    1 + (round * 7 + 3) % 11
}

#[tokio::test]
async fn r20_a_commit_whose_answer_is_lost_is_not_done_twice() {
    for fault in [Fault::Before, Fault::After] {
        let world = World::new();
        let store = Arc::new(Flaky::default());
        let ingest = world.start_on(store.clone(), config()).await.unwrap();
        world.append(Stream::Redemptions, &[redeemed(1, 3), "bad".to_owned()]);
        world.append(Stream::Refusals, &[refused(1)]);
        store.fail_next_log_entries(3, fault);
        ingest.flush().await.unwrap();
        world.append(Stream::Redemptions, &[redeemed(2, 3)]);
        ingest.stop().await.unwrap();
        assert_eq!(world.offsets(REDEMPTIONS).await, [0, 3], "{fault:?}");
        assert_eq!(world.offsets(REFUSALS).await, [2]);
        assert_eq!(world.offsets(Table::DeadLetters).await, [1]);
    }
}

#[tokio::test]
async fn r20_a_commit_that_keeps_failing_is_settled_before_the_next() {
    let world = World::new();
    let store = Arc::new(Flaky::default());
    let ingest =
        world.start_on(store.clone(), crate::IngestConfig { retry_after: Duration::from_millis(1), ..config() }).await.unwrap();
    world.append(Stream::Redemptions, &[redeemed(1, 3)]);
    // The last of these lands, and nobody hears of it.
    store.fail_next_log_entries(u32::MAX, Fault::Before);
    assert!(ingest.flush().await.is_err());
    assert!(ingest.status().last_error.is_some());
    store.fail_next_log_entries(1, Fault::After);
    world.append(Stream::Redemptions, &[redeemed(2, 3)]);
    ingest.flush().await.unwrap();
    assert_eq!(world.offsets(REDEMPTIONS).await, [0, 1]);
    assert_eq!(ingest.status().last_error, None);
}

#[tokio::test]
async fn r20_a_second_writer_of_the_same_log_is_refused() {
    let world = World::new();
    let zombie = world.start(config()).await.unwrap();
    let ingest = world.start(config()).await.unwrap();
    world.append(Stream::Redemptions, &[redeemed(1, 3)]);
    ingest.flush().await.unwrap();
    world.append(Stream::Redemptions, &[redeemed(2, 3)]);
    let refused = zombie.flush().await.unwrap_err();
    assert!(matches!(root(&refused), Error::Fenced { expected: 0, found: Some(1), .. }), "{refused:?}");
    assert!(zombie.status().ended);
    assert!(zombie.flush().await.is_err(), "it stays refused");
    ingest.stop().await.unwrap();
    assert_eq!(world.offsets(REDEMPTIONS).await, [0, 1]);
}

fn root(error: &Error) -> &Error {
    match error {
        Error::Ended(Some(cause)) => root(cause),
        other => other,
    }
}

#[tokio::test]
async fn lake_and_log_that_do_not_belong_together_are_refused() {
    let world = World::new();
    let ingest = world.start(config()).await.unwrap();
    world.append(Stream::Redemptions, &[redeemed(1, 3), redeemed(2, 3)]);
    ingest.stop().await.unwrap();
    let dir = world.dir.path().join("lake");
    let other = Lake::open_or_create(&dir, &LogIds::single("other"), &Position::single(2)).await;
    assert!(matches!(other, Err(Error::OtherLog { .. })));
    // The ledger was restored from before the second message.
    let older = Lake::open_or_create(&dir, world.source().log_ids(), &Position::single(1)).await;
    assert!(matches!(older, Err(Error::AheadOfLog { committed: 2, end: 1, .. })));
    // The lake was lost and the log has forgotten what it held.
    std::fs::remove_dir_all(&dir).unwrap();
    world.append(Stream::Redemptions, &[redeemed(3, 3)]);
    while world.source().prune(&Position::single(2)).await.unwrap() {}
    let behind = world.start(config()).await.unwrap_err();
    assert!(matches!(behind, Error::BehindLog { committed: 0, start: 2, .. }), "{behind:?}");
}

#[tokio::test]
async fn a_table_that_is_new_begins_at_the_end_of_the_log() {
    let world = World::new();
    let ingest = world.start(config()).await.unwrap();
    world.append(Stream::Redemptions, &[redeemed(1, 3), redeemed(2, 3)]);
    ingest.stop().await.unwrap();
    let folder = world.dir.path().join("lake/refusals");
    std::fs::rename(&folder, folder.with_extension("gone")).unwrap();
    let Err(lost) = world.open().await else { panic!("a table that was lost is not made anew in silence") };
    assert!(matches!(lost, Error::Lost { table: REFUSALS, .. }), "{lost:?}");
    std::fs::rename(folder.with_extension("gone"), &folder).unwrap();
    world.forget_table(REFUSALS);
    let lake = world.open().await.unwrap();
    assert_eq!(lake.committed()[&REFUSALS], Position::single(2));
    assert_eq!(lake.committed()[&Table::Events(Stream::Orders)], Position::single(2));
}

#[tokio::test]
async fn a_table_gains_the_columns_that_the_contract_gained() {
    let world = World::new();
    world.table_of_an_older_contract(REFUSALS, "reason").await;
    let ingest = world.start(crate::IngestConfig { compact_files: 1, ..config() }).await.unwrap();
    for i in 0..4 {
        world.append(Stream::Refusals, &[refused(i)]);
        ingest.flush().await.unwrap();
    }
    ingest.stop().await.unwrap();
    assert_eq!(world.offsets(REFUSALS).await, [0, 1, 2, 3]);
    assert!(world.columns(REFUSALS).await.contains(&"reason".to_owned()));
}

#[tokio::test]
async fn tables_without_rows_follow_and_the_log_forgets() {
    let world = World::new();
    let ingest = world.start(config()).await.unwrap();
    for i in 0..5 {
        world.append(Stream::Redemptions, &[redeemed(i, 3)]);
    }
    ingest.flush().await.unwrap();
    let hours = |n: i64| n * 3_600_000_000;
    assert_eq!(ingest.status().tables[&REFUSALS].committed, Position::single(5), "a flush takes them along");
    world.until(|| ingest.status().tables.values().all(|t| t.committed == Position::single(5))).await;
    assert_eq!(world.source().start().await.unwrap(), Position::single(0), "it is kept for readers for a while");
    // The committer looks at the clock ten times a second; hours go by until it has seen two of them.
    while world.source().start().await.unwrap() != Position::single(5) {
        world.clock.advance(hours(1));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ingest.stop().await.unwrap();
    world.append(Stream::Redemptions, &[redeemed(9, 3)]);
    world.start(config()).await.unwrap().stop().await.unwrap();
    assert_eq!(world.offsets(REDEMPTIONS).await, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn checkpoints_are_written_beside_the_commits() {
    let world = World::new();
    let ingest = world.start(crate::IngestConfig { checkpoint_every: 4, ..config() }).await.unwrap();
    for i in 0..9 {
        world.append(Stream::Redemptions, &[redeemed(i, 3)]);
        ingest.flush().await.unwrap();
    }
    let checkpoint = world.dir.path().join("lake/redemptions/_delta_log/_last_checkpoint");
    world.until(|| checkpoint.exists()).await;
    ingest.stop().await.unwrap();
    assert_eq!(world.offsets(REDEMPTIONS).await, (0..9).collect::<Vec<i64>>());
    let lake = world.open().await.unwrap();
    assert_eq!(lake.committed()[&REDEMPTIONS], Position::single(9));
}

#[tokio::test]
async fn what_a_crash_left_is_swept_once_it_is_old_and_without_a_commit() {
    let world = World::new();
    let config = crate::IngestConfig { checkpoint_every: 2, sweep_every: Duration::ZERO, ..config() };
    let ingest = world.start(config).await.unwrap();
    let month = world.dir.path().join("lake/redemptions/month=2026-01");
    std::fs::create_dir_all(&month).unwrap();
    let orphan = |name: &str, hours: u64| {
        let file = std::fs::File::create(month.join(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(hours * 3_600)).unwrap();
        month.join(name)
    };
    let (old, recent) = (orphan("part-old.zstd.parquet", 7), orphan("part-recent.zstd.parquet", 1));
    for i in 0..4 {
        world.append(Stream::Redemptions, &[redeemed(i, 3)]);
        ingest.flush().await.unwrap();
    }
    world.until(|| !old.exists()).await;
    ingest.stop().await.unwrap();
    assert!(recent.exists(), "a commit may still be on its way to it");
    assert_eq!(world.offsets(REDEMPTIONS).await, [0, 1, 2, 3]);
    let log = std::fs::read_dir(world.dir.path().join("lake/redemptions/_delta_log")).unwrap();
    let entries: Vec<_> = log.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "json")).collect();
    assert_eq!(entries.len(), 5, "created, then one a flush: {entries:?}");
}

#[tokio::test]
async fn small_files_of_a_month_become_one_and_no_row_changes() {
    let world = World::new();
    let ingest =
        world.start(crate::IngestConfig { compact_files: 3, checkpoint_every: 3, sweep_every: Duration::ZERO, ..config() });
    let ingest = ingest.await.unwrap();
    for i in 0..40 {
        world.append(Stream::Redemptions, &[redeemed(i, (i % 2) as u32 * 40), redeemed(i + 100, 3)]);
        ingest.flush().await.unwrap();
        assert_eq!(world.offsets(REDEMPTIONS).await, (0..2 * i + 2).collect::<Vec<i64>>());
    }
    world.until(|| ingest.status().tables[&REDEMPTIONS].files < 10).await;
    // A merged month still knows its events.
    world.append(Stream::Redemptions, &[redeemed(0, 0), redeemed(100, 3)]);
    ingest.stop().await.unwrap();
    assert_eq!(world.offsets(REDEMPTIONS).await, (0..80).collect::<Vec<i64>>());
    world.check_files().await;
    world.check_publishers();
}

#[tokio::test]
async fn instants_keep_their_microseconds_in_the_logs_statistics() {
    let world = World::new();
    world.clock.set(Instant(world::NOW + 123_456));
    let ingest = world.start(config()).await.unwrap();
    world.append(Stream::Redemptions, &[redeemed(1, 3)]);
    ingest.stop().await.unwrap();
    let entry = world.dir.path().join("lake/redemptions/_delta_log/00000000000000000001.json");
    let entry = std::fs::read_to_string(entry).unwrap();
    assert!(entry.contains(r#"123456Z"#), "{entry}");
}
