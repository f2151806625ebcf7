//! Answers over HTTP: which View, in which format, with how fresh it is (R23).

use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use eventlog::chain;
use futures::{StreamExt, TryStreamExt};
use query::{Answer, Format, Freshness, Language, View};

use super::App;
use super::extract::WaitFor;
use super::problem::Problem;
use crate::feed::NotVisible;

/// Formats on offer, the preferred one first.
const FORMATS: [Format; 9] = [
    Format::Json,
    Format::Csv,
    Format::Html,
    Format::Arrow,
    Format::Parquet,
    Format::Xlsx,
    Format::Svg,
    Format::Ndjson,
    Format::Table,
];

/// Pages and charts run no script and fetch nothing, whatever the data hold.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The View to answer from: it includes what the request asks for, or else everything recorded by now.
pub async fn view(app: &App, wait_for: &WaitFor) -> Result<std::sync::Arc<View>, Problem> {
    app.feed.view(wait_for.0.as_ref(), app.limits.wait).await.map_err(|not_visible| match not_visible {
        NotVisible::Unknown(wanted) => Problem::bad_field("Hexiao-Wait-For", format!("This log has no position {wanted} yet")),
        NotVisible::Yet { wanted, waited } => {
            let at = app.feed.views().current().position().to_string();
            let waited = waited.as_secs_f64();
            let said = format!("Read up to {at}, not yet up to {wanted}, after {waited} s; try again");
            Problem::unavailable("not_yet_visible", said).allowing(serde_json::json!({ "wait_for": at }))
        }
    })
}

/// The format that `Accept` asks for: JSON if it does not care.
pub fn format(headers: &HeaderMap) -> Result<Format, Problem> {
    let accept: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    if accept.is_empty() {
        return Ok(Format::Json);
    }
    let ranges: Vec<(&str, f32)> = accept.iter().flat_map(|v| v.split(',')).map(range).collect();
    // The most specific range that fits a format decides its weight (RFC 9110, 12.5.1).
    let weight = |format: Format| {
        let (main, _) = format.media_type().split_once(';').unwrap_or((format.media_type(), ""));
        let (group, _) = main.split_once('/').unwrap_or((main, ""));
        let of = |wanted: &dyn Fn(&str) -> bool| ranges.iter().find(|(range, _)| wanted(range)).map(|(_, q)| *q);
        of(&|range| range.eq_ignore_ascii_case(main))
            .or_else(|| of(&|range| range.strip_suffix("/*").is_some_and(|g| g.eq_ignore_ascii_case(group))))
            .or_else(|| of(&|range| range == "*/*"))
            .unwrap_or(0.0)
    };
    let best = FORMATS.into_iter().map(|f| (f, weight(f))).filter(|(_, q)| *q > 0.0);
    // The first of equals wins: max_by would take the last.
    best.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(format, _)| format).ok_or_else(|| {
        let offered: Vec<&str> = FORMATS.iter().map(|f| f.media_type()).collect();
        Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", format!("Answers come as {}", offered.join(" | ")))
    })
}

/// The language that `Accept-Language` prefers.
pub fn language(headers: &HeaderMap) -> Language {
    let all: Vec<&str> = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|v| v.to_str().ok()).collect();
    Language::accepted(&all.join(","))
}

/// One range of `Accept` with its weight.
fn range(text: &str) -> (&str, f32) {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().unwrap_or_default();
    let q = parts.find_map(|p| p.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
    (range, q)
}

/// Counts a query and shows its answer.
pub async fn show(
    app: &App,
    kind: &'static str,
    started: Instant,
    answer: query::Result<Answer>,
    asked: (Format, Language),
) -> Result<Response, Problem> {
    app.metrics.queried(kind, answer.is_ok(), started.elapsed());
    let (answer, format) = (answer?.in_language(asked.1), asked.0);
    let mut headers = freshness_headers(&answer.freshness);
    if let Some(about) = &answer.about {
        headers.insert("hexiao-dead-letters", about.dead_letters.into());
        headers.extend(HeaderValue::from_str(&about.definition).ok().map(|d| (HeaderName::from_static("hexiao-definition"), d)));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if format == Format::Xlsx {
        let name = if answer.presentation.name.is_empty() { "answer" } else { &answer.presentation.name };
        if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.xlsx\"")) {
            headers.insert(header::CONTENT_DISPOSITION, value);
        }
    }
    let mut pieces = query::output::encode(answer, format).fuse();
    // What cannot be shown in this format shows before the head is sent. All that is left for a later failure is to break
    // off, which clients notice.
    let first = pieces.try_next().await?;
    let pieces = futures::stream::iter(first.map(Ok))
        .chain(pieces)
        .inspect_err(|error| tracing::error!(error = %chain(error), "An answer broke off after its first rows"));
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// How fresh an answer is, as headers.
pub fn freshness_headers(freshness: &Freshness) -> HeaderMap {
    let versions: Vec<String> = freshness.lake_versions.iter().map(|(table, version)| format!("{table}={version}")).collect();
    let position: Vec<String> = freshness.log_position.iter().map(|(partition, next)| format!("{partition}:{next}")).collect();
    let fields = [
        ("hexiao-as-of", freshness.as_of.map(|at| at.to_string()).unwrap_or_default()),
        ("hexiao-lake-versions", versions.join(",")),
        ("hexiao-log-position", position.join(",")),
        ("hexiao-tail-rows", freshness.tail_rows.to_string()),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn accept_chooses_the_format() {
        fn check(accept: &str, expected: Expect) {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            expected.assert_eq(&format(&headers).map_or_else(|p| p.code, |f| f.media_type().to_owned()));
        }
        check("", expect!["application/json"]);
        check("*/*", expect!["application/json"]);
        check("text/csv", expect!["text/csv; charset=utf-8; header=present"]);
        check("text/*", expect!["text/csv; charset=utf-8; header=present"]);
        check("text/plain, text/csv;q=0.5", expect!["text/plain; charset=utf-8"]);
        check("text/html, */*;q=0.1", expect!["text/html; charset=utf-8"]);
        check("text/turtle, */*;q=0.1", expect!["application/json"]);
        check("image/*", expect!["image/svg+xml"]);
        check("application/x-ndjson", expect!["application/x-ndjson"]);
        check("application/vnd.apache.arrow.stream", expect!["application/vnd.apache.arrow.stream"]);
        check("application/json;q=0, */*", expect!["text/csv; charset=utf-8; header=present"]);
        check("image/png", expect!["not_acceptable"]);
    }
}
