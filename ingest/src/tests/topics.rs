//! A log with a topic per stream and several partitions each: every table follows what feeds it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use event::{Instant, Stream, Table};
use eventlog::{Body, Error as LogError, LogIds, MessagePlace, Partition, Position, Segment, Source};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::world::{NOW, World, config, redeemed, refused};
use super::{REDEMPTIONS, REFUSALS};
use crate::{Error, Lake};

/// Topics in memory. `None` is a tombstone; every second offset is a gap, as transactions leave them.
pub(super) struct Topics {
    ids: LogIds,
    partitions: Mutex<BTreeMap<Partition, Vec<Option<String>>>>,
    /// Retention has passed what lies below.
    start: Mutex<Position>,
    grown: watch::Sender<()>,
}

impl Topics {
    pub(super) fn new(generation: u32, partitions: i32) -> Arc<Self> {
        let ids = Stream::ALL.map(|stream| (Some(stream), format!("{stream}-{generation}")));
        let all = Stream::ALL.into_iter().flat_map(|s| (0..partitions).map(move |n| (Partition::of(s, n), Vec::new())));
        Arc::new(Topics {
            ids: LogIds(ids.into()),
            partitions: Mutex::new(all.collect()),
            start: Mutex::default(),
            grown: watch::Sender::new(()),
        })
    }

    pub(super) fn ids(&self) -> LogIds {
        self.ids.clone()
    }

    pub(super) fn append(&self, stream: Stream, number: i32, messages: &[Option<String>]) {
        self.partitions.lock().entry(Partition::of(stream, number)).or_default().extend_from_slice(messages);
        self.grown.send_replace(());
    }
}

/// The partitions of these numbers, as a process of several reads them.
pub(super) struct Part {
    pub(super) topics: Arc<Topics>,
    pub(super) numbers: &'static [i32],
}

impl Part {
    fn ours(&self, position: Position) -> Position {
        Position(position.0.into_iter().filter(|(partition, _)| self.numbers.contains(&partition.number)).collect())
    }
}

#[async_trait]
impl Source for Part {
    fn log_ids(&self) -> &LogIds {
        &self.topics.ids
    }

    async fn start(&self) -> eventlog::Result<Position> {
        Ok(self.ours(self.topics.start().await?))
    }

    async fn end(&self) -> eventlog::Result<Position> {
        Ok(self.ours(self.topics.end().await?))
    }

    async fn read(&self, from: &Position, max_bytes: usize) -> eventlog::Result<Vec<Segment>> {
        let all = self.topics.read(from, max_bytes).await?;
        Ok(all.into_iter().filter(|segment| self.numbers.contains(&segment.partition.number)).collect())
    }

    async fn wait(&self, from: &Position) -> eventlog::Result<()> {
        let mut grown = self.topics.grown.subscribe();
        while from.covers(&self.end().await?) {
            let _ = grown.changed().await;
        }
        Ok(())
    }

    async fn prune(&self, _: &Position) -> eventlog::Result<bool> {
        Ok(false)
    }
}

#[async_trait]
impl Source for Topics {
    fn log_ids(&self) -> &LogIds {
        &self.ids
    }

    async fn start(&self) -> eventlog::Result<Position> {
        Ok(Position(self.partitions.lock().keys().map(|p| (*p, self.start.lock().next(*p))).collect()))
    }

    async fn end(&self) -> eventlog::Result<Position> {
        Ok(Position(self.partitions.lock().iter().map(|(p, messages)| (*p, 2 * messages.len() as i64)).collect()))
    }

