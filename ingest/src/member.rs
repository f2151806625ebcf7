//! Ingest as one of any number of processes that share a log's partitions.
//!
//! There is one way to begin: with the partitions of this process's share, at the offsets that stand in the lake. It is taken
//! at the start, whenever the shares change, and whenever another process has committed what this one held. What can't be
//! read any more stops its partition and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use event::{Clock, Table};
use eventlog::kafka::{GroupConfig, KafkaConfig, KafkaSource, Membership, Share};
use eventlog::{Counts, Partition, Position, Publisher, Source, Taken, chain};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use crate::run::retry_after;
use crate::{Error, Ingest, IngestConfig, Lake, Result, Status, TableStatus};

/// When the shares change, the last commit gets this long; what it does not reach is read again by whoever is next.
const LAST_COMMIT: Duration = Duration::from_secs(15);

/// A partition that could not be read is tried again after this: somebody may have decided what to do about it.
const TRY_STOPPED: Duration = Duration::from_secs(60);

/// How a process takes part.
#[derive(Clone, Debug)]
pub struct MemberConfig {
    /// Where the log is.
    pub kafka: KafkaConfig,
    /// With whom it shares the partitions.
    pub group: GroupConfig,
    /// The limits of ingest.
    pub ingest: IngestConfig,
}

/// How it is.
#[derive(Clone, Debug, Default)]
pub struct MemberStatus {
    /// The partitions it has now.
    pub partitions: BTreeSet<Partition>,
    /// Partitions of its share that it does not read, and why: somebody has to decide.
    pub stopped: BTreeMap<Partition, String>,
    /// How often it began anew: at the start, each time that the shares changed, and when it was overtaken.
    pub beginnings: u64,
    /// How far it is with them. Counts are those since it joined.
    pub ingest: Status,
    /// What failed last, with its causes; `None` once it works again.
    pub last_error: Option<String>,
}

/// A process's part of the ingest of one lake. Dropping it leaves without a last commit; nothing is lost, the log has it.
#[derive(Debug)]
pub struct Member {
    membership: Arc<Membership>,
    state: Arc<Mutex<State>>,
    stop: watch::Sender<bool>,
    alive: watch::Receiver<()>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    told: MemberStatus,
    running: Option<Arc<Ingest>>,
    /// What earlier beginnings came to.
    before: Before,
}

#[derive(Debug, Default)]
struct Before {
    counts: Counts,
    /// Commits and rows committed.
    tables: BTreeMap<Table, (u64, u64)>,
}

impl Member {
    /// Joins the group's work on the lake in the folder `lake`. Returns at once; brokers that can't be reached yet are tried
    /// again.
    ///
    /// # Errors
    /// [`crate::Error::Log`] if the settings can't be used.
    pub fn join(lake: PathBuf, clock: Arc<dyn Clock>, config: MemberConfig) -> Result<Member> {
        let membership = Arc::new(Membership::join(&config.kafka, &config.group)?);
        let state = Arc::new(Mutex::new(State::default()));
        let stop = watch::Sender::new(false);
        let work = Work { lake, clock, config, membership: membership.clone(), state: state.clone() };
        let (lives, alive) = watch::channel(());
        let run = work.run(stop.subscribe());
        let task = tokio::spawn(async move {
            run.await;
            drop(lives);
        });
        Ok(Member { membership, state, stop, alive, task })
    }

    /// How it is.
    pub fn status(&self) -> MemberStatus {
        let state = self.state.lock();
        let mut status = state.told.clone();
        if let Some(running) = &state.running {
            status.ingest = running.status();
        }
        state.before.add_to(&mut status.ingest);
        let told = status.last_error.take();
        status.last_error = status.ingest.last_error.clone().or(told).or_else(|| self.membership.last_error());
        if self.alive.has_changed().is_err() {
            status.last_error = Some("ingest has died by a fault of its own; restart the process".to_owned());
        }
        status
    }

    /// Returns if it has died, which only a fault of ours does to it: it reads nothing any more and may still hold its share,
    /// so that the process had better end.
    pub async fn died(&self) {
        // Nothing is ever sent: the sender goes with the task.
        let _ = self.alive.clone().changed().await;
    }

    /// Commits what was read and leaves.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let _ = (&mut self.task).await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Before {
    fn add_to(&self, status: &mut Status) {
        status.counts += self.counts;
        for (table, (commits, rows)) in &self.tables {
            let of_table: &mut TableStatus = status.tables.entry(*table).or_default();
            of_table.commits += commits;
            of_table.committed_rows += rows;
        }
    }

    fn add(&mut self, status: &Status) {
        self.counts += status.counts;
        for (table, of_table) in &status.tables {
            let (commits, rows) = self.tables.entry(*table).or_default();
            *commits += of_table.commits;
            *rows += of_table.committed_rows;
        }
    }
}

/// Why a beginning ended.
enum Ended {
    /// Told to stop, or the shares change.
    Asked,
    /// It is time to see whether stopped partitions can be read again.
    Again,
    Failed(Arc<Error>),
}

struct Work {
    lake: PathBuf,
    clock: Arc<dyn Clock>,
    config: MemberConfig,
    membership: Arc<Membership>,
    state: Arc<Mutex<State>>,
}

