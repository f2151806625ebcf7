//! What went wrong, as RFC 9457 problems: the one place where an error becomes an HTTP status.
//!
//! A refusal by a rule is an answer: it names the rule and says what would be allowed. A fault of ours is logged once, here,
//! with its whole chain, and shown without it.

use std::error::Error;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use eventlog::chain;
use query::ErrorKind;
use redemption::{Allowed, Refusal};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// RFC 9457 problem details.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// Kind of problem: `urn:hexiao:problem:` and the code.
    #[schema(example = "urn:hexiao:problem:store_not_applicable")]
    pub r#type: String,
    /// The status in words.
    #[schema(example = "Forbidden")]
    pub title: &'static str,
    /// HTTP status.
    #[schema(example = 403)]
    pub status: u16,
    /// What happened, to what.
    pub detail: String,
    /// Stable name for programs.
    #[schema(example = "store_not_applicable")]
    pub code: String,
    /// The rule that refused, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "R3")]
    pub rule: Option<&'static str>,
    /// What would be allowed instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Value>,
    /// The field or parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// When another try makes sense, for the header `Retry-After`: seconds or a date.
    #[serde(skip)]
    pub retry_after: Option<String>,
    /// Position after it, and whether it is a stored outcome: a refusal is an event, committed before it is told.
    #[serde(skip)]
    pub recorded: Option<(i64, bool)>,
}

const OUR_FAULT: &str = "Something failed here that is not your fault; the log says what";

impl Problem {
    /// A problem with this status and code.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Problem {
            r#type: format!("urn:hexiao:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Problem"),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            rule: None,
            allowed: None,
            field: None,
            retry_after: None,
            recorded: None,
        }
    }

    /// 400: the request cannot be understood.
    pub fn bad_input(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "bad_input", detail)
    }

    /// 400: one field cannot be understood.
    pub fn bad_field(field: &str, detail: impl Into<String>) -> Self {
        Problem { field: Some(field.to_owned()), ..Problem::bad_input(detail) }
    }

    /// 401: no key, or not a valid one.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// 403: a valid key that may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404: no such thing.
    pub fn not_found(code: &str, detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 503: not now.
    pub fn unavailable(code: &str, detail: impl Into<String>) -> Self {
        Problem { retry_after: Some("1".into()), ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail) }
    }

    /// 500: our fault. Logs the chain; the client learns only that it happened.
    pub fn internal(error: &dyn Error) -> Self {
        tracing::error!(error = %chain(error), "A request failed");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", OUR_FAULT)
    }

    /// With what would be allowed instead.
    pub fn allowing(self, allowed: Value) -> Self {
        Problem { allowed: Some(allowed), ..self }
    }

    /// A rule's no: an answer, with what would be allowed.
    pub fn refusal(refusal: &Refusal) -> Self {
        let allowed = refusal.allowed();
        let until = match refusal {
            Refusal::LockedOut { until } => Some(*until),
            _ => None,
        };
        let status = match refusal {
            // Not here, not this.
            Refusal::StoreNotApplicable { .. }
            | Refusal::SoldStoreOnly { .. }
            | Refusal::HeldElsewhere { .. }
            | Refusal::ProductNotSoldHere { .. }
            | Refusal::QrForged => StatusCode::FORBIDDEN,
            // Not as things stand; it may change, or another request fits.
            Refusal::NoUnitsLeft
            | Refusal::NotEnoughUnits { .. }
            | Refusal::NotYetValid { .. }
            | Refusal::BlackedOut { .. }
            | Refusal::RefundOpen
            | Refusal::NotRedeemable
            | Refusal::WhichEntitlement { .. }
            | Refusal::ProductNotOnSale { .. }
            | Refusal::StoreClosed { .. }
            | Refusal::QrUsed => StatusCode::CONFLICT,
            Refusal::Expired { .. } | Refusal::QrStale => StatusCode::GONE,
            Refusal::LockedOut { .. } => StatusCode::TOO_MANY_REQUESTS,
            Refusal::UnknownCode | Refusal::UnknownEntitlement | Refusal::UnknownMember => StatusCode::NOT_FOUND,
            Refusal::MalformedCode { .. } => StatusCode::BAD_REQUEST,
        };
        Problem {
            rule: refusal.rule(),
            allowed: (allowed != Allowed::default()).then(|| serde_json::to_value(&allowed).unwrap_or_default()),
            field: matches!(refusal, Refusal::MalformedCode { .. }).then(|| "code".to_owned()),
            retry_after: until.map(|until| until.to_utc().format("%a, %d %b %Y %H:%M:%S GMT").to_string()),
            ..Problem::new(status, refusal.code(), refusal.to_string())
        }
    }
}

