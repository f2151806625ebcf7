//! What is read off a process when `/metrics` is asked for. `docs/kafka.md` says which of them to watch.

use std::collections::BTreeMap;

use event::Table;
use eventlog::{Partition, Position};
use ingest::{MemberStatus, Status, TableStatus};
use query::View;

use super::App;
use super::metrics::{Figure, FigureKind};
use crate::feed::ends::Ends;
use crate::feed::{TopicsStatus, Way};

use FigureKind::{Counter, Gauge};

/// Of a process with a till.
pub fn of_node(app: &App) -> Vec<Figure> {
    let (view, ledger, recorded) = (app.feed.views().current(), app.ledger.stats(), *app.ledger.end().borrow());
    let mut figures = vec![
        one("log_end", "Next offset of the embedded log", Gauge, recorded),
        one("tail_rows", "Rows that answers take from the tail", Gauge, view.freshness().tail_rows as i64),
        one("ledger_waiting", "Commands waiting for the ledger's writer", Gauge, ledger.waiting as i64),
        one("ledger_commands", "Commands run by the ledger", Counter, ledger.commands as i64),
        one("ledger_commits", "Transactions of the ledger", Counter, ledger.commits as i64),
        one("ledger_failed_commits", "Transactions of the ledger that failed", Counter, ledger.failed_commits as i64),
        one("ledger_commit_microseconds", "Time spent in the ledger's transactions", Counter, ledger.commit_micros as i64),
    ];
    // Without a check there is no figure: 0 would say that all is well.
    if let Some(check) = app.metrics.last_check() {
        let help = "Differences between ledger and lake that the last check over all days and stores found";
        figures.push(one("check_differences", help, Gauge, check.differences as i64));
        figures.push(one("checked_at_seconds", "When that was, in seconds since 1970", Gauge, check.at.0 / 1_000_000));
    }
    match app.feed.way() {
        Way::Own(ingest) => {
            let visible = view.position().next(Partition::WHOLE);
            figures.push(one("visible_to", "Offset up to which answers include the log", Gauge, visible));
            let status = ingest.status();
            figures.extend(of_ingest(&status));
            let committed = |table: &TableStatus| table.committed.next(Partition::WHOLE);
            let help = "Offset up to which the table's commit holds the log";
            figures.extend(of_tables("committed_offset", help, Gauge, &status.tables, committed));
        }
        Way::Topics(topics) => figures.extend(of_topics(&topics.status(), &view, recorded)),
    }
    figures
}

/// Of a process that ingests topics and does nothing else.
pub fn of_member(status: &MemberStatus, committed: &Position, ends: &Ends) -> Vec<Figure> {
    let mut figures = of_share(status);
    figures.extend(of_partitions(ends, committed));
    figures
}

fn one(name: &'static str, help: &'static str, kind: FigureKind, value: i64) -> Figure {
    Figure { name, help, kind, label: None, value }
}

fn of_ingest(status: &Status) -> Vec<Figure> {
    let mut figures = vec![
        one("tail_bytes", "Bytes of rows that stand in no commit yet", Gauge, status.tail_bytes as i64),
        one("ingest_ended", "1 if ingest gave up and the process must be restarted", Gauge, status.ended.into()),
        one("ingest_failing", "1 while the last thing ingest tried has failed", Gauge, status.last_error.is_some().into()),
        one("ingested_events", "Events taken from the log", Counter, status.counts.accepted as i64),
        one("dropped_copies", "Second copies dropped", Counter, status.counts.copies as i64),
        one("dead_letters", "Messages that are no events", Counter, status.counts.dead_letters as i64),
    ];
    type Read = fn(&TableStatus) -> i64;
    let of_each: [(&str, &str, FigureKind, Read); 4] = [
        ("lake_version", "Delta version of the table", Gauge, |t| t.version as i64),
        ("lake_files", "Live files of the table", Gauge, |t| t.files as i64),
        ("uncommitted_rows", "Rows of the table in no commit yet", Gauge, |t| t.tail_rows as i64),
        ("committed_rows", "Rows of the table committed", Counter, |t| t.committed_rows as i64),
    ];
    for (name, help, kind, read) in of_each {
        figures.extend(of_tables(name, help, kind, &status.tables, read));
    }
    figures
}

