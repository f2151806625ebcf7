//! `hexiao report`: a report over a data folder, or the list of them.

use std::path::PathBuf;

use super::Done;
use crate::config::Setup;
use crate::folder;

/// Arguments of `report`.
#[derive(clap::Args)]
pub struct Args {
    /// Name of the report; `list` shows what there is.
    name: String,
    /// First business day, inclusive.
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<String>,
    /// Last business day, inclusive.
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<String>,
    /// The period in words, such as 30d, 8w or 3m: days, weeks or months that are over.
    #[arg(long, value_name = "PERIOD", conflicts_with_all = ["from", "to"])]
    last: Option<String>,
    /// Another period beside it: previous, last-year (the same weekdays) or FROM..TO.
    #[arg(long, value_name = "PERIOD")]
    compare: Option<String>,
    /// The answer as it was at the beginning of this business day.
    #[arg(long, value_name = "YYYY-MM-DD")]
    as_known_on: Option<String>,
    /// Only what has changed since the beginning of this business day, with what was known then.
    #[arg(long, value_name = "YYYY-MM-DD")]
    diff_known_on: Option<String>,
    /// How each figure came about: its formula, the numbers in it, and where its pieces are listed.
    #[arg(long)]
    explain: bool,
    /// Only this store.
    #[arg(long, value_name = "ID")]
    store: Option<String>,
    /// Another parameter of the report; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = super::named_value)]
    params: Vec<(String, String)>,
    #[command(flatten)]
    shown: super::Shown,
    /// Folder with further `views` and `reports`, instead of the configured one.
    #[arg(long, value_name = "DIR")]
    sql: Option<PathBuf>,
}

/// Runs the report.
pub async fn run(setup: &Setup, args: Args) -> Done {
    let setup = &Setup { sql: args.sql.unwrap_or_else(|| setup.sql.clone()), ..setup.clone() };
    let engine = super::engine(setup)?;
    if args.name == "list" {
        for report in engine.reports() {
            println!("{} — {}\n  one row per {}", report.name, report.title, report.grain);
            for p in &report.parameters {
                let default = p.default.as_ref().map_or("required".to_owned(), |d| format!("default {d}"));
                println!("  {} ({default}): {}", p.name, p.doc);
            }
        }
        for (file, problem) in engine.left_out() {
            eprintln!("left out {file}: {problem}");
        }
        return Ok(());
    }
    engine.report(&args.name)?;
    folder::check_readable(&setup.data)?;
    let mut given = super::by_name(&args.params);
    let flags = [
        ("from", args.from),
        ("to", args.to),
        ("store", args.store),
        ("last", args.last),
        ("compare", args.compare),
        ("as_known_on", args.as_known_on),
        ("diff_known_on", args.diff_known_on),
        ("explain", args.explain.then(|| "true".to_owned())),
    ];
    given.extend(flags.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let view = super::view(setup).await?;
    args.shown.print(engine.run(&view, &args.name, &given).await?).await
}
