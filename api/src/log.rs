//! Where commands that write events put them: the log of the folder, opened here or through the process that has it open.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use datasets::Chunk;
use event::SystemClock;
use ledger::{Ledger, LogSegment};
use tokio::sync::mpsc;

use crate::folder::{Folder, FolderError};
use crate::node::{Node, NodeConfig};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Chunks per transaction: 16 × 4,096 events make the fsync cheap and a transaction of about 4 MB.
const CHUNKS_AT_ONCE: usize = 16;

/// The log of a data folder.
pub enum Log {
    /// This process has the folder.
    Here(Box<Node>),
    /// This process has the folder, and ingest is not running.
    Ledger(Folder, Ledger),
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
    pub async fn open(data: &Path) -> Result<Log, Failure> {
        match Folder::open(data) {
            Ok(folder) => Ok(Log::Here(Box::new(Node::start(folder, NodeConfig::default()).await?))),
            Err(FolderError::Held { path, holder }) => match (&holder.address, &holder.token) {
                (Some(address), Some(token)) => Ok(Log::There(Door::new(address, token))),
                _ => Err(FolderError::Held { path, holder }.into()),
            },
            Err(e) => Err(e.into()),
        }
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
                Log::Ledger(_, ledger) => ledger,
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

    /// Commits what was appended, where that is ours to do, and lets go of the folder.
    pub async fn close(self) -> Result<(), Failure> {
        match self {
            Log::Here(node) => node.stop().await,
            Log::Ledger(folder, ledger) => {
                ledger.close().await?;
                drop(folder);
                Ok(())
            }
            Log::There(_) => Ok(()),
        }
    }
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