fn of_tables(
    name: &'static str,
    help: &'static str,
    kind: FigureKind,
    tables: &BTreeMap<Table, TableStatus>,
    read: impl Fn(&TableStatus) -> i64,
) -> Vec<Figure> {
    let of = |(table, status): (&Table, &TableStatus)| Figure {
        name,
        help,
        kind,
        label: Some(("table", table.name().to_owned())),
        value: read(status),
    };
    tables.iter().map(of).collect()
}

fn of_topics(status: &TopicsStatus, view: &View, recorded: i64) -> Vec<Figure> {
    let mut figures = vec![
        one("relayed_to", "Offset up to which the embedded log is in Kafka", Gauge, status.relayed_to),
        one("relay_waiting", "Messages recorded here that are not in Kafka yet", Gauge, recorded - status.relayed_to),
        one("relay_failing", "1 while the relay fails", Gauge, status.relay_error.is_some().into()),
        one(
            "topics_failing",
            "1 while the brokers don't answer",
            Gauge,
            (status.unreached.is_some() || status.ends.error.is_some()).into(),
        ),
    ];
    if let Some(follower) = &status.follower {
        figures.extend([
            one(
                "follower_failing",
                "1 while the last thing the follower tried has failed",
                Gauge,
                follower.last_error.is_some().into(),
            ),
            one("follower_full", "1 while the tail is full and answers wait for commits", Gauge, follower.full.into()),
            one("follower_tail_bytes", "Bytes of the tail", Gauge, follower.tail_bytes as i64),
            one("follower_beginnings", "Times the tail was read anew", Counter, follower.beginnings as i64),
        ]);
    }
    let visible = of_each("partition_visible_to", "Offset up to which answers include the partition", view.position());
    figures.extend(visible);
    figures.extend(of_partitions(&status.ends, &view.committed_everywhere()));
    match &status.member {
        Some(member) => figures.extend(of_share(member)),
        None => figures.extend(view.freshness().lake_versions.into_iter().map(|(table, version)| Figure {
            name: "lake_version",
            help: "Delta version of the table",
            kind: Gauge,
            label: Some(("table", table.to_owned())),
            value: version as i64,
        })),
    }
    figures
}

/// What a member of the ingest does with its share.
fn of_share(status: &MemberStatus) -> Vec<Figure> {
    let mut figures = vec![
        one("ingest_partitions", "Partitions this process ingests", Gauge, status.partitions.len() as i64),
        one("ingest_beginnings", "Times ingest began anew", Counter, status.beginnings as i64),
        one(
            "member_failing",
            "1 while the last thing the member of the group tried has failed",
            Gauge,
            status.last_error.is_some().into(),
        ),
    ];
    let stopped = status.stopped.keys().map(|partition| Figure {
        name: "partition_stopped",
        help: "1 if somebody has to decide about the partition: it is not ingested",
        kind: Gauge,
        label: Some(("partition", partition.to_string())),
        value: 1,
    });
    figures.extend(stopped);
    figures.extend(of_ingest(&status.ingest));
    figures
}

/// How far the lake is with each partition.
fn of_partitions(ends: &Ends, committed: &Position) -> Vec<Figure> {
    let now = event::Clock::now(&event::SystemClock);
    let committed = Position(ends.end.0.keys().map(|partition| (*partition, committed.next(*partition))).collect());
    let since = |partition: &Partition| ends.uncommitted_since.get(partition).map_or(0, |at| (now.0 - at.0) / 1_000_000);
    let since = Position(ends.end.0.keys().map(|partition| (*partition, since(partition).max(0))).collect());
    let help = "Age of the partition's first message that is not in the lake";
    let mut figures = of_each("partition_start", "First offset that the partition still has", &ends.start);
    figures.extend(of_each("partition_end", "Next offset of the partition", &ends.end));
    figures.extend(of_each("partition_committed_to", "Offset up to which the lake holds the partition", &committed));
    figures.extend(of_each("partition_uncommitted_seconds", help, &since));
    figures
}

fn of_each(name: &'static str, help: &'static str, values: &Position) -> Vec<Figure> {
    let of = |(partition, value): (&Partition, &i64)| Figure {
        name,
        help,
        kind: Gauge,
        label: Some(("partition", partition.to_string())),
        value: *value,
    };
    values.0.iter().map(of).collect()
}
