//! One dead letter: where it stands, and what is known of it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use event::Instant;
use query::{Engine, View};

/// Where a dead letter stands in the log, as `list` prints it: `orders/0/17`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the topic; embedded, the stream's.
    pub topic: String,
    partition: i32,
    offset: i64,
}

/// A dead letter, whole.
#[derive(Debug)]
pub struct Letter {
    place: Place,
    recorded_at: Instant,
    source: Option<String>,
    event_id: Option<i64>,
    reason: String,
    repaired: bool,
    /// The message, byte for byte.
    pub payload: Vec<u8>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Letter {
    /// The letter at a place.
    pub async fn find(engine: &Engine, view: &Arc<View>, place: &Place) -> Result<Letter, Failure> {
        let given = [
            ("topic", place.topic.clone()),
            ("log_partition", place.partition.to_string()),
            ("log_offset", place.offset.to_string()),
        ];
        let given = given.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>();
        let batches = engine.run(view, "dead_letter", &given).await?.collect().await?;
        match batches.iter().find(|batch| batch.num_rows() > 0) {
            Some(batch) => Ok(Letter::read(place, batch)?),
            None => Err(format!("no dead letter stands at {place}; `hexiao dead-letters list --all` says where they do").into()),
        }
    }

    /// The first row of the report `dead_letter`.
    fn read(place: &Place, row: &RecordBatch) -> Result<Letter, Failure> {
        let column = |name: &str, wanted: DataType| -> Result<ArrayRef, Failure> {
            let found = row.column_by_name(name).ok_or_else(|| format!("the report `dead_letter` has no column `{name}`"))?;
            Ok(arrow::compute::cast(found, &wanted)?)
        };
        let text = |name: &str| -> Result<Option<String>, Failure> {
            let found = column(name, DataType::Utf8)?;
            let found = found.as_string::<i32>();
            Ok(found.is_valid(0).then(|| found.value(0).to_owned()))
        };
        let recorded_at = row.column_by_name("recorded_at").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
        let event_id = column("event_id", DataType::Int64)?;
        let event_id = event_id.as_primitive::<Int64Type>();
        Ok(Letter {
            place: place.clone(),
            recorded_at: Instant(recorded_at.ok_or("the report `dead_letter` has no time in `recorded_at`")?.value(0)),
            source: text("source")?,
            event_id: event_id.is_valid(0).then(|| event_id.value(0)),
            reason: text("reason")?.unwrap_or_default(),
            repaired: column("repaired", DataType::Boolean)?.as_boolean().value(0),
            payload: column("payload", DataType::Binary)?.as_binary::<i32>().value(0).to_vec(),
        })
    }
}

impl FromStr for Place {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let mut parts = s.rsplitn(3, '/');
        let (offset, partition, topic) = (parts.next(), parts.next(), parts.next());
        let place =
            || Some(Place { topic: topic?.to_owned(), partition: partition?.parse().ok()?, offset: offset?.parse().ok()? });
        place().ok_or_else(|| format!("`{s}` is no place; one is TOPIC/PARTITION/OFFSET, as `dead-letters list` prints it"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// What is known of it, one thing a line, then the message: text where it is UTF-8, else in hex.
impl fmt::Display for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "place        {}", self.place)?;
        writeln!(f, "recorded_at  {}", self.recorded_at)?;
        writeln!(f, "source       {}", printable(self.source.as_deref().unwrap_or("–")))?;
        writeln!(f, "event_id     {}", self.event_id.map_or_else(|| "–".to_owned(), |id| id.to_string()))?;
        writeln!(f, "reason       {}", printable(&self.reason))?;
        writeln!(f, "repaired     {}", if self.repaired { "yes, its event stands in the lake" } else { "no" })?;
        let bytes = self.payload.len();
        match std::str::from_utf8(&self.payload) {
            Ok(text) => writeln!(f, "payload      {bytes} bytes\n{}", printable(text)),
            Err(_) => {
                writeln!(f, "payload      {bytes} bytes that are no UTF-8, in hex")?;
                self.payload.chunks(HEX_BYTES).try_for_each(|line| {
                    line.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                    writeln!(f)
                })
            }
        }
    }
}

/// 64 digits a line.
const HEX_BYTES: usize = 32;

/// Text that does nothing to a terminal: what strangers send may hold its commands.
fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c.to_string(),
        c if c.is_control() => c.escape_unicode().to_string(),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    fn a_place_reads_back() {
        fn check(text: &str, expect: Expect) {
            expect.assert_eq(&text.parse::<Place>().map_or_else(|said| said, |place| place.to_string()));
        }
        check("orders/0/17", expect!["orders/0/17"]);
        check("orders/17", expect!["`orders/17` is no place; one is TOPIC/PARTITION/OFFSET, as `dead-letters list` prints it"]);
        check("orders/0/x", expect!["`orders/0/x` is no place; one is TOPIC/PARTITION/OFFSET, as `dead-letters list` prints it"]);
    }

    #[test]
    fn a_letter_shows_text_or_hex_and_nothing_that_a_terminal_obeys() {
        fn check(identity: Option<(&str, i64)>, payload: &[u8], expect: Expect) {
            let letter = Letter {
                place: "orders/0/17".parse().unwrap(),
                recorded_at: Instant::Y2000,
                source: identity.map(|(source, _)| source.to_owned()),
                event_id: identity.map(|(_, id)| id),
                reason: "`sold` needs `units`".to_owned(),
                repaired: false,
                payload: payload.to_vec(),
            };
            expect.assert_eq(&letter.to_string());
        }
        check(
            Some(("till", 7)),
            b"{\"a\":1,\n \"b\":\"\x1b[2J\"}",
            expect![[r#"
                place        orders/0/17
                recorded_at  2000-01-01T00:00:00Z
                source       till
                event_id     7
                reason       `sold` needs `units`
                repaired     no
                payload      20 bytes
                {"a":1,
                 "b":"\u{1b}[2J"}
            "#]],
        );
        check(
            None,
            &[0xff, 0x00].repeat(17),
            expect![[r#"
                place        orders/0/17
                recorded_at  2000-01-01T00:00:00Z
                source       –
                event_id     –
                reason       `sold` needs `units`
                repaired     no
                payload      34 bytes that are no UTF-8, in hex
                ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00
                ff00
            "#]],
        );
    }
}
