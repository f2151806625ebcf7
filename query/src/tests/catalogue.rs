//! Keeps docs/reports.md equal to the headers of the reports.

use std::fmt::Write;

use event::Instant;
use expect_test::expect_file;

use super::fixture::engine;
use crate::{EngineConfig, GENERAL, Source};

const HEAD: &str = "\
# Reports

Each report is one file in `sql/reports`, and this page is made of their headers. `hexiao report NAME` prints one, `GET
/v1/reports/NAME` answers with one, `hexiao report list` and `GET /v1/reports` name them all, those of your own folder included.

```sh
hexiao report settlement_statement --last 1m
hexiao report store_performance --last 4w --compare previous --param by=city
hexiao report liability --last 3m --explain
hexiao report settlement --from 2026-05-01 --to 2026-05-31 --diff-known-on 2026-06-08
```

A file in the folder `reports` of `DATA/sql`, or of the folder that `sql = \"DIR\"` in `hexiao.toml` names, is one more report, there
for the next question; one of the same name replaces ours. Its header says what this page says of ours; `hexiao report list` tells
of files that can't be used, and why. `views` beside it holds further relations.

Every report takes these besides its own parameters, over HTTP by these names, on the command line as `--last 30d` and so on:

";

fn of(report: &Source) -> String {
    let mut text = format!("## {}\n\n{}", report.name, report.title);
    if let Some(zh) = &report.title_zh {
        write!(text, " · {zh}").unwrap();
    }
    let roles: Vec<String> = report
        .roles
        .iter()
        .map(|r| r.own_store_parameter.as_ref().map_or(r.role.clone(), |p| format!("{} (its own, by `{p}`)", r.role)))
        .collect();
    write!(text, ".\nOne row per {}. For {}.\n\n", report.grain, roles.join(", ")).unwrap();
    for p in &report.parameters {
        let kind = match p.choices.as_slice() {
            [] => format!("{:?}", p.r#type).to_lowercase(),
            choices => choices.join(", "),
        };
        let default = p.default.as_ref().map_or("required".to_owned(), |d| format!("default {d}"));
        writeln!(text, "- `{}` ({kind}; {default}): {}", p.name, p.doc).unwrap();
    }
    if !report.parameters.is_empty() {
        text.push('\n');
    }
    for paragraph in report.doc.lines() {
        writeln!(text, "{paragraph}\n").unwrap();
    }
    for (column, formula) in &report.formulas {
        writeln!(text, "- `{column}` = `{formula}`").unwrap();
    }
    for (column, drill) in &report.drills {
        writeln!(text, "- `{column}` is listed piece by piece by `{}`", drill.report).unwrap();
    }
    text.trim_end().to_owned() + "\n"
}

#[test]
fn the_page_of_reports_says_what_their_headers_say() {
    let engine = engine(Instant(1_780_000_000_000_000), EngineConfig::default());
    let mut text = HEAD.to_owned();
    for (name, doc) in GENERAL {
        writeln!(text, "- `{name}`: {doc}").unwrap();
    }
    text.push_str("\n| report | what | one row per |\n|---|---|---|\n");
    for report in engine.reports() {
        writeln!(text, "| [{0}](#{0}) | {1} | {2} |", report.name, report.title, report.grain).unwrap();
    }
    for report in engine.reports() {
        write!(text, "\n{}", of(&report)).unwrap();
    }
    expect_file!["../../../docs/reports.md"].assert_eq(&text);
}
