//! `hexiao check`: the ledger against the lake, without a lock, also beside a running process.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use event::{Day, SystemClock};
use eventlog::{LogIds, Partition};
use ledger::Cut;
use query::{Engine, EngineConfig, View, Views};

use crate::check::{self, Later};
use crate::config::{LogConfig, Setup};
use crate::folder;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Ends with it if ledger and lake differ; 0 if they agree.
const DIFFER: u8 = 1;

/// Ends with it if they could not be compared.
pub const UNKNOWN: u8 = 2;

/// A check may take longer than a statement that somebody waits for at a screen: a billion redemptions about a minute.
const DEADLINE: Duration = Duration::from_secs(600);

/// Arguments of `check`.
#[derive(clap::Args)]
pub struct Args {
    /// First business day, inclusive; all if not given.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = super::day)]
    from: Option<Day>,
    /// Last business day, inclusive; all if not given.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = super::day)]
    to: Option<Day>,
    /// Only this store.
    #[arg(long, value_name = "ID")]
    store: Option<String>,
    #[command(flatten)]
    shown: super::Shown,
}

/// Compares, prints the differences, and says by the exit code whether there are any.
pub async fn run(setup: &Setup, args: Args) -> Result<ExitCode, Failure> {
    folder::check_readable(&setup.data)?;
    let ledger = setup.data.join("ledger.sqlite");
    if !ledger.exists() {
        return Err(format!("there is no ledger in `{}`: nothing to hold against the lake", setup.data.display()).into());
    }
    let days = check::days(args.from, args.to, args.store);
    let cut = check::cut(&ledger, &days, matches!(setup.log, LogConfig::Kafka(_))).await?;
    let (view, later) = match &setup.log {
        LogConfig::Outbox => outbox(setup, &cut).await?,
        LogConfig::Kafka(_) => (super::view(setup).await?, Later::of_topics(&cut)),
    };
    let config = EngineConfig { deadline: DEADLINE, ..EngineConfig::default() };
    let engine = Engine::new(config, Arc::new(SystemClock), None)?;
    let checked = check::run(&engine, &ledger, days, cut, view, later).await?;
    args.shown.print(checked.answer()?).await?;
    eprintln!("{}", checked.summary());
    Ok(if checked.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DIFFER) })
}

/// Lake and tail beyond `cut`; the lake alone if the ledger's log ends before it.
async fn outbox(setup: &Setup, cut: &Cut) -> Result<(Arc<View>, Later), Failure> {
    let ledger = setup.data.join("ledger.sqlite");
    let lake = Views::open(&setup.data.join("lake")).await?.current();
    let filled_to = lake.committed_of(&LogIds::single(&cut.log_id)).next(Partition::WHOLE);
    let end = ledger::log_end(&ledger)?;
    let view = if filled_to > end { lake } else { super::view(setup).await? };
    // After the View: what it has beyond this end, the log has lost.
    Ok((view, Later::of_outbox(cut, ledger::log_end(&ledger)?)))
}
