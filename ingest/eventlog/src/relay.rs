//! The outbox to Kafka: what the ledger recorded, in its order, to the topics.
//!
//! Owns one promise: everything in the log is acknowledged by Kafka at least once, and the messages of one key stand there
//! in the log's order, apart from copies. How far it is stands in the ledger's own file; it moves on only when everything
//! below is acknowledged. After a crash some messages are sent again: their events' ids tell them from new ones.

mod acks;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event::Event;
use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rusqlite::Connection;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use crate::error::{Result, attempt};
use crate::kafka::{KafkaConfig, failed};
use crate::{Error, Partition, Position, Segment, Source, outbox};
use acks::Acks;

/// Under this name the ledger's file says how far the relay is.
const TARGET: &str = "kafka";

/// Messages and bytes that wait for their acknowledgement. 100,000 of 437 B are 44 MB; what is more waits in the log.
const IN_FLIGHT_MESSAGES: usize = 100_000;
const IN_FLIGHT_KB: usize = 64 << 10;

/// While that many wait, room is looked for this often.
const FULL: Duration = Duration::from_millis(5);

/// Asked to stop, the relay waits this long for what it has sent: a broker that is there answers in milliseconds, and what
/// is not acknowledged is sent again by the next run.
const LAST_ACKS: Duration = Duration::from_secs(5);

/// The ledger's writer holds the write lock for milliseconds; after 5 s something else is wrong.
const BUSY: Duration = Duration::from_secs(5);

/// Doublings of `retry_after` while the same thing keeps failing.
const RETRY_DOUBLINGS: u32 = 5;

type Sender = ThreadedProducer<Acks>;

/// When to remember, how much to read, how to try again.
#[derive(Clone, Copy, Debug)]
pub struct RelayConfig {
    /// How far the relay is is written down this often: each time is a commit of the ledger's file, and after a crash so much
    /// is sent again.
    pub remember_every: Duration,
    /// Whether the log may forget what was relayed. It may unless something else reads it.
    pub prune: bool,
    /// Bytes of the log, as stored, read at a time: 1 MiB of compressed segments is about 25,000 events.
    pub read_bytes: usize,
    /// Waits this long after a failure, doubling up to 32 times as long.
    pub retry_after: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        RelayConfig {
            remember_every: Duration::from_secs(1),
            prune: true,
            read_bytes: 1 << 20,
            retry_after: Duration::from_secs(1),
        }
    }
}

/// What the relay says about itself.
#[derive(Clone, Debug, Default)]
pub struct RelayStatus {
    /// The last thing that failed, with its causes; `None` once something was acknowledged again.
    pub last_error: Option<String>,
}

/// A running relay. Dropping it ends it at once; nothing is lost, the log has it.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Everything below it is acknowledged.
    relayed: watch::Sender<i64>,
    status: Mutex<RelayStatus>,
    stopping: AtomicBool,
    ledger: Mutex<Connection>,
}

impl Relay {
    /// Starts to relay `source`, the outbox in the ledger's file at `ledger`, from where the last run ended or from the log's
    /// beginning.
    ///
    /// # Errors
    /// [`Error::Pruned`] or [`Error::Ahead`] if the log no longer, or not yet, has what comes next: the file is older or
    /// newer than what Kafka has got.
    pub async fn start(ledger: &Path, source: Arc<dyn Source>, kafka: KafkaConfig, config: RelayConfig) -> Result<Relay> {
        let open = || -> rusqlite::Result<Connection> {
            let conn = Connection::open(ledger)?;
            conn.busy_timeout(BUSY)?;
            conn.pragma_update(None, "synchronous", "FULL")?;
            Ok(conn)
        };
        let conn = open().map_err(attempt("open the log"))?;
        let (start, end) = (source.start().await?.next(Partition::WHOLE), source.end().await?.next(Partition::WHOLE));
        let from = outbox::relayed_to(&conn, TARGET)?.unwrap_or(start);
        let (log, partition) = (Partition::WHOLE.log(), Partition::WHOLE);
        if from < start {
            return Err(Error::Pruned { log, partition, from, pruned_to: start });
        }
        if from > end {
            return Err(Error::Ahead { log, partition, from, end });
        }
        let relayed = watch::Sender::new(from);
        let shared = Shared { relayed, status: Mutex::default(), stopping: AtomicBool::new(false), ledger: Mutex::new(conn) };
        let (shared, stop) = (Arc::new(shared), watch::Sender::new(false));
        info!(offset = from, "The relay starts");
        let work = Work { shared: shared.clone(), source, kafka, config };
        let task = tokio::spawn(work.run(stop.subscribe()));
        Ok(Relay { shared, stop, task: Some(task) })
    }

    /// Shows up to where everything is acknowledged by Kafka.
    pub fn relayed(&self) -> watch::Receiver<i64> {
        self.shared.relayed.subscribe()
    }

    /// How it is.
    pub fn status(&self) -> RelayStatus {
        self.shared.status.lock().clone()
    }

    /// Waits for what was sent to be acknowledged, remembers how far it came, and stops.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

struct Work {
    shared: Arc<Shared>,
    source: Arc<dyn Source>,
    kafka: KafkaConfig,
    config: RelayConfig,
}

impl Work {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut failures = 0;
        loop {
            let before = *self.shared.relayed.borrow();
            let (ended, remembering) = (self.session(&mut stop), self.remember());
            let ended = tokio::select! { ended = ended => ended, () = remembering => unreachable!("it goes on for ever") };
            let relayed = *self.shared.relayed.borrow();
            if let Err(failure) = self.write_down(relayed).await {
                self.note(&failure);
            }
            match ended {
                Ok(()) => break,
                Err(failure) => self.note(&failure),
            }
            failures = if relayed > before { 1 } else { failures + 1 };
            let wait = self.config.retry_after * 2u32.pow(RETRY_DOUBLINGS.min(failures - 1));
            tokio::select! { _ = tokio::time::sleep(wait) => {}, _ = stop.wait_for(|stop| *stop) => break }
        }
        info!(offset = *self.shared.relayed.borrow(), "The relay stopped");
    }

