//! `hexiao dead-letters`: messages that could not be events. They are read without a lock, also beside a running process;
//! repaired ones go through the log like everything else.

mod letter;
mod replay;

use std::collections::BTreeMap;

use event::{Day, Stream};
use query::Engine;
use redemption::Zone;

use super::Done;
use crate::config::Setup;
use crate::folder;
use letter::{Letter, Place};

/// Arguments of `dead-letters`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Those that are still open, the newest first.
    List(List),
    /// One of them, whole.
    Show(Show),
    /// Send repaired messages, or dead letters as they are.
    Replay(replay::Args),
}

#[derive(clap::Args)]
struct List {
    /// Only those of this stream.
    #[arg(long, value_name = "STREAM")]
    topic: Option<Stream>,
    /// Only what was recorded from this day on.
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = super::day)]
    since: Option<Day>,
    /// Also those whose event stands in the lake by now.
    #[arg(long)]
    all: bool,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    #[command(flatten)]
    shown: super::Shown,
}

#[derive(clap::Args)]
struct Show {
    /// Its place, as `list` prints it.
    #[arg(value_name = "TOPIC/PARTITION/OFFSET")]
    place: Place,
    /// The message alone, byte for byte.
    #[arg(long)]
    raw: bool,
}

/// Does what the subcommand says.
pub async fn run(setup: &Setup, args: Args) -> Done {
    folder::check_readable(&setup.data)?;
    let engine = super::engine(setup)?;
    match args.command {
        Command::List(args) => list(setup, &engine, args).await,
        Command::Show(args) => show(setup, &engine, &args).await,
        Command::Replay(args) => replay::run(setup, &engine, args).await,
    }
}

async fn list(setup: &Setup, engine: &Engine, args: List) -> Done {
    let zone = Zone::new(engine.config().time_zone.name(), 0).expect("a known zone, from midnight on");
    let since = args.since.map(|day| zone.start_of(day));
    let mut given = BTreeMap::from([("all", args.all.to_string()), ("limit", args.limit.to_string())]);
    given.extend(args.topic.map(|topic| ("topic", topic.to_string())));
    given.extend(since.map(|at| ("since", at.to_string())));
    let given = given.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let view = super::view(setup).await?;
    args.shown.print(engine.run(&view, "dead_letters", &given).await?).await
}

async fn show(setup: &Setup, engine: &Engine, args: &Show) -> Done {
    let view = super::view(setup).await?;
    let letter = Letter::find(engine, &view, &args.place).await?;
    if args.raw { super::write(&letter.payload) } else { super::write(letter.to_string().as_bytes()) }
}
