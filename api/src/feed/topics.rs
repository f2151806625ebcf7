//! The outbox to the topics, and the topics to the Views.
//!
//! The till never waits for Kafka: a process starts without brokers too, records in its outbox, answers from the lake, and
//! goes on with the topics once they can be reached.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use event::Clock;
use eventlog::{OutboxSource, Partition, Position, Relay, RelayConfig};
use ingest::{Member, MemberStatus};
use parking_lot::Mutex;
use query::{FollowConfig, FollowStatus, Follower, View, Views};
use tokio::sync::watch;

use super::ends::{Asking, Ends, Known};
use crate::config::KafkaLog;
use crate::kafka::{self, Unopened};
use eventlog::chain;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Topics that can't be reached are tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// How often it is looked whether the lake has come far enough.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The relay, the follower, and in a demo a member of the ingest.
pub struct Topics {
    views: Arc<Views>,
    relay: Mutex<Option<Relay>>,
    relayed: watch::Receiver<i64>,
    member: Mutex<Option<Member>>,
    link: watch::Receiver<Link>,
    linking: tokio::task::JoinHandle<()>,
}

/// The topics, once they were reached.
#[derive(Clone, Default)]
struct Link {
    reached: Option<Arc<Reached>>,
    error: Option<String>,
}

struct Reached {
    ends: Asking,
    follower: Follower,
}

/// How it is.
#[derive(Clone, Debug, Default)]
pub struct TopicsStatus {
    /// Everything below this offset of the outbox is in the topics.
    pub relayed_to: i64,
    /// What the relay fails at.
    pub relay_error: Option<String>,
    /// What is known of the topics.
    pub ends: Ends,
    /// The follower, once the topics were reached.
    pub follower: Option<FollowStatus>,
    /// Why the topics were not reached yet.
    pub unreached: Option<String>,
    /// The ingest of this process, in a demo.
    pub member: Option<MemberStatus>,
}

impl TopicsStatus {
    /// What fails now.
    pub fn troubles(&self) -> Vec<String> {
        let follower = self.follower.iter().filter_map(|follower| follower.last_error.clone());
        let member = self.member.iter().flat_map(|member| member.last_error.iter().chain(member.stopped.values()).cloned());
        let ours = [&self.unreached, &self.relay_error, &self.ends.error];
        ours.into_iter().flatten().cloned().chain(follower).chain(member).collect()
    }
}

impl Topics {
    /// Relays the outbox in `ledger`, follows the topics, and ingests them if `member` says how.
    ///
    /// # Errors
    /// [`Unopened::NoTopic`] if a topic is missing: somebody has to create it first. Brokers that don't answer are none.
    pub async fn start(
        log: &KafkaLog,
        views: Arc<Views>,
        ledger: PathBuf,
        recorded: watch::Receiver<i64>,
        member: Option<(PathBuf, Arc<dyn Clock>, ingest::IngestConfig)>,
    ) -> Result<Topics, Failure> {
        let first = match reach(log, &views).await {
            Ok(reached) => Link { reached: Some(Arc::new(reached)), error: None },
            Err(unopened) if unopened.stays() => return Err(unopened.into()),
            Err(unopened) => {
                let said = chain(&unopened);
                tracing::warn!(error = said, "Starts without Kafka: what is recorded goes there once it answers");
                Link { reached: None, error: Some(said) }
            }
        };
        let (publish, link) = watch::channel(first);
        let linking = tokio::spawn(keep_reaching(log.clone(), views.clone(), publish));
        let outbox = Arc::new(OutboxSource::open(&ledger, Some(recorded))?);
        let relay = Relay::start(&ledger, outbox, log.kafka.clone(), RelayConfig::default()).await?;
        let member = match member {
            Some((lake, clock, config)) => Some(Member::join(lake, clock, log.member(config))?),
            None => None,
        };
        let relayed = relay.relayed();
        let (relay, member) = (Mutex::new(Some(relay)), Mutex::new(member));
        Ok(Topics { views, relay, relayed, member, link, linking })
    }

    /// Waits for a View that includes everything in the outbox below `recorded` and in the topics by now; but for partitions
    /// of which the log no longer has what comes next.
    pub async fn reach_all(&self, recorded: i64) -> Arc<View> {
        let ends = self.ends_after(recorded).await;
        let mut wanted = ends.end.clone();
        for lost in ends.pruned_beyond(self.views.current().position()) {
            wanted.0.remove(&lost);
        }
        self.views_at(&wanted).await
    }