impl Work {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut shares = self.membership.share();
        let mut stopped = BTreeMap::new();
        let (mut turn, mut failures) = (0, 0);
        while !*stop.borrow() {
            let share = shares.borrow_and_update().clone();
            if share.turn != turn {
                stopped.clear();
                (turn, failures) = (share.turn, 0);
            }
            let Some(partitions) = share.partitions else {
                self.membership.let_go(turn);
                self.tell(&BTreeSet::new(), &stopped);
                tokio::select! { _ = shares.changed() => {}, _ = stop.wait_for(|stop| *stop) => {} }
                continue;
            };
            let readable: BTreeSet<Partition> = partitions.into_iter().filter(|p| !stopped.contains_key(p)).collect();
            self.tell(&readable, &stopped);
            let began = tokio::time::Instant::now();
            let ended = self.work(&readable, !stopped.is_empty(), &mut shares, &mut stop).await;
            let failure = match ended {
                Ended::Asked => continue,
                Ended::Again => {
                    stopped.clear();
                    continue;
                }
                Ended::Failed(failure) => failure,
            };
            let lost = lost(&failure, &readable);
            for (partition, why) in &lost {
                error!(partition = %partition, "{}", why);
            }
            if lost.is_empty() {
                // Who has worked for a while has not failed for that long.
                failures = if began.elapsed() > self.config.ingest.commit_every { 1 } else { failures + 1 };
                warn!(error = chain(&failure), "Ingest begins anew");
                self.state.lock().told.last_error = Some(chain(&failure));
                let pause = tokio::time::sleep(retry_after(&self.config.ingest, failures));
                tokio::select! { () = pause => {}, _ = shares.changed() => {}, _ = stop.wait_for(|stop| *stop) => {} }
            }
            stopped.extend(lost);
        }
        self.tell(&BTreeSet::new(), &stopped);
    }

    fn tell(&self, partitions: &BTreeSet<Partition>, stopped: &BTreeMap<Partition, String>) {
        let mut state = self.state.lock();
        state.told.partitions = partitions.clone();
        state.told.stopped = stopped.clone();
    }

    /// Ingests `partitions` until that has to end.
    async fn work(
        &self,
        partitions: &BTreeSet<Partition>,
        some_stopped: bool,
        shares: &mut watch::Receiver<Share>,
        stop: &mut watch::Receiver<bool>,
    ) -> Ended {
        if partitions.is_empty() {
            self.state.lock().told.last_error = None;
            return tokio::select! {
                _ = shares.changed() => Ended::Asked,
                _ = stop.wait_for(|stop| *stop) => Ended::Asked,
                () = tokio::time::sleep(TRY_STOPPED), if some_stopped => Ended::Again,
            };
        }
        let begun = tokio::select! {
            begun = self.begin(partitions.clone()) => begun,
            // What was begun is left alone: it has committed nothing.
            _ = shares.changed() => return Ended::Asked,
            _ = stop.wait_for(|stop| *stop) => return Ended::Asked,
        };
        let ingest = match begun {
            Ok(ingest) => Arc::new(ingest),
            Err(failure) => return Ended::Failed(Arc::new(failure)),
        };
        {
            let mut state = self.state.lock();
            state.running = Some(ingest.clone());
            state.told.beginnings += 1;
            state.told.last_error = None;
        }
        let names: Vec<String> = partitions.iter().map(Partition::to_string).collect();
        info!(partitions = names.join(","), "Ingest of {} partitions begins", partitions.len());
        let ended = tokio::select! {
            _ = shares.changed() => Ended::Asked,
            _ = stop.wait_for(|stop| *stop) => Ended::Asked,
            () = tokio::time::sleep(TRY_STOPPED), if some_stopped => Ended::Again,
            failure = ingest.ended() => Ended::Failed(failure),
        };
        if !matches!(ended, Ended::Failed(_)) {
            match timeout(LAST_COMMIT, ingest.leave()).await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => debug!(error = chain(&failure), "The last commit of a share failed"),
                Err(_) => warn!("The last commit of a share took more than {} s", LAST_COMMIT.as_secs()),
            }
        }
        let mut state = self.state.lock();
        state.running = None;
        let status = ingest.status();
        state.before.add(&status);
        // How far it was stays to be seen; what it counted has been added up.
        state.told.ingest = Status { counts: Counts::default(), tables: BTreeMap::new(), tail_bytes: 0, ..status };
        state.told.ingest.ended = false;
        ended
    }

    async fn begin(&self, partitions: BTreeSet<Partition>) -> Result<Ingest> {
        let source = Arc::new(KafkaSource::open(self.config.kafka.clone(), Some(partitions)).await?);
        let open = async || Lake::open_or_create(&self.lake, source.log_ids(), &source.end().await?).await;
        let lake = match open().await {
            // Whoever had the share before may have committed since the end was asked for.
            Err(Error::AheadOfLog { .. }) => open().await?,
            opened => opened?,
        };
        crate::start(lake, source, Arc::new(Nobody), self.clock.clone(), self.config.ingest).await
    }
}

/// The partitions of `read` that `failure` says can't be read on, and why: going on would leave something out in silence.
fn lost(failure: &Error, read: &BTreeSet<Partition>) -> BTreeMap<Partition, String> {
    use eventlog::Error::{Ahead, Pruned};
    let why = chain(failure);
    match failure {
        Error::Ended(Some(cause)) => lost(cause, read),
        Error::BehindLog { partition, .. }
        | Error::AheadOfLog { partition, .. }
        | Error::Log(Pruned { partition, .. } | Ahead { partition, .. }) => BTreeMap::from([(*partition, why)]),
        Error::OtherLog { found, expected, .. } => {
            let other = |p: &&Partition| found.of(**p).is_some_and(|found| expected.of(**p).is_some_and(|e| e != found));
            read.iter().filter(other).map(|partition| (*partition, why.clone())).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// Whoever answers queries follows the log by itself.
struct Nobody;

#[async_trait]
impl Publisher for Nobody {
    fn taken(&self, _: Taken) {}
    async fn committed(&self, _: Table, _: u64, _: Position) {}
}
