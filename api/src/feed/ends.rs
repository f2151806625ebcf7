//! What the brokers say of the topics, asked for once for all who want to know.
//!
//! While brokers don't answer, a question blocks a thread for seconds: with one per request of HTTP there would soon be none
//! left for the till.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use event::Instant;
use eventlog::kafka::{KafkaConfig, KafkaSource};
use eventlog::{Partition, Position, Source};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::kafka::{self, Unopened};
use eventlog::chain;

/// Asked this often when nobody wants to know: metrics are that old at most.
const EVERY: Duration = Duration::from_secs(1);

/// When the first uncommitted messages were recorded takes a request and a message per partition: metrics about hours can be
/// that old.
const RECORDED_EVERY: Duration = Duration::from_secs(15);

/// Where the topics begin and end.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    /// First offsets that are left.
    pub start: Position,
    /// Next offsets.
    pub end: Position,
    /// When the first message that is not committed was recorded, of partitions with one.
    pub uncommitted_since: BTreeMap<Partition, Instant>,
    /// What failed, while it fails.
    pub error: Option<String>,
    /// The last question that this answers.
    answers: u64,
}

impl Ends {
    /// Partitions of which the log no longer has what comes after `position`.
    pub fn pruned_beyond(&self, position: &Position) -> impl Iterator<Item = Partition> {
        let beyond = self.start.0.iter().filter(|(partition, start)| **start > position.next(**partition));
        beyond.map(|(partition, _)| *partition).collect::<Vec<_>>().into_iter()
    }
}

/// How far lake and Views are with the topics.
pub struct Known {
    /// The lake holds everything below it.
    pub committed: Position,
    /// Answers include everything below it.
    pub visible: Position,
}

/// Tells it.
type Know = Arc<dyn Fn() -> Known + Send + Sync>;

/// Asks, for whoever wants to know. Dropping it ends that.
#[derive(Debug)]
pub struct Asking {
    ends: watch::Receiver<Ends>,
    asked: Arc<(AtomicU64, Notify)>,
    tasks: [JoinHandle<()>; 2],
}

impl Asking {
    /// Asks about the topics of `kafka`.
    ///
    /// # Errors
    /// [`Unopened`] if they can't be reached.
    pub async fn start(kafka: &KafkaConfig, know: Know) -> Result<Self, Unopened> {
        // A source of its own: on the connection of one that reads, a question waits until the broker has something to read,
        // half a second.
        let source = kafka::open(kafka).await?;
        let (publish, ends) = watch::channel(Ends::default());
        let asked = Arc::new((AtomicU64::new(0), Notify::new()));
        let asking = ask(source, kafka.clone(), know.clone(), publish.clone(), asked.clone());
        let tasks = [tokio::spawn(asking), tokio::spawn(look_how_old(kafka.clone(), know, publish))];
        Ok(Asking { ends, asked, tasks })
    }

    /// As they were when somebody asked last.
    pub fn known(&self) -> Ends {
        self.ends.borrow().clone()
    }

    /// As they are now; waits for brokers that don't answer.
    pub async fn now(&self) -> Ends {
        let question = self.asked.0.fetch_add(1, Ordering::AcqRel) + 1;
        self.asked.1.notify_one();
        let mut ends = self.ends.clone();
        let answer = ends.wait_for(|ends| ends.answers >= question).await.map(|ends| ends.clone());
        match answer {
            Ok(ends) => ends,
            // It has ended, with the process.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn ask(
    mut source: KafkaSource,
    kafka: KafkaConfig,
    know: Know,
    publish: watch::Sender<Ends>,
    asked: Arc<(AtomicU64, Notify)>,
) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let ticked = tokio::select! { () = asked.1.notified() => false, _ = tick.tick() => true };
        let question = asked.0.load(Ordering::Acquire);
        let end = source.end().await;
        // Where they begin is for metrics and alarms: whoever asks waits for the ends alone.
        let start = if ticked { Some(source.start().await) } else { None };
        let (end, start) = match (end, start.transpose()) {
            (Ok(end), Ok(start)) => (end, start),
            (Err(failure), _) | (_, Err(failure)) => {
                publish.send_modify(|ends| ends.error = Some(chain(&failure)));
                // Questions stay open: the next try answers them.
                tokio::time::sleep(EVERY).await;
                asked.1.notify_one();
                continue;
            }
        };
        // Partitions are those of when it was opened: one that was added since is known to those who read it.
        if !know().visible.0.keys().all(|partition| end.0.contains_key(partition))
            && let Ok(anew) = kafka::open(&kafka).await
        {
            source = anew;
            asked.1.notify_one();
        }
        publish.send_modify(|ends| {
            ends.end = end;
            ends.start = start.unwrap_or(std::mem::take(&mut ends.start));
            ends.error = None;
            ends.answers = question;
        });
    }
}

/// Looks how old is what waits, in a task of its own: that may take seconds.
async fn look_how_old(kafka: KafkaConfig, know: Know, publish: watch::Sender<Ends>) {
    let mut ends = publish.subscribe();
    while ends.changed().await.is_ok() {
        let Ends { start, end, .. } = ends.borrow_and_update().clone();
        match kafka::uncommitted_since(&kafka, &know().committed, &start, &end).await {
            Ok(since) => publish.send_modify(|ends| ends.uncommitted_since = since),
            Err(failure) => tracing::debug!(error = chain(&failure), "Nobody knows how old what waits is"),
        }
        tokio::time::sleep(RECORDED_EVERY).await;
    }
}
