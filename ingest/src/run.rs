//! Ingest at work: one task reads the log (`reader`), one commits (`commit`).
//!
//! Reading runs ahead of committing by at most the tail's limit. What was read is published at once, so freshness never
//! waits for a commit; what was committed is published then, so that queries take it from the files and the rows are freed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use event::{Clock, Table};
use eventlog::{Counts, Intake, IntakeConfig, Position, Publisher, Source, chain};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::commit::Committer;
use crate::reader::Reader;
use crate::tail::Tail;
use crate::{Error, IngestConfig, Lake, Result, Status, TableStatus};

/// Doublings of `retry_after` while the same thing keeps failing.
const RETRY_DOUBLINGS: u32 = 5;

/// What both tasks see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) tail: Mutex<Tail>,
    /// Everything below it is in the tail or in a commit.
    pub(crate) taken: watch::Sender<Position>,
    /// Signals that the tail has room again.
    pub(crate) room: Notify,
    /// Signals that a commit is due.
    pub(crate) due: Notify,
    /// Commits the intake has not heard of.
    pub(crate) landed: Mutex<Vec<(Table, Position)>>,
    pub(crate) tables: Mutex<BTreeMap<Table, TableStatus>>,
    pub(crate) last_error: Mutex<Option<String>>,
    /// Why ingest gave up.
    pub(crate) ended: Mutex<Option<Arc<Error>>>,
    pub(crate) counts: Mutex<Counts>,
    /// Tells the reader to stop.
    pub(crate) stop: watch::Sender<bool>,
}

impl Shared {
    /// Notes a failure for whoever asks, and whether there is any use in going on.
    pub(crate) fn note(&self, failure: Error) -> Arc<Error> {
        let failure = Arc::new(failure);
        *self.last_error.lock() = Some(chain(&failure));
        if failure.fatal() {
            error!(error = chain(&failure), "Ingest gives up");
            self.ended.lock().get_or_insert_with(|| failure.clone());
            self.stop.send_replace(true);
            self.due.notify_one();
        } else {
            warn!(error = chain(&failure), "Ingest failed and tries again");
        }
        failure
    }

    /// Whoever holds it has a part of the work; if it ends, also by a panic, all ends.
    pub(crate) fn part(self: &Arc<Self>) -> Part {
        Part(self.clone())
    }

    pub(crate) fn ended(&self) -> Option<Error> {
        self.ended.lock().clone().map(|cause| Error::Ended(Some(cause)))
    }
}

/// See [`Shared::part`].
pub(crate) struct Part(Arc<Shared>);

impl Drop for Part {
    fn drop(&mut self) {
        if !*self.0.stop.borrow() {
            self.0.note(Error::Ended(None));
        }
    }
}

/// What can be asked of the committing task.
pub(crate) enum Command {
    /// Commit everything that is in the log by now.
    Flush(oneshot::Sender<Result<()>>),
    /// The same, and stop.
    Stop(oneshot::Sender<Result<()>>),
    /// Commit what was read, and stop.
    Leave(oneshot::Sender<Result<()>>),
}

/// A running ingest. Dropping it ends it without a last commit; nothing is lost, the log has it.
#[derive(Debug)]
pub struct Ingest {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

/// Starts to bring `source` into `lake`, telling `publisher` about every step.
///
/// # Errors
/// [`Error::BehindLog`], [`Error::AheadOfLog`] or [`Error::OtherLog`] if lake and log don't belong together.
pub async fn start(
    lake: Lake,
    source: Arc<dyn Source>,
    publisher: Arc<dyn Publisher>,
    clock: Arc<dyn Clock>,
    config: IngestConfig,
) -> Result<Ingest> {
    belong_together(&lake, source.as_ref()).await?;
    let intake = Intake::new(lake.files.clone(), lake.committed(), IntakeConfig { cached_ids: config.cached_ids });
    let (taken, _) = watch::channel(intake.position().clone());
    let shared = Arc::new(Shared {
        tail: Mutex::new(Tail::at(intake.position().clone())),
        taken,
        room: Notify::new(),
        due: Notify::new(),
        landed: Mutex::default(),
        tables: Mutex::default(),
        last_error: Mutex::default(),
        ended: Mutex::default(),
        counts: Mutex::default(),
        stop: watch::channel(false).0,
    });
    info!(position = %intake.position(), "Ingest starts");
    let (heard, others) = mpsc::channel(1);
    let (log, views, time) = (source.clone(), publisher.clone(), clock.clone());
    let reader = Reader { shared: shared.clone(), source: log, publisher: views, clock: time, config };
    let reader = tokio::spawn(reader.run(intake, others));
    let (commands, inbox) = mpsc::channel(16);
    let committer = Committer::new(lake, shared.clone(), source, publisher, clock, config, heard);
    tokio::spawn(serve(committer, shared.clone(), inbox, reader));
    Ok(Ingest { commands, shared })
}

impl Ingest {
    /// Returns once everything that is in the log by now is committed.
    pub async fn flush(&self) -> Result<()> {
        self.ask(Command::Flush).await
    }