    async fn read(&self, from: &Position, _: usize) -> eventlog::Result<Vec<Segment>> {
        let mut segments = Vec::new();
        for (partition, messages) in &*self.partitions.lock() {
            let (first_offset, next_offset) = (from.next(*partition), 2 * messages.len() as i64);
            if first_offset > next_offset {
                let (log, partition) = (partition.log(), *partition);
                return Err(LogError::Ahead { log, partition, from: first_offset, end: next_offset });
            }
            let (mut bytes, mut places) = (Vec::new(), Vec::new());
            for (i, message) in messages.iter().enumerate().skip((first_offset / 2) as usize) {
                let Some(message) = message else { continue };
                bytes.extend_from_slice(message.as_bytes());
                places.push(MessagePlace { offset: 2 * i as i64, recorded_at: Instant(NOW), end: bytes.len() });
            }
            if next_offset > first_offset {
                let (partition, stream) = (*partition, partition.stream.unwrap());
                let (recorded_at, body) = (Instant(NOW), Body::Placed { bytes, places });
                segments.push(Segment { partition, first_offset, next_offset, stream, recorded_at, body });
            }
        }
        Ok(segments)
    }

    async fn wait(&self, from: &Position) -> eventlog::Result<()> {
        let mut grown = self.grown.subscribe();
        while from.covers(&self.end().await?) {
            let _ = grown.changed().await;
        }
        Ok(())
    }

    async fn prune(&self, _: &Position) -> eventlog::Result<bool> {
        Ok(false)
    }
}

fn at(text: &str) -> Position {
    text.parse().unwrap()
}

#[tokio::test]
async fn r20_each_table_follows_its_topic_and_dead_letters_follow_all() {
    let (world, topics) = (World::new(), Topics::new(1, 2));
    let ingest = world.start_from(topics.clone(), config()).await.unwrap();
    topics.append(Stream::Redemptions, 0, &[Some(redeemed(1, 3)), None, Some(redeemed(2, 40))]);
    topics.append(Stream::Redemptions, 1, &[Some("bad".into()), Some(redeemed(1, 3)), Some(redeemed(3, 3))]);
    topics.append(Stream::Refusals, 0, &[Some(refused(1)), Some("bad".into()), None]);
    ingest.flush().await.unwrap();
    let status = ingest.status();
    assert_eq!(status.tables[&REDEMPTIONS].committed, at("redemptions/0:6,redemptions/1:6"));
    assert_eq!(status.tables[&REFUSALS].committed, at("refusals/0:6,refusals/1:0"));
    assert_eq!((status.counts.accepted, status.counts.copies, status.counts.dead_letters), (4, 1, 2));
    // What two partitions hold at the same offset are two rows, whichever comes first is the event, and a copy in another
    // partition is a copy.
    assert_eq!(world.places(REDEMPTIONS).await, [(0, 0), (0, 4), (1, 4)]);
    assert_eq!(world.places(REFUSALS).await, [(0, 0)]);
    assert_eq!(world.places(Table::DeadLetters).await, [(0, 2), (1, 0)]);
    ingest.stop().await.unwrap();
    // Another run begins where each table is.
    let ingest = world.start_from(topics.clone(), config()).await.unwrap();
    assert_eq!(ingest.status().taken.lag(&topics.end().await.unwrap()), 0);
    topics.append(Stream::Refusals, 1, &[Some(refused(1)), Some(refused(2))]);
    topics.append(Stream::Redemptions, 0, &[Some(redeemed(2, 40))]);
    ingest.stop().await.unwrap();
    assert_eq!(world.places(REDEMPTIONS).await, [(0, 0), (0, 4), (1, 4)]);
    assert_eq!(world.places(REFUSALS).await, [(0, 0), (1, 2)]);
    assert_eq!(world.places(Table::DeadLetters).await, [(0, 2), (1, 0)]);
    world.check_publishers();
}

