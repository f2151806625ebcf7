//! The ledger: the truth of what may be redeemed now, and the log of what happened, in one SQLite file.
//!
//! Owns the operational state (catalog, members, orders, entitlements, codes, keys), its transactions, and the outbox rows
//! that go with them. What is allowed is `redemption`'s to say; records of the past are answered by `query`.
//!
//! [`Ledger`] speaks intent: [`Ledger::sell`], [`Ledger::redeem`], [`Ledger::put_catalog`]. Nothing of it shows rows or
//! SQLite, so that a PostgreSQL ledger can stand behind the same handle. Every write goes through one thread that commits
//! many commands at once; see `writer`.

mod catalog;
mod config;
mod cut;
mod entitlements;
mod error;
mod event_ids;
mod file;
mod idempotency;
mod keys;
mod load;
mod lockouts;
mod look_up;
mod members;
mod orders;
mod redeem;
mod refusals;
mod sell;
mod stranded;
mod sweep;
mod totals;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use event::Clock;
use parking_lot::Mutex;
use redemption::Secret;
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub use catalog::{CatalogPut, CatalogVersion, catalog_entry};
pub use config::Config;
pub use cut::{Cut, Days, LedgerRow, cut, log_end, rows_of};
pub use error::{Error, Result};
pub use event::first_id_at;
pub use idempotency::Request;
pub use keys::{NewKey, Principal, Role};
pub use load::{LoadChunk, LoadLine, LoadOrder, LogSegment};
pub use members::{MemberEntry, MemberPut, MemberView};
pub use orders::{LineDetail, OrderDetail};
pub use redeem::{EntitlementLeft, Redeem, Redeemed, RedeemedUnit, Take, UnitValue};
pub use sell::{Sell, SellLine, Sold, SoldLine};
pub use stranded::{Stranded, StrandedHolder};
pub use sweep::Swept;
pub use totals::{Counted, Total, TotalOf, Totals, fingerprint, named_by, reduced};
pub use writer::Written;

use writer::{Job, Published, State, Work, Writer};

/// A handle to the ledger. Clones share it; the last one to go ends the writer, once it has done what waits.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    source: String,
    log_id: String,
    config: Arc<Config>,
    secret: Secret,
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    published: Arc<Published>,
    end: watch::Receiver<i64>,
    readers: Mutex<Vec<Connection>>,
    reading: Semaphore,
}

/// What the writer has done since the ledger was opened, and what waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Transactions committed.
    pub commits: u64,
    /// Transactions that failed.
    pub failed_commits: u64,
    /// Commands run in them.
    pub commands: u64,
    /// Time spent in them, commands and fsync together.
    pub commit_micros: u64,
    /// Commands waiting.
    pub waiting: usize,
}

