//! Views made of events, written as short lines of JSON.

use std::sync::Arc;

use event::{DeadLetter, Event, Instant, Moment, Place, Rows, Stream, Table, dead_letter_batch};
use eventlog::Position;
use serde_json::{Value, json};

use crate::{Engine, EngineConfig, View};

/// Events collected into a View that is all tail.
#[derive(Default)]
pub struct Events {
    rows: Vec<Rows>,
    letters: Vec<DeadLetter>,
    next: i64,
    last: Instant,
}

impl Events {
    /// Adds a line: the event with its `stream`. Missing are filled in: `source` t, `event_id` the line's number,
    /// `occurred_at` that of `effective_from`, `recorded_at` that of `occurred_at`. With `letter` it is a dead letter with that
    /// reason: what it says of `source`, `event_id`, `recorded_at` and `payload` (or `payload_hex`) holds, nothing is filled in.
    pub fn add(&mut self, line: &str) -> Result<(), String> {
        if self.rows.is_empty() {
            self.rows = Stream::ALL.map(Rows::new).into();
        }
        let mut event: Value = serde_json::from_str(line).map_err(|e| format!("{line}: {e}"))?;
        let stream: Stream = event["stream"].as_str().unwrap_or_default().parse()?;
        if let Some(reason) = event["letter"].as_str() {
            let text = |name: &str| event[name].as_str().unwrap_or_default();
            let recorded_at = Instant::parse(text("recorded_at")).unwrap_or(Instant::Y2000);
            let hex = text("payload_hex").as_bytes().chunks(2).map(|byte| u8::from_str_radix(&String::from_utf8_lossy(byte), 16));
            let hex = hex.collect::<Result<Vec<u8>, _>>().map_err(|e| format!("{line}: {e}"))?;
            self.letters.push(DeadLetter {
                topic: stream.name().to_owned(),
                place: Place { partition: 0, offset: self.next, recorded_at },
                identity: event["source"].as_str().map(str::to_owned).zip(text("event_id").parse().ok()),
                reason: reason.to_owned(),
                payload: [text("payload").as_bytes(), &hex].concat(),
            });
            self.next += 1;
            return Ok(());
        }
        let fill = |event: &mut Value, name: &str, value: Value| {
            if event.get(name).is_none() {
                event[name] = value;
            }
        };
        fill(&mut event, "source", json!("t"));
        fill(&mut event, "event_id", json!((self.next + 1).to_string()));
        if stream == Stream::Catalog {
            fill(&mut event, "type", json!("upserted"));
            fill(&mut event, "effective_from", json!("2020-01-01T00:00:00+08:00"));
            let from = event["effective_from"].clone();
            fill(&mut event, "occurred_at", from);
        }
        let occurred_at = event["occurred_at"].clone();
        fill(&mut event, "recorded_at", occurred_at);
        let recorded_at = event["recorded_at"].as_str().and_then(Moment::parse).ok_or("no recorded_at")?.at;
        let message = event.to_string();
        let decoded = Event::decode(stream, message.as_bytes(), recorded_at).map_err(|e| format!("{line}: {e}"))?;
        self.rows[stream as usize].push(&decoded, Place { partition: 0, offset: self.next, recorded_at });
        self.next += 1;
        self.last = self.last.max(recorded_at);
        Ok(())
    }

    /// The View of the events so far; none are left.
    pub fn view(mut self) -> Arc<View> {
        let mut batches: Vec<_> = self.rows.iter_mut().map(|rows| (Table::Events(rows.stream()), rows.finish())).collect();
        batches.push((Table::DeadLetters, dead_letter_batch(&self.letters)));
        Arc::new(View::of(&batches, Position::single(self.next), Some(self.last)).unwrap())
    }
}

/// An engine whose clock stands at `now`, with `sql/` as it is on disk.
pub fn engine(now: Instant, config: EngineConfig) -> Engine {
    let sql = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql");
    Engine::new(config, Arc::new(event::ManualClock::new(now)), Some(&sql)).unwrap()
}
