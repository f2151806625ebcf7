//! How long a commit takes once there have been many: it goes by live files, and maintenance keeps those few.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event::Stream;
use eventlog::{OutboxSource, Position};
use tokio::sync::watch;

use super::REDEMPTIONS;
use super::world::{World, config, redeemed};

/// The `q`-th part of them takes less, in milliseconds.
fn quantile_ms(times: &[Duration], q: f64) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    times[((times.len() as f64 * q) as usize).min(times.len() - 1)].as_secs_f64() * 1e3
}

/// Commits one row at a time, each as soon as it has come, and prints how long that took from the row's append on. With
/// `HEXIAO_BENCH_COMMITS=10000` and `--nocapture` it is the bench of RESULTS.md.
#[tokio::test(flavor = "multi_thread")]
async fn many_commits_leave_few_files() {
    let commits: i64 = std::env::var("HEXIAO_BENCH_COMMITS").map_or(150, |n| n.parse().unwrap());
    let world = World::new();
    // Whatever is in the tail is over its limit.
    let eager = crate::IngestConfig { commit_bytes: 1, sweep_every: Duration::from_secs(60), ..config() };
    // It hears of each row at once, as in the process that appends.
    let (moved, appended) = watch::channel(0);
    let source = OutboxSource::open(&world.dir.path().join("ledger.sqlite"), Some(appended)).unwrap();
    let ingest = world.start_from(Arc::new(source), eager).await.unwrap();
    let mut took = Vec::new();
    for id in 0..commits {
        let began = Instant::now();
        world.append(Stream::Redemptions, &[redeemed(id, (id % 20) as u32)]);
        moved.send_replace(id + 1);
        let landed = || ingest.status().tables[&REDEMPTIONS].committed.covers(&Position::single(id + 1));
        while !landed() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        took.push(began.elapsed());
    }
    let tenth = took.len() / 10;
    println!("| commits | p50 ms | p99 ms |\n| --- | --- | --- |");
    for (part, times) in took.chunks(tenth.max(1)).enumerate() {
        println!("| {} | {:.1} | {:.1} |", (part + 1) * tenth, quantile_ms(times, 0.5), quantile_ms(times, 0.99));
    }
    let files = || ingest.status().tables[&REDEMPTIONS].files;
    println!("live files: {}", files());
    // All are of one month, and merging may be one step behind.
    world.until(|| files() <= 2 * config().compact_files).await;
    ingest.stop().await.unwrap();
    assert_eq!(world.offsets(REDEMPTIONS).await.len() as i64, commits);
}