    /// Commits what is in the log by now and stops.
    pub async fn stop(&self) -> Result<()> {
        self.ask(Command::Stop).await
    }

    /// Commits what was read, which others may go on from, and stops.
    pub async fn leave(&self) -> Result<()> {
        self.ask(Command::Leave).await
    }

    /// Returns once it has given up, with the reason.
    pub async fn ended(&self) -> Arc<Error> {
        let mut stop = self.shared.stop.subscribe();
        // The sender lives in `self`.
        let _ = stop.wait_for(|stop| *stop).await;
        self.shared.ended.lock().clone().unwrap_or_else(|| Arc::new(Error::Ended(None)))
    }

    /// How far it is.
    pub fn status(&self) -> Status {
        let tail = self.shared.tail.lock();
        let mut tables = self.shared.tables.lock().clone();
        for (table, status) in &mut tables {
            status.tail_rows = tail.count(*table);
        }
        Status {
            taken: tail.upto.clone(),
            tables,
            counts: *self.shared.counts.lock(),
            tail_bytes: tail.bytes,
            last_error: self.shared.last_error.lock().clone(),
            ended: self.shared.ended.lock().is_some(),
        }
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<Result<()>>) -> Command) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::Ended(self.shared.ended.lock().clone());
        self.commands.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Refuses a lake that was not filled from this log, or that the log can't continue.
async fn belong_together(lake: &Lake, source: &dyn Source) -> Result<()> {
    let (start, end) = (source.start().await?, source.end().await?);
    for (table, open) in &lake.tables {
        let (table, expected) = (*table, source.log_ids().feeding(*table));
        if open.log_ids != expected {
            return Err(Error::OtherLog { table, found: open.log_ids.clone(), expected });
        }
        for (partition, start) in start.feeding(table).0 {
            let (committed, end) = (open.committed.next(partition), end.next(partition));
            if committed < start {
                return Err(Error::BehindLog { table, partition, committed, start });
            }
            if committed > end {
                return Err(Error::AheadOfLog { table, partition, committed, end });
            }
        }
    }
    Ok(())
}

/// How long to wait after so many failures in a row.
pub(crate) fn retry_after(config: &IngestConfig, failures: u32) -> Duration {
    config.retry_after * 2u32.pow(failures.saturating_sub(1).min(RETRY_DOUBLINGS))
}

/// Commits when it is due, and answers commands, until told to stop or nobody can ask any more.
async fn serve(mut committer: Committer, shared: Arc<Shared>, mut inbox: mpsc::Receiver<Command>, reader: JoinHandle<()>) {
    let _part = shared.part();
    // A tick is how late a commit by time may be, and how soon a test's clock is noticed.
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            command = inbox.recv() => match command {
                Some(Command::Flush(reply)) => drop(reply.send(committer.flush().await)),
                Some(command @ (Command::Stop(_) | Command::Leave(_))) => {
                    let (done, reply) = match command {
                        Command::Leave(reply) => (committer.commit_taken().await, reply),
                        Command::Flush(reply) | Command::Stop(reply) => (committer.flush().await, reply),
                    };
                    shared.stop.send_replace(true);
                    let _ = reader.await;
                    committer.finish().await;
                    info!(position = %shared.tail.lock().upto, "Ingest stopped");
                    let _ = reply.send(done);
                    return;
                }
                None => break,
            },
            _ = shared.due.notified() => committer.when_due(true).await,
            _ = tick.tick() => committer.when_due(false).await,
        }
    }
    shared.stop.send_replace(true);
}
