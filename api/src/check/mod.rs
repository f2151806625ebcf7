//! `check`: every fen accounted for. The ledger's totals against what lake and tail hold of its source, per store, business
//! day and type of event; where they differ, the events concerned.
//!
//! The ledger is read first, as of one offset of its log; then a View that includes everything below it. So what the ledger
//! has, the View must have, but for events not yet known to be in Kafka ([`ledger::Cut::pending`]). What the View has beyond
//! the cut is left out by its place in the log ([`Later`]). Nothing is locked and nobody waits.

mod answer;
mod compare;
mod lake;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use event::{Clock, Day, Instant, first_id_at};
use ledger::{Cut, Days, TotalOf, Totals};
use query::{Engine, Freshness, View};

pub use compare::Difference;
use compare::Finding;
use lake::{Lake, LakeRow};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Store days whose rows are looked at: each takes some 20 ms, and nobody reads more. All others are listed by their totals.
const STORE_DAYS_LIMIT: usize = 100;

/// Events of the lake that the ledger lacks and that are looked for on other days.
const PLACES_LIMIT: usize = 20;

/// Over Kafka, an event is later than the cut if its id says so. The ledger's clock is read before its commit: by how much, at
/// most. What a restored ledger has lost within it is found a minute later.
const COMMIT_LIMIT_MICROS: i64 = 60_000_000;

/// All business days there can be: events before 2000 are refused (R20).
const ALL_DAYS: (Day, Day) = (Day(10_592), Day(2_932_896));

/// The days to look at, without limits where none are given.
pub fn days(from: Option<Day>, to: Option<Day>, store_id: Option<String>) -> Days {
    Days { from: from.unwrap_or(ALL_DAYS.0), to: to.unwrap_or(ALL_DAYS.1), store_id }
}

/// Reads the ledger's side. `relayed` where its log goes to Kafka.
pub async fn cut(ledger: &Path, days: &Days, relayed: bool) -> Result<Cut, Failure> {
    let (ledger, days) = (ledger.to_owned(), days.clone());
    // Before the transaction: what it does not see was committed later.
    let now = event::SystemClock.now();
    Ok(tokio::task::spawn_blocking(move || ledger::cut(&ledger, &days, relayed, now)).await??)
}

/// Which events of a View are later than the ledger's cut.
#[derive(Debug)]
pub enum Later {
    /// Those at these offsets of the embedded log: from the cut to where the log ended after the View was taken. What stands
    /// beyond that the log has lost.
    Offsets(std::ops::Range<i64>),
    /// Those with these ids, and the ones that may or may not be in Kafka.
    Ids {
        /// From this id on.
        from: i64,
        /// Events below the cut that are on their way.
        pending: HashSet<i64>,
    },
}

impl Later {
    /// For a View of the embedded log, taken after `cut`, whose log now ends at `end`.
    pub fn of_outbox(cut: &Cut, end: i64) -> Later {
        Later::Offsets(cut.end..end.max(cut.end))
    }

    /// For a View of topics, read after `cut`.
    pub fn of_topics(cut: &Cut) -> Later {
        let from = (cut.last_id + 1).max(first_id_at(Instant(cut.read_at.0 - COMMIT_LIMIT_MICROS)));
        Later::Ids { from, pending: cut.pending.iter().map(|p| p.event_id).collect() }
    }

    fn includes(&self, row: &LakeRow) -> bool {
        match self {
            Later::Offsets(offsets) => offsets.contains(&row.log_offset),
            Later::Ids { from, pending } => row.event_id >= *from || pending.contains(&row.event_id),
        }
    }
}

/// What a check came to.
#[derive(Debug)]
pub struct Checked {
    /// Totals compared.
    pub totals: usize,
    /// Events of the ledger in them.
    pub events: i64,
    /// Where the sides differ: totals of a store's day, each followed by the events concerned.
    pub differences: Vec<Difference>,
    /// Store days that differ and whose events were not looked at.
    pub unnamed_days: usize,
    /// Events on their way to Kafka, which neither side counts.
    pub pending: usize,
    /// How fresh the View was.
    pub freshness: Freshness,
}

