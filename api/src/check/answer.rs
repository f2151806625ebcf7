//! Differences as an answer, for every format that answers have.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use query::{Answer, Presentation};

use super::Checked;
use super::compare::{Difference, Side};

impl Checked {
    /// A row per difference.
    pub fn answer(&self) -> Result<Answer, arrow::error::ArrowError> {
        let text = |of: fn(&Difference) -> Option<&str>| -> ArrayRef {
            Arc::new(self.differences.iter().map(of).collect::<StringArray>())
        };
        let number = |of: &dyn Fn(&Difference) -> Option<i64>| -> ArrayRef {
            Arc::new(self.differences.iter().map(of).collect::<Int64Array>())
        };
        let ledger = |of: fn(&Side) -> i64| number(&move |d: &Difference| d.ledger.as_ref().map(of));
        let lake = |of: fn(&Side) -> i64| number(&move |d: &Difference| d.lake.as_ref().map(of));
        let days: Date32Array = self.differences.iter().map(|d| d.business_day.map(|day| day.0)).collect();
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("store_id", text(|d| d.store_id.as_deref()), true),
            ("business_day", Arc::new(days) as ArrayRef, true),
            ("type", text(|d| d.event_type.as_deref()), true),
            ("difference", text(|d| Some(d.kind.as_str())), false),
            ("event_id", number(&|d| d.event_id), true),
            ("entitlement_id", number(&|d| d.entitlement_id), true),
            ("ledger_events", ledger(|side| side.events), true),
            ("lake_events", lake(|side| side.events), true),
            ("ledger_units", ledger(|side| side.units), true),
            ("lake_units", lake(|side| side.units), true),
            ("ledger_fen", ledger(|side| side.fen), true),
            ("lake_fen", lake(|side| side.fen), true),
            ("detail", text(|d| d.detail.as_deref()), true),
        ])?;
        Ok(Answer {
            schema: batch.schema(),
            freshness: self.freshness.clone(),
            about: None,
            presentation: Presentation::default(),
            rows: Box::pin(futures::stream::once(async { Ok(batch) })),
        })
    }
}
