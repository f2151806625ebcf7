//! `hexiao generate`: a seeded chain of any size, as files or straight into a log.

use std::path::{Path, PathBuf};
use std::time::Instant;

use datasets::{Chain, ChainConfig, Chunk, FileFormat, Files, Step};
use event::Day;
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use super::Done;
use crate::config::Setup;
use crate::log::Log;

/// Arguments of `generate`.
#[derive(clap::Args)]
pub struct Args {
    /// Events to make, about.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Days of history.
    #[arg(long, default_value_t = 365)]
    days: u32,
    /// Last day of the history; yesterday by default.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = super::day)]
    end: Option<Day>,
    /// Stores, beside head office; by default they grow with the events.
    #[arg(long)]
    stores: Option<u32>,
    /// Members; by default they grow with the events.
    #[arg(long)]
    members: Option<u32>,
    /// Share of visits that lead to another store than the member's own, 0 to 1.
    #[arg(long, value_name = "SHARE")]
    cross_store: Option<f64>,
    /// The same seed makes the same history, byte for byte.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Name under which the events stand in the log.
    #[arg(long, default_value = "generate")]
    source: String,
    /// Folder for one file per stream; without it the events go into the log of the data folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Append to the log and leave the lake to the process that comes next.
    #[arg(long, conflicts_with = "out")]
    log_only: bool,
    /// Format of the files.
    #[arg(long, default_value = "ndjson", value_parser = format, requires = "out")]
    format: FileFormat,
}

/// Makes the chain.
pub async fn run(setup: &Setup, args: Args) -> Done {
    let end_day = args.end.unwrap_or_else(|| super::yesterday(event::Clock::now(&event::SystemClock)));
    let mut config = ChainConfig::sized(args.events, args.days, end_day);
    config.seed = args.seed;
    config.source = args.source;
    config.stores = args.stores.unwrap_or(config.stores);
    config.members = args.members.unwrap_or(config.members);
    if let Some(share) = args.cross_store {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("--cross-store is {share}; it must be between 0 and 1").into());
        }
        config.cross_store_share = share;
    }
    let bar = super::progress(args.events, "events");
    let started = Instant::now();
    let made = match args.out {
        Some(folder) => {
            let bar = bar.clone();
            tokio::task::spawn_blocking(move || into_files(config, &folder, args.format, &bar)).await??
        }
        None => {
            let log = if args.log_only { Log::open_ledger(&setup.data).await? } else { Log::open(setup).await? };
            let made = log.append_all(chunks(config), |n| bar.inc(n)).await?;
            log.close().await?;
            made
        }
    };
    bar.finish_and_clear();
    let took = started.elapsed().as_secs_f64();
    println!("{made} events in {took:.1} s ({:.0} a second)", made as f64 / took);
    Ok(())
}

fn into_files(config: ChainConfig, folder: &Path, format: FileFormat, bar: &ProgressBar) -> Result<u64, datasets::FileError> {
    let mut files = Files::create(folder, format)?;
    let mut made = 0;
    for step in Chain::new(config) {
        if let Step::Events(chunk) = step {
            files.write(&chunk)?;
            made += u64::from(chunk.count);
            bar.inc(u64::from(chunk.count));
        }
    }
    files.close()?;
    Ok(made)
}

/// The chain's events, made on a thread of their own.
fn chunks(config: ChainConfig) -> mpsc::Receiver<Chunk> {
    // 64 chunks of 2 MB wait at most: enough that neither side waits for long.
    let (sender, receiver) = mpsc::channel(64);
    tokio::task::spawn_blocking(move || {
        for step in Chain::new(config) {
            if let Step::Events(chunk) = step
                && sender.blocking_send(chunk).is_err()
            {
                return;
            }
        }
    });
    receiver
}

fn format(text: &str) -> Result<FileFormat, String> {
    match text {
        "ndjson" => Ok(FileFormat::Ndjson),
        "parquet" => Ok(FileFormat::Parquet),
        _ => Err(format!("there is no format `{text}`; there are ndjson and parquet")),
    }
}
