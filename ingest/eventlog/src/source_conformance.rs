//! What every source promises, written once; each implementation runs all of it.

use std::time::Duration;

use event::Stream;

use crate::{Error, Position, Source};

/// A log under test: something to append with, and the source that reads it.
pub(crate) trait Log {
    fn source(&self) -> &dyn Source;
    /// Appends to the one partition, 0.
    fn append(&mut self, stream: Stream, messages: &[&str]);
}

/// Everything from `from` on, as `offset=message`.
async fn told(source: &dyn Source, mut from: Position, max_bytes: usize) -> Vec<String> {
    let mut out = Vec::new();
    loop {
        let segments = source.read(&from, max_bytes).await.unwrap();
        if segments.is_empty() {
            return out;
        }
        for segment in segments {
            let messages = segment.messages().unwrap();
            for (offset, message) in messages.iter().filter(|(offset, _)| *offset >= from.next(0)) {
                out.push(format!("{offset}={}", String::from_utf8_lossy(message)));
            }
            from.advance(0, segment.next_offset());
        }
    }
}

pub(crate) async fn reads_what_was_appended(mut log: impl Log) {
    assert!(told(log.source(), Position::single(0), 1).await.is_empty());
    log.append(Stream::Orders, &["a"]);
    log.append(Stream::Members, &["b", "c", "d"]);
    log.append(Stream::Orders, &["e"]);
    for max_bytes in [1, 1 << 20] {
        assert_eq!(told(log.source(), Position::single(0), max_bytes).await, ["0=a", "1=b", "2=c", "3=d", "4=e"]);
        assert_eq!(told(log.source(), Position::single(2), max_bytes).await, ["2=c", "3=d", "4=e"]);
    }
    assert_eq!(log.source().end().await.unwrap(), Position::single(5));
    assert_eq!(log.source().start().await.unwrap(), Position::single(0));
    assert!(log.source().read(&Position::single(5), 1).await.unwrap().is_empty());
}

pub(crate) async fn reading_beyond_the_end_is_an_error(mut log: impl Log) {
    log.append(Stream::Orders, &["a"]);
    assert!(matches!(log.source().read(&Position::single(2), 1).await, Err(Error::Ahead { from: 2, end: 1 })));
}

pub(crate) async fn what_is_pruned_is_an_error_and_not_a_gap(mut log: impl Log) {
    for _ in 0..4 {
        log.append(Stream::Orders, &["a"]);
    }
    while log.source().prune(&Position::single(2)).await.unwrap() {}
    assert_eq!(log.source().start().await.unwrap(), Position::single(2));
    assert!(matches!(log.source().read(&Position::single(1), 1).await, Err(Error::Pruned { from: 1, pruned_to: 2 })));
    assert_eq!(told(log.source(), Position::single(2), 1).await, ["2=a", "3=a"]);
    assert_eq!(log.source().end().await.unwrap(), Position::single(4));
}

pub(crate) async fn waiting_ends_when_something_comes(mut log: impl Log) {
    let short = Duration::from_millis(20);
    assert!(tokio::time::timeout(short, log.source().wait(&Position::single(0))).await.is_err(), "nothing came");
    log.append(Stream::Orders, &["a"]);
    log.source().wait(&Position::single(0)).await.unwrap();
    assert!(tokio::time::timeout(short, log.source().wait(&Position::single(1))).await.is_err(), "nothing more came");
}

pub(crate) async fn a_new_log_has_another_id(one: impl Log, other: impl Log) {
    assert_ne!(one.source().log_id(), other.source().log_id());
}
