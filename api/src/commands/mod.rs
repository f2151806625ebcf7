//! The commands, one file each: parse, call, show.

pub mod check;
pub mod dead_letters;
pub mod demo;
pub mod generate;
pub mod import;
pub mod ingest;
pub mod lag;
pub mod maintain;
pub mod report;
pub mod schema;
pub mod serve;
pub mod sql;
pub mod topics;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use query::{Answer, Format, Language};

use crate::config::{LogConfig, Setup};
use crate::kafka;

/// What a command ends with. The message is for a person; causes are printed below it.
pub type Done = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// How an answer is printed.
#[derive(clap::Args)]
pub struct Shown {
    /// How to print the rows: table, csv, csv-bom, json, ndjson, arrow, parquet, xlsx, html, or svg for the chart alone. Money
    /// is fen in json, ndjson, arrow and parquet, else yuan.
    #[arg(long, default_value = "table")]
    pub format: Format,
    /// Language of headings and labels in table, xlsx, html and svg: en or zh.
    #[arg(long, value_name = "LANGUAGE", default_value = "en", env = "HEXIAO_LANG")]
    pub lang: Language,
}

impl Shown {
    /// Prints an answer this way.
    pub async fn print(self, answer: Answer) -> Done {
        print(answer.in_language(self.lang), self.format).await
    }
}

/// Prints an answer to stdout and how fresh it is to stderr (R23).
pub async fn print(answer: Answer, format: Format) -> Done {
    let mut out = std::io::stdout();
    if format.binary() && out.is_terminal() {
        return Err("this format is bytes, not text: send it to a file, as in `> answer.xlsx`".into());
    }
    let freshness = answer.freshness.clone();
    if write_answer(answer, format, &mut out).await? {
        eprintln!("{}", fresh(&freshness));
    }
    Ok(())
}

/// Writes an answer; returns whether it was read to its end.
pub async fn write_answer(answer: Answer, format: Format, out: &mut (dyn Write + Send)) -> query::Result<bool> {
    match query::output::write(answer, format, out).await {
        Ok(()) => Ok(true),
        // Whoever reads may have had enough, as `head` has.
        Err(e) if broken_pipe(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Writes to stdout.
pub fn write(bytes: &[u8]) -> Done {
    let mut out = std::io::stdout();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // Whoever reads may have had enough, as `head` has.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}

/// `as of … · lake orders@12, redemptions@9 · 3 rows from the tail`.
pub fn fresh(freshness: &query::Freshness) -> String {
    let as_of = freshness.as_of.map_or_else(|| "nothing recorded yet".to_owned(), |at| format!("as of {at}"));
    let versions: Vec<String> = freshness.lake_versions.iter().map(|(table, v)| format!("{table}@{v}")).collect();
    format!("{as_of} · lake {} · {} rows from the tail", versions.join(", "), freshness.tail_rows)
}

fn broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe);
    io || error.source().is_some_and(broken_pipe)
}

/// `name=value` of a `--param`.
pub fn named_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not name=value"))?;
    Ok((name.trim_start_matches('$').to_owned(), value.to_owned()))
}

/// Values by name, from flags.
pub fn by_name(values: &[(String, String)]) -> BTreeMap<String, String> {
    values.iter().cloned().collect()
}

/// A day of an argument.
pub fn day(text: &str) -> Result<event::Day, String> {
    event::Day::parse(text).ok_or_else(|| format!("`{text}` is no day; expected YYYY-MM-DD"))
}

/// The chain's yesterday: the last business day that is over.
pub fn yesterday(now: event::Instant) -> event::Day {
    let today = query::business_day(now, query::EngineConfig::default().time_zone);
    event::Day(today.0 - 1)
}

/// A progress bar on stderr; nothing is drawn where that is no terminal.
pub fn progress(total: u64, what: &'static str) -> indicatif::ProgressBar {
    let style =
        indicatif::ProgressStyle::with_template(&format!("{{bar:40}} {{human_pos}}/{{human_len}} {what} {{per_sec}} {{msg}}"));
    indicatif::ProgressBar::new(total).with_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()))
}

/// An engine for one answer, with the relations and reports of the setup's folder.
pub fn engine(setup: &Setup) -> query::Result<query::Engine> {
    query::Engine::new(query::EngineConfig::default(), std::sync::Arc::new(event::SystemClock), Some(&setup.sql))
}

/// What the folder and its log hold now, read without a lock, also beside running processes.
pub async fn view(setup: &Setup) -> Result<std::sync::Arc<query::View>, Box<dyn std::error::Error + Send + Sync>> {
    match &setup.log {
        LogConfig::Outbox => Ok(query::reader::load(&setup.data, None).await?),
        LogConfig::Kafka(log) => {
            let source = kafka::open(&log.kafka).await?;
            Ok(query::reader::load(&setup.data, Some(&source)).await?)
        }
    }
}
