//! Whether it runs well: `/healthz` for whoever restarts it, `/readyz` for whoever sends it requests, `/metrics` for whoever
//! watches. Open to all: they say how much and how far, never what.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::metrics::MEDIA_TYPE;
use super::problem::Problem;
use super::{App, figures};
use crate::feed::Way;

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, body = String, description = "`ok`")))]
pub async fn alive() -> &'static str {
    "ok\n"
}

/// How far reading is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// Next offset of the log; over Kafka all partitions together.
    log_end: i64,
    /// Offset up to which answers include it.
    visible_to: i64,
    /// Messages recorded here that are not in Kafka yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    unrelayed: Option<i64>,
    /// What fails and is tried again, though it can serve.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    troubles: Vec<String>,
}

/// Whether it can serve.
///
/// Reading is close behind the log, so that answers come in time. Otherwise 503 says why. Kafka that can't be reached is no
/// reason: the till works on, and answers say how fresh they are.
#[utoipa::path(get, path = "/readyz", tag = "operation", responses((status = 200, body = Readiness)))]
pub async fn ready(State(app): State<App>) -> Result<Json<Readiness>, Problem> {
    let reading = app.feed.reading();
    let (unrelayed, troubles) = match app.feed.way() {
        Way::Own(ingest) => {
            let status = ingest.status();
            if status.ended {
                let why = status.last_error.unwrap_or_else(|| "no reason was left".into());
                return Err(Problem::unavailable("ingest_ended", format!("Ingest has ended, restart the process: {why}")));
            }
            (None, Vec::from_iter(status.last_error))
        }
        Way::Topics(topics) => {
            let status = topics.status();
            (Some(*app.ledger.end().borrow() - status.relayed_to), status.troubles())
        }
    };
    let crate::feed::Reading { log_end, visible_to, behind } = reading;
    if behind > app.limits.ready_lag_events {
        return Err(Problem::unavailable(
            "behind",
            format!("Answers are {behind} events behind the log, at {visible_to} of {log_end}"),
        ));
    }
    Ok(Json(Readiness { log_end, visible_to, unrelayed, troubles }))
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses((status = 200, content_type = "application/openmetrics-text", body = String)))]
pub async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let text = app.metrics.show(&figures::of_node(&app)).map_err(|e| Problem::internal(&e))?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}