impl From<query::Error> for Problem {
    fn from(error: query::Error) -> Self {
        let status = match error.kind() {
            ErrorKind::BadSql | ErrorKind::BadParameter => StatusCode::BAD_REQUEST,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::UnknownReport => StatusCode::NOT_FOUND,
            ErrorKind::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            ErrorKind::Limit => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Internal => return Problem::internal(&error),
        };
        let code = match &error {
            query::Error::BadSql { .. } => "bad_sql",
            query::Error::BadData { .. } => "bad_data",
            query::Error::Forbidden { .. } => "forbidden_statement",
            query::Error::UnknownReport { .. } => "unknown_report",
            query::Error::BadParameter { .. } => "bad_parameter",
            query::Error::DeadlineExceeded { .. } => "deadline_exceeded",
            query::Error::MemoryExceeded { .. } => "memory_exceeded",
            query::Error::TooManyRows { .. } | query::Error::TooManyRowsFor { .. } => "too_many_rows",
            query::Error::NoChart { .. } => "not_acceptable",
            query::Error::TooManyPairs { .. } => "too_many_pairs",
            query::Error::TooLong { .. } => "too_long",
            query::Error::Busy { .. } => "busy",
            query::Error::NotYetVisible { .. } => "not_yet_visible",
            _ => "query_failed",
        };
        let field = match &error {
            query::Error::BadParameter { name, .. } => Some(name.clone()),
            _ => None,
        };
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then(|| "1".to_owned());
        Problem { field, retry_after, ..Problem::new(status, code, error.to_string()) }
    }
}

impl From<ledger::Error> for Problem {
    fn from(error: ledger::Error) -> Self {
        use ledger::Error;
        match &error {
            Error::Invalid { field, what } => Problem { field: field.clone(), ..Problem::bad_input(what.clone()) },
            Error::KeyReused => Problem {
                rule: Some("R2"),
                field: Some("Idempotency-Key".into()),
                ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", sentence(&error))
            },
            Error::NotFound(_) => Problem::not_found("not_found", sentence(&error)),
            Error::Closed => Problem::unavailable("shutting_down", "This process is shutting down"),
            Error::Commit(_) => {
                tracing::error!(error = %chain(&error), "A commit failed");
                let said =
                    "Whether this was recorded is not known; the same request with the same Idempotency-Key gives the truth (R2)";
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "outcome_unknown", said)
            }
            _ => Problem::internal(&error),
        }
    }
}

fn sentence(error: &dyn Error) -> String {
    let said = error.to_string();
    let mut chars = said.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, Body::from(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after.as_deref().and_then(|after| HeaderValue::from_str(after).ok()) {
            headers.insert(header::RETRY_AFTER, after);
        }
        if let Some((position, repeated)) = self.recorded {
            super::recorded::mark(&mut response, position, repeated);
        }
        response
    }
}

/// For the catch-panic layer: a panic is a 500 like any other.
pub fn from_panic(panic: Box<dyn std::any::Any + Send>) -> Response {
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(error = said.unwrap_or("a panic without a message"), "A request panicked");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", OUR_FAULT).into_response()
}
