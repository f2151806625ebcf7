//! `/v1/reports` and `/v1/sql`: questions over everything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use ledger::Role;
use query::{Params, Source};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::App;
use super::answers::{format, language, show, view};
use super::auth::{AnyKey, HeadOffice, role_name};
use super::extract::{self, Path, Query, Raw, WaitFor};
use super::problem::Problem;

/// A report there is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportView {
    /// Name in the path.
    name: String,
    /// One line for people.
    title: String,
    /// The same in Chinese.
    #[serde(skip_serializing_if = "Option::is_none")]
    title_zh: Option<String>,
    /// What one row is.
    grain: String,
    /// Documentation.
    doc: String,
    /// Who may run it, such as `head_office` or `store by $store`: a store's key sees its own store.
    roles: Vec<String>,
    /// Its parameters.
    parameters: Vec<ParameterView>,
    /// What its chart draws, such as `bars store_name units`: with one it may be asked for as `image/svg+xml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    chart: Option<String>,
}

/// A parameter of a report.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParameterView {
    /// Name in the query.
    name: String,
    /// text, int, number, flag, day or instant.
    #[schema(value_type = String)]
    r#type: query::Type,
    /// The values it may have, if only some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    choices: Vec<String>,
    /// Its default; one without is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    /// What it means.
    doc: String,
}

impl From<&Source> for ReportView {
    fn from(source: &Source) -> Self {
        let roles = source.roles.iter().map(|r| match &r.own_store_parameter {
            Some(parameter) => format!("{} by ${parameter}", r.role),
            None => r.role.clone(),
        });
        let parameters = source.parameters.iter().map(|p| ParameterView {
            name: p.name.clone(),
            r#type: p.r#type,
            choices: p.choices.clone(),
            default: p.default.clone(),
            doc: p.doc.clone(),
        });
        ReportView {
            name: source.name.clone(),
            title: source.title.clone(),
            title_zh: source.title_zh.clone(),
            grain: source.grain.clone(),
            doc: source.doc.clone(),
            roles: roles.collect(),
            parameters: parameters.collect(),
            chart: source.chart.as_ref().map(ToString::to_string),
        }
    }
}

/// The reports there are.
///
/// Those that the key may run.
#[utoipa::path(get, path = "/v1/reports", tag = "answers", responses((status = 200, body = [ReportView])))]
pub async fn list(State(app): State<App>, AnyKey(caller): AnyKey) -> Json<Vec<ReportView>> {
    let may_run =
        |source: &&Arc<Source>| source.roles.iter().any(|r| r.role == role_name(&caller.role)) || caller.role == Role::HeadOffice;
    Json(app.engine.reports().iter().filter(may_run).map(|source| ReportView::from(&**source)).collect())
}

/// Runs a report.
///
/// Its parameters go into the query, `from` and `to` being inclusive business days, and so do the general ones: `last` (30d, 8w,
/// 3m) for the period, `compare` (previous, last-year, FROM..TO) for another one beside it, `as_known_on` and `diff_known_on`
/// for what was known when a business day began, `explain=true` for how figures came about. `Accept` chooses JSON, NDJSON, CSV,
/// an Excel workbook, a page, the chart as SVG, Arrow stream, Parquet or a table; `Accept-Language` English or Chinese headings
/// of table, workbook, page and chart. Money is yuan in these and CSV, else fen.
#[utoipa::path(
    get, path = "/v1/reports/{name}", tag = "answers",
    params(
        ("name" = String, Path, description = "Name of the report"),
        ("parameters" = BTreeMap<String, String>, Query, style = Form, explode, description = "The report's own parameters; /v1/reports lists them"),
        ("Hexiao-Wait-For" = Option<String>, Header, description = "Position the answer must include; default: everything recorded when asked"),
        ("Accept-Language" = Option<String>, Header, description = "Headings and labels for people: en or zh"),
    ),
    responses((status = 200, content(
        (Envelope = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"), (String = "text/html"), (String = "image/svg+xml"),
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"), (Vec<u8> = "application/vnd.apache.parquet"), (String = "text/plain"),
    ), headers(
        ("Hexiao-As-Of" = String, description = "When the last event included was recorded"),
        ("Hexiao-Lake-Versions" = String, description = "`table=version`, joined by commas"),
        ("Hexiao-Log-Position" = String, description = "Next offset per partition of the log"),
        ("Hexiao-Tail-Rows" = u64, description = "Rows not in the lake yet"),
        ("Hexiao-Definition" = String, description = "Version of the report's definition"),
        ("Hexiao-Dead-Letters" = u64, description = "Messages recorded since the period began that could not be events"),
    )))
)]
pub async fn run(
    State(app): State<App>,
    caller: AnyKey,
    wait_for: WaitFor,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(given): Query<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let given = grant(&*app.engine.report(&name)?, &caller, given)?;
    run_report(&app, &wait_for, &headers, &name, &given).await
}

