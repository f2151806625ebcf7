//! Views of a lake that other processes fill, from a log that they read too.
//!
//! Owns reading the log after what is committed, and looking for what was committed meanwhile. Where the processes that
//! commit decided otherwise than this one, which the same event in two partitions lets happen, their commit counts: then the
//! tail is made anew, aside, and shown together with that commit.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use eventlog::{IntakeConfig, Position, Segment, Source, chain};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::log_tail::{LogTail, unreadable};
use crate::repeats::stands_in_tail;
use crate::view::View;
use crate::{Error, Result, Views, pool};

/// Doublings of `retry_after` while the same thing keeps failing.
const RETRY_DOUBLINGS: u32 = 5;

/// The limits of following a log, each with its reason.
#[derive(Clone, Copy, Debug)]
pub struct FollowConfig {
    /// Reading stops while the tail is this large: while nobody commits, memory must not fill. Answers stay right and grow
    /// older. Twice as much is in memory at most: what duplicates are found by is kept beside what queries see. An eighth of
    /// what the process may use, at least 256 MiB: the processes that commit keep up to 128 MiB each, and reading must not
    /// stop before they commit.
    pub tail_bytes: usize,
    /// Bytes of the log, as stored, decoded at a time: 4 MiB of messages are about 6,500 events, 30 ms of work, so that a live
    /// event never waits long behind a bulk load, and a new View costs little beside it.
    pub read_bytes: usize,
    /// New versions are looked for this often: one stat per table. Freshness does not depend on it, the tail has the rows;
    /// sooner frees the tail sooner.
    pub look_every: Duration,
    /// Commits beyond what was read are shown once that is read too, or after this time without it, by beginning anew. That
    /// reads the month's ids and what is not committed again, a second of work under load, after which there is as much to
    /// catch up with: less patience than several times that would begin anew for ever.
    pub patience: Duration,
    /// The lake's logs are listed this often, which finds versions beyond those that log clean-up took away, and partitions
    /// that could not be read are tried again.
    pub look_thoroughly_every: Duration,
    /// Waits this long after a failed read, doubling up to 32 times as long.
    pub retry_after: Duration,
    /// Ids kept in memory to find duplicates by (see [`eventlog::IntakeConfig`]).
    pub cached_ids: usize,
}

impl Default for FollowConfig {
    fn default() -> Self {
        FollowConfig {
            tail_bytes: (pool::machine_memory() / 8).max(256 << 20),
            read_bytes: 4 << 20,
            look_every: Duration::from_millis(200),
            patience: Duration::from_secs(10),
            look_thoroughly_every: Duration::from_secs(30),
            retry_after: Duration::from_secs(1),
            cached_ids: IntakeConfig::default().cached_ids,
        }
    }
}

/// How following goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowStatus {
    /// What is wrong now, with its causes: the lake or the log could not be read, or partitions are left out of the tail
    /// because they can't be read from where they were committed. `None` while all is well.
    pub last_error: Option<String>,
    /// Whether reading has stopped because the tail is as large as it may be.
    pub full: bool,
    /// Bytes of the tail.
    pub tail_bytes: usize,
    /// How often the tail was begun: at the start, and anew whenever it did not go on from the lake.
    pub beginnings: u64,
    /// Whether a topic was made anew: the source is of the old one, and nothing is read until a follower of a source that was
    /// opened since takes the place of this one.
    pub outdated: bool,
}

/// Keeps [`Views`] up with a log and with the lake. Dropping it ends it: the View stays as it is.
#[derive(Debug)]
pub struct Follower {
    status: Arc<Mutex<FollowStatus>>,
    task: tokio::task::JoinHandle<()>,
}

impl Follower {
    /// Begins to follow `source`. Nobody else may be telling `views` of a log. A source that can't be read yet is tried again.
    ///
    /// # Errors
    /// [`Error::Lake`] if the lake can't be read.
    pub async fn start(views: Arc<Views>, source: Arc<dyn Source>, config: FollowConfig) -> Result<Follower> {
        let status = Arc::<Mutex<FollowStatus>>::default();
        let mut following = Following {
            views,
            source,
            config,
            status: status.clone(),
            log: None,
            anew: true,
            behind_since: None,
            looked_thoroughly: Instant::now(),
            failures: 0,
            retry_at: Instant::now(),
            read_failure: None,
            look_failure: None,
        };
        following.look().await?;
        let task = tokio::spawn(following.run());
        Ok(Follower { status, task })
    }

