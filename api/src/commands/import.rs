//! `hexiao import`: another system's history, through the log like everything else.

use std::path::PathBuf;
use std::time::Instant;

use datasets::{Chunk, Import, ImportError, Map, Phase, Progress, Summary};
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use super::Done;
use crate::config::Setup;
use crate::log::Log;

/// Arguments of `import`.
#[derive(clap::Args)]
pub struct Args {
    /// Map of the files: which column becomes which field. `datasets/README.md` says how to write one.
    #[arg(long, value_name = "FILE.toml")]
    map: Option<PathBuf>,
    /// Files, or folders of files; without --map the first is the name of a built-in map, such as `complete-journey`.
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<String>,
}

/// Imports; importing the same again changes nothing.
pub async fn run(setup: &Setup, args: Args) -> Done {
    let (map, inputs) = match args.map {
        Some(file) => (Map::load(&file)?, &args.inputs[..]),
        None => {
            let name = &args.inputs[0];
            let map = Map::built_in(name).ok_or_else(|| {
                format!(
                    "there is no built-in map `{name}`; there are {}; name your own with --map FILE.toml",
                    Map::BUILT_IN.join(", ")
                )
            })?;
            (map, &args.inputs[1..])
        }
    };
    let inputs: Vec<PathBuf> = inputs.iter().map(PathBuf::from).collect();
    if inputs.is_empty() {
        return Err("name the files or the folder to import".into());
    }
    let started = Instant::now();
    let bar = super::progress(0, "rows");
    let told = bar.clone();
    // Every fault of the map is found here, before the log is opened.
    let import = tokio::task::spawn_blocking(move || Import::open(map, &inputs, &mut |p| tell(&told, p))).await??;
    let log = Log::open(setup).await?;
    let (sender, receiver) = mpsc::channel(64);
    let told = bar.clone();
    let making = tokio::task::spawn_blocking(move || make(import, &sender, &told));
    log.append_all(receiver, |_| {}).await?;
    let summary = making.await??;
    log.close().await?;
    bar.finish_and_clear();
    show(&summary, started.elapsed().as_secs_f64());
    Ok(())
}

fn make(mut import: Import, to: &mpsc::Sender<Chunk>, bar: &ProgressBar) -> Result<Summary, ImportError> {
    while let Some(chunk) = import.next() {
        // Nobody takes chunks any more: the log says why.
        if to.blocking_send(chunk?).is_err() {
            break;
        }
        tell(bar, import.progress());
    }
    Ok(import.summary().clone())
}

fn tell(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.total);
    bar.set_position(progress.rows);
    bar.set_message(match progress.phase {
        Phase::Check => "· checking",
        Phase::Import => "· importing",
    });
}

fn show(summary: &Summary, took: f64) {
    println!(
        "{} rows in {took:.1} s: {} accepted, {} rejected, {} without an event",
        summary.rows, summary.accepted, summary.rejected, summary.without_event
    );
    for (stream, events) in &summary.events {
        println!("  {events} events of {stream}");
    }
    if summary.rejected > 0 {
        println!("Rejected rows are in dead_letters with their reason; the first:");
        for (file, row, reason) in &summary.reasons {
            println!("  {} row {row}: {reason}", file.display());
        }
    }
}
