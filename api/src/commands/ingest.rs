//! `hexiao ingest`: the log into the lake. The embedded log has one reader, which leaves at its end; topics of Kafka are
//! shared by any number of processes, which stay.

use std::future::IntoFuture;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use event::SystemClock;
use eventlog::{LogIds, Partition, Position, Source, chain};
use ingest::{IngestConfig, Member, MemberStatus};
use parking_lot::Mutex;
use query::{View, Views};
use tokio::net::TcpListener;

use super::Done;
use super::serve::{Commits, stop_signal};
use crate::config::{KafkaLog, LogConfig, Setup};
use crate::feed::ends::{Asking, Known};
use crate::folder::{self, Folder, check_readable};
use crate::http::{figures, metrics};
use crate::kafka::{self, Unopened};
use crate::node::{Node, NodeConfig};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How often it is looked how the member is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What other processes have committed is looked up this often: it opens every table.
const LAKE_EVERY: Duration = Duration::from_secs(2);

/// Arguments of `ingest`.
#[derive(clap::Args)]
pub struct Args {
    /// Leave once the lake holds what the log held at the start; with the embedded log always so.
    #[arg(long)]
    until_end: bool,
    /// Open a door there with /metrics, /healthz and /readyz.
    #[arg(long, value_name = "HOST:PORT")]
    watch: Option<String>,
    #[command(flatten)]
    commits: Commits,
}

impl Args {
    /// Whether it runs until it is told to stop.
    pub fn stays(&self, setup: &Setup) -> bool {
        matches!(setup.log, LogConfig::Kafka(_)) && !self.until_end
    }
}

/// Commits what is in the log.
pub async fn run(setup: &Setup, args: Args) -> Done {
    let commit_every = args.commits.every()?;
    match &setup.log {
        LogConfig::Outbox if args.watch.is_some() => {
            Err("the embedded log is ingested by `hexiao serve`, whose door has /metrics; --watch is for logs on Kafka".into())
        }
        LogConfig::Outbox => embedded(setup).await,
        LogConfig::Kafka(log) => topics(setup, log, &args, commit_every).await,
    }
}

