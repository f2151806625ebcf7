//! The contract for producers outside: what a stream's messages look like. Open to all, as `/openapi.json` is.

use axum::Json;
use event::Stream;
use serde_json::Value;

use super::extract::Path;
use super::problem::Problem;

/// What producers send.
///
/// An AsyncAPI 3.0 document: a channel per stream, with the key, the schema and examples of its messages.
#[utoipa::path(get, path = "/asyncapi.json", tag = "log", responses((status = 200, body = Object)))]
pub async fn asyncapi() -> Json<Value> {
    Json(event::asyncapi())
}

/// The JSON Schema of a stream's messages.
///
/// Draft 2020-12. What it refuses goes to the dead letters.
#[utoipa::path(
    get, path = "/v1/schemas/{file}", tag = "log",
    params(("file" = String, Path, description = "The stream and `.json`, such as `orders.json`")),
    responses((status = 200, body = Object))
)]
pub async fn schema(Path(file): Path<String>) -> Result<Json<Value>, Problem> {
    let stream = file.strip_suffix(".json").unwrap_or(&file).parse::<Stream>();
    let stream = stream.map_err(|said| Problem::not_found("unknown_stream", said))?;
    Ok(Json(event::json_schema(stream)))
}
