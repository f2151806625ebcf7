//! What handlers take out of a request: bodies, parameters and headers, each with one way to be wrong.
//!
//! axum's own extractors answer bad input in plain text; these answer with a [`Problem`] that names the field.

use axum::body::Bytes;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use eventlog::Position;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// A JSON body.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Json(body)),
            Err(JsonRejection::JsonDataError(e)) => Err(misfit(&e.body_text())),
            Err(JsonRejection::MissingJsonContentType(_)) => {
                Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", "The body must be application/json"))
            }
            Err(JsonRejection::BytesRejection(e)) => Err(unread(&e)),
            Err(e) => Err(Problem::bad_input(e.body_text())),
        }
    }
}

/// Query parameters.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Query(query)),
            Err(QueryRejection::FailedToDeserializeQueryString(e)) => Err(misfit(&e.body_text())),
            Err(e) => Err(Problem::bad_input(e.body_text())),
        }
    }
}

/// Parts of the path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(path)) => Ok(Path(path)),
            Err(PathRejection::FailedToDeserializePathParams(e)) => Err(match e.kind() {
                ErrorKind::DeserializeError { key, message, .. } => Problem::bad_field(key, message.clone()),
                ErrorKind::ParseErrorAtKey { key, value, .. } => {
                    Problem::bad_field(key, format!("`{value}` is no value for `{key}`"))
                }
                _ => Problem::bad_input(e.body_text()),
            }),
            Err(e) => Err(Problem::bad_input(e.body_text())),
        }
    }
}

/// A body as it came.
#[derive(Debug)]
pub struct Raw(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Bytes::from_request(request, state).await.map(Raw).map_err(|e| unread(&e))
    }
}

/// The client-made key of a write (R2), from the header `Idempotency-Key`: 1 to 255 visible ASCII characters.
#[derive(Debug)]
pub struct IdempotencyKey(pub String);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        const NAME: &str = "Idempotency-Key";
        let Some(value) = parts.headers.get(NAME) else {
            return Err(Problem::bad_field(
                NAME,
                "This write needs the header Idempotency-Key: a key that you make, the same on each retry (R2)",
            ));
        };
        // The ledger's own limit, checked here to name the header.
        match value.to_str() {
            Ok(key) if (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) => {
                Ok(IdempotencyKey(key.to_owned()))
            }
            _ => Err(Problem::bad_field(NAME, "An Idempotency-Key has 1 to 255 visible ASCII characters")),
        }
    }
}

/// The position that an answer must include, from the header `Hexiao-Wait-For`; writes hand it out as `Hexiao-Position`.
#[derive(Debug)]
pub struct WaitFor(pub Option<Position>);

impl<S: Send + Sync> FromRequestParts<S> for WaitFor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        const NAME: &str = "Hexiao-Wait-For";
        let Some(value) = parts.headers.get(NAME) else { return Ok(WaitFor(None)) };
        let position = value.to_str().ok().and_then(|text| text.parse::<Position>().ok());
        let wrong = || Problem::bad_field(NAME, "Hexiao-Wait-For takes a position as Hexiao-Position gives it, such as 0:1234");
        position.map(|p| WaitFor(Some(p))).ok_or_else(wrong)
    }
}

/// What serde says of a value of the wrong shape: `lines[0].units: invalid type …`, or ``missing field `units` ``.
fn misfit(said: &str) -> Problem {
    let said = said.split_once("target type: ").or_else(|| said.split_once("query string: ")).map_or(said, |(_, rest)| rest);
    // Where in the text the fault stands helps nobody who has the field's name.
    let said = said.split(" at line ").next().unwrap_or(said);
    let path = said.split_once(": ").filter(|(path, _)| !path.contains(' '));
    let (path, said) = path.map_or(("", said), |(path, said)| (path, said));
    let quoted = said.starts_with("missing field") || said.starts_with("unknown field");
    let field = match said.split('`').nth(1) {
        Some(name) if quoted && path.is_empty() => name.to_owned(),
        Some(name) if quoted && !path.ends_with(name) => format!("{path}.{name}"),
        _ => path.to_owned(),
    };
    if field.is_empty() { Problem::bad_input(said) } else { Problem::bad_field(&field, said) }
}

fn unread(rejection: &BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The body is larger than this route takes")
        }
        _ => Problem::bad_input(rejection.body_text()),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn a_misfit_names_its_field() {
        fn check(said: &str, expected: Expect) {
            let problem = misfit(said);
            expected.assert_eq(&format!("{:?}: {}", problem.field, problem.detail));
        }
        check(
            "Failed to deserialize the JSON body into the target type: lines[0].units: invalid type: string \"x\", expected i32 at line 1 column 9",
            expect![[r#"Some("lines[0].units"): invalid type: string "x", expected i32"#]],
        );
        check(
            "Failed to deserialize the JSON body into the target type: missing field `code` at line 1 column 2",
            expect![[r#"Some("code"): missing field `code`"#]],
        );
        check(
            "Failed to deserialize the JSON body into the target type: lines[1]: missing field `units` at line 1 column 2",
            expect![[r#"Some("lines[1].units"): missing field `units`"#]],
        );
        check(
            "Failed to deserialize query string: limit: invalid digit found in string",
            expect![[r#"Some("limit"): invalid digit found in string"#]],
        );
        check("something else went wrong", expect![[r#"None: something else went wrong"#]]);
    }
}
