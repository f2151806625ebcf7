//! The HTTP door: routes, roles, formats, problems. A handler parses, calls, shows; what it calls decides.
//!
//! Owns how Hexiao looks over HTTP. It holds no state of its own but counters, and knows SQL only as text that passes
//! through.
#![allow(clippy::result_large_err, reason = "a problem of 208 bytes is moved once per request that fails")]

mod answers;
mod auth;
mod catalog;
mod check;
mod contract;
mod extract;
pub mod figures;
mod health;
mod keys;
mod log;
mod members;
pub mod metrics;
mod observe;
mod openapi;
mod orders;
mod problem;
mod recorded;
mod redemptions;
mod reports;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::{Router, middleware};
use ledger::Ledger;
use query::Engine;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::feed::Feed;

pub use metrics::Metrics;

/// What the handlers work with.
#[derive(Clone, Debug)]
pub struct App {
    /// What may be redeemed now.
    pub ledger: Ledger,
    /// Answers statements and reports.
    pub engine: Arc<Engine>,
    /// What happened, as of now; asked how it does.
    pub feed: Arc<Feed>,
    /// Key of local commands, as in the lock file; empty for none.
    pub local_token: Arc<str>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Limits.
    pub limits: Limits,
}

/// Limits of the HTTP door, each with its reason.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest a body may be: a product with a thousand applicable stores has about 20 KiB.
    pub body_bytes: usize,
    /// The longest a body of log messages may be: at 437 bytes an event, 64 MiB are 150,000 events, a second of ingest.
    pub log_body_bytes: usize,
    /// How long an answer waits until what was written is read: normally milliseconds, so 2 s mean that ingest or Kafka
    /// is stuck.
    pub wait: Duration,
    /// How long a request may take until its answer begins: above the engine's own deadline, so that the engine's better
    /// explanation comes first.
    pub request: Duration,
    /// How far reading may be behind the log while the process still calls itself ready: ten seconds of ingest at full
    /// speed. Further behind, answers that wait for it would time out.
    pub ready_lag_events: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 1 << 20,
            log_body_bytes: 64 << 20,
            wait: Duration::from_secs(2),
            request: Duration::from_secs(75),
            ready_lag_events: 1_000_000,
        }
    }
}

/// Every route.
pub fn router(app: Arc<App>) -> Router {
    let app = Arc::unwrap_or_clone(app);
    let till = OpenApiRouter::with_openapi(openapi::Document::openapi())
        .routes(routes!(orders::sell))
        .routes(routes!(orders::get))
        .routes(routes!(redemptions::redeem, redemptions::records))
        .routes(routes!(redemptions::look_up));
    let head_office = OpenApiRouter::new()
        .routes(routes!(catalog::list))
        .routes(routes!(catalog::get, catalog::put, catalog::remove))
        .routes(routes!(members::put))
        .routes(routes!(keys::create, keys::list))
        .routes(routes!(keys::revoke));
    let answers = OpenApiRouter::new().routes(routes!(reports::list)).routes(routes!(reports::run)).routes(routes!(reports::sql));
    let log = OpenApiRouter::new().routes(routes!(log::append)).layer(DefaultBodyLimit::max(app.limits.log_body_bytes));
    let contract = OpenApiRouter::new().routes(routes!(contract::asyncapi)).routes(routes!(contract::schema));
    let operation = OpenApiRouter::new()
        .routes(routes!(check::run))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics));
    let small = till
        .merge(head_office)
        .merge(answers)
        .merge(contract)
        .merge(operation)
        .layer(DefaultBodyLimit::max(app.limits.body_bytes));
    let (routes, document) = small.merge(log).split_for_parts();
    routes
        .merge(SwaggerUi::new("/docs").url("/openapi.json", openapi::complete(document)))
        .fallback(observe::no_route)
        .method_not_allowed_fallback(observe::no_method)
        // Outermost last: what panics is counted and logged as a 500 like any other.
        .layer(CatchPanicLayer::custom(problem::from_panic))
        .layer(middleware::from_fn_with_state(app.clone(), observe::observe))
        .with_state(app)
}
