//! The one writer: takes what waits, runs each command in its own savepoint of one transaction, commits once, then answers.
//!
//! Group commit is what makes an fsync per acknowledgement affordable: while one commit is on its way to the disk, the next
//! commands gather. No answer leaves before the commit that holds it has returned (invariant 3). State, log entries and
//! idempotency keys change in the same transaction.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use event::{Clock, Event, Instant, Stream};
use eventlog::outbox;
use parking_lot::RwLock;
use redemption::Secret;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use crate::catalog::Catalog;
use crate::entitlements::TermsCache;
use crate::error::{Error, Result, attempt, refused};
use crate::event_ids::EventIds;
use crate::keys::Keys;
use crate::totals::{self, Counted, Total};
use crate::{Config, LogSegment};

/// What a write comes to, once it is durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Written<T> {
    /// What came of it.
    pub outcome: T,
    /// The log's next offset after it: a query that has read up to here sees it.
    pub position: i64,
    /// Whether this is the stored outcome of an earlier call with the same key (R2).
    pub repeated: bool,
}

impl<T> Written<T> {
    /// The same write with its outcome turned into another.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Written<U> {
        Written { outcome: f(self.outcome), position: self.position, repeated: self.repeated }
    }
}

/// What readers see of the writer's memory: as of the last commit.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub(crate) catalog: RwLock<Arc<Catalog>>,
    pub(crate) keys: RwLock<Arc<Keys>>,
    pub(crate) counters: Counters,
}

/// What the writer has done since it was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) commands: AtomicU64,
    pub(crate) failed_commits: AtomicU64,
    pub(crate) commit_micros: AtomicU64,
}

/// What waits for the writer.
pub(crate) enum Job {
    /// Runs in the common transaction.
    Grouped(Box<dyn Grouped>),
    /// Runs between transactions, with its own.
    Alone(Box<dyn FnOnce(&Connection) + Send>),
}

/// A command in the common transaction.
pub(crate) trait Grouped: Send {
    /// Runs it; `false` asks for its savepoint to be rolled back.
    fn run(&mut self, work: &mut Work<'_>) -> bool;
    /// Answers it, the commit having come to `commit`.
    fn answer(self: Box<Self>, commit: Result<(), Arc<Error>>);
}

struct Command<T, F> {
    body: Option<F>,
    outcome: Result<Written<T>>,
    reply: oneshot::Sender<Result<Written<T>>>,
}

impl<T: Send, F> Grouped for Command<T, F>
where
    F: FnOnce(&mut Work<'_>) -> Result<Written<T>> + Send,
{
    fn run(&mut self, work: &mut Work<'_>) -> bool {
        if let Some(body) = self.body.take() {
            self.outcome = catch_unwind(AssertUnwindSafe(|| body(work))).unwrap_or(Err(Error::Broken));
        }
        self.outcome.is_ok()
    }

    fn answer(self: Box<Self>, commit: Result<(), Arc<Error>>) {
        let answer = match (self.outcome, commit) {
            (Ok(_), Err(fault)) => Err(Error::Commit(fault)),
            (outcome, _) => outcome,
        };
        // Whoever asked may have gone; with the same key they learn the outcome.
        let _ = self.reply.send(answer);
    }
}

/// Wraps a command for the queue.
pub(crate) fn grouped<T: Send + 'static>(
    reply: oneshot::Sender<Result<Written<T>>>,
    body: impl FnOnce(&mut Work<'_>) -> Result<Written<T>> + Send + 'static,
) -> Job {
    Job::Grouped(Box::new(Command { body: Some(body), outcome: Err(Error::Closed), reply }))
}

/// What a command has to work with.
pub(crate) struct Work<'w> {
    pub(crate) conn: &'w Connection,
    pub(crate) now: Instant,
    pub(crate) state: &'w mut State,
}

/// What the writer keeps in memory.
pub(crate) struct State {
    pub(crate) source: Arc<str>,
    pub(crate) config: Arc<Config>,
    pub(crate) secret: Secret,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) terms: TermsCache,
    pub(crate) ids: EventIds,
    /// What this transaction appends to the log, in order.
    entries: Vec<Entry>,
    /// The log's end after `entries`.
    position: i64,
}

