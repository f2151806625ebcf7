//! `hexiao demo`: a chain with two years of history on one machine, and a gentle trickle of live sales and redemptions.

mod load;
mod trickle;

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use event::Day;
use ledger::Role;
use serde::{Deserialize, Serialize};

use super::Done;
use super::serve::{Door, stop_signal};
use crate::config::{LogConfig, Setup};
use crate::folder::Folder;
use crate::node::{Node, NodeConfig};

/// Arguments of `demo`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    door: Door,
    /// Start over: forget what the folder holds.
    #[arg(long)]
    fresh: bool,
    /// Load, print the three answers, and leave.
    #[arg(long)]
    once: bool,
    /// Events of the history, about.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
}

/// What a demo folder remembers between runs, in `DIR/demo.json`.
#[derive(Serialize, Deserialize)]
struct Memory {
    /// Last day of the history: a second run goes on with the same one.
    end_day: Day,
    /// Events asked for.
    events: u64,
    /// The keys that are printed. Anyone who can read the folder may use them: it is a demo.
    keys: Option<Keys>,
}

/// The demo's keys.
#[derive(Clone, Serialize, Deserialize)]
struct Keys {
    head_office: String,
    store_id: String,
    store: String,
    clerk_id: String,
    clerk: String,
}

/// Loads what is missing, then serves until Ctrl-C.
pub async fn run(setup: &Setup, args: Args) -> Done {
    // The demo is all of it in one process.
    let config = NodeConfig { ingests_topics: true, ..args.door.config()? };
    if let (true, LogConfig::Kafka(log)) = (args.fresh, &setup.log) {
        let said = "--fresh forgets the folder, and the topics would bring its events back: name another `log.prefix`";
        return Err(format!("{said} than {} and another folder", log.kafka.prefix).into());
    }
    let folder = Folder::open(&setup.data)?;
    // Opened before the load: nobody waits for that to hear that the port is taken.
    let listener = if args.once { None } else { Some(args.door.open().await?) };
    if args.fresh {
        folder.clear()?;
    }
    let path = folder.path().join("demo.json");
    let mut memory = remember(&path, args.events)?;
    let node = Node::start(folder, setup, config).await?;

    let started = Instant::now();
    let loaded = load::run(&node, memory.end_day, memory.events).await?;
    let keys = match memory.keys.clone() {
        Some(keys) => keys,
        None => make_keys(&node).await?,
    };
    memory.keys = Some(keys.clone());
    write(&path, &memory)?;
    match loaded {
        Some(made) => println!(
            "Loaded {} events of {} stores and {} members through the log in {:.1} s; the ledger has {} entitlements.",
            made.events,
            made.stores,
            made.members,
            started.elapsed().as_secs_f64(),
            made.entitlements
        ),
        None => println!("The history is loaded already; nothing was loaded twice."),
    }
    let (from, to) = (Day(memory.end_day.0 - 27), memory.end_day);
    let Some(listener) = listener else {
        answers(&node, from, to).await?;
        return node.stop().await;
    };
    let address = listener.local_addr()?;
    println!("Try it at http://{address}/docs/ with one of these keys (they are in {} too):", path.display());
    println!("  head office      {}", keys.head_office);
    println!("  store {:<10} {}", keys.store_id, keys.store);
    println!("  clerk {:<10} {}", keys.clerk_id, keys.clerk);
    println!("In another terminal:");
    println!("  cargo run -q -- report store_performance --from {from} --to {to}");
    println!("  cargo run -q -- sql \"SELECT count(*) FROM redemptions\"");
    println!(
        "  curl -s -H 'Authorization: Bearer {}' 'http://{address}/v1/reports/weekday_load?from={from}&to={to}'",
        keys.head_office
    );
    println!("A sale or a redemption happens every second or so. Ctrl-C stops it.");
    std::io::stdout().flush()?;
    let trickle = tokio::spawn(trickle::run(address, keys));
    let served = node.serve(listener, stop_signal()).await;
    trickle.abort();
    node.stop().await?;
    served?;
    println!("Stopped; what was sold and redeemed is in the lake. Run it again and it goes on.");
    Ok(())
}

fn remember(path: &Path, events: u64) -> Result<Memory, Box<dyn std::error::Error + Send + Sync>> {
    match std::fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let memory = Memory { end_day: super::yesterday(event::Clock::now(&event::SystemClock)), events, keys: None };
            write(path, &memory)?;
            Ok(memory)
        }
        Err(e) => Err(e.into()),
    }
}

fn write(path: &Path, memory: &Memory) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let text = serde_json::to_vec_pretty(memory).map_err(std::io::Error::other)?;
    options.open(path)?.write_all(&text)
}

/// One key of each role, for a store that is open and a clerk of it.
async fn make_keys(node: &Node) -> Result<Keys, Box<dyn std::error::Error + Send + Sync>> {
    let ledger = &node.app().ledger;
    let stores = ledger.catalog_entries("store").await?;
    let served: Vec<&str> =
        stores.iter().filter(|s| s.fields.get("head_office").is_none_or(|h| h != true)).map(|s| s.id.as_str()).collect();
    let clerks = ledger.catalog_entries("clerk").await?;
    let of_a_store = |c: &&ledger::CatalogVersion| c.fields["store_id"].as_str().is_some_and(|store| served.contains(&store));
    let clerk = clerks.iter().find(of_a_store).ok_or("the demo's chain has no clerks")?;
    let store = clerk.fields["store_id"].as_str().unwrap_or_default().to_owned();
    let clerk_id = clerk.id.clone();
    let role = Role::Store { store_id: store.parse()? };
    let clerk_role = Role::Clerk { store_id: store.parse()?, clerk_id: clerk_id.parse()? };
    Ok(Keys {
        head_office: ledger.create_key("demo head office", Role::HeadOffice).await?.secret,
        store: ledger.create_key("demo store", role).await?.secret,
        clerk: ledger.create_key("demo clerk", clerk_role).await?.secret,
        store_id: store,
        clerk_id,
    })
}

/// The three questions of the product, the first lines of each answer.
async fn answers(node: &Node, from: Day, to: Day) -> Done {
    let app = node.app();
    let period = [("from".to_owned(), from.to_string()), ("to".to_owned(), to.to_string())];
    for (report, title) in [
        ("store_performance", "Per store: what was redeemed where in the last four weeks"),
        ("weekday_load", "Per weekday: how busy each store is by hour"),
        ("coverage_gap", "Coverage gap: where holders of cards lack a store nearby"),
    ] {
        let source = app.engine.report(report)?;
        let given = period.iter().filter(|(name, _)| source.parameters.iter().any(|p| p.name == *name)).cloned().collect();
        let answer = app.engine.run(&app.feed.views().current(), report, &given).await?;
        let freshness = super::fresh(&answer.freshness);
        let mut text = Vec::new();
        query::output::write(answer, query::Format::Table, &mut text).await?;
        println!("\n{title} ({report}, {freshness})");
        for line in String::from_utf8_lossy(&text).lines().take(12) {
            println!("{line}");
        }
        println!("…");
    }
    Ok(())
}
