//! What every source promises, written once; each implementation runs all of it.

use std::collections::BTreeMap;
use std::time::Duration;

use event::Stream;

use crate::{Error, Partition, Position, Source};

/// A log under test: something to append with, and the source that reads it.
pub(crate) trait Log {
    fn source(&self) -> &dyn Source;
    /// Appends to one partition, the same for each stream, and tells where each message went.
    async fn append(&mut self, stream: Stream, messages: &[&str]) -> Vec<(Partition, i64)>;
    /// Forgets everything below a position.
    async fn forget(&mut self, below: &Position);
}

/// What a log holds: per partition, each offset with its message.
type Held = BTreeMap<Partition, Vec<(i64, String)>>;

/// Everything from `from` on.
async fn told(source: &dyn Source, mut from: Position, max_bytes: usize) -> Held {
    let mut out = Held::new();
    loop {
        let segments = source.read(&from, max_bytes).await.unwrap();
        if segments.is_empty() {
            return out;
        }
        for segment in segments {
            let at = from.next(segment.partition);
            assert!(segment.first_offset <= at && at < segment.next_offset, "{:?} was read at {at}", segment.offsets());
            let messages = segment.messages().unwrap();
            for (offset, recorded_at, message) in messages.iter().filter(|(offset, ..)| *offset >= at) {
                assert!(recorded_at <= segment.recorded_at);
                let text = String::from_utf8_lossy(message).into_owned();
                out.entry(segment.partition).or_default().push((offset, text));
            }
            from.advance(segment.partition, segment.next_offset);
        }
    }
}

async fn append(log: &mut impl Log, held: &mut Held, stream: Stream, messages: &[&str]) {
    let places = log.append(stream, messages).await;
    for ((partition, offset), message) in places.into_iter().zip(messages) {
        held.entry(partition).or_default().push((offset, (*message).to_owned()));
    }
}

/// The offsets after the last messages.
fn end(held: &Held) -> Position {
    Position(held.iter().map(|(partition, messages)| (*partition, messages.last().unwrap().0 + 1)).collect())
}

fn same(a: &Position, b: &Position) -> bool {
    a.covers(b) && b.covers(a)
}

pub(crate) async fn reads_what_was_appended(mut log: impl Log) {
    let nothing = Position::default();
    assert!(told(log.source(), nothing.clone(), 1).await.is_empty());
    let mut held = Held::new();
    append(&mut log, &mut held, Stream::Orders, &["a"]).await;
    append(&mut log, &mut held, Stream::Members, &["b", "c", "d"]).await;
    append(&mut log, &mut held, Stream::Orders, &["e", ""]).await;
    let second = Position(held.iter().map(|(partition, messages)| (*partition, messages[1].0)).collect());
    let mut rest = held.clone();
    rest.values_mut().for_each(|messages| drop(messages.remove(0)));
    for max_bytes in [1, 1 << 20] {
        assert_eq!(told(log.source(), nothing.clone(), max_bytes).await, held);
        assert_eq!(told(log.source(), second.clone(), max_bytes).await, rest);
    }
    assert!(same(&log.source().end().await.unwrap(), &end(&held)));
    assert!(same(&log.source().start().await.unwrap(), &nothing));
    assert!(log.source().read(&end(&held), 1).await.unwrap().is_empty());
}

pub(crate) async fn what_comes_while_it_is_read_comes_once_and_in_order(mut log: impl Log) {
    let mut held = Held::new();
    let (mut read, mut from) = (Held::new(), Position::default());
    for round in 0..20 {
        let messages: Vec<String> = (0..round * 7).map(|i| format!("{round}.{i}")).collect();
        let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
        append(&mut log, &mut held, Stream::Orders, &messages).await;
        append(&mut log, &mut held, Stream::Redemptions, &messages[..round / 2]).await;
        let bytes = if round % 3 == 0 { 1 } else { 100 };
        for segment in log.source().read(&from, bytes).await.unwrap() {
            for (offset, _, message) in segment.messages().unwrap().iter().filter(|m| m.0 >= from.next(segment.partition)) {
                read.entry(segment.partition).or_default().push((offset, String::from_utf8_lossy(message).into_owned()));
            }
            from.advance(segment.partition, segment.next_offset);
        }
    }
    for (partition, messages) in told(log.source(), from, 1 << 20).await {
        read.entry(partition).or_default().extend(messages);
    }
    assert_eq!(read, held);
}

pub(crate) async fn reading_beyond_the_end_is_an_error(mut log: impl Log) {
    let partition = log.append(Stream::Orders, &["a"]).await[0].0;
    let beyond = Position([(partition, 2)].into());
    assert!(matches!(log.source().read(&beyond, 1).await, Err(Error::Ahead { from: 2, end: 1, .. })));
}

pub(crate) async fn what_is_pruned_is_an_error_and_not_a_gap(mut log: impl Log) {
    let mut held = Held::new();
    for _ in 0..4 {
        append(&mut log, &mut held, Stream::Orders, &["a"]).await;
    }
    let (partition, messages) = held.pop_first().unwrap();
    let at = |next: i64| Position([(partition, next)].into());
    log.forget(&at(2)).await;
    assert!(same(&log.source().start().await.unwrap(), &at(2)));
    assert!(matches!(log.source().read(&at(1), 1).await, Err(Error::Pruned { from: 1, pruned_to: 2, .. })));
    assert_eq!(told(log.source(), at(2), 1).await, Held::from([(partition, messages[2..].to_vec())]));
    assert!(same(&log.source().end().await.unwrap(), &at(4)));
}

pub(crate) async fn waiting_ends_when_something_comes(mut log: impl Log) {
    let short = Duration::from_millis(20);
    let mut at = Position::default();
    assert!(tokio::time::timeout(short, log.source().wait(&at)).await.is_err(), "nothing came");
    for _ in 0..3 {
        let (partition, offset) = log.append(Stream::Orders, &["a"]).await[0];
        log.source().wait(&at).await.unwrap();
        // Waiting took nothing away.
        let before = told(log.source(), at.clone(), 1).await;
        assert_eq!(before, Held::from([(partition, vec![(offset, "a".to_owned())])]));
        at.advance(partition, offset + 1);
        assert!(tokio::time::timeout(short, log.source().wait(&at)).await.is_err(), "nothing more came");
    }
}

pub(crate) async fn a_new_log_has_another_id(one: impl Log, other: impl Log) {
    let id = |log: &dyn Source| log.log_ids().0.values().next().cloned().unwrap();
    assert_ne!(id(one.source()), id(other.source()));
}
