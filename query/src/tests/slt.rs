//! Runs the `.slt` files of `sql/`. Beside SQL they may say
//!
//! - `EVENTS` and lines of JSON (see `fixture`): the rows from here on, in place of those before;
//! - `NOW 2026-03-02T12:00:00+08:00`: what the clock shows;
//! - `REPORT name from=2026-03-01 … COLUMNS a b`: a report, some of its columns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::array_value_to_string;
use async_trait::async_trait;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use event::{Instant, Moment};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use super::fixture::{Events, engine};
use crate::{Answer, Engine, EngineConfig, Given, Params, Source, View};

struct Database {
    view: Arc<View>,
    engine: Engine,
}

impl Database {
    fn new(now: Instant) -> Self {
        let engine = engine(now, EngineConfig { threads: 2, ..EngineConfig::default() });
        Database { view: Arc::new(View::empty()), engine }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(String);

impl Database {
    async fn answer(&mut self, text: &str) -> Result<Option<Vec<RecordBatch>>, String> {
        let said = |e: crate::Error| match &e {
            crate::Error::Engine(inner) => format!("{e}: {}", inner.strip_backtrace()),
            _ => e.to_string(),
        };
        if let Some(at) = text.strip_prefix("NOW ") {
            let now = Moment::parse(at.trim()).ok_or("not a time")?.at;
            *self = Database { view: self.view.clone(), ..Database::new(now) };
            return Ok(None);
        }
        if let Some(lines) = text.strip_prefix("EVENTS") {
            let mut events = Events::default();
            lines.lines().map(str::trim).filter(|l| l.starts_with('{')).try_for_each(|l| events.add(l))?;
            self.view = events.view();
            return Ok(None);
        }
        let engine = &self.engine;
        let Some(report) = text.strip_prefix("REPORT ") else {
            let answer = engine.sql(&self.view, text, &Params::new()).await.map_err(said)?;
            return answer.collect().await.map(Some).map_err(said);
        };
        let (call, columns) = report.split_once(" COLUMNS ").unwrap_or((report, ""));
        let mut words = call.split_whitespace();
        let name = words.next().ok_or("no report")?;
        let given: BTreeMap<String, String> =
            words.filter_map(|w| w.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let answer = engine.run(&self.view, name, &given).await.map_err(said)?;
        let batches = answer.collect().await.map_err(said)?;
        let report = engine.report(name).map_err(said)?;
        formulas_hold(&report, &batches).await?;
        let columns: Vec<&str> = columns.split_whitespace().collect();
        if columns.is_empty() {
            return Ok(Some(batches));
        }
        let project = |batch: &RecordBatch| {
            let indices = columns.iter().map(|c| batch.schema().index_of(c)).collect::<Result<Vec<_>, _>>()?;
            batch.project(&indices)
        };
        batches.iter().map(project).collect::<Result<_, _>>().map(Some).map_err(|e| e.to_string())
    }
}

/// Every formula of the report's header gives what stands in its column, in every row.
async fn formulas_hold(report: &Source, batches: &[RecordBatch]) -> Result<(), String> {
    let Some(first) = batches.first() else { return Ok(()) };
    let rows = SessionContext::new();
    let table = MemTable::try_new(first.schema(), vec![batches.to_vec()]).map_err(|e| e.to_string())?;
    rows.register_table("answer", Arc::new(table)).map_err(|e| e.to_string())?;
    // An answer of another shape, such as an explanation, has not all the columns.
    for (column, formula) in report.formulas.iter().filter(|(column, _)| first.schema().index_of(column).is_ok()) {
        let wrong = format!(
            "SELECT {column}, {formula} FROM answer WHERE ({column} IS NULL) <> (({formula}) IS NULL) \
             OR abs(CAST({column} AS DOUBLE) - CAST(({formula}) AS DOUBLE)) > 1e-9 * greatest(1.0, abs(CAST({column} AS DOUBLE)))"
        );
        let wrong = async { rows.sql(&wrong).await?.collect().await }.await.map_err(|e| format!("formula {column}: {e}"))?;
        if let Some(row) = wrong.iter().find(|b| b.num_rows() > 0) {
            return Err(format!(
                "{}: {column} is {}, and {formula} is {}",
                report.name,
                cell(row.column(0), 0),
                cell(row.column(1), 0)
            ));
        }
    }
    Ok(())
}

#[async_trait]
impl AsyncDB for Database {
    type Error = Failed;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, text: &str) -> Result<DBOutput<DefaultColumnType>, Failed> {
        let Some(batches) = self.answer(text).await.map_err(Failed)? else { return Ok(DBOutput::StatementComplete(0)) };
        let types = batches.first().map(|b| vec![DefaultColumnType::Any; b.num_columns()]).unwrap_or_default();
        let rows = batches.iter().flat_map(|b| (0..b.num_rows()).map(|row| b.columns().iter().map(|c| cell(c, row)).collect()));
        Ok(DBOutput::Rows { types, rows: rows.collect() })
    }

    async fn shutdown(&mut self) {}
}

fn cell(column: &ArrayRef, row: usize) -> String {
    match column.data_type() {
        _ if column.is_null(row) => "NULL".to_owned(),
        DataType::Float64 => format!("{:.4}", column.as_primitive::<Float64Type>().value(row)),
        _ => match array_value_to_string(column, row).unwrap() {
            text if text.is_empty() => "(empty)".to_owned(),
            text => text,
        },
    }
}

fn files() -> Vec<PathBuf> {
    let sql = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql");
    let in_folder = |folder: &str| std::fs::read_dir(sql.join(folder)).into_iter().flatten().map(|e| e.unwrap().path());
    let mut files: Vec<_> = ["views", "reports", "tests"]
        .into_iter()
        .flat_map(in_folder)
        .filter(|f| f.extension().is_some_and(|e| e == "slt"))
        .collect();
    files.sort();
    files
}

/// `SLT=weekday` runs the files with that in their name; `SLT_COMPLETE=1` writes down what comes out.
#[tokio::test]
async fn relations_and_reports_say_what_was_counted_on_paper() {
    let only = std::env::var("SLT").unwrap_or_default();
    let files: Vec<_> = files().into_iter().filter(|f| f.to_string_lossy().contains(&only)).collect();
    assert!(!files.is_empty(), "no file has `{only}` in its name");
    let mut failures = Vec::new();
    for file in files {
        let connect = || async { Ok(Database::new(Instant(1_780_000_000_000_000))) };
        if std::env::var("SLT_COMPLETE").is_ok() {
            let mut runner = Runner::new(connect);
            let normalize = sqllogictest::default_normalizer;
            runner
                .update_test_file(&file, "  ", sqllogictest::default_validator, normalize, sqllogictest::default_column_validator)
                .await
                .unwrap();
        } else if let Err(error) = Runner::new(connect).run_file_async(&file).await {
            failures.push(error.display(false).to_string());
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[tokio::test]
async fn every_relation_and_report_runs_over_nothing() {
    let engine = engine(Instant(1_780_000_000_000_000), EngineConfig::default());
    let view = Arc::new(View::empty());
    let mut failures = Vec::new();
    for relation in engine.relations() {
        let answer = engine.sql(&view, &format!("SELECT * FROM {}", relation.name), &Params::new()).await;
        failures.extend(answer.err().map(|e| format!("{}: {e:?}", relation.name)));
    }
    let some = |p: &crate::Parameter| (p.name.clone(), if p.r#type == crate::Type::Day { "2026-01-01" } else { "1" }.to_owned());
    for report in engine.reports() {
        let given = report.parameters.iter().filter(|p| p.default.is_none()).map(some).collect();
        match engine.run(&view, &report.name, &given).await {
            Ok(answer) => {
                failures.extend(header_faults(&engine, &report, &answer).into_iter().map(|f| format!("{}: {f}", report.name)))
            }
            Err(e) => failures.push(format!("{}: {e:?}", report.name)),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What a report's header names and its answer lacks.
fn header_faults(engine: &Engine, report: &Source, answer: &Answer) -> Vec<String> {
    let column = |name: &String| answer.schema.index_of(name).is_ok();
    let named = report.key.iter().chain(&report.additive).chain(report.headings.keys());
    let named = named.chain(report.formulas.keys()).chain(report.drills.keys());
    let mut faults: Vec<String> = named.filter(|name| !column(name)).map(|name| format!("there is no column `{name}`")).collect();
    faults.extend(report.title_zh.is_none().then(|| "it has no `Title zh`".to_owned()));
    for (figure, drill) in &report.drills {
        let Ok(pieces) = engine.report(&drill.report) else {
            faults.push(format!("`{figure}` drills to `{}`, which there is not", drill.report));
            continue;
        };
        for (name, given) in &drill.parameters {
            let there = match given {
                Given::Column(name) => column(name),
                Given::Parameter(name) => name == "today" || report.parameters.iter().any(|p| &p.name == name),
                Given::Text(_) => true,
            };
            if !there || pieces.parameters.iter().all(|p| &p.name != name) {
                faults.push(format!("`{figure}` drills with `{name}`, which is nowhere"));
            }
        }
    }
    faults
}