/// Runs a report whose parameters are granted.
pub async fn run_report(
    app: &App,
    wait_for: &WaitFor,
    headers: &HeaderMap,
    name: &str,
    given: &BTreeMap<String, String>,
) -> Result<Response, Problem> {
    let (asked, started) = ((format(headers)?, language(headers)), Instant::now());
    let view = view(app, wait_for).await?;
    show(app, "report", started, app.engine.run(&view, name, given).await, asked).await
}

/// The parameters with which this caller may run the report: a store's key is held to its own store.
pub fn grant(source: &Source, caller: &AnyKey, mut given: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Problem> {
    let Some(own) = caller.0.role.store() else { return Ok(given) };
    let role = role_name(&caller.0.role);
    let Some(granted) = source.roles.iter().find(|r| r.role == role) else {
        return Err(Problem::forbidden(format!("Report `{}` is not for {role} keys", source.name)));
    };
    if let Some(parameter) = &granted.own_store_parameter {
        match given.get(parameter) {
            Some(other) if other != own.as_str() => {
                let said = format!("This key sees store {own} only, not {other}");
                return Err(Problem { field: Some(parameter.clone()), ..Problem::forbidden(said) });
            }
            _ => given.insert(parameter.clone(), own.to_string()),
        };
    }
    Ok(given)
}

/// An answer as JSON. The first four are a report's.
#[derive(Debug, Serialize, ToSchema)]
#[allow(dead_code, reason = "it describes what the query crate writes")]
pub struct Envelope {
    /// The report.
    report: Option<String>,
    /// Version of its definition: equal for equal texts of the report and of the relations it uses.
    definition: Option<String>,
    /// Every parameter that had a value.
    parameters: Option<BTreeMap<String, String>>,
    /// Messages recorded since the period began that could not be events: what the answer may lack.
    dead_letters: Option<u64>,
    /// When the last event included was recorded.
    #[schema(value_type = Option<String>, format = DateTime)]
    as_of: Option<String>,
    /// Delta version per table.
    lake_versions: BTreeMap<String, u64>,
    /// Next offset per partition of the log; everything below is included.
    log_position: BTreeMap<String, i64>,
    /// Rows not in the lake yet.
    tail_rows: u64,
    /// Columns: name, and type (text, id, fen, int, number, flag, day, instant, list).
    columns: Vec<BTreeMap<String, String>>,
    /// Rows, one object each.
    rows: Vec<BTreeMap<String, Value>>,
}

/// A statement.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlRequest {
    /// One statement that reads.
    #[schema(
        example = "SELECT redeemed_store_id, count(*) AS units FROM redemptions WHERE business_day = $day GROUP BY 1 ORDER BY 2 DESC"
    )]
    sql: String,
    /// Values for its `$names`: an object, or an array for `$1`, `$2`, …
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"day": "2026-11-20"}))]
    params: Value,
}

/// A statement, as JSON or as plain text.
#[derive(Debug)]
pub struct Statement(SqlRequest);

impl FromRequest<App> for Statement {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if kind.starts_with("text/plain") || kind.starts_with("application/sql") {
            let Raw(body) = Raw::from_request(request, app).await?;
            let sql = String::from_utf8(body.into()).map_err(|_| Problem::bad_field("sql", "The statement is not UTF-8"))?;
            return Ok(Statement(SqlRequest { sql, params: Value::Null }));
        }
        let extract::Json(body) = extract::Json::from_request(request, app).await?;
        Ok(Statement(body))
    }
}

/// Runs one statement that reads.
///
/// Head office only. The body may also be the statement itself, as `text/plain` or `application/sql`. `Accept` chooses the
/// format as for reports, but a statement has no chart.
#[utoipa::path(
    post, path = "/v1/sql", tag = "answers",
    params(("Hexiao-Wait-For" = Option<String>, Header, description = "Position the answer must include; default: everything recorded when asked")),
    request_body(content((SqlRequest = "application/json"), (String = "text/plain"), (String = "application/sql"))),
    responses((status = 200, content(
        (Envelope = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"), (String = "text/html"),
        (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"), (Vec<u8> = "application/vnd.apache.parquet"), (String = "text/plain"),
    ), headers(
        ("Hexiao-As-Of" = String, description = "When the last event included was recorded"),
        ("Hexiao-Lake-Versions" = String, description = "`table=version`, joined by commas"),
        ("Hexiao-Log-Position" = String, description = "Next offset per partition of the log"),
        ("Hexiao-Tail-Rows" = u64, description = "Rows not in the lake yet"),
    )))
)]
pub async fn sql(
    State(app): State<App>,
    _: HeadOffice,
    wait_for: WaitFor,
    headers: HeaderMap,
    Statement(statement): Statement,
) -> Result<Response, Problem> {
    let (asked, started) = ((format(&headers)?, language(&headers)), Instant::now());
    let params = Params::from_json(&statement.params)?;
    let view = view(&app, &wait_for).await?;
    show(&app, "sql", started, app.engine.sql(&view, &statement.sql, &params).await, asked).await
}