    fn note(&self, failure: &Error) {
        let cause = std::error::Error::source(failure).map(|cause| format!(": {cause}")).unwrap_or_default();
        warn!(error = format!("{failure}{cause}"), "The relay failed and tries again");
        self.shared.status.lock().last_error = Some(format!("{failure}{cause}"));
    }

    /// Relays with one producer until told to stop, or until something fails for good. Another producer then begins again at
    /// the first message that is not acknowledged: had this one gone on, later messages of a key could stand before it.
    async fn session(&self, stop: &mut watch::Receiver<bool>) -> Result<()> {
        let from = *self.shared.relayed.borrow();
        let acks = Acks::new(from, self.shared.clone());
        let state = acks.state();
        let mut client = self.kafka.client();
        // Acknowledged by all replicas in sync, written once, in order, and tried for as long as it takes.
        client.set("enable.idempotence", "true").set("acks", "all").set("message.timeout.ms", "0");
        // What can't be written stops the producer: nothing may pass it.
        client.set("enable.gapless.guarantee", "true");
        client.set("compression.type", "zstd").set("linger.ms", "5");
        // As Kafka's own clients: what an outside producer writes with the same key goes to the same partition.
        client.set("partitioner", "murmur2_random");
        // An event has 1 MiB at most; what a topic takes is the topic's own setting.
        client.set("message.max.bytes", (2 * event::MESSAGE_BYTES_LIMIT).to_string());
        client.set("queue.buffering.max.messages", IN_FLIGHT_MESSAGES.to_string());
        client.set("queue.buffering.max.kbytes", IN_FLIGHT_KB.to_string());
        let producer: Arc<Sender> = Arc::new(client.create_with_context(acks).map_err(failed("set up a Kafka producer"))?);
        let outcome = tokio::select! {
            fed = self.feed(&producer, from) => fed,
            failure = state.failed() => Err(failed("send to Kafka")(failure)),
            _ = stop.wait_for(|stop| *stop) => Ok(()),
        };
        let last_acks = if outcome.is_ok() { LAST_ACKS } else { Duration::ZERO };
        // Its end blocks.
        let _ = tokio::task::spawn_blocking(move || producer.flush(last_acks).inspect_err(|e| debug!(error = %e, "Left unsent")))
            .await;
        outcome
    }

    /// Sends what the log holds from `next` on, and what comes.
    async fn feed(&self, producer: &Arc<Sender>, mut next: i64) -> Result<()> {
        loop {
            let position = Position::single(next);
            let segments = self.source.read(&position, self.config.read_bytes).await?;
            let Some(last) = segments.last() else {
                self.source.wait(&position).await?;
                continue;
            };
            let upto = last.next_offset;
            let (producer, shared, kafka) = (producer.clone(), self.shared.clone(), self.kafka.clone());
            let sent = tokio::task::spawn_blocking(move || send(&producer, &shared, &kafka, &segments, next));
            sent.await.map_err(|_| Error::Stopped("the relay"))??;
            next = upto;
        }
    }

    /// Writes down how far it is, and lets the log forget.
    async fn remember(&self) {
        let mut relayed = self.shared.relayed.subscribe();
        let mut written = *relayed.borrow_and_update();
        loop {
            tokio::time::sleep(self.config.remember_every).await;
            let upto = *relayed.borrow_and_update();
            if upto == written {
                continue;
            }
            match self.write_down(upto).await {
                Ok(()) => written = upto,
                Err(failure) => {
                    self.note(&failure);
                    continue;
                }
            }
            let mut more = self.config.prune;
            while more {
                more = match self.source.prune(&Position::single(upto)).await {
                    Ok(more) => more,
                    Err(failure) => {
                        warn!(error = %failure, "The log could not be pruned; it is tried again later");
                        false
                    }
                };
                // Between chunks the ledger's writer gets its turn.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn write_down(&self, upto: i64) -> Result<()> {
        let shared = self.shared.clone();
        let written = tokio::task::spawn_blocking(move || outbox::note_relayed(&shared.ledger.lock(), TARGET, upto));
        written.await.map_err(|_| Error::Stopped("the relay"))?
    }
}

/// Sends the messages of `segments` from `next` on, waiting for room. Blocking work.
fn send(producer: &Sender, shared: &Shared, kafka: &KafkaConfig, segments: &[Segment], next: i64) -> Result<()> {
    let state = producer.context().state();
    for segment in segments {
        let topic = kafka.topic(segment.stream);
        let messages = segment.messages()?;
        for (offset, recorded_at, message) in messages.iter().filter(|(offset, ..)| *offset >= next) {
            // A message that is no event has nothing to be in order with.
            let key = Event::decode(segment.stream, message, recorded_at).ok().map(|event| event.key());
            let mut record = BaseRecord::<str, [u8], usize>::with_opaque_to(&topic, offset as usize).payload(message);
            record.key = key.as_deref();
            if !state.sends(offset) || shared.stopping.load(Ordering::Relaxed) {
                return Ok(());
            }
            loop {
                match producer.send(record) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                        record = back;
                        if shared.stopping.load(Ordering::Relaxed) || state.has_failed() {
                            return Ok(());
                        }
                        std::thread::sleep(FULL);
                    }
                    Err((error, _)) => return Err(failed(&format!("send the message at offset {offset}"))(error)),
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
