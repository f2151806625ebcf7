//! A View that follows a log which others bring into the lake has every event once, at every instant (invariant 2).

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use eventlog::Position;
use proptest::prelude::*;
use world::{Eyes, Message, NOW, World, config, part, said, until};

use crate::{FollowConfig, Views, reader};

fn events(ids: std::ops::Range<i64>) -> Vec<Message> {
    ids.map(|id| Message::Event { id, content: 0 }).collect()
}

fn lake_version(views: &Views) -> Option<u64> {
    views.current().freshness().lake_versions.get("refusals").copied()
}

#[tokio::test]
async fn rows_come_from_the_log_and_then_from_the_lake() {
    let world = World::new(2);
    world.append(0, &events(0..5));
    world.append(1, &events(5..8));
    world.show_all();
    let (views, follower) = world.follow().await;
    let mut eyes = Eyes::default();
    until("the log without a lake", || views.current().position().covers(&world.end())).await;
    assert_eq!(eyes.events(&views.current()), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(views.current().freshness().as_of.unwrap().0, NOW.0 + 4_000);

    world.create_tables().await;
    world.ingest(&[1], 2).await;
    until("tables that came later", || lake_version(&views) == Some(1)).await;
    world.ingest(&[0, 1], 4).await;
    until("a commit", || lake_version(&views) == Some(2)).await;
    let freshness = views.current().freshness();
    assert_eq!((freshness.tail_rows, freshness.log_position.len()), (1, 2));
    assert_eq!(eyes.events(&views.current()), [0, 1, 2, 3, 4, 5, 6, 7]);
    world.merge().await;
    until("a merge", || lake_version(&views) == Some(3)).await;
    assert_eq!(eyes.events(&views.current()), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!((said(&follower.status()), follower.status().full), ("all is well", false));
}

#[tokio::test]
async fn a_commit_beyond_what_was_read_moves_the_view_on() {
    let world = World::new(1);
    world.create_tables().await;
    world.append(0, &events(0..10));
    world.show(0, 4);
    let (views, follower) = world.follow().await;
    until("four", || views.current().position().next(part(0)) == 4).await;
    world.ingest(&[0], 8).await;
    until("eight", || views.current().position().next(part(0)) == 8).await;
    let mut eyes = Eyes::default();
    assert_eq!(eyes.events(&views.current()), (0..8).collect::<Vec<_>>());
    assert_eq!(views.current().freshness().as_of.unwrap().0 / 1000, NOW.0 / 1000 + 7);
    // A copy of an event that was never read from the log, in what is read next.
    world.append(0, &events(6..7));
    world.show(0, 100);
    until("all", || views.current().position().next(part(0)) == 11).await;
    assert_eq!(eyes.events(&views.current()), (0..10).collect::<Vec<_>>());
    assert_eq!(follower.status().beginnings, 2);
}

#[tokio::test]
async fn the_copy_that_was_committed_counts_and_the_other_goes_with_it() {
    let world = World::new(2);
    world.create_tables().await;
    let one = |content| [Message::Event { id: 1, content }];
    world.append(0, &one(0));
    world.show_all();
    let (views, follower) = world.follow().await;
    until("the first", || views.current().position().next(part(0)) == 1).await;
    world.append(1, &one(1));
    world.show_all();
    until("the second", || views.current().position().next(part(1)) == 1).await;
    let (mut eyes, beginnings) = (Eyes::default(), follower.status().beginnings);
    assert_eq!((eyes.events(&views.current()), eyes.entries(&views.current())), (vec![1], 2));
    // Another process took the second for the event; the first contradicts it then.
    world.ingest(&[1], 1).await;
    until("the commit", || lake_version(&views) == Some(1)).await;
    assert_eq!((eyes.events(&views.current()), eyes.entries(&views.current())), (vec![1], 2));
    assert_eq!(follower.status().beginnings, beginnings + 1);
    world.ingest(&[0], 1).await;
    until("the letter's commit", || views.current().freshness().tail_rows == 0).await;
    assert_eq!((eyes.events(&views.current()), eyes.entries(&views.current())), (vec![1], 2));
}

#[tokio::test]
async fn a_partition_that_cannot_be_read_is_left_out_until_it_can() {
    let world = World::new(2);
    world.create_tables().await;
    world.append(0, &events(0..6));
    world.append(1, &events(10..16));
    world.ingest(&[0, 1], 2).await;
    world.forget(0, 4);
    world.show_all();
    let (views, follower) = world.follow().await;
    let mut eyes = Eyes::default();
    until("the other partition", || views.current().position().next(part(1)) == 6).await;
    assert_eq!(views.current().position().next(part(0)), 2);
    assert_eq!(eyes.events(&views.current()), [0, 1, 10, 11, 12, 13, 14, 15]);
    expect_test::expect![["left out of the tail: the log's partition refusals/0 is needed from offset 2 and was pruned up to 4"]]
        .assert_eq(said(&follower.status()));
    // What comes to the others meanwhile is seen.
    world.append(1, &events(16..17));
    world.show_all();
    until("more of the other", || views.current().position().next(part(1)) == 7).await;
    // Somebody had the messages elsewhere, and commits them.
    world.ingest(&[0], 3).await;
    until("all", || views.current().position().covers(&world.end())).await;
    assert_eq!(eyes.events(&views.current()), [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 16]);
    until("well again", || said(&follower.status()) == "all is well").await;
}

#[tokio::test]
async fn a_tail_that_is_full_waits_for_commits() {
    let world = World::new(1);
    world.create_tables().await;
    world.append(0, &events(0..9));
    world.show_all();
    let (views, follower) = world.follow_with(FollowConfig { tail_bytes: 1, ..config() }).await;
    let mut eyes = Eyes::default();
    until("it is full", || follower.status().full).await;
    assert_eq!(eyes.events(&views.current()), [0, 1, 2]);
    world.ingest(&[0], 2).await;
    until("a commit", || lake_version(&views) == Some(1)).await;
    assert_eq!((eyes.events(&views.current()), follower.status().full), (vec![0, 1, 2], true));
    // This one is beyond what was read.
    world.ingest(&[0], 3).await;
    until("it goes on", || views.current().position().next(part(0)) == 8).await;
    assert_eq!(eyes.events(&views.current()), (0..8).collect::<Vec<_>>());
    assert!(follower.status().tail_bytes > 0);
}

#[tokio::test]
async fn versions_that_were_cleaned_up_are_passed_over() {
    let world = World::new(1);
    world.create_tables().await;
    let views = Views::open(world.dir.path()).await.unwrap();
    world.append(0, &events(0..9));
    for _ in 0..4 {
        world.ingest(&[0], 2).await;
    }
    world.clean_up().await;
    let follower = crate::Follower::start(views.clone(), world.log.clone(), config()).await.unwrap();
    until("the newest", || lake_version(&views) == Some(4)).await;
    world.show_all();
    world.ingest(&[0], 1).await;
    until("the next", || lake_version(&views) == Some(5)).await;
    assert_eq!(Eyes::default().events(&views.current()), (0..9).collect::<Vec<_>>());
    assert_eq!(said(&follower.status()), "all is well");
}

#[tokio::test]
async fn a_reader_sees_the_lake_and_the_log_up_to_its_end() {
    let world = World::new(2);
    let data = tempfile::tempdir().unwrap();
    world.append(0, &events(0..6));
    world.append(1, &[events(4..8), vec![Message::Bad]].concat());
    world.create_tables().await;
    world.ingest(&[1], 2).await;
    std::os::unix::fs::symlink(world.dir.path(), data.path().join("lake")).unwrap();
    world.show_all();
    let mut eyes = Eyes::default();
    let view = reader::load(data.path(), Some(world.log.as_ref())).await.unwrap();
    assert_eq!((eyes.events(&view), eyes.entries(&view)), ((0..8).collect(), 9));
    assert_eq!(view.position(), &world.end());
    world.forget(1, 3);
    let view = reader::load(data.path(), Some(world.log.as_ref())).await.unwrap();
    assert_eq!(eyes.events(&view), (0..6).collect::<Vec<_>>());
    assert_eq!(view.position().to_string(), "refusals/0:6,refusals/1:2");
    let view = reader::load(data.path(), None).await.unwrap();
    assert_eq!(eyes.events(&view), [4, 5]);
}

/// One step in the life of a log, of those who bring it into the lake, and of one who follows.
#[derive(Clone, Debug)]
enum Step {
    Append(i32, Vec<Message>),
    /// The follower may read so many more.
    Show(i32, i64),
    /// A process commits so many of each partition whose bit is set.
    Ingest(u8, i64),
    Merge,
    /// The follower ends and another one begins.
    Restart,
    /// The follower has time.
    Yield,
}

const PARTITIONS: i32 = 3;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let message = prop_oneof![
        8 => (0..12i64, 0..2u8).prop_map(|(id, content)| Message::Event { id, content }),
        1 => Just(Message::Bad),
    ];
    let step = prop_oneof![
        5 => (0..PARTITIONS, prop::collection::vec(message, 1..6)).prop_map(|(number, messages)| Step::Append(number, messages)),
        5 => (0..PARTITIONS, 1..8i64).prop_map(|(number, more)| Step::Show(number, more)),
        5 => (1..8u8, 1..8i64).prop_map(|(share, more)| Step::Ingest(share, more)),
        1 => Just(Step::Merge),
        1 => Just(Step::Restart),
        3 => Just(Step::Yield),
    ];
    prop::collection::vec(step, 10..50)
}

/// Lives through `steps` while Views are looked at all the time.
async fn live(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let world = Arc::new(World::new(PARTITIONS));
    world.create_tables().await;
    let (mut views, mut follower) = world.follow().await;
    let watch = |views: Arc<Views>| {
        let (world, stop, looks) = (world.clone(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let task = tokio::spawn({
            let (stop, looks) = (stop.clone(), looks.clone());
            async move {
                let (mut eyes, mut last) = (Eyes::default(), Position::default());
                while !stop.load(Ordering::Relaxed) {
                    let view = views.current();
                    assert_eq!(eyes.events(&view), world.events_below(view.position()), "up to {}", view.position());
                    assert!(view.position().covers(&last), "{} comes after {last}", view.position());
                    last = view.position().clone();
                    looks.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        });
        (task, stop, looks)
    };
    let mut watcher = watch(views.clone());
    for step in steps {
        match step {
            Step::Append(number, messages) => world.append(number, &messages),
            Step::Show(number, more) => world.show(number, more),
            Step::Ingest(share, more) => {
                let share: Vec<i32> = (0..PARTITIONS).filter(|number| share & (1 << number) != 0).collect();
                world.ingest(&share, more).await;
            }
            Step::Merge => world.merge().await,
            Step::Restart => {
                watcher.1.store(true, Ordering::Relaxed);
                watcher.0.await.map_err(|e| TestCaseError::fail(e.to_string()))?;
                drop(follower);
                (views, follower) = world.follow().await;
                watcher = watch(views.clone());
            }
            Step::Yield => {
                let looks = watcher.2.load(Ordering::Relaxed);
                until("a look", || watcher.0.is_finished() || watcher.2.load(Ordering::Relaxed) > looks + 1).await;
            }
        }
    }
    world.show_all();
    let newest = world.version().await;
    until("the end", || {
        let there = views.current().position().covers(&world.end()) && lake_version(&views) == Some(newest);
        there || watcher.0.is_finished()
    })
    .await;
    watcher.1.store(true, Ordering::Relaxed);
    watcher.0.await.map_err(|e| TestCaseError::fail(e.to_string()))?;
    let (mut eyes, view) = (Eyes::default(), views.current());
    prop_assert_eq!(eyes.events(&view), world.events_below(&world.end()));
    prop_assert_eq!(eyes.entries(&view), world.entries_below(&world.end()), "rows and letters");
    prop_assert_eq!(said(&follower.status()).to_owned(), "all is well");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_event_stands_once_in_every_view(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(live(steps))?;
    }
}
