use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, UInt64Array};
use expect_test::{Expect, expect};

use super::*;
use crate::output::Language;

fn shown(chart: &str, additive: &[&str]) -> Presentation {
    Presentation {
        name: "r".to_owned(),
        title: "Load <of> stores".to_owned(),
        title_zh: Some("门店负荷".to_owned()),
        chart: Some(chart.parse().unwrap()),
        additive: additive.iter().map(|c| (*c).to_owned()).collect(),
        ..Presentation::default()
    }
}

fn svg(shown: &Presentation, columns: Vec<(&str, ArrayRef)>) -> String {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let freshness = Freshness::default();
    draw(shown.chart.as_ref().unwrap(), &batch.schema(), &[batch], shown, &freshness, true).unwrap().into_string()
}

/// The text of every element of a kind, in order.
fn texts(svg: &str, element: &str) -> Vec<String> {
    let close = format!("</{element}>");
    svg.split(&format!("<{element}"))
        .skip(1)
        .filter_map(|s| Some(s.split_once('>')?.1.split_once(&close)?.0.to_owned()))
        .collect()
}

fn whole(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn text(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn a_header_says_what_to_draw() {
    for line in [
        "heat weekday hour average",
        "heat weekday hour average by store_name",
        "bars store_name units",
        "line month closing_fen by store_id",
        "hexagons cell members",
    ] {
        let chart: Chart = line.parse().unwrap();
        assert_eq!(chart.to_string(), line);
        assert_eq!(chart.columns(), line.split(' ').skip(1).filter(|w| *w != "by").collect::<Vec<_>>());
    }
    for line in ["", "pie store units", "bars store", "bars store units by city", "heat weekday hour", "line month"] {
        assert!(line.parse::<Chart>().is_err(), "{line}");
    }
}

#[test]
fn a_heat_map_has_every_weekday_and_the_hours_of_a_business_day() {
    // Two stores meet on Monday at 23:00; what comes after midnight is the same business day's.
    let columns = vec![
        ("weekday", whole(&[Some(1), Some(1), Some(7), Some(2)])),
        ("hour", whole(&[Some(23), Some(23), Some(1), Some(22)])),
        ("units", whole(&[Some(3), Some(4), Some(0), None])),
    ];
    let drawn = svg(&shown("heat weekday hour units", &["units"]), columns.clone());
    let labels = texts(&drawn, "text");
    expect!["Load &lt;of&gt; stores|22|23|00|01|Mon|Tue|Wed|Thu|Fri|Sat|Sun|7|0|Units|0|1.75|3.5|5.25|7|Up to 2 rows meet in one mark; they are added up.|Nothing recorded yet"]
        .assert_eq(&labels.join("|"));
    assert!(drawn.contains("Heat map of Units by Weekday and Hour. 2 cells. Most at Mon 23: 7. Least at Sun 01: 0."), "{drawn}");
    let chinese = svg(&Presentation { language: Language::Chinese, ..shown("heat weekday hour units", &[]) }, columns);
    assert!(
        chinese.contains("门店负荷") && chinese.contains("周一") && chinese.contains("同一处最多有 2 行，已取平均。"),
        "{chinese}"
    );
    assert!(texts(&chinese, "text").contains(&"3.5".to_owned()), "a mean where a column does not add up: {chinese}");
}

#[test]
fn bars_say_their_figures_and_leave_notes_out() {
    let columns = vec![
        ("name", Arc::new(StringArray::from(vec![Some("甲店"), Some("</text><script>"), None, Some("new")])) as ArrayRef),
        ("value_fen", whole(&[Some(123_456), Some(-5_000), Some(1), None])),
    ];
    let drawn = svg(&shown("bars name value_fen", &[]), columns);
    let labels = texts(&drawn, "text");
    assert!(labels.contains(&"1234.56".to_owned()) && labels.contains(&"-50.00".to_owned()), "{labels:?}");
    assert!(labels.contains(&"–".to_owned()), "no figure is not zero: {labels:?}");
    assert!(
        labels.contains(&"Value, yuan".to_owned()) && labels.contains(&"&lt;/text&gt;&lt;script&gt;".to_owned()),
        "{labels:?}"
    );
    assert_eq!(drawn.matches("<rect").count(), 3, "the paper and two bars");
}

#[test]
fn a_line_breaks_where_a_month_is_missing() {
    fn check(months: &[&str], figures: &[Option<i64>], expected: Expect) {
        let drawn = svg(&shown("line month closing_fen", &[]), vec![("month", text(months)), ("closing_fen", whole(figures))]);
        let path = drawn.split("<path d=\"").nth(1).and_then(|p| p.split('"').next()).unwrap_or_default();
        let shape: String = path.chars().filter(|c| c.is_ascii_alphabetic()).collect();
        expected.assert_eq(&shape);
    }
    check(&["2026-01", "2026-02", "2026-03"], &[Some(1), Some(2), Some(3)], expect!["MLL"]);
    check(&["2025-12", "2026-01", "2026-03"], &[Some(1), Some(2), Some(3)], expect!["MLM"]);
    check(&["2026-03", "2026-01", "2026-02"], &[Some(1), Some(2), None], expect!["MM"]);
    check(&["first", "then"], &[Some(1), Some(2)], expect!["ML"]);
}

#[test]
fn series_differ_by_dash_as_well_as_colour() {
    let columns = vec![
        ("on", text(&["2026-01-01", "2026-01-02", "2026-01-01", "2026-01-02"])),
        ("store", text(&["A", "A", "B", "B"])),
        ("share", Arc::new(Float64Array::from(vec![0.25, f64::NAN, 0.5, 0.75])) as ArrayRef),
    ];
    let drawn = svg(&shown("line on share by store", &[]), columns);
    let dashes: Vec<&str> = drawn.split("stroke-dasharray=\"").skip(1).filter_map(|s| s.split('"').next()).collect();
    assert_eq!(dashes, ["none", "7 3", "none", "7 3"], "lines, then their legend");
    assert!(drawn.contains("A 2026-01-01: 0.250 → 2026-01-01: 0.250"), "what is no number is no figure: {drawn}");
}

#[test]
fn hexagons_lie_where_their_cells_are_each_city_apart() {
    let cell = |lat: f64, lng: f64| u64::from(h3o::LatLng::new(lat, lng).unwrap().to_cell(h3o::Resolution::Eight));
    let shanghai = [cell(31.23, 121.47), cell(31.24, 121.48)];
    let chengdu = cell(30.66, 104.06);
    let numbers: ArrayRef = Arc::new(UInt64Array::from(vec![Some(shanghai[0]), Some(shanghai[1]), Some(chengdu), None]));
    let figures = whole(&[Some(5), Some(9), Some(2), Some(4)]);
    let drawn = svg(&shown("hexagons cell members", &[]), vec![("cell", numbers), ("members", figures.clone())]);
    assert_eq!(drawn.matches("<polygon").count(), 3);
    let labels = texts(&drawn, "text");
    assert!(labels.iter().any(|l| l == "31.2°N 121.5°E") && labels.iter().any(|l| l == "30.7°N 104.1°E"), "{labels:?}");
    assert!(labels.contains(&"1 rows have no cell and are not drawn.".to_owned()), "{labels:?}");
    let names: Vec<String> = [shanghai[0], shanghai[1], chengdu].iter().map(|c| format!("{c:x}")).collect();
    let names = text(&[&names[0], &names[1], &names[2], "阳光小区"]);
    let by_name = svg(&shown("hexagons neighbourhood members", &[]), vec![("neighbourhood", names), ("members", figures)]);
    assert_eq!(by_name.matches("<polygon").count(), 3, "cells as text, and a neighbourhood that is none");
}

#[test]
fn nothing_is_drawn_of_nothing_and_it_says_so() {
    let drawn =
        svg(&shown("heat weekday hour units", &[]), vec![("weekday", whole(&[])), ("hour", whole(&[])), ("units", whole(&[]))]);
    assert!(drawn.contains("No rows.") && drawn.contains("No figures."), "{drawn}");
    for (chart, columns) in [
        ("bars name units", vec![("name", text(&[])), ("units", whole(&[]))]),
        ("line month units", vec![("month", text(&[])), ("units", whole(&[]))]),
        ("hexagons cell units", vec![("cell", whole(&[])), ("units", whole(&[]))]),
    ] {
        let drawn = svg(&shown(chart, &[]), columns);
        assert!(drawn.contains("No rows.") && !drawn.contains("NaN") && !drawn.contains("inf"), "{chart}: {drawn}");
    }
}

#[test]
fn a_chart_of_columns_that_are_not_there_is_refused() {
    let batch = RecordBatch::try_from_iter(vec![("name", text(&["a"])), ("kind", text(&["b"]))]).unwrap();
    let refused = |chart: &str| {
        let shown = shown(chart, &[]);
        let drawn = draw(
            shown.chart.as_ref().unwrap(),
            &batch.schema(),
            std::slice::from_ref(&batch),
            &shown,
            &Freshness::default(),
            true,
        );
        drawn.map(|_| ()).unwrap_err()
    };
    expect!["the chart needs a column `units`, which the rows have not"].assert_eq(&refused("bars name units"));
    expect!["the chart draws `kind`, which is no figure"].assert_eq(&refused("bars name kind"));
}
