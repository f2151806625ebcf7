//! `/v1/check`: the ledger against the lake, for head office and for monitoring.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use event::Day;
use eventlog::Position;
use redemption::StoreId;
use serde::Deserialize;

use super::App;
use super::answers::{format, language, show, view};
use super::auth::HeadOffice;
use super::extract::{Query, WaitFor};
use super::metrics::LastCheck;
use super::problem::Problem;
use super::reports::Envelope;
use crate::check::{self, Later};
use crate::feed::Way;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Days and store.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Scope {
    /// First business day, inclusive; all if not given.
    #[param(value_type = Option<String>, format = Date)]
    from: Option<Day>,
    /// Last business day, inclusive; all if not given.
    #[param(value_type = Option<String>, format = Date)]
    to: Option<Day>,
    /// Only this store.
    #[param(value_type = Option<String>)]
    store: Option<StoreId>,
}

/// Holds the ledger against the lake.
///
/// Per store, business day and type of event: events, units, fen. A row per difference, each total followed by the events
/// concerned; no rows if they agree. `Accept` chooses the format as for reports.
#[utoipa::path(
    get, path = "/v1/check", tag = "operation",
    params(Scope),
    responses((status = 200, content(
        (Envelope = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"), (String = "text/html"),
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"), (Vec<u8> = "application/vnd.apache.parquet"), (String = "text/plain"),
    ), headers(("Hexiao-Differences" = u64, description = "How many differences there are"))))
)]
pub async fn run(
    State(app): State<App>,
    _: HeadOffice,
    headers: HeaderMap,
    Query(scope): Query<Scope>,
) -> Result<Response, Problem> {
    let (asked, started) = ((format(&headers)?, language(&headers)), std::time::Instant::now());
    let days = check::days(scope.from, scope.to, scope.store.map(|s| s.to_string()));
    let relayed = matches!(app.feed.way(), Way::Topics(_));
    let failed = |e: Failure| match e.downcast::<query::Error>() {
        Ok(e) => Problem::from(*e),
        Err(e) => Problem::internal(e.as_ref()),
    };
    let whole = days == check::days(None, None, None);
    let cut = check::cut(app.ledger.path(), &days, relayed).await.map_err(failed)?;
    // Told too late, the view says that it knows no such position.
    let _ = tokio::time::timeout(app.limits.wait, app.feed.recorded(cut.end)).await;
    let view = view(&app, &WaitFor(Some(Position::single(cut.end)))).await?;
    let read_at = cut.read_at;
    let later = if relayed { Later::of_topics(&cut) } else { Later::of_outbox(&cut, log_end(&app).await.map_err(failed)?) };
    let checked = check::run(&app.engine, app.ledger.path(), days, cut, view, later).await.map_err(failed)?;
    if whole {
        app.metrics.checked(LastCheck { differences: checked.differences.len(), at: read_at });
    }
    let answer = checked.answer().map_err(|e| Problem::internal(&e))?;
    let mut response = show(&app, "check", started, Ok(answer), asked).await?;
    response.headers_mut().insert("hexiao-differences", HeaderValue::from(checked.differences.len()));
    Ok(response)
}

/// From the file: what is committed is read by the log's readers a moment before the writer tells of it.
async fn log_end(app: &App) -> Result<i64, Failure> {
    let path = app.ledger.path().to_owned();
    Ok(tokio::task::spawn_blocking(move || ledger::log_end(&path)).await??)
}
