//! The reading task: the log through the intake into the tail.
//!
//! Owns the intake. Whatever the intake is to hear, of commits of this process and of others, it hears here, between two
//! stretches of the log, so that no row slips through between being new and being known.

use std::path::PathBuf;
use std::sync::Arc;

use event::{Clock, Table};
use eventlog::{Intake, Publisher, Segment, Source, Taken};
use tokio::sync::{mpsc, oneshot};

use crate::run::{Shared, retry_after};
use crate::{Error, IngestConfig};

/// Files that other processes have committed to a table. The answer says whether rows that were read here stand in them.
pub(crate) struct Others {
    pub(crate) table: Table,
    pub(crate) files: Vec<(PathBuf, Option<String>)>,
    pub(crate) reply: oneshot::Sender<eventlog::Result<bool>>,
}

pub(crate) struct Reader {
    pub(crate) shared: Arc<Shared>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) publisher: Arc<dyn Publisher>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: IngestConfig,
}

impl Reader {
    /// Reads until told to stop.
    pub(crate) async fn run(self, mut intake: Intake, mut others: mpsc::Receiver<Others>) {
        let _part = self.shared.part();
        let mut stop = self.shared.stop.subscribe();
        let mut failures = 0;
        while !*stop.borrow_and_update() {
            let outcome = tokio::select! {
                biased;
                _ = stop.changed() => continue,
                heard = others.recv() => {
                    // The committer has ended.
                    let Some(Others { table, files, reply }) = heard else { return };
                    let Some((back, repeats)) = self.with(intake, move |intake| intake.landed(table, &files)).await else { return };
                    intake = back;
                    let _ = reply.send(repeats);
                    continue;
                }
                // Dropping a read or a wait loses nothing.
                more = self.more(&intake) => more,
            };
            let outcome = match outcome {
                Ok(None) => Ok(()),
                Ok(Some(segments)) => {
                    let Some((back, taken)) = self.with(intake, move |intake| intake.take(&segments)).await else { return };
                    intake = back;
                    *self.shared.counts.lock() = intake.counts();
                    taken.map(|taken| self.publish(taken))
                }
                Err(failure) => Err(failure),
            };
            match outcome {
                Ok(()) => failures = 0,
                Err(failure) => {
                    self.shared.note(failure.into());
                    failures += 1;
                    let pause = tokio::time::sleep(retry_after(&self.config, failures));
                    tokio::select! { () = pause => {}, _ = stop.changed() => {} }
                }
            }
        }
    }

    /// What follows in the log; `None` if it is time to look again.
    async fn more(&self, intake: &Intake) -> eventlog::Result<Option<Vec<Segment>>> {
        if self.shared.tail.lock().bytes >= self.config.tail_bytes {
            self.shared.due.notify_one();
            self.shared.room.notified().await;
            return Ok(None);
        }
        let segments = self.source.read(intake.position(), self.config.read_bytes).await?;
        if segments.is_empty() {
            self.source.wait(intake.position()).await?;
            return Ok(None);
        }
        Ok(Some(segments))
    }

    /// Lets the intake work: decoding and looking up are pure work, which on the async threads would hold up whoever shares
    /// them. `None` if it died.
    async fn with<T: Send + 'static>(
        &self,
        mut intake: Intake,
        work: impl FnOnce(&mut Intake) -> T + Send + 'static,
    ) -> Option<(Intake, T)> {
        let landed = std::mem::take(&mut *self.shared.landed.lock());
        let work = tokio::task::spawn_blocking(move || {
            landed.iter().for_each(|(table, upto)| intake.committed(*table, upto));
            let done = work(&mut intake);
            (intake, done)
        });
        let done = work.await.ok();
        if done.is_none() {
            self.shared.note(Error::Ended(None));
        }
        done
    }

    fn publish(&self, taken: Taken) {
        // Published before the committer can see it, so that nothing is committed that was not taken.
        self.publisher.taken(taken.clone());
        let mut tail = self.shared.tail.lock();
        tail.push(taken, self.clock.now());
        self.shared.taken.send_replace(tail.upto.clone());
        if tail.bytes >= self.config.commit_bytes {
            self.shared.due.notify_one();
        }
    }
}
