//! Several processes, each with its partitions, commit to the same tables: no event stands twice, none is missing.

use std::sync::Arc;

use event::{Stream, Table};
use eventlog::Source;

use super::topics::{Part, Topics};
use super::world::{Fault, Flaky, World, config, redeemed};
use super::{REDEMPTIONS, root};
use crate::durable::DurableFiles;
use crate::lake::{LakeTable, Prepared, Step};
use crate::{Error, Ingest, Lake};

struct Chain {
    world: World,
    topics: Arc<Topics>,
}

impl Chain {
    fn new() -> Self {
        Chain { world: World::new(), topics: Topics::new(1, 2) }
    }

    async fn start(&self, numbers: &'static [i32]) -> Ingest {
        self.world.start_from(Arc::new(Part { topics: self.topics.clone(), numbers }), config()).await.unwrap()
    }

    fn append(&self, number: i32, messages: &[String]) {
        let messages: Vec<Option<String>> = messages.iter().cloned().map(Some).collect();
        self.topics.append(Stream::Redemptions, number, &messages);
    }

    async fn read(&self, ingest: &Ingest, offsets: i64) {
        let taken = || ingest.status().taken.0.values().sum::<i64>() >= offsets;
        self.world.until(taken).await;
    }
}

#[tokio::test]
async fn r20_two_processes_fill_the_same_tables_side_by_side() {
    let chain = Chain::new();
    let (a, b) = tokio::join!(chain.start(&[0]), chain.start(&[1]));
    for round in 0..20 {
        let ids = |first: i64| (first..first + 3).map(|id| redeemed(id, (id % 50) as u32)).collect::<Vec<_>>();
        chain.append(0, &ids(round * 6));
        chain.append(1, &[ids(round * 6 + 3), vec!["bad".to_owned()]].concat());
        let (a, b) = tokio::join!(a.flush(), b.flush());
        a.unwrap();
        b.unwrap();
    }
    let places = chain.world.places(REDEMPTIONS).await;
    assert_eq!(places.len(), 120);
    assert_eq!(places.iter().filter(|(partition, _)| *partition == 1).count(), 60);
    assert_eq!(chain.world.places(Table::DeadLetters).await.len(), 20);
    let (a, b) = tokio::join!(a.leave(), b.leave());
    a.unwrap();
    b.unwrap();
    chain.world.check_files().await;
    chain.world.check_publishers();
}

