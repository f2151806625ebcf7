//! One log line and one count per request; a deadline for those that would hang; the fallback for routes there are not.
//!
//! The line names the route, never the path or query: redemption codes, phone numbers and keys stay out of logs.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{info, warn};

use super::App;
use super::problem::Problem;

/// Answers within the deadline, counts, and writes the line.
pub async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let response = match tokio::time::timeout(app.limits.request, next.run(request)).await {
        Ok(response) => response,
        Err(_) => late(&method, app.limits.request).into_response(),
    };
    let (status, took) = (response.status().as_u16(), started.elapsed());
    app.metrics.request(&route, method.as_str(), status, took);
    let took_us = took.as_micros() as u64;
    if status >= 500 {
        warn!(http.route = route, http.method = %method, http.status = status, took_us, "Answered {method} {route} with {status}");
    } else {
        info!(http.route = route, http.method = %method, http.status = status, took_us, "Answered {method} {route} with {status}");
    }
    response
}

fn late(method: &Method, limit: std::time::Duration) -> Problem {
    let outcome = match *method {
        Method::GET | Method::HEAD => "",
        _ => "; its outcome is not known here: try again with the same Idempotency-Key, which gives the truth (R2)",
    };
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout", format!("This took longer than {} s{outcome}", limit.as_secs()))
}

/// 404 for a path that is no route.
pub async fn no_route(uri: Uri) -> Problem {
    Problem::not_found("no_such_route", format!("There is no {}; /openapi.json lists the routes, /docs shows them", uri.path()))
}

/// 405 for a route without this method.
pub async fn no_method(method: Method, uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format!("{} does not take {method}", uri.path()))
}
