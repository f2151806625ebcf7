//! A running process on one data folder: ledger, log, feed, views and engine, put together and taken apart in order.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use event::{Clock, SystemClock};
use eventlog::{OutboxSource, Partition, Source};
use ingest::{IngestConfig, Lake};
use ledger::{Ledger, Role};
use query::{Engine, EngineConfig, Views};
use tokio::net::TcpListener;

use crate::config::{LogConfig, Setup};
use crate::feed::{Feed, Topics, Way};
use crate::folder::{Folder, Holder};
use crate::http;

/// The source under which this process's own events stand.
pub const SOURCE: &str = "hexiao";

/// How often entitlements whose validity has passed are looked for (R5): `expired` events are for reports, the till itself
/// looks at the clock.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Requests in the air get this long to end when the process is asked to stop; then their connections are closed.
const DRAIN: Duration = Duration::from_secs(10);

/// What may be chosen about a node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Time between commits to the lake.
    pub commit_every: Duration,
    /// Whether this process ingests topics of Kafka too. The embedded log it always does.
    pub ingests_topics: bool,
}

impl Default for NodeConfig {
    fn default() -> Self {
        NodeConfig { commit_every: IngestConfig::default().commit_every, ingests_topics: false }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A running process on one data folder.
pub struct Node {
    app: http::App,
    folder: Folder,
    sweeper: tokio::task::JoinHandle<()>,
    /// Queries compute here, so that a heavy one never delays the till.
    _queries: Queries,
}

/// The queries' runtime. Dropping a runtime inside another one waits, which is not allowed there: this doesn't.
struct Queries(Option<tokio::runtime::Runtime>);

impl Drop for Queries {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Node {
    /// Starts ledger, feed and engine on the folder. The ledger comes first: the outbox is in its file.
    pub async fn start(folder: Folder, setup: &Setup, config: NodeConfig) -> Result<Node, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ledger = open_ledger(&folder, clock.clone()).await?;
        let feed = feed(&folder, &setup.log, &ledger, clock.clone(), config).await?;
        let queries = tokio::runtime::Builder::new_multi_thread().thread_name("queries").enable_all().build()?;
        let engine_config = EngineConfig { runtime: Some(queries.handle().clone()), ..EngineConfig::default() };
        let engine = Engine::new(engine_config, clock.clone(), Some(&setup.sql))?;
        let mut token = [0u8; 32];
        getrandom::fill(&mut token)?;
        let token: String = token.iter().map(|b| format!("{b:02x}")).collect();
        let sweeper = tokio::spawn(sweep(ledger.clone()));
        let app = http::App {
            ledger,
            engine: Arc::new(engine),
            feed: Arc::new(feed),
            local_token: token.into(),
            metrics: Arc::default(),
            limits: http::Limits::default(),
        };
        Ok(Node { app, folder, sweeper, _queries: Queries(Some(queries)) })
    }

    /// What the HTTP door works with.
    pub fn app(&self) -> &http::App {
        &self.app
    }

    /// A head-office key for a folder that has none yet.
    pub async fn first_key(&self) -> Result<Option<String>, Failure> {
        let keys = self.app.ledger.keys().await?;
        if keys.iter().any(|k| k.role == Role::HeadOffice && k.revoked_at.is_none()) {
            return Ok(None);
        }
        Ok(Some(self.app.ledger.create_key("first head-office key", Role::HeadOffice).await?.secret))
    }

    /// Answers HTTP until `stop` completes.
    pub async fn serve(&self, listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Failure> {
        self.folder.announce(&Holder {
            pid: std::process::id(),
            address: Some(listener.local_addr()?.to_string()),
            token: Some(self.app.local_token.to_string()),
        })?;
        let (stopping, mut stopped) = tokio::sync::watch::channel(());
        let graceful = async move {
            stop.await;
            stopping.send_replace(());
            // The sender lives on in the server until every connection is done.
            std::future::ready(stopping).await;
        };
        // Without this the last piece of an answer waits up to 40 ms for the client to acknowledge the one before.
        let listener = listener.tap_io(|connection| {
            if let Err(e) = connection.set_nodelay(true) {
                tracing::debug!(error = %e, "A connection stays slow");
            }
        });
        let server = axum::serve(listener, http::router(Arc::new(self.app.clone()))).with_graceful_shutdown(graceful);
        tokio::select! {
            served = server.into_future() => served?,
            () = async { let _ = stopped.changed().await; tokio::time::sleep(DRAIN).await } => {
                tracing::warn!("Closed connections that were still open after {} s", DRAIN.as_secs());
            }
        }
        Ok(())
    }

    /// Commits what the log holds, then lets go of the folder.
    pub async fn stop(self) -> Result<(), Failure> {
        self.sweeper.abort();
        self.app.feed.stop().await?;
        self.app.ledger.close().await?;
        Ok(())
    }
}

/// What brings the log to the Views.
async fn feed(
    folder: &Folder,
    log: &LogConfig,
    ledger: &Ledger,
    clock: Arc<dyn Clock>,
    config: NodeConfig,
) -> Result<Feed, Failure> {
    let lake = folder.path().join("lake");
    let ingest = IngestConfig { commit_every: config.commit_every, ..IngestConfig::default() };
    match log {
        LogConfig::Outbox => {
            let source: Arc<dyn Source> = Arc::new(OutboxSource::open(ledger.path(), Some(ledger.end()))?);
            let open = Lake::open_or_create(&lake, source.log_ids(), &source.end().await?).await?;
            let views = Views::open(&lake).await?;
            let ingest = ingest::start(open, source, views.clone(), clock, ingest).await?;
            Ok(Feed::new(views, ledger.end(), Way::Own(ingest)))
        }
        LogConfig::Kafka(log) => {
            std::fs::create_dir_all(&lake)?;
            let views = Views::open(&lake).await?;
            if views.current().position().0.contains_key(&Partition::WHOLE) {
                let said = "was filled from the embedded log, and its config says Kafka: name another folder with --data";
                return Err(format!("the lake of `{}` {said}", folder.path().display()).into());
            }
            let member = config.ingests_topics.then_some((lake, clock, ingest));
            let topics = Topics::start(log, views.clone(), ledger.path().to_owned(), ledger.end(), member).await?;
            Ok(Feed::new(views, ledger.end(), Way::Topics(topics)))
        }
    }
}

/// Opens the folder's ledger.
pub async fn open_ledger(folder: &Folder, clock: Arc<dyn Clock>) -> Result<Ledger, Failure> {
    let path = folder.path().join("ledger.sqlite");
    let open = move || Ledger::open(&path, clock, SOURCE, ledger::Config::default());
    Ok(tokio::task::spawn_blocking(open).await??)
}

/// Expires what has passed, a little at a time.
async fn sweep(ledger: Ledger) {
    loop {
        match ledger.sweep().await {
            Ok(swept) if swept.outcome.more => tokio::task::yield_now().await,
            Ok(_) => tokio::time::sleep(SWEEP_EVERY).await,
            Err(ledger::Error::Closed) => return,
            Err(e) => {
                tracing::error!(error = %e, "Could not expire entitlements whose validity has passed");
                tokio::time::sleep(SWEEP_EVERY).await;
            }
        }
    }
}
