//! Which messages are acknowledged, and so up to where all are.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use tokio::sync::Notify;

use super::Shared;

/// Hears of each message what became of it.
pub(super) struct Acks {
    state: Arc<State>,
    shared: Arc<Shared>,
}

/// What one producer's messages came to.
#[derive(Debug)]
pub(super) struct State {
    window: Mutex<Window>,
    failed: Notify,
}

#[derive(Debug)]
struct Window {
    /// Everything below it is acknowledged.
    first: i64,
    /// From there on, whether each message that was sent is.
    acknowledged: VecDeque<bool>,
    failure: Option<KafkaError>,
}

impl Acks {
    /// Nothing is sent yet, and everything below `from` is acknowledged.
    pub(super) fn new(from: i64, shared: Arc<Shared>) -> Self {
        let window = Window { first: from, acknowledged: VecDeque::new(), failure: None };
        Acks { state: Arc::new(State { window: Mutex::new(window), failed: Notify::new() }), shared }
    }

    pub(super) fn state(&self) -> Arc<State> {
        self.state.clone()
    }
}

impl State {
    /// The next message, at `offset`, is about to be sent; `false` if it must not be, because one before it failed.
    pub(super) fn sends(&self, offset: i64) -> bool {
        let mut window = self.window.lock();
        let count = offset + 1 - window.first;
        window.acknowledged.resize(count.max(0) as usize, false);
        window.failure.is_none()
    }

    /// Returns once a message can't be delivered.
    pub(super) async fn failed(&self) -> KafkaError {
        loop {
            let notified = self.failed.notified();
            if let Some(failure) = self.window.lock().failure.clone() {
                return failure;
            }
            notified.await;
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.window.lock().failure.is_some()
    }

    /// Notes what became of the message at `offset`; returns up to where all are acknowledged now, if that moved.
    fn note(&self, offset: i64, failure: Option<KafkaError>) -> Option<i64> {
        let mut window = self.window.lock();
        if let Some(failure) = failure {
            window.failure.get_or_insert(failure);
            self.failed.notify_waiters();
            return None;
        }
        let at = (offset - window.first) as usize;
        *window.acknowledged.get_mut(at)? = true;
        let before = window.first;
        while window.acknowledged.front() == Some(&true) {
            window.acknowledged.pop_front();
            window.first += 1;
        }
        (window.first > before).then_some(window.first)
    }
}

impl ClientContext for Acks {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }
}

impl ProducerContext for Acks {
    /// The message's offset in the log.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, offset: usize) {
        let failure = result.as_ref().err().map(|(error, _)| error.clone());
        if let Some(first) = self.state.note(offset as i64, failure) {
            self.shared.status.lock().last_error = None;
            // A producer that has ended may still hear of its last messages.
            self.shared.relayed.send_if_modified(|relayed| {
                let moved = first > *relayed;
                *relayed = first.max(*relayed);
                moved
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode;

    use super::*;

    #[test]
    fn it_moves_on_when_everything_below_is_acknowledged() {
        let window = Window { first: 5, acknowledged: VecDeque::new(), failure: None };
        let state = State { window: Mutex::new(window), failed: Notify::new() };
        assert!((5..9).all(|offset| state.sends(offset)));
        assert_eq!([6, 5, 8, 7].map(|offset| state.note(offset, None)), [None, Some(7), None, Some(9)]);
        assert!(state.sends(9));
        assert_eq!(state.note(9, Some(KafkaError::MessageProduction(RDKafkaErrorCode::Fail))), None);
        assert!(state.has_failed() && !state.sends(10));
    }
}
