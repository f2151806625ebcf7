//! What a write answers: its outcome, and the position from which on it can be read (read your writes).

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use eventlog::Position;
use ledger::Written;
use redemption::Refusal;
use serde::Serialize;

use super::App;
use super::problem::Problem;

/// Position after a write: handed back as `Hexiao-Wait-For`, an answer includes it.
pub const POSITION: HeaderName = HeaderName::from_static("hexiao-position");
/// `true` where the answer is the stored outcome of an earlier request with the same Idempotency-Key (R2).
pub const REPEATED: HeaderName = HeaderName::from_static("hexiao-repeated");

/// A body with its status and the position after the write.
#[derive(Debug)]
pub struct Recorded<T> {
    status: StatusCode,
    body: Option<T>,
    position: i64,
    repeated: bool,
}

impl<T> Recorded<T> {
    /// 201.
    pub fn created(written: Written<T>) -> Self {
        Self::of(StatusCode::CREATED, written)
    }

    /// 200.
    pub fn ok(written: Written<T>) -> Self {
        Self::of(StatusCode::OK, written)
    }

    /// With this status.
    pub fn of(status: StatusCode, written: Written<T>) -> Self {
        Recorded { status, body: Some(written.outcome), position: written.position, repeated: written.repeated }
    }
}

impl<T: Serialize> IntoResponse for Recorded<T> {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Some(body) => (self.status, Json(body)).into_response(),
            None => self.status.into_response(),
        };
        mark(&mut response, self.position, self.repeated);
        response
    }
}

/// Adds the headers of a write.
pub fn mark(response: &mut Response, position: i64, repeated: bool) {
    if let Ok(position) = HeaderValue::from_str(&Position::single(position).to_string()) {
        response.headers_mut().insert(POSITION, position);
    }
    if repeated {
        response.headers_mut().insert(REPEATED, HeaderValue::from_static("true"));
    }
}

/// The outcome of a command that a rule may refuse. A refusal is committed too: it is an event.
pub fn allowed<T>(app: &App, written: Written<Result<T, Refusal>>) -> Result<Written<T>, Problem> {
    let Written { outcome, position, repeated } = written;
    match outcome {
        Ok(outcome) => Ok(Written { outcome, position, repeated }),
        Err(refusal) => {
            if !repeated {
                app.metrics.refused(refusal.code());
            }
            Err(Problem { recorded: Some((position, repeated)), ..Problem::refusal(&refusal) })
        }
    }
}