impl Ledger {
    /// Opens the ledger in `path`, makes it if there is none, migrates an older one. Events are written under the name
    /// `source`, the same one for good. Whoever opens it must be the folder's one writing process.
    pub fn open(path: &Path, clock: Arc<dyn Clock>, source: &str, config: Config) -> Result<Ledger> {
        let conn = file::open_writer(path, &*clock, source, &config.home_zone)?;
        let secret = file::secret(&conn, path, config.secret)?;
        let config = Arc::new(config);
        let state = State::read(&conn, source, config.clone(), secret.clone())?;
        let published = Arc::new(Published::default());
        *published.catalog.write() = state.catalog.clone();
        *published.keys.write() = state.keys.clone();
        let log_id = eventlog::outbox::log_id(&conn)?;
        let (end_sender, end) = watch::channel(eventlog::outbox::end(&conn)?);
        let (queue, jobs) = mpsc::channel(config.queue_limit.max(1));
        let writer = Writer { conn, clock: clock.clone(), state, queue: jobs, published: published.clone(), end: end_sender };
        let thread = std::thread::Builder::new().name("ledger-writer".to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(Error::Thread)?;
        Ok(Ledger(Arc::new(Inner {
            path: path.to_owned(),
            clock,
            source: source.to_owned(),
            log_id,
            secret,
            queue: Mutex::new(Some(queue)),
            writer: Mutex::new(Some(thread)),
            published,
            end,
            readers: Mutex::new(Vec::new()),
            reading: Semaphore::new(config.readers.max(1)),
            config,
        })))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The name events are written under.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The random id of the log in this file.
    pub fn log_id(&self) -> &str {
        &self.0.log_id
    }

    /// The log's next offset after the latest commit, as it moves.
    pub fn end(&self) -> watch::Receiver<i64> {
        self.0.end.clone()
    }

    /// Figures for metrics.
    pub fn stats(&self) -> Stats {
        let counters = &self.0.published.counters;
        let waiting = self.0.queue.lock().as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity());
        Stats {
            commits: counters.commits.load(Ordering::Relaxed),
            failed_commits: counters.failed_commits.load(Ordering::Relaxed),
            commands: counters.commands.load(Ordering::Relaxed),
            commit_micros: counters.commit_micros.load(Ordering::Relaxed),
            waiting,
        }
    }

    /// Deletes the log below `below`, in small pieces between commits. How many segments went.
    pub async fn prune(&self, below: i64) -> Result<usize> {
        /// Segments of one piece: deleting 500 takes about 5 ms, which a clerk may wait behind.
        const PIECE: usize = 500;
        let mut pruned = 0;
        loop {
            let (reply, answer) = oneshot::channel();
            let job = Job::Alone(Box::new(move |conn: &Connection| {
                let _ = reply.send(eventlog::outbox::prune(conn, below, PIECE));
            }));
            self.send(job).await?;
            match answer.await.map_err(|_| Error::Closed)?? {
                0 => return Ok(pruned),
                n => pruned += n,
            }
        }
    }

    /// Does what waits, then closes the file. Commands that come later fail with [`Error::Closed`].
    pub async fn close(&self) -> Result<()> {
        self.0.queue.lock().take();
        let thread = self.0.writer.lock().take();
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || {
            if let Some(thread) = thread {
                let _ = thread.join();
            }
            inner.readers.lock().clear();
        })
        .await
        .map_err(|_| Error::Broken)
    }

    async fn send(&self, job: Job) -> Result<()> {
        let queue = self.0.queue.lock().clone().ok_or(Error::Closed)?;
        queue.send(job).await.map_err(|_| Error::Closed)
    }

    /// Runs a command at the writer; returns once it is durable.
    async fn write<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Work<'_>) -> Result<Written<T>> + Send + 'static,
    ) -> Result<Written<T>> {
        let (reply, answer) = oneshot::channel();
        self.send(writer::grouped(reply, body)).await?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Runs a look-up on a connection of its own, beside the writer.
    async fn read<T: Send + 'static>(&self, body: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        let _turn = self.0.reading.acquire().await.map_err(|_| Error::Closed)?;
        let inner = self.0.clone();
        let look_up = move || {
            let pooled = inner.readers.lock().pop();
            let conn = pooled.map_or_else(|| file::open_reader(&inner.path), Ok)?;
            // One transaction: what it reads belongs together, whatever is committed in between.
            let failed = error::attempt("read the ledger");
            conn.prepare_cached("BEGIN").and_then(|mut s| s.execute([])).map_err(&failed)?;
            let found = body(&conn);
            conn.prepare_cached("COMMIT").and_then(|mut s| s.execute([])).map_err(&failed)?;
            inner.readers.lock().push(conn);
            found
        };
        tokio::task::spawn_blocking(look_up).await.map_err(|_| Error::Broken)?
    }

    fn published(&self) -> &Published {
        &self.0.published
    }

    fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    fn config(&self) -> &Config {
        &self.0.config
    }

    fn secret(&self) -> &Secret {
        &self.0.secret
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.lock().take();
        if let Some(thread) = self.writer.lock().take() {
            // The writer drops its queue once it is empty; nothing is lost that was accepted.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("path", &self.0.path).field("source", &self.0.source).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
