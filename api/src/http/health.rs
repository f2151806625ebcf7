//! Whether it runs well: `/healthz` for whoever restarts it, `/readyz` for whoever sends it requests, `/metrics` for whoever
//! watches. Open to all: they say how much and how far, never what.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use eventlog::Partition;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::metrics::{Figure, FigureKind};
use super::problem::Problem;

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, body = String, description = "`ok`")))]
pub async fn alive() -> &'static str {
    "ok\n"
}

/// How far reading is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// Next offset of the log.
    log_end: i64,
    /// Offset up to which answers include it.
    visible_to: i64,
}

/// Whether it can serve.
///
/// Ingest runs and is close behind the log, so that answers come in time. Otherwise 503 says why.
#[utoipa::path(get, path = "/readyz", tag = "operation", responses((status = 200, body = Readiness)))]
pub async fn ready(State(app): State<App>) -> Result<Json<Readiness>, Problem> {
    let status = app.ingest.status();
    let (log_end, visible_to) = (log_end(&app), app.views.current().position().next(Partition::WHOLE));
    if status.ended {
        let why = status.last_error.unwrap_or_else(|| "no reason was left".into());
        return Err(Problem::unavailable("ingest_ended", format!("Ingest has ended, restart the process: {why}")));
    }
    let behind = log_end - visible_to;
    if behind > app.limits.ready_lag_events {
        return Err(Problem::unavailable(
            "behind",
            format!("Answers are {behind} events behind the log, at {visible_to} of {log_end}"),
        ));
    }
    Ok(Json(Readiness { log_end, visible_to }))
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses((status = 200, content_type = "application/openmetrics-text", body = String)))]
pub async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let text = app.metrics.show(&figures(&app)).map_err(|e| Problem::internal(&e))?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}

fn log_end(app: &App) -> i64 {
    *app.ledger.end().borrow()
}

/// What is read off the process as it runs.
fn figures(app: &App) -> Vec<Figure> {
    use FigureKind::{Counter, Gauge};
    let (status, view, ledger) = (app.ingest.status(), app.views.current(), app.ledger.stats());
    let one = |name, help, kind, value| Figure { name, help, kind, table: None, value };
    let mut figures = vec![
        one("log_end", "Next offset of the log", Gauge, log_end(app)),
        one("visible_to", "Offset up to which answers include the log", Gauge, view.position().next(Partition::WHOLE)),
        one("tail_rows", "Rows that answers take from the tail", Gauge, view.freshness().tail_rows as i64),
        one("tail_bytes", "Bytes of rows that stand in no commit yet", Gauge, status.tail_bytes as i64),
        one("ingest_ended", "1 if ingest gave up and the process must be restarted", Gauge, status.ended.into()),
        one("ingest_failing", "1 while the last thing ingest tried has failed", Gauge, status.last_error.is_some().into()),
        one("ingested_events", "Events taken from the log", Counter, status.counts.accepted as i64),
        one("dropped_copies", "Second copies dropped", Counter, status.counts.copies as i64),
        one("dead_letters", "Messages that are no events", Counter, status.counts.dead_letters as i64),
        one("ledger_waiting", "Commands waiting for the ledger's writer", Gauge, ledger.waiting as i64),
        one("ledger_commands", "Commands run by the ledger", Counter, ledger.commands as i64),
        one("ledger_commits", "Transactions of the ledger", Counter, ledger.commits as i64),
        one("ledger_failed_commits", "Transactions of the ledger that failed", Counter, ledger.failed_commits as i64),
        one("ledger_commit_microseconds", "Time spent in the ledger's transactions", Counter, ledger.commit_micros as i64),
    ];
    type Read = fn(&ingest::TableStatus) -> i64;
    let of_tables: [(&str, &str, FigureKind, Read); 5] = [
        ("committed_offset", "Offset up to which the table's commit holds the log", Gauge, |t| {
            t.committed.next(Partition::WHOLE)
        }),
        ("lake_version", "Delta version of the table", Gauge, |t| t.version as i64),
        ("lake_files", "Live files of the table", Gauge, |t| t.files as i64),
        ("uncommitted_rows", "Rows of the table in no commit yet", Gauge, |t| t.tail_rows as i64),
        ("committed_rows", "Rows of the table committed", Counter, |t| t.committed_rows as i64),
    ];
    for (name, help, kind, read) in of_tables {
        figures.extend(status.tables.iter().map(|(table, t)| Figure {
            name,
            help,
            kind,
            table: Some(table.name()),
            value: read(t),
        }));
    }
    figures
}
