//! `hexiao serve`: the till, the pipeline and the reports on one data folder, until it is told to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;

use super::Done;
use crate::config::Setup;
use crate::folder::Folder;
use crate::node::{Node, NodeConfig};

/// Arguments of `serve`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub door: Door,
}

/// Where to listen, and how often to commit; shared with `demo`.
#[derive(clap::Args, Clone, Debug)]
pub struct Door {
    /// Port of the HTTP door; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Address to listen on. Anything but localhost needs something in front that speaks TLS.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    #[command(flatten)]
    pub commits: Commits,
}

/// How often to commit.
#[derive(clap::Args, Clone, Debug)]
pub struct Commits {
    /// Seconds between commits to the lake. Answers don't wait for them: the tail has what is not committed yet.
    #[arg(long, env = "HEXIAO_COMMIT_EVERY", default_value_t = 20.0, value_name = "SECONDS")]
    commit_every: f64,
}

impl Commits {
    /// The time between two commits.
    pub fn every(&self) -> Result<Duration, String> {
        if !(0.05..=3600.0).contains(&self.commit_every) {
            return Err(format!("--commit-every is {}; it must be between 0.05 and 3600 seconds", self.commit_every));
        }
        Ok(Duration::from_secs_f64(self.commit_every))
    }
}

impl Door {
    /// Opens the port, or says that it is taken.
    pub async fn open(&self) -> Result<TcpListener, Box<dyn std::error::Error + Send + Sync>> {
        let at = SocketAddr::new(self.host, self.port);
        TcpListener::bind(at).await.map_err(|e| match e.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("port {} of {} is in use; choose another with --port", self.port, self.host).into()
            }
            _ => format!("could not listen on {at}: {e}").into(),
        })
    }

    /// What the flags say about the node.
    pub fn config(&self) -> Result<NodeConfig, String> {
        Ok(NodeConfig { commit_every: self.commits.every()?, ..NodeConfig::default() })
    }
}

/// Serves until Ctrl-C or SIGTERM.
pub async fn run(setup: &Setup, args: Args) -> Done {
    let config = args.door.config()?;
    let folder = Folder::open(&setup.data)?;
    let listener = args.door.open().await?;
    let node = Node::start(folder, setup, config).await?;
    if let Some(key) = node.first_key().await? {
        // Before the address: whoever reads the lines has the key when the door opens.
        println!("head office key: {key}");
    }
    println!("listening on http://{}", listener.local_addr()?);
    node.serve(listener, stop_signal()).await?;
    node.stop().await?;
    Ok(())
}

/// Completes when the process is asked to stop.
pub async fn stop_signal() {
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(_) => return std::future::pending().await,
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
