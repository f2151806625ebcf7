//! Where commands that write events put them: the log of the folder, opened here or through the process that has it open.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use datasets::Chunk;
use event::SystemClock;
use eventlog::{OutboxSource, Relay, RelayConfig};
use ledger::{Ledger, LogSegment};
use tokio::sync::mpsc;

use crate::config::{KafkaLog, LogConfig, Setup};
use crate::folder::{Folder, FolderError};
use crate::kafka;
use crate::node::{Node, NodeConfig};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Chunks per transaction: 16 × 4,096 events make the fsync cheap and a transaction of about 4 MB.
const CHUNKS_AT_ONCE: usize = 16;

/// A relay that got nothing acknowledged for so long stands still: brokers that restart are back sooner.
const RELAY_STALLED: Duration = Duration::from_secs(60);

/// The log of a data folder.
pub enum Log {
    /// This process has the folder.
    Here(Box<Node>),
    /// This process has the folder, and nothing reads the log.
    Ledger(Folder, Ledger),
    /// This process has the folder, and relays to Kafka.
    Relayed(Folder, Ledger, Relay),
    /// Another process has it, and its door is open.
    There(Door),
}

/// The HTTP door of the process that has the folder.
#[derive(Clone)]
pub struct Door {
    address: String,
    token: String,
    agent: ureq::Agent,
}

impl Log {
    /// Opens the folder's log, here or there.
    pub async fn open(setup: &Setup) -> Result<Log, Failure> {
        match Folder::open(&setup.data) {
            Ok(folder) => match &setup.log {
                LogConfig::Outbox => Ok(Log::Here(Box::new(Node::start(folder, setup, NodeConfig::default()).await?))),
                LogConfig::Kafka(log) => Log::relayed(folder, log).await,
            },
            Err(FolderError::Held { path, holder }) => match (&holder.address, &holder.token) {
                (Some(address), Some(token)) => Ok(Log::There(Door::new(address, token))),
                _ => Err(FolderError::Held { path, holder }.into()),
            },
            Err(e) => Err(e.into()),
        }
    }

    async fn relayed(folder: Folder, log: &KafkaLog) -> Result<Log, Failure> {
        // Before anything is recorded: what goes nowhere should not be on its way.
        drop(kafka::open(&log.kafka).await?);
        let ledger = crate::node::open_ledger(&folder, Arc::new(SystemClock)).await?;
        // Whoever asks the folder finds a lake without tables, and the topics.
        std::fs::create_dir_all(folder.path().join("lake"))?;
        let outbox = Arc::new(OutboxSource::open(ledger.path(), Some(ledger.end()))?);
        let relay = Relay::start(ledger.path(), outbox, log.kafka.clone(), RelayConfig::default()).await?;
        Ok(Log::Relayed(folder, ledger, relay))
    }

    /// Opens the log without bringing it into the lake; another process must not have the folder.
    pub async fn open_ledger(data: &Path) -> Result<Log, Failure> {
        let folder = Folder::open(data)?;
        let ledger = crate::node::open_ledger(&folder, Arc::new(SystemClock)).await?;
        Ok(Log::Ledger(folder, ledger))
    }

    /// Appends everything that `chunks` brings, in order; returns how many events that were. `done` is told after each
    /// transaction.
    pub async fn append_all(&self, mut chunks: mpsc::Receiver<Chunk>, mut done: impl FnMut(u64)) -> Result<u64, Failure> {
        let mut total = 0;
        let mut group = Vec::with_capacity(CHUNKS_AT_ONCE);
        while chunks.recv_many(&mut group, CHUNKS_AT_ONCE).await > 0 {
            let batch = std::mem::take(&mut group);
            let count: u64 = batch.iter().map(|c| u64::from(c.count)).sum();
            let ledger = match self {
                Log::Here(node) => &node.app().ledger,
                Log::Ledger(_, ledger) | Log::Relayed(_, ledger, _) => ledger,
                Log::There(door) => {
                    let door = door.clone();
                    tokio::task::spawn_blocking(move || batch.iter().try_for_each(|chunk| door.append(chunk))).await??;
                    total += count;
                    done(count);
                    continue;
                }
            };
            let segments = tokio::task::spawn_blocking(move || batch.iter().map(segment).collect()).await?;
            ledger.append(segments).await?;
            total += count;
            done(count);
        }
        Ok(total)
    }

    /// Commits or relays what was appended, where that is ours to do, and lets go of the folder.
    pub async fn close(self) -> Result<(), Failure> {
        match self {
            Log::Here(node) => node.stop().await,
            Log::Relayed(folder, ledger, relay) => {
                let relayed = relay_all(&relay, *ledger.end().borrow()).await;
                relay.stop().await;
                ledger.close().await?;
                drop(folder);
                relayed
            }
            Log::Ledger(folder, ledger) => {
                ledger.close().await?;
                drop(folder);
                Ok(())
            }
            Log::There(_) => Ok(()),
        }
    }
}

/// Waits until everything below `end` is in the topics, as long as the relay gets on.
async fn relay_all(relay: &Relay, end: i64) -> Result<(), Failure> {
    let mut relayed = relay.relayed();
    while *relayed.borrow_and_update() < end {
        if !matches!(tokio::time::timeout(RELAY_STALLED, relayed.changed()).await, Ok(Ok(()))) {
            let why = relay.status().last_error.map(|why| format!(" ({why})")).unwrap_or_default();
            let left = end - *relayed.borrow();
            let said = "are recorded and not in Kafka yet; `hexiao serve` relays them once it can be reached";
            return Err(format!("{left} messages {said}{why}").into());
        }
    }
    Ok(())
}

/// A chunk as the log stores it.
pub fn segment(chunk: &Chunk) -> LogSegment {
    LogSegment { stream: chunk.stream, count: chunk.count, zstd_lines: chunk.compress() }
}

/// An HTTP client for a process of ours: a refusal is an answer, not an error.
pub fn agent(timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(timeout)).build().new_agent()
}

impl Door {
    fn new(address: &str, token: &str) -> Self {
        Door { address: address.to_owned(), token: token.to_owned(), agent: agent(Duration::from_secs(60)) }
    }

    fn append(&self, chunk: &Chunk) -> Result<(), Failure> {
        let url = format!("http://{}/v1/log/{}", self.address, chunk.stream);
        let answer = self
            .agent
            .post(&url)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/x-ndjson")
            .header("content-encoding", "zstd")
            .send(chunk.compress().as_slice());
        let mut answer = answer.map_err(|e| format!("the process at {} did not answer: {e}", self.address))?;
        if answer.status().is_success() {
            return Ok(());
        }
        let said = answer.body_mut().read_to_string().unwrap_or_default();
        Err(format!("the process at {} refused the events ({}): {said}", self.address, answer.status()).into())
    }
}
