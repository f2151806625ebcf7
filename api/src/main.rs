//! `hexiao`: one binary, many roles.
//!
//! Owns the command line, the data folder, the assembly of a running process and its HTTP door. What is decided, stored or
//! answered belongs to the crates `redemption`, `ledger`, `ingest` and `query`.

mod check;
mod commands;
mod config;
mod feed;
mod folder;
mod http;
mod kafka;
mod log;
mod node;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Setup;

// DataFusion allocates many short-lived buffers from many threads; the system's allocator holds on to them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Redemption logs of a chain of stores, turned into answers.
#[derive(Parser)]
#[command(name = "hexiao", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Data folder.
    #[arg(long, global = true, env = "HEXIAO_DATA", default_value = "hexiao-data", value_name = "DIR")]
    data: PathBuf,
    /// Config, which says on which log the folder works; without it the folder's own hexiao.toml, if it has one.
    #[arg(long, global = true, env = "HEXIAO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Log lines as JSON on stderr instead of text.
    #[arg(long, global = true)]
    log_json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Load a chain with two years of history, open the door on localhost, and keep a gentle trickle going.
    Demo(commands::demo::Args),
    /// Run the till, the pipeline and the reports on a data folder.
    Serve(commands::serve::Args),
    /// Bring another system's history in.
    Import(commands::import::Args),
    /// Make a chain of any size and its events.
    Generate(commands::generate::Args),
    /// Bring the log into the lake: the embedded one up to its end, topics of Kafka until told to stop.
    Ingest(commands::ingest::Args),
    /// Create the log's topics, or go on after a loss.
    #[command(subcommand)]
    Topics(commands::topics::Command),
    /// Say how far the lake is behind the log.
    Lag(commands::lag::Args),
    /// Merge small files, write checkpoints, and remove what nobody reads any more, beside whatever runs.
    Maintain,
    /// Run one read-only statement over the data folder.
    Sql(commands::sql::Args),
    /// Run a report over the data folder, or list them.
    Report(commands::report::Args),
    /// Hold the ledger against the lake: 0 if they agree, 1 if they differ, 2 if that can't be said.
    Check(commands::check::Args),
    /// List messages that could not be events, show one, or send repaired ones.
    DeadLetters(commands::dead_letters::Args),
    /// Print what producers send: a stream's JSON Schema, or the AsyncAPI document over all streams.
    Schema(commands::schema::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let failure = match cli.command {
        Command::Check(_) => ExitCode::from(commands::check::UNKNOWN),
        _ => ExitCode::FAILURE,
    };
    match run(cli) {
        Ok(code) => code,
        Err(e) => {
            fail(e.as_ref());
            failure
        }
    }
}

/// Does what the command says; returns what the process ends with.
fn run(cli: Cli) -> Result<ExitCode, Box<dyn std::error::Error + Send + Sync>> {
    let setup = match &cli.command {
        // It prints what is compiled in.
        Command::Schema(args) => return commands::schema::run(args).map(|()| ExitCode::SUCCESS),
        _ => Setup::load(cli.data, cli.config.as_deref())?,
    };
    // A server tells what it does; a command that a person waits for shows progress instead.
    let serves = match &cli.command {
        Command::Serve(_) => true,
        Command::Ingest(args) => args.stays(&setup),
        _ => false,
    };
    start_logging(cli.log_json, if serves { SERVER_LOG } else { "warn" });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => commands::demo::run(&setup, args).await,
            Command::Serve(args) => commands::serve::run(&setup, args).await,
            Command::Import(args) => commands::import::run(&setup, args).await,
            Command::Generate(args) => commands::generate::run(&setup, args).await,
            Command::Ingest(args) => commands::ingest::run(&setup, args).await,
            Command::Topics(command) => commands::topics::run(&setup, command).await,
            Command::Lag(args) => commands::lag::run(&setup, args).await,
            Command::Maintain => commands::maintain::run(&setup).await,
            Command::Sql(args) => commands::sql::run(&setup, args).await,
            Command::Report(args) => commands::report::run(&setup, args).await,
            Command::DeadLetters(args) => commands::dead_letters::run(&setup, args).await,
            Command::Schema(args) => commands::schema::run(&args),
            Command::Check(args) => return commands::check::run(&setup, args).await,
        }
        .map(|()| ExitCode::SUCCESS)
    });
    // A query that is still running must not keep the process from leaving.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    done
}

/// Prints what failed and why, one cause a line.
fn fail(error: &dyn std::error::Error) {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(e) = cause {
        eprintln!("  because: {e}");
        cause = e.source();
    }
}

/// What a server logs where `HEXIAO_LOG` says nothing.
const SERVER_LOG: &str = "warn,hexiao=info,eventlog=info,ingest=info,ledger=info,query=info";

/// Logs go to stderr; `HEXIAO_LOG` filters them.
fn start_logging(json: bool, filter: &str) {
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("HEXIAO_LOG").unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(filter));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        // Told on stderr, a line that could not be written there would end the task that told it: a full disk must not.
        .log_internal_errors(false);
    if json { builder.json().init() } else { builder.init() }
}
