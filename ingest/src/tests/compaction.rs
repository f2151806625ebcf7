//! Merges that race: with each other, with appends, and with readers who count all the time.
//!
//! The log's library lets two merges of the same files land and leaves their rows twice. Here every row has its offset of
//! the log, so that a read is right if it finds each offset from 0 to some end once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use deltalake_core::kernel::Add;
use event::{Instant, Stream};
use fastrand::Rng;

use super::REDEMPTIONS;
use super::world::{NOW, World, config, redeemed};
use crate::Error;
use crate::compact::{self, Merge};
use crate::lake::{self, LakeTable};

/// Another process that merges files, on what it has loaded, perhaps long ago.
struct Merger {
    table: LakeTable,
}

impl Merger {
    async fn open(world: &World) -> Self {
        loop {
            match world.open().await {
                Ok(mut lake) => return Merger { table: lake.tables.remove(&REDEMPTIONS).unwrap() },
                // More was committed since it looked where the log ends.
                Err(Error::AheadOfLog { .. }) => {}
                Err(failure) => panic!("{failure}"),
            }
        }
    }

    /// Merges the files of a month and stores the new one.
    async fn prepare(&self) -> Option<(Merge, Add)> {
        let merge = compact::plan(REDEMPTIONS, &self.table.folder, &self.table.delta, 2)?;
        let file = merge.encode(Instant(NOW)).unwrap();
        lake::put_new(self.table.delta.object_store(), file.add.path.clone(), file.bytes).await.unwrap();
        Some((merge, file.add))
    }

    async fn land(&mut self, (merge, file): &(Merge, Add)) -> bool {
        self.table.replace(&merge.removes, file).await.unwrap().is_some()
    }
}

/// Appends a few redemptions of three months.
fn append(world: &World, random: &mut Rng, next: &mut i64) {
    let count = random.i64(1..20);
    let messages: Vec<String> = (*next..*next + count).map(|id| redeemed(id, random.u32(0..84))).collect();
    world.append(Stream::Redemptions, &messages);
    *next += count;
}

#[tokio::test(flavor = "multi_thread")]
async fn r20_of_merges_at_once_one_lands() {
    let (world, mut random, mut next) = (World::new(), Rng::with_seed(4), 0);
    let ingest = world.start(crate::IngestConfig { compact_files: 1_000, ..config() }).await.unwrap();
    for round in 0..8 {
        for _ in 0..random.usize(3..7) {
            append(&world, &mut random, &mut next);
            ingest.flush().await.unwrap();
        }
        let mut mergers = [Merger::open(&world).await, Merger::open(&world).await, Merger::open(&world).await];
        let mut prepared = Vec::new();
        for merger in &mergers {
            prepared.push(merger.prepare().await.expect("there are enough files"));
        }
        let [a, b, c] = &mut mergers;
        // At the same moment, or each after the other on what it had seen before, perhaps after another append.
        let landed = if random.bool() {
            let all = tokio::join!(a.land(&prepared[0]), b.land(&prepared[1]), c.land(&prepared[2]));
            [all.0, all.1, all.2]
        } else {
            let first = a.land(&prepared[0]).await;
            if random.bool() {
                append(&world, &mut random, &mut next);
                ingest.flush().await.unwrap();
            }
            [first, b.land(&prepared[1]).await, c.land(&prepared[2]).await]
        };
        assert_eq!(landed.iter().filter(|landed| **landed).count(), 1, "round {round}: {landed:?}");
        assert_eq!(world.offsets(REDEMPTIONS).await, (0..next).collect::<Vec<i64>>(), "round {round}");
        world.check_files().await;
    }
    ingest.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn r20_every_read_beside_merges_and_appends_is_right() {
    for seed in 0..2 {
        let (world, mut random) = (Arc::new(World::new()), Rng::with_seed(seed));
        // It merges too, beside the two others.
        let eager = crate::IngestConfig { compact_files: 12, checkpoint_every: 5, ..config() };
        let ingest = world.start(eager).await.unwrap();
        let (appended, done) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
        let (reads, merges) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let mut beside = Vec::new();
        for _ in 0..2 {
            let (world, done, merges) = (world.clone(), done.clone(), merges.clone());
            beside.push(tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    let mut merger = Merger::open(&world).await;
                    // What it has loaded is used until a merge of it has failed.
                    while let Some(prepared) = merger.prepare().await {
                        if !merger.land(&prepared).await {
                            break;
                        }
                        merges.fetch_add(1, Ordering::SeqCst);
                    }
                    tokio::task::yield_now().await;
                }
            }));
        }
        for _ in 0..2 {
            let (world, done, reads, appended) = (world.clone(), done.clone(), reads.clone(), appended.clone());
            beside.push(tokio::spawn(async move {
                let mut before = 0;
                while !done.load(Ordering::SeqCst) {
                    let offsets = world.offsets(REDEMPTIONS).await;
                    let rows = offsets.len() as i64;
                    assert_eq!(offsets, (0..rows).collect::<Vec<i64>>(), "seed {seed}: a row is missing or stands twice");
                    assert!(
                        (before..=appended.load(Ordering::SeqCst)).contains(&rows),
                        "seed {seed}: {before} rows, then {rows}"
                    );
                    before = rows;
                    reads.fetch_add(1, Ordering::SeqCst);
                }
            }));
        }
        let mut next = 0;
        for _ in 0..20 {
            append(&world, &mut random, &mut next);
            appended.store(next, Ordering::SeqCst);
            // A merge may come between each time; what could not be committed is tried again.
            while ingest.flush().await.is_err() {
                assert!(!ingest.status().ended, "{:?}", ingest.status().last_error);
            }
            if random.u8(..3) == 0 {
                let seen = reads.load(Ordering::SeqCst);
                while reads.load(Ordering::SeqCst) == seen && beside.iter().all(|task| !task.is_finished()) {
                    tokio::task::yield_now().await;
                }
            }
        }
        done.store(true, Ordering::SeqCst);
        for task in beside {
            task.await.unwrap();
        }
        ingest.stop().await.unwrap();
        assert_eq!(world.offsets(REDEMPTIONS).await, (0..next).collect::<Vec<i64>>());
        world.check_files().await;
        let (reads, merges) = (reads.load(Ordering::SeqCst), merges.load(Ordering::SeqCst));
        assert!(reads > 5 && merges > 1, "seed {seed}: {reads} reads, {merges} merges of others");
    }
}