async fn embedded(setup: &Setup) -> Done {
    check_readable(&setup.data)?;
    let started = Instant::now();
    let node = Node::start(Folder::open(&setup.data)?, setup, NodeConfig::default()).await?;
    node.app().feed.flush().await?;
    let end = *node.app().ledger.end().borrow();
    node.stop().await?;
    println!("The lake holds the log up to offset {end}; {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

async fn topics(setup: &Setup, log: &KafkaLog, args: &Args, commit_every: Duration) -> Done {
    folder::prepare(&setup.data)?;
    let lake = setup.data.join("lake");
    std::fs::create_dir_all(&lake)?;
    let door = match &args.watch {
        Some(at) => Some(TcpListener::bind(at).await.map_err(|e| format!("could not listen on {at}: {e}"))?),
        None => None,
    };
    let source = reach(log, args.until_end).await?;
    let config = IngestConfig { commit_every, ..IngestConfig::default() };
    let until = match &source {
        Some(source) => Some(Until { ids: source.log_ids().clone(), end: source.end().await? }),
        None => None,
    };
    let watched = Watched::default();
    let watching = async {
        match door {
            Some(door) => watch(door, log, &lake, watched.clone()).await,
            None => std::future::pending().await,
        }
    };
    let working = work(log, &lake, config, until.as_ref(), &watched);
    tokio::select! { done = working => done, failed = watching => failed }
}

/// The topics, where it is needed to know their ends; without, only whether they can't be used as they are.
async fn reach(log: &KafkaLog, needed: bool) -> Result<Option<Arc<dyn Source>>, Unopened> {
    match kafka::open(&log.kafka).await {
        Ok(source) if needed => Ok(Some(Arc::new(source))),
        Ok(_) => Ok(None),
        Err(unopened) if needed || unopened.stays() => Err(unopened),
        Err(unopened) => {
            tracing::warn!(error = chain(&unopened), "Waits for Kafka");
            Ok(None)
        }
    }
}

/// What the topics hold, and which topics they are.
struct Until {
    ids: LogIds,
    end: Position,
}

/// Takes part until told to stop, or until the lake holds what it should.
async fn work(log: &KafkaLog, lake: &Path, config: IngestConfig, until: Option<&Until>, watched: &Watched) -> Done {
    let (started, mut stop) = (Instant::now(), std::pin::pin!(stop_signal()));
    loop {
        let member = Arc::new(Member::join(lake.to_owned(), Arc::new(SystemClock), log.member(config))?);
        *watched.member.lock() = Some(member.clone());
        let outcome = tokio::select! { read = look_after(&member, lake, until) => Some(read), () = &mut stop => None };
        watched.member.lock().take();
        // Whoever looks has it for microseconds; else it is dropped, and nothing is lost.
        if let Some(member) = Arc::into_inner(member) {
            member.stop().await;
        }
        let Some(read) = outcome else { return Ok(()) };
        let Until { ids, end } = read?;
        // Leaving commits what was read, but for a share that was lost just then.
        if view(lake).await?.committed_of(ids).covers(end) {
            let messages: i64 = end.0.values().sum();
            println!("The lake holds the topics up to {messages} messages; {:.1} s", started.elapsed().as_secs_f64());
            return Ok(());
        }
    }
}

async fn view(lake: &Path) -> query::Result<Arc<View>> {
    Ok(Views::open(lake).await?.current())
}

/// Returns once everything that is wanted was read, if something is.
async fn look_after<'a>(member: &Member, lake: &Path, until: Option<&'a Until>) -> Result<&'a Until, Failure> {
    let (mut looked, mut elsewhere) = (None::<Instant>, Position::default());
    loop {
        let status = member.status();
        if let Some(until) = until {
            if looked.is_none_or(|at| at.elapsed() > LAKE_EVERY) {
                (looked, elsewhere) = (Some(Instant::now()), view(lake).await?.committed_of(&until.ids));
            }
            let taken = |p: &Partition| if status.partitions.contains(p) { status.ingest.taken.next(*p) } else { 0 };
            let left = |(p, end): &(&Partition, &i64)| taken(p).max(elsewhere.next(**p)) < **end;
            let left: Vec<_> = until.end.0.iter().filter(left).map(|(partition, _)| partition).collect();
            if left.is_empty() {
                return Ok(until);
            }
            if let Some((partition, why)) = left.iter().find_map(|p| status.stopped.get_key_value(p)) {
                return Err(stopped(*partition, why).into());
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = member.died() => return Err(member.status().last_error.unwrap_or_default().into()),
        }
    }
}

fn stopped(partition: Partition, why: &str) -> String {
    format!("{} is not ingested: {why}; docs/kafka.md has the ways out", partition.log())
}

/// What the door shows.
#[derive(Clone, Default)]
struct Watched {
    member: Arc<Mutex<Option<Arc<Member>>>>,
    asking: Arc<Mutex<Option<Asking>>>,
    committed: Arc<Mutex<Position>>,
}

impl Watched {
    fn status(&self) -> MemberStatus {
        let member = self.member.lock().clone();
        member.map(|member| member.status()).unwrap_or_default()
    }
}

/// Answers at the door of whoever watches.
async fn watch(door: TcpListener, log: &KafkaLog, lake: &Path, watched: Watched) -> Done {
    println!("watching on http://{}", door.local_addr()?);
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(show))
        .with_state(watched.clone());
    tokio::select! {
        served = axum::serve(door, router).into_future() => Ok(served?),
        () = keep(watched, log, lake) => Ok(()),
    }
}

/// Asks the brokers and the lake, for metrics.
async fn keep(watched: Watched, log: &KafkaLog, lake: &Path) {
    loop {
        match view(lake).await {
            Ok(view) => *watched.committed.lock() = view.committed_everywhere(),
            Err(failure) => tracing::warn!(error = chain(&failure), "The lake can't be looked at"),
        }
        let asks = watched.asking.lock().is_some();
        let committed = watched.committed.clone();
        let know = move || {
            let committed = committed.lock().clone();
            Known { visible: committed.clone(), committed }
        };
        if !asks && let Ok(asking) = Asking::start(&log.kafka, Arc::new(know)).await {
            *watched.asking.lock() = Some(asking);
        }
        tokio::time::sleep(LAKE_EVERY).await;
    }
}

/// Whether it does its share.
async fn ready(State(watched): State<Watched>) -> Response {
    let status = watched.status();
    match trouble(&status) {
        None => (StatusCode::OK, format!("ingests {} partitions\n", status.partitions.len())).into_response(),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")).into_response(),
    }
}

fn trouble(status: &MemberStatus) -> Option<String> {
    let stopped = status.stopped.iter().next().map(|(partition, why)| stopped(*partition, why));
    stopped.or_else(|| status.last_error.clone()).or_else(|| status.ingest.last_error.clone())
}

async fn show(State(watched): State<Watched>) -> Response {
    let ends = watched.asking.lock().as_ref().map(Asking::known).unwrap_or_default();
    let committed = watched.committed.lock().clone();
    let figures = figures::of_member(&watched.status(), &committed, &ends);
    match metrics::show(&figures) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