    /// How it goes.
    pub fn status(&self) -> FollowStatus {
        self.status.lock().clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A stretch of the log on its way.
type Reading = Pin<Box<dyn Future<Output = eventlog::Result<Vec<Segment>>> + Send>>;

struct Following {
    views: Arc<Views>,
    source: Arc<dyn Source>,
    config: FollowConfig,
    status: Arc<Mutex<FollowStatus>>,
    log: Option<LogTail>,
    /// Whether the tail is to be made anew.
    anew: bool,
    /// Since when there are commits beyond what was read.
    behind_since: Option<Instant>,
    looked_thoroughly: Instant,
    failures: u32,
    /// Nothing is read before.
    retry_at: Instant,
    read_failure: Option<String>,
    look_failure: Option<String>,
}

impl Following {
    async fn run(mut self) {
        let mut tick = tokio::time::interval(self.config.look_every.max(Duration::from_millis(1)));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut reading, mut waits): (Option<Reading>, bool) = (None, false);
        loop {
            self.tell();
            if self.anew && self.ready() {
                // A read on its way is of the tail that is replaced; dropping it loses nothing.
                reading = None;
                let begun = self.begin().await;
                self.note_read(begun);
                continue;
            }
            if reading.is_none() && !self.full() && self.ready() {
                reading = self.log.as_ref().map(|log| read(self.source.clone(), log.from(), self.config.read_bytes, waits));
            }
            let came = async {
                match reading.as_mut() {
                    Some(reading) => reading.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                came = came => {
                    reading = None;
                    waits = came.as_ref().is_ok_and(Vec::is_empty);
                    let taken = match came {
                        Ok(segments) => self.take(segments).await,
                        Err(failure) => Err(self.read_failed(failure)),
                    };
                    self.note_read(taken);
                }
                _ = tick.tick() => {
                    let looked = self.look().await;
                    self.look_failure = looked.err().map(|failure| chain(&failure));
                }
            }
        }
    }

    fn ready(&self) -> bool {
        Instant::now() >= self.retry_at
    }

    fn full(&self) -> bool {
        self.views.current().tail_bytes() >= self.config.tail_bytes
    }

    /// Tells whoever asks.
    fn tell(&self) {
        let left_out = self.log.iter().flat_map(|log| log.left_out().values().map(String::as_str)).collect::<Vec<_>>();
        let left_out = (!left_out.is_empty()).then(|| format!("left out of the tail: {}", left_out.join("; ")));
        let mut status = self.status.lock();
        status.last_error = self.read_failure.clone().or(self.look_failure.clone()).or(left_out);
        status.tail_bytes = self.views.current().tail_bytes();
        status.full = status.tail_bytes >= self.config.tail_bytes;
    }

    fn note_read(&mut self, outcome: Result<()>) {
        match outcome {
            Ok(()) => (self.failures, self.read_failure) = (0, None),
            Err(failure) => {
                self.status.lock().outdated |= of_another_topic(&failure);
                let failure = chain(&failure);
                if self.read_failure.as_ref() != Some(&failure) {
                    tracing::warn!(error = failure, "The log could not be followed; trying again");
                }
                self.read_failure = Some(failure);
                self.retry_at = Instant::now() + self.config.retry_after * 2u32.pow(self.failures.min(RETRY_DOUBLINGS));
                self.failures += 1;
            }
        }
    }

    /// What can't be read on may be read from where the lake ends.
    fn read_failed(&mut self, failure: eventlog::Error) -> Error {
        use eventlog::Error as E;
        self.anew |= matches!(failure, E::Pruned { .. } | E::Ahead { .. } | E::OtherTopic { .. } | E::Stopped(_));
        Error::folder("the log's tail", failure)
    }

    async fn take(&mut self, segments: Vec<Segment>) -> Result<()> {
        let Some(log) = self.log.as_mut().filter(|_| !segments.is_empty()) else { return Ok(()) };
        let before = log.position();
        match log.take(segments).await {
            Ok(taken) if taken.upto != before => {
                let mut view = View::clone(&self.views.current());
                view.take(&taken).map_err(|e| Error::folder("the log's tail", e))?;
                self.views.put(view);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(failure) => Err(self.read_failed(failure)),
        }
    }

    /// Looks for what was committed meanwhile, and shows it if the tail goes on from there.
    async fn look(&mut self) -> Result<()> {
        let thorough = self.looked_thoroughly.elapsed() >= self.config.look_thoroughly_every;
        if thorough {
            self.looked_thoroughly = Instant::now();
            self.try_left_out().await;
        }
        let newer = self.views.newer(thorough).await?;
        if newer.is_empty() {
            return Ok(());
        }
        let position = self.log.as_ref().map(LogTail::position);
        let behind = position.is_some_and(|position| newer.iter().any(|lake| !position.covers(&lake.upto)));
        // The intake has not met what these commits hold, so that it would not know a copy of it.
        if behind {
            let since = *self.behind_since.get_or_insert_with(Instant::now);
            self.anew |= self.full() || since.elapsed() >= self.config.patience;
            return Ok(());
        }
        self.behind_since = None;
        let (before, mut view) = (self.views.current(), View::clone(&self.views.current()));
        view.advance_to(&newer).map_err(|e| Error::folder("the lake", e))?;
        let work = tokio::task::spawn_blocking(move || stands_in_tail(&view, &before).map(|stands| (view, stands)));
        let (view, stands) = work.await.map_err(|e| Error::folder("the lake", e))??;
        if stands {
            self.anew = true;
            return Ok(());
        }
        if let Some(log) = &mut self.log {
            log.committed(&view);
            // A partition that is committed seldom keeps the intake's batches, which have rows of all.
            self.anew |= log.kept_bytes() >= self.config.tail_bytes && log.kept_bytes() / 2 >= view.tail_bytes();
        }
        self.views.put(view);
        Ok(())
    }

    /// Begins anew if a partition that was left out can be read by now.
    async fn try_left_out(&mut self) {
        let Some(log) = self.log.as_ref().filter(|log| !log.left_out().is_empty()) else { return };
        if let (Ok(start), Ok(end)) = (self.source.start().await, self.source.end().await) {
            let now = unreadable(&self.views.current(), self.source.as_ref(), &start, &end);
            self.anew |= log.left_out().keys().any(|partition| !now.contains_key(partition));
        }
    }

    /// Makes the tail anew from the newest versions, as far as it was, and shows both together.
    async fn begin(&mut self) -> Result<()> {
        let newer = self.views.newer(false).await?;
        let before = self.views.current();
        let mut view = before.without_tail();
        view.advance_to(&newer).map_err(|e| Error::folder("the lake", e))?;
        let source = self.source.clone();
        let intake = IntakeConfig { cached_ids: self.config.cached_ids };
        let begun = LogTail::begin(&view, source.as_ref(), intake).await;
        let mut log = begun.map_err(|e| Error::folder("the log", e))?;
        let read = |(partition, next): (&eventlog::Partition, &i64)| {
            (!log.left_out().contains_key(partition)).then_some((*partition, *next))
        };
        let target = Position(before.position().0.iter().filter_map(read).collect());
        log.read_to(source.as_ref(), &target, &mut view, self.config.read_bytes).await?;
        tracing::debug!(position = %view.position(), "The tail begins");
        for why in log.left_out().values() {
            tracing::error!("Left out of the tail: {why}");
        }
        self.views.put(view);
        (self.log, self.anew, self.behind_since) = (Some(log), false, None);
        self.status.lock().beginnings += 1;
        Ok(())
    }
}

/// The next stretch of the log; none at its end, unless it is to be waited for.
fn read(source: Arc<dyn Source>, from: Position, max_bytes: usize, waits: bool) -> Reading {
    Box::pin(async move {
        if waits {
            source.wait(&from).await?;
        }
        source.read(&from, max_bytes).await
    })
}

/// Whether an error says that a topic was made anew.
fn of_another_topic(error: &(dyn std::error::Error + 'static)) -> bool {
    let other = matches!(error.downcast_ref(), Some(eventlog::Error::OtherTopic { .. }));
    other || error.source().is_some_and(of_another_topic)
}