/// Compares.
pub async fn run(
    engine: &Engine,
    ledger: &Path,
    days: Days,
    cut: Cut,
    view: Arc<View>,
    later: Later,
) -> Result<Checked, Failure> {
    let cut = Arc::new(cut);
    let lake = Lake { engine, view: &view, cut: &cut, days: &days };
    let mut of_lake = lake.totals().await?;
    let late: Vec<LakeRow> = lake.late(&later).await?.into_iter().filter(|row| later.includes(row)).collect();
    for row in &late {
        if let Some(total) = of_lake.get_mut(&row.of).filter(|_| row.event_id >= cut.since(&row.of.event_type)) {
            total.take_out(row.units, row.fen, row.event_id);
        }
    }
    let findings = compare::totals(&cut.totals, &of_lake);
    let mut differences = Vec::new();
    if let Later::Offsets(offsets) = &later {
        differences.extend(older(&view, offsets.end));
    }
    let named = Named { lake: &lake, ledger: ledger.to_owned(), cut: cut.clone(), later: &later };
    let unnamed_days = named.name(findings, &mut differences).await?;
    differences.extend(lake.two_months().await?);
    differences.extend(lake.letters().await?);
    Ok(Checked {
        totals: all(&cut.totals, &of_lake),
        events: cut.totals.values().map(|total| total.events).sum(),
        differences,
        unnamed_days,
        pending: cut.pending.len(),
        freshness: view.freshness(),
    })
}

/// A lake beyond the end of its log: that was restored from a backup.
fn older(view: &View, end: i64) -> Option<Difference> {
    let filled_to = view.position().next(eventlog::Partition::WHOLE);
    let said = format!("the ledger's log ends at {end} and the lake holds it up to {filled_to}: was it restored from a backup?");
    (filled_to > end).then(|| Difference { detail: Some(said), ..Difference::of_kind(compare::Kind::OlderLedger) })
}

fn all(ledger: &Totals, lake: &Totals) -> usize {
    ledger.keys().chain(lake.keys()).collect::<BTreeSet<_>>().len()
}

/// Finds the events behind totals that differ.
struct Named<'a> {
    lake: &'a Lake<'a>,
    ledger: PathBuf,
    cut: Arc<Cut>,
    later: &'a Later,
}

impl Named<'_> {
    /// Adds the findings and their events to `differences`; returns how many store days were left without events.
    async fn name(&self, findings: Vec<Finding>, differences: &mut Vec<Difference>) -> Result<usize, Failure> {
        let mut store_days: BTreeMap<(String, Day), Vec<Finding>> = BTreeMap::new();
        for finding in findings {
            let TotalOf { store_id, business_day, .. } = &finding.of;
            store_days.entry((store_id.clone(), *business_day)).or_default().push(finding);
        }
        let unnamed = store_days.len().saturating_sub(STORE_DAYS_LIMIT);
        let mut looked_for = 0;
        for (at, ((store_id, day), findings)) in store_days.into_iter().enumerate() {
            if at >= STORE_DAYS_LIMIT {
                differences.extend(findings.iter().map(Finding::total));
                continue;
            }
            let mut of_lake = self.lake.rows(&store_id, day).await?;
            of_lake.retain(|row| !self.later.includes(row) && row.event_id >= self.cut.since(&row.of.event_type));
            let (ledger, cut) = (self.ledger.clone(), self.cut.clone());
            let of_ledger = tokio::task::spawn_blocking(move || ledger::rows_of(&ledger, &cut, &store_id, day)).await??;
            for finding in findings {
                differences.push(finding.total());
                for mut event in finding.events(&of_ledger, &of_lake) {
                    if let (compare::Kind::NotInLedger, Some(event_id)) = (event.kind, event.event_id)
                        && looked_for < PLACES_LIMIT
                    {
                        looked_for += 1;
                        event.detail = self.lake.elsewhere(event_id, &finding.of).await?;
                    }
                    differences.push(event);
                }
            }
        }
        Ok(unnamed)
    }
}

impl Checked {
    /// In a line: how much was compared, and what came out.
    pub fn summary(&self) -> String {
        let compared = format!("{} events in {} totals", self.events, self.totals);
        let mut said = match self.differences.len() {
            0 => format!("Ledger and lake agree: {compared}"),
            1 => format!("1 difference between ledger and lake: {compared}"),
            n => format!("{n} differences between ledger and lake: {compared}"),
        };
        if self.unnamed_days > 0 {
            said += &format!("; {} more store days differ, listed without their events", self.unnamed_days);
        }
        if self.pending > 0 {
            said += &format!("; {} events are on their way to Kafka and left out", self.pending);
        }
        said
    }
}
