//! Keeps the part of README.md about columns equal to the contract.

use std::fmt::Write;
use std::path::Path;

use event::{Kind, Stream};
use expect_test::expect_file;

/// What one row of a stream's table is.
fn grain(stream: Stream) -> &'static str {
    match stream {
        Stream::Orders => {
            "One order line sold (`sold`), or one later change to the units of one: `refund_requested`, `refund_withdrawn`, `refunded`, \
             `expired`, `transferred`; `opening_balance` is what a former system still owed. Acting store: `sold_store_id`."
        }
        Stream::Redemptions => {
            "One unit: `redeemed`, `reversed` (names its original; amounts stay positive), or `adjusted` (signed, after the lock, R7). \
             Acting store: `redeemed_store_id`. A row stands alone, without a join."
        }
        Stream::Refusals => "One attempt that was turned down: `refused` by a rule, or `slot_full`. Acting store: `store_id`.",
        Stream::Bookings => {
            "One change of one booking: `booked`, `switched`, `cancelled`, `no_show`. Acting store: `booked_store_id`."
        }
        Stream::Members => {
            "One change of one member: `joined`, `changed` (the whole record), `merged`, `erased`. The only stream with personal fields."
        }
        Stream::Catalog => {
            "One version of one entry: `upserted` (the whole entry, in force from `effective_from` on) or `removed`. Which fields an entry \
             uses depends on its `kind`."
        }
        Stream::Decisions => {
            "One decision: `period_drafted`, `period_confirmed`, `period_disputed`, `period_locked`, `recommendation_accepted`, \
             `recommendation_rejected`, `schedule_run`."
        }
    }
}

fn in_json(kind: Kind) -> &'static str {
    match kind {
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
    }
}

const ENVELOPE: &str = "\
Every message is one flat JSON object. Its envelope, and what the lake adds to every row:

| column | in JSON | in the lake | meaning |
|---|---|---|---|
| `source` | text | Utf8 | Who produced the event. |
| `event_id` | 64-bit id, a string | Int64 | Unique within the source. |
| `type` | text | Utf8 | What happened. |
| `occurred_at` | RFC 3339 with the store's offset | Timestamp(µs, UTC) | When. |
| `schema_version` | whole number, 1 if missing | Int16 | Version of the message's meaning. |
| `day_start_hour` | whole number, 4 if missing | – | Hour at which the store's business day starts. |
| `utc_offset_min` | – | Int16 | Offset of `occurred_at`, minutes east of UTC. |
| `business_day` | – | Date32 | The acting store's local day from its day-start hour (R20). |
| `local_hour` | – | Int8 | Hour on the store's clock, 0 to 23. |
| `weekday` | – | Int8 | ISO weekday of the business day, Monday 1. |
| `recorded_at` | – | Timestamp(µs, UTC) | When the log took it. |
| `log_partition`, `log_offset` | – | Int32, Int64 | Its place in the log. |
| `month` | – | Utf8 | Business month `YYYY-MM`, the partition; not in `members` and `catalog`. |
";

fn columns() -> String {
    let mut text = ENVELOPE.to_owned();
    for stream in Stream::ALL {
        write!(text, "\n### `{stream}`\n\n{}\n\n| column | in JSON | meaning |\n|---|---|---|\n", grain(stream)).unwrap();
        for column in stream.columns() {
            let doc = column.doc.trim().replace('|', "\\|");
            // Links to items of the code mean nothing here.
            let doc = doc.replace("[`", "`").replace("`]", "`");
            writeln!(text, "| `{}` | {} | {doc} |", column.name, in_json(column.kind)).unwrap();
        }
    }
    text
}

#[test]
fn the_readme_has_every_column_of_the_contract() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = readme.split_once("<!-- columns -->\n").expect("the mark before the columns");
    let (_, tail) = rest.split_once("<!-- /columns -->").expect("the mark after the columns");
    let wanted = format!("{head}<!-- columns -->\n{}<!-- /columns -->{tail}", columns());
    expect_file![path].assert_eq(&wanted);
}