enum Entry {
    Message(Stream, Vec<u8>),
    Segment(LogSegment),
}

impl Entry {
    fn count(&self) -> i64 {
        match self {
            Entry::Message(..) => 1,
            Entry::Segment(segment) => i64::from(segment.count),
        }
    }
}

impl Work<'_> {
    /// A new id: for an event, an order, an entitlement.
    pub(crate) fn next_id(&mut self) -> i64 {
        self.state.ids.next(self.now)
    }

    /// The name events are written under.
    pub(crate) fn source(&self) -> String {
        self.state.source.to_string()
    }

    /// Appends an event to the log and adds it to the totals. One that the contract refuses was malformed input.
    pub(crate) fn emit(&mut self, event: &Event<'_>) -> Result<()> {
        event.check(self.now).map_err(refused)?;
        if let Some(counted) = Counted::of(event) {
            let mut one = Total::ZERO;
            one.add(counted.units, counted.fen, Some(counted.event_id));
            totals::add(self.conn, &counted.of, &one)?;
        }
        let mut message = Vec::with_capacity(512);
        event.encode(&mut message);
        self.state.position += 1;
        self.state.entries.push(Entry::Message(event.stream(), message));
        Ok(())
    }

    /// Appends messages that were compressed elsewhere.
    pub(crate) fn append(&mut self, segment: LogSegment) {
        let entry = Entry::Segment(segment);
        self.state.position += entry.count();
        self.state.entries.push(entry);
    }

    /// Wraps up an outcome with the position after everything so far.
    pub(crate) fn written<T>(&self, outcome: T) -> Written<T> {
        Written { outcome, position: self.state.position, repeated: false }
    }
}

impl State {
    pub(crate) fn read(conn: &Connection, source: &str, config: Arc<Config>, secret: Secret) -> Result<Self> {
        Ok(State {
            source: source.into(),
            catalog: Arc::new(Catalog::read(conn, &config.home_zone)?),
            keys: Arc::new(Keys::read(conn)?),
            config,
            secret,
            terms: TermsCache::default(),
            ids: EventIds::read(conn)?,
            entries: Vec::new(),
            position: outbox::end(conn)?,
        })
    }
}

/// The writer's thread.
pub(crate) struct Writer {
    pub(crate) conn: Connection,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) state: State,
    pub(crate) queue: mpsc::Receiver<Job>,
    pub(crate) published: Arc<Published>,
    pub(crate) end: watch::Sender<i64>,
}