#[tokio::test]
async fn r20_an_event_that_two_processes_hold_lands_by_one_of_them() {
    let chain = Chain::new();
    let (a, b) = (chain.start(&[0]).await, chain.start(&[1]).await);
    // The third says something else than its namesake, and the fourth is a letter that both have.
    let letter = |value: &str| redeemed(4, 4).replace(r#""value_fen":104"#, &format!(r#""value_fen":"{value}""#));
    let other = redeemed(3, 3).replace(r#""value_fen":103"#, r#""value_fen":7"#);
    chain.append(0, &[redeemed(1, 3), redeemed(3, 3), letter("x")]);
    chain.append(1, &[redeemed(2, 3), redeemed(1, 3), other.clone(), letter("x"), letter("y")]);
    chain.read(&b, 10).await;
    a.flush().await.unwrap();
    let overtaken = b.flush().await.unwrap_err();
    assert!(matches!(root(&overtaken), Error::Overtaken { .. }), "{overtaken:?}");
    assert!(matches!(*b.ended().await, Error::Overtaken { .. }));
    // It begins anew and finds what stands there.
    let b = chain.start(&[1]).await;
    b.flush().await.unwrap();
    assert_eq!(chain.world.places(REDEMPTIONS).await, [(0, 0), (0, 2), (1, 0)]);
    assert_eq!(chain.world.places(Table::DeadLetters).await, [(0, 4), (1, 4), (1, 8)]);
    // What a process has heard of in time needs no new beginning.
    chain.append(0, &[redeemed(5, 3)]);
    a.flush().await.unwrap();
    chain.append(1, &[redeemed(6, 3)]);
    b.flush().await.unwrap();
    chain.append(1, &[redeemed(5, 3)]);
    b.flush().await.unwrap();
    assert_eq!(chain.world.places(REDEMPTIONS).await.len(), 5);
    assert_eq!(b.status().counts.copies, 2, "the one it found on beginning anew, and this one");
}

#[tokio::test]
async fn r20_a_letter_below_the_letters_offset_is_kept_if_the_event_it_contradicts_came_since() {
    let chain = Chain::new();
    let (store, dir) = (Arc::new(Flaky::default()), chain.world.dir.path().join("lake"));
    let source = Arc::new(Part { topics: chain.topics.clone(), numbers: &[1] });
    let end = source.end().await.unwrap();
    let lake = Lake::open_on(store.clone(), &dir, source.log_ids(), &end).await.unwrap();
    let b = crate::start(lake, source, chain.world.recorder(), chain.world.clock.clone(), config()).await.unwrap();
    let other = redeemed(3, 3).replace(r#""value_fen":103"#, r#""value_fen":7"#);
    chain.append(1, &["bad".to_owned(), other]);
    chain.read(&b, 4).await;
    // Its letters are committed, beyond the offset of the event; the event is not.
    store.fail_log_entries_of(REDEMPTIONS, Fault::Before);
    assert!(b.flush().await.is_err());
    drop(b);
    assert_eq!(chain.world.places(Table::DeadLetters).await, [(1, 0)]);
    let a = chain.start(&[0]).await;
    chain.append(0, &[redeemed(3, 3)]);
    a.flush().await.unwrap();
    let b = chain.start(&[1]).await;
    b.flush().await.unwrap();
    assert_eq!(chain.world.places(REDEMPTIONS).await, [(0, 0)]);
    assert_eq!(chain.world.places(Table::DeadLetters).await, [(1, 0), (1, 2)]);
    // Another beginning does not keep it twice.
    chain.start(&[0, 1]).await.leave().await.unwrap();
    assert_eq!(chain.world.places(Table::DeadLetters).await.len(), 2);
}

#[tokio::test]
async fn r20_a_commit_whose_answer_is_lost_is_found_below_those_of_others() {
    let chain = Chain::new();
    let (store, dir) = (Arc::new(Flaky::default()), chain.world.dir.path().join("lake"));
    let end = "redemptions/0:0,redemptions/1:0".parse().unwrap();
    let ids = chain.topics.ids();
    let mut b = Lake::open_on(store.clone(), &dir, &ids, &end).await.unwrap().tables.remove(&REDEMPTIONS).unwrap();
    let mut a =
        Lake::open_on(Arc::new(DurableFiles::default()), &dir, &ids, &end).await.unwrap().tables.remove(&REDEMPTIONS).unwrap();
    let prepared = |id: i64, upto: &str| {
        let files = chain.world.encoded(&[redeemed(id, 3)]);
        let adds = files.iter().map(|file| file.add.clone()).collect();
        let prepared = Prepared { files: adds, rows: 1, upto: upto.parse().unwrap(), attempted: false, landed: false };
        (files, prepared)
    };
    let (files, mut of_b) = prepared(1, "redemptions/1:1");
    b.store(&files, 1).await.unwrap();
    // It lands, and the line is cut until the process has given up for now.
    store.fail_next_log_entries(1, Fault::After);
    store.cut_reads_with_the_next_fault();
    assert!(b.commit(&mut of_b).await.is_err());
    store.restore_reads();
    let (files, mut of_a) = prepared(2, "redemptions/0:1");
    a.store(&files, 1).await.unwrap();
    let steps = async |table: &mut LakeTable, prepared: &mut Prepared| {
        let mut others = 0;
        loop {
            match table.commit(prepared).await.unwrap() {
                Step::Landed(_) => break others,
                Step::Others(files) => others += files.len(),
            }
        }
    };
    assert_eq!(steps(&mut a, &mut of_a).await, 1, "it hears of the file of the other");
    assert_eq!(steps(&mut b, &mut of_b).await, 1);
    assert_eq!(chain.world.places(REDEMPTIONS).await.len(), 2);
}
