//! What every report must have so that people can read it.

use std::sync::Arc;

use event::Instant;

use super::fixture::engine;
use crate::output::{Language, glossary};
use crate::{EngineConfig, Source, Type, View};

/// The columns of every report, asked over nothing.
async fn columns() -> Vec<(Source, Vec<String>)> {
    let engine = engine(Instant(1_780_000_000_000_000), EngineConfig::default());
    let view = Arc::new(View::empty());
    let some = |p: &crate::Parameter| (p.name.clone(), if p.r#type == Type::Day { "2026-01-01" } else { "1" }.to_owned());
    let mut all = Vec::new();
    for report in engine.reports() {
        let given = report.parameters.iter().filter(|p| p.default.is_none()).map(some).collect();
        let answer = engine.run(&view, &report.name, &given).await.unwrap_or_else(|e| panic!("{}: {e:?}", report.name));
        all.push((Source::clone(&report), answer.schema.fields().iter().map(|f| f.name().clone()).collect()));
    }
    assert!(all.len() > 5, "there are reports");
    all
}

#[tokio::test]
async fn every_column_of_every_report_has_headings() {
    let mut missing = Vec::new();
    for (report, columns) in columns().await {
        let lacks =
            |column: &&String| [Language::English, Language::Chinese].iter().any(|l| glossary::heading(column, *l).is_none());
        missing.extend(columns.iter().filter(lacks).map(|column| format!("{column}  ({})", report.name)));
    }
    missing.sort();
    assert!(missing.is_empty(), "sql/columns.csv lacks\n{}", missing.join("\n"));
}

#[tokio::test]
async fn charts_sheets_and_headings_name_columns_that_are_there() {
    let mut wrong = Vec::new();
    for (report, columns) in columns().await {
        let drawn = report.chart.iter().flat_map(|chart| chart.columns());
        let printed = report.sheet.iter().flat_map(|sheet| sheet.columns());
        let headed = report.headings.keys().chain(report.headings_zh.keys()).chain(&report.additive).map(String::as_str);
        let unknown = drawn.chain(printed).chain(headed).filter(|name| !columns.iter().any(|c| c == name));
        wrong.extend(unknown.map(|name| format!("{}: {name}", report.name)));
    }
    assert!(wrong.is_empty(), "no such columns:\n{}", wrong.join("\n"));
}
