//! Keeps the part of README.md about streams and columns equal to the contract.

use std::fmt::Write;
use std::path::Path;

use arrow::datatypes::DataType;
use event::{Column, ENVELOPE, Kind, Stream};
use expect_test::expect_file;

fn in_json(column: &Column) -> String {
    let kind = match column.kind {
        Kind::Id => "64-bit id, a string",
        Kind::Text => "text",
        Kind::Int => "whole number",
        Kind::Fen => "fen",
        Kind::Flag => "true or false",
        Kind::Instant => "RFC 3339",
        Kind::Day => "YYYY-MM-DD",
        Kind::Degrees => "degrees",
        Kind::Texts => "list of text",
        Kind::Ints => "list of numbers",
    };
    match column.range {
        None => kind.to_owned(),
        Some((least, greatest)) if greatest == i64::from(i32::MAX) => format!("{kind} from {least}"),
        Some((least, greatest)) if least == greatest => format!("{kind}, {least}"),
        Some((least, greatest)) => format!("{kind} from {least} to {greatest}"),
    }
}

/// A column's type in the lake; the day-start hour is used up by the business day.
fn in_lake(name: &str) -> String {
    match Stream::Orders.schema().field_with_name(name).map(|f| f.data_type()) {
        Ok(DataType::Timestamp(..)) => "Timestamp(µs, UTC)".to_owned(),
        Ok(other) => other.to_string(),
        Err(_) => "–".to_owned(),
    }
}

/// What the lake adds to every row.
const ADDED: &str = "\
| `utc_offset_min` | – | Int16 | Offset of `occurred_at`, minutes east of UTC. |
| `business_day` | – | Date32 | The acting store's local day from its day-start hour (R20). |
| `local_hour` | – | Int8 | Hour on the store's clock, 0 to 23. |
| `weekday` | – | Int8 | ISO weekday of the business day, Monday 1. |
| `recorded_at` | – | Timestamp(µs, UTC) | When the log took it. |
| `log_partition`, `log_offset` | – | Int32, Int64 | Its place in the log. |
| `month` | – | Utf8 | Business month `YYYY-MM`, the partition; not in `members` and `catalog`. |
";

fn names(fields: &[&str]) -> String {
    fields.iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(", ")
}

fn streams() -> String {
    let mut text = "Every message is one flat JSON object. Its envelope, and what the lake adds to every row:\n\n\
        | column | in JSON | in the lake | meaning |\n|---|---|---|---|\n"
        .to_owned();
    for column in &ENVELOPE {
        writeln!(text, "| `{}` | {} | {} | {} |", column.name, in_json(column), in_lake(column.name), column.doc).unwrap();
    }
    text += ADDED;
    for stream in Stream::ALL {
        let contract = stream.contract();
        let keys = contract.key.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", else ");
        write!(text, "\n### `{stream}`\n\n{} Key: {keys}.\n\n| type | needs | meaning |\n|---|---|---|\n", contract.doc).unwrap();
        for t in contract.types {
            writeln!(text, "| `{}` | {} | {} |", t.name, names(t.needs), t.doc).unwrap();
        }
        for c in contract.cases {
            writeln!(text, "| `{}` with `{}` `{}` | {} | |", c.event_type, c.field, c.value, names(c.needs)).unwrap();
        }
        text += "\n| column | in JSON | meaning |\n|---|---|---|\n";
        for column in contract.columns {
            writeln!(text, "| `{}` | {} | {} |", column.name, in_json(column), column.doc.replace('|', "\\|")).unwrap();
        }
    }
    text
}

#[test]
fn the_readme_has_every_stream_and_column_of_the_contract() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = readme.split_once("<!-- columns -->\n").expect("the mark before the columns");
    let (_, tail) = rest.split_once("<!-- /columns -->").expect("the mark after the columns");
    let wanted = format!("{head}<!-- columns -->\n{}<!-- /columns -->{tail}", streams());
    expect_file![path].assert_eq(&wanted);
}