impl Writer {
    /// Works until nobody can send any more.
    pub(crate) fn run(mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            let mut group = Vec::new();
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    Job::Grouped(command) => group.push(command),
                    Job::Alone(body) => {
                        self.commit_group(std::mem::take(&mut group));
                        if catch_unwind(AssertUnwindSafe(|| body(&self.conn))).is_err() {
                            tracing::error!("A task of the ledger's writer broke off");
                        }
                    }
                }
                next = if group.len() < self.state.config.group_limit { self.queue.try_recv().ok() } else { None };
            }
            self.commit_group(group);
        }
    }

    fn commit_group(&mut self, mut group: Vec<Box<dyn Grouped>>) {
        if group.is_empty() {
            return;
        }
        let started = std::time::Instant::now();
        let commit = self.transaction(&mut group).map_err(Arc::new);
        let counters = &self.published.counters;
        let commits = if commit.is_ok() { &counters.commits } else { &counters.failed_commits };
        commits.fetch_add(1, Ordering::Relaxed);
        counters.commands.fetch_add(group.len() as u64, Ordering::Relaxed);
        counters.commit_micros.fetch_add(started.elapsed().as_micros() as u64, Ordering::Relaxed);
        match &commit {
            Ok(()) => self.publish(),
            Err(fault) => {
                tracing::error!(error = %fault, commands = group.len(), "The ledger could not commit");
                self.restore();
            }
        }
        for command in group {
            command.answer(commit.clone());
        }
    }

    fn transaction(&mut self, group: &mut [Box<dyn Grouped>]) -> Result<()> {
        let failed = attempt("commit to the ledger");
        let (conn, state) = (&self.conn, &mut self.state);
        run(conn, "BEGIN IMMEDIATE").map_err(&failed)?;
        state.entries.clear();
        state.position = outbox::end(conn)?;
        for command in group {
            let (catalog, keys) = (state.catalog.clone(), state.keys.clone());
            let (entries, position) = (state.entries.len(), state.position);
            run(conn, "SAVEPOINT command").map_err(&failed)?;
            let mut work = Work { conn, now: self.clock.now(), state };
            if !command.run(&mut work) {
                if conn.is_autocommit() {
                    // A full disk or the like rolled back the whole transaction: nothing of this group holds.
                    return Err(Error::Broken);
                }
                run(conn, "ROLLBACK TO command").map_err(&failed)?;
                state.entries.truncate(entries);
                state.position = position;
                (state.catalog, state.keys) = (catalog, keys);
                state.terms.clear();
            }
            run(conn, "RELEASE command").map_err(&failed)?;
        }
        state.ids.save(conn)?;
        append(conn, &*self.clock, &mut state.entries)?;
        let position = outbox::end(conn)?;
        if position != state.position {
            return Err(Error::Damaged(format!("the log ends at {position} where {} was expected", state.position)));
        }
        run(conn, "COMMIT").map_err(&failed)
    }

    fn publish(&mut self) {
        if !Arc::ptr_eq(&self.published.catalog.read(), &self.state.catalog) {
            *self.published.catalog.write() = self.state.catalog.clone();
        }
        if !Arc::ptr_eq(&self.published.keys.read(), &self.state.keys) {
            *self.published.keys.write() = self.state.keys.clone();
        }
        let position = self.state.position;
        self.end.send_if_modified(|end| std::mem::replace(end, position) != position);
    }

    /// Back to what the last commit left.
    fn restore(&mut self) {
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "The ledger could not roll back");
        }
        // From the file, not from memory: the commit may have landed although it reported a fault.
        let catalog = Catalog::read(&self.conn, &self.state.config.home_zone);
        self.state.catalog = catalog.map_or_else(|_| self.published.catalog.read().clone(), Arc::new);
        self.state.keys = Keys::read(&self.conn).map_or_else(|_| self.published.keys.read().clone(), Arc::new);
        self.state.terms.clear();
        self.state.entries.clear();
        self.state.ids.unsaved();
    }
}

fn run(conn: &Connection, statement: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(statement)?.execute([]).map(|_| ())
}

/// Runs of messages of one stream share a segment; the order stays.
fn append(conn: &Connection, clock: &dyn Clock, entries: &mut Vec<Entry>) -> Result<()> {
    let mut run: Option<(Stream, Vec<Vec<u8>>)> = None;
    let flush = |run: &mut Option<(Stream, Vec<Vec<u8>>)>| match run.take() {
        Some((stream, messages)) => outbox::append(conn, clock, stream, &messages).map(|_| ()),
        None => Ok(()),
    };
    for entry in entries.drain(..) {
        match entry {
            Entry::Message(stream, message) => {
                if run.as_ref().is_some_and(|(s, _)| *s != stream) {
                    flush(&mut run)?;
                }
                run.get_or_insert_with(|| (stream, Vec::new())).1.push(message);
            }
            Entry::Segment(segment) => {
                flush(&mut run)?;
                outbox::append_segment(conn, clock, segment.stream, segment.count, &segment.zstd_lines)?;
            }
        }
    }
    Ok(flush(&mut run)?)
}