#[tokio::test]
async fn a_new_partition_has_its_offset_before_its_first_row() {
    let (world, topics) = (World::new(), Topics::new(1, 1));
    let ingest = world.start_from(topics.clone(), config()).await.unwrap();
    // Two come while it runs, and only the second has messages.
    topics.append(Stream::Redemptions, 1, &[]);
    topics.append(Stream::Redemptions, 2, &[Some(redeemed(1, 3)), Some("bad".into())]);
    ingest.stop().await.unwrap();
    assert_eq!(world.places(REDEMPTIONS).await, [(2, 0)]);
    // A third before the next run.
    topics.append(Stream::Redemptions, 3, &[Some(redeemed(2, 3))]);
    let (dir, end) = (world.dir.path().join("lake"), topics.end().await.unwrap());
    let committed = Lake::open_or_create(&dir, topics.log_ids(), &end).await.unwrap().committed();
    assert_eq!(committed[&REDEMPTIONS], at("redemptions/0:0,redemptions/1:0,redemptions/2:4,redemptions/3:0"));
    assert_eq!(committed[&Table::DeadLetters].feeding(REDEMPTIONS), committed[&REDEMPTIONS]);
    world.start_from(topics, config()).await.unwrap().stop().await.unwrap();
    assert_eq!(world.places(REDEMPTIONS).await, [(2, 0), (3, 0)]);
}

#[tokio::test]
async fn a_topic_that_is_another_or_no_longer_fits_is_refused() {
    let (world, topics) = (World::new(), Topics::new(1, 1));
    let ingest = world.start_from(topics.clone(), config()).await.unwrap();
    topics.append(Stream::Redemptions, 0, &[Some(redeemed(1, 3)), Some(redeemed(2, 3))]);
    ingest.stop().await.unwrap();
    let anew = Topics::new(2, 1);
    anew.append(Stream::Redemptions, 0, &[Some(redeemed(1, 3)), Some(redeemed(2, 3))]);
    let refused = world.start_from(anew, config()).await.unwrap_err();
    assert!(matches!(refused, Error::OtherLog { .. }), "{refused}");
    // The embedded log is another one too, and says so the other way round.
    let refused = world.start(config()).await.unwrap_err();
    assert!(matches!(refused, Error::OtherLog { .. }), "{refused}");
    // Retention passed what nobody has read.
    topics.append(Stream::Redemptions, 0, &[Some(redeemed(3, 3)), Some(redeemed(4, 3))]);
    topics.start.lock().advance(Partition::of(Stream::Redemptions, 0), 6);
    let behind = world.start_from(topics.clone(), config()).await.unwrap_err();
    assert!(matches!(behind, Error::BehindLog { committed: 4, start: 6, .. }), "{behind}");
    assert!(behind.to_string().contains("the log's partition redemptions/0 from offset 4"), "{behind}");
    topics.start.lock().0.clear();
    topics.partitions.lock().get_mut(&Partition::of(Stream::Redemptions, 0)).unwrap().truncate(1);
    let ahead = world.start_from(topics, config()).await.unwrap_err();
    assert!(matches!(ahead, Error::AheadOfLog { committed: 4, end: 2, .. }), "{ahead}");
}

#[tokio::test]
async fn a_stream_that_is_new_to_the_contract_brings_its_topic() {
    let (world, topics) = (World::new(), Topics::new(1, 1));
    let mut fewer = topics.ids.clone();
    fewer.0.remove(&Some(Stream::Refusals));
    let mut ends = topics.end().await.unwrap();
    ends.0.remove(&Partition::of(Stream::Refusals, 0));
    // As an older build made it: without the table, and dead letters without its topic.
    Lake::open_or_create(&world.dir.path().join("lake"), &fewer, &ends).await.unwrap();
    assert!(!world.dir.path().join("lake").join(REFUSALS.name()).exists());
    topics.append(Stream::Refusals, 0, &[Some(refused(1)), Some("bad".into())]);
    for _ in 0..2 {
        world.start_from(topics.clone(), config()).await.unwrap().stop().await.unwrap();
        assert_eq!(world.places(REFUSALS).await, [(0, 0)]);
        assert_eq!(world.places(Table::DeadLetters).await, [(0, 2)]);
    }
}
