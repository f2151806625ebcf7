//! Every report equals an independent DuckDB query, to the fen, over a generated chain of a million events.

use std::process::Command;

use crate::support;

#[test]
fn every_report_equals_an_independent_query_over_a_million_events() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let script = support::workspace().join("tests/reports_reference.py");
    let mut compare = Command::new(support::python());
    compare.arg(script).arg(env!("CARGO_BIN_EXE_hexiao")).arg(&data).args(["--generate", "1000000"]);
    let said = support::run(&mut compare, b"").expect_success();
    // Nothing compared would be nothing shown.
    let equal = said.stdout.lines().filter(|line| line.starts_with("equal ")).count();
    assert!(equal > 60, "only {equal} comparisons:\n{}", said.stdout);
}
