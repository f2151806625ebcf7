//! What a reader of topics has in hand: messages that came and were not handed out, and how far each partition is.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use event::{Instant, Stream};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Timestamp, error::KafkaResult};
use serde::Deserialize;

use crate::{Body, MessagePlace, Partition, Position, Segment};

/// Statistics come this often (see [`Ends`]). They have about 1 kB per partition and wait in the consumer's queue while nobody
/// reads: an hour's stall at 84 partitions collects 60 MB.
pub(super) const STATISTICS_MS: u64 = 5_000;

/// librdkafka takes a copy of a partition's figures about once a second and shows the copy: what it showed earlier than this
/// after partitions were assigned anew may be from before.
const STALE: Duration = Duration::from_secs(2);

/// Where the reader stands.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Whether the consumer is positioned: it goes on after what came last.
    pub(super) positioned: bool,
    /// When it was, since the client's creation.
    pub(super) positioned_at: Duration,
    /// Everything below it was handed out.
    pub(super) at: Position,
    /// Everything below it came.
    came: Position,
    held: BTreeMap<Partition, Held>,
    pub(super) bytes: usize,
}

/// Messages of one partition that came and were not handed out.
#[derive(Debug, Default)]
struct Held {
    recorded_at: Option<Instant>,
    bytes: Vec<u8>,
    places: Vec<MessagePlace>,
}

impl Reading {
    /// Begins at `at`, with nothing in hand.
    pub(super) fn begin(&mut self, at: Position, positioned_at: Duration) {
        *self = Reading { positioned: true, positioned_at, came: at.clone(), at, ..Reading::default() };
    }

    /// Whether nothing is in hand.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes a message in hand.
    pub(super) fn note(&mut self, partition: Partition, message: &BorrowedMessage<'_>) {
        let offset = message.offset();
        // One that came before the consumer was positioned here.
        if offset < self.came.next(partition) {
            return;
        }
        self.came.advance(partition, offset + 1);
        let held = self.held.entry(partition).or_default();
        let recorded_at = match message.timestamp() {
            Timestamp::LogAppendTime(ms) | Timestamp::CreateTime(ms) => Instant(ms.saturating_mul(1_000)),
            Timestamp::NotAvailable => Instant(0),
        };
        held.recorded_at = held.recorded_at.max(Some(recorded_at));
        // Without a payload it is a tombstone: the offset is used and there is nothing to read.
        if let Some(payload) = message.payload() {
            held.bytes.extend_from_slice(payload);
            held.places.push(MessagePlace { offset, recorded_at, end: held.bytes.len() });
            self.bytes += payload.len();
        }
    }

    /// Notes that below `offset` nothing is to come that has not come.
    pub(super) fn note_end(&mut self, partition: Partition, offset: i64) {
        if offset > self.came.next(partition) {
            self.came.advance(partition, offset);
            self.held.entry(partition).or_default();
        }
    }

    /// Hands out what is in hand, a segment per partition.
    pub(super) fn hand_out(&mut self) -> Vec<Segment> {
        self.bytes = 0;
        let hand_out = |(partition, held): (Partition, Held)| {
            let stream: Stream = partition.stream?;
            let first_offset = self.at.next(partition);
            let next_offset = self.came.next(partition);
            self.at.advance(partition, next_offset);
            let recorded_at = held.recorded_at.unwrap_or(Instant(0));
            let body = Body::Placed { bytes: held.bytes, places: held.places };
            Some(Segment { partition, first_offset, next_offset, stream, recorded_at, body })
        };
        std::mem::take(&mut self.held).into_iter().filter_map(hand_out).collect()
    }

    /// Where `ends`, taken from statistics, are beyond what came. They count once the statistics are of this positioning and
    /// everything that had come by then was noted.
    pub(super) fn beyond(&self, ends: &Ends, partition: impl Fn(&str, i32) -> Option<Partition>) -> Vec<(Partition, i64)> {
        if ends.age < self.positioned_at + STALE {
            return Vec::new();
        }
        let known = ends.ends.iter().filter_map(|((topic, number), end)| Some((partition(topic, *number)?, *end)));
        known.filter(|(partition, end)| *end > self.came.next(*partition)).collect()
    }
}

/// Ends of partitions that the consumer has come to, as librdkafka's statistics tell. Where a partition ends in markers of
/// transactions or in what was rolled back, no message says that it was read to its end; this does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    /// When it was so, since the client's creation.
    age: Duration,
    ends: HashMap<(String, i32), i64>,
}

impl Ends {
    /// Reads librdkafka's statistics.
    pub(super) fn parse(statistics: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Statistics {
            /// Microseconds since the client's creation.
            age: u64,
            #[serde(default)]
            topics: HashMap<String, Topic>,
        }
        #[derive(Deserialize)]
        struct Topic {
            #[serde(default)]
            partitions: HashMap<i32, Figures>,
        }
        #[derive(Deserialize)]
        struct Figures {
            /// Everything below it came; negative if the end was not reached yet.
            eof_offset: i64,
        }
        let read: Statistics = serde_json::from_slice(statistics)?;
        let ends = read.topics.into_iter().flat_map(|(topic, figures)| {
            let reached = figures.partitions.into_iter().filter(|(number, f)| *number >= 0 && f.eof_offset >= 0);
            reached.map(move |(number, f)| ((topic.clone(), number), f.eof_offset)).collect::<Vec<_>>()
        });
        Ok(Ends { age: Duration::from_micros(read.age), ends: ends.collect() })
    }
}

/// What a consumer's queue gives.
pub(super) type Polled<'a> = KafkaResult<BorrowedMessage<'a>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_tell_the_ends_that_were_reached() {
        let statistics = br#"{"age": 3000000, "ts": 1, "topics": {"hexiao.orders": {"topic": "hexiao.orders", "partitions": {
            "0": {"partition": 0, "eof_offset": 7, "next_offset": 7}, "1": {"eof_offset": -1001}, "-1": {"eof_offset": -1001}}}}}"#;
        let ends = Ends::parse(statistics).unwrap();
        assert_eq!(ends.ends, HashMap::from([(("hexiao.orders".to_owned(), 0), 7)]));
        let (mut reading, orders) = (Reading::default(), Partition::of(Stream::Orders, 0));
        let partition = |_: &str, number: i32| Some(Partition::of(Stream::Orders, number));
        reading.begin(Position([(orders, 4)].into()), Duration::from_secs(2));
        assert!(reading.beyond(&ends, partition).is_empty(), "they may be from before");
        reading.begin(Position([(orders, 4)].into()), Duration::from_secs(1));
        assert_eq!(reading.beyond(&ends, partition), [(orders, 7)]);
        reading.note_end(orders, 7);
        assert!(reading.beyond(&ends, partition).is_empty());
        let segments = reading.hand_out();
        assert_eq!((segments[0].offsets(), segments[0].messages().unwrap().len()), (4..7, 0));
        assert!(reading.is_empty() && reading.at.next(orders) == 7);
    }
}