    /// Waits for a View that includes `wanted`: an offset of the outbox, or offsets of topics; `None` if the topics don't
    /// come to these.
    pub async fn reach(&self, wanted: &Position) -> Option<Arc<View>> {
        let (recorded, mut of_topics) = (wanted.next(Partition::WHOLE), wanted.clone());
        of_topics.0.remove(&Partition::WHOLE);
        let view = self.views.current();
        if recorded == 0 && view.position().covers(&of_topics) {
            return Some(view);
        }
        let ends = self.ends_after(recorded).await;
        if !ends.end.covers(&of_topics) {
            return None;
        }
        // A position of the outbox says nothing about the topics: what it stands for is somewhere below their ends.
        let wanted = if recorded > 0 { ends.end } else { of_topics };
        Some(self.views_at(&wanted).await)
    }

    /// The topics' ends, after everything below `recorded` stands there.
    async fn ends_after(&self, recorded: i64) -> Ends {
        let (mut relayed, mut link) = (self.relayed.clone(), self.link.clone());
        let wait = async {
            relayed.wait_for(|at| *at >= recorded).await.ok()?;
            let reached = link.wait_for(|link| link.reached.is_some()).await.ok()?.reached.clone()?;
            Some(reached.ends.now().await)
        };
        match wait.await {
            Some(ends) => ends,
            // It is stopping; whoever waits has a limit.
            None => std::future::pending().await,
        }
    }

    async fn views_at(&self, wanted: &Position) -> Arc<View> {
        loop {
            // Whoever asks has a limit of their own.
            if let Ok(view) = self.views.wait_for(wanted, Duration::from_secs(3600)).await {
                return view;
            }
        }
    }

    /// Waits until the lake holds what is in the outbox below `recorded` and in the topics by now. Messages of our own share
    /// that came to no row count as held: nothing is left to commit of them but an offset.
    pub async fn flush(&self, recorded: i64) -> Result<(), Failure> {
        let end = self.ends_after(recorded).await.end;
        loop {
            let committed = self.views.current().committed_everywhere();
            let mut left = end.clone();
            left.0.retain(|partition, end| committed.next(*partition) < *end);
            if let Some(status) = self.member.lock().as_ref().map(Member::status) {
                if let Some((partition, why)) = status.stopped.iter().find(|(partition, _)| left.0.contains_key(partition)) {
                    return Err(format!("{} is not read: {why}", partition.log()).into());
                }
                let uncommitted: usize = status.ingest.tables.values().map(|table| table.tail_rows).sum();
                if uncommitted == 0 {
                    let ours = &status.partitions;
                    left.0.retain(|p, end| !ours.contains(p) || status.ingest.taken.next(*p) < *end);
                }
            }
            if left.0.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// How it is.
    pub fn status(&self) -> TopicsStatus {
        let link = self.link.borrow().clone();
        let relayed_to = *self.relayed.borrow();
        let member = self.member.lock().as_ref().map(Member::status);
        TopicsStatus {
            relayed_to,
            relay_error: self.relay.lock().as_ref().and_then(|relay| relay.status().last_error),
            ends: link.reached.as_ref().map(|reached| reached.ends.known()).unwrap_or_default(),
            follower: link.reached.as_ref().map(|reached| reached.follower.status()),
            unreached: link.error,
            member,
        }
    }

    /// Gives what was sent time to be acknowledged, commits what a member has read, and ends.
    pub async fn stop(&self) -> Result<(), Failure> {
        self.linking.abort();
        let (relay, member) = (self.relay.lock().take(), self.member.lock().take());
        if let Some(relay) = relay {
            relay.stop().await;
        }
        if let Some(member) = member {
            member.stop().await;
        }
        Ok(())
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        self.linking.abort();
    }
}

async fn reach(log: &KafkaLog, views: &Arc<Views>) -> Result<Reached, Unopened> {
    let source = Arc::new(kafka::open(&log.kafka).await?);
    let followed = Follower::start(views.clone(), source, FollowConfig::default()).await;
    let follower = followed.map_err(|source| Unopened::Unfollowed { source })?;
    let views = views.clone();
    let know = move || {
        let view = views.current();
        Known { committed: view.committed_everywhere(), visible: view.position().clone() }
    };
    Ok(Reached { ends: Asking::start(&log.kafka, Arc::new(know)).await?, follower })
}

/// Tries until the topics are reached, and again when one was made anew.
async fn keep_reaching(log: KafkaLog, views: Arc<Views>, publish: watch::Sender<Link>) {
    loop {
        tokio::time::sleep(RETRY).await;
        let outdated = match &publish.borrow().reached {
            Some(reached) if !reached.follower.status().outdated => continue,
            reached => reached.is_some(),
        };
        if outdated {
            let error = Some("a topic was made anew".to_owned());
            // Whoever looks at the old follower has it for microseconds.
            publish.send_replace(Link { reached: None, error });
        }
        match reach(&log, &views).await {
            Ok(reached) => {
                tracing::info!("The topics are reached");
                publish.send_replace(Link { reached: Some(Arc::new(reached)), error: None });
            }
            Err(unopened) => publish.send_modify(|link| link.error = Some(chain(&unopened))),
        }
    }
}
