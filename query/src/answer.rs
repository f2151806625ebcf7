//! What a statement gives back: rows as a stream, and how fresh they are.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::{Stream, TryStreamExt};
use serde::Serialize;

use crate::Result;
use crate::source::Source;
use crate::view::Freshness;

/// Rows on their way; dropping the stream stops the statement.
pub type Rows = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>;

/// The answer to one statement. Its first rows are there already: what fails early has failed.
pub struct Answer {
    /// Columns.
    pub schema: SchemaRef,
    /// How fresh it is.
    pub freshness: Freshness,
    /// What was asked, if it was a report.
    pub about: Option<About>,
    /// How to show it to people.
    pub presentation: Presentation,
    /// The rows.
    pub rows: Rows,
}

/// What a report was asked, so that the same can be asked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    /// The report.
    pub report: String,
    /// The version of its definition: equal texts of the report and of the relations it uses have equal ones.
    pub definition: String,
    /// Every parameter that had a value, defaults and general ones included.
    pub parameters: BTreeMap<String, String>,
    /// Messages recorded since the period began that could not be events: what the answer may lack.
    pub dead_letters: u64,
}

/// What a report's header says about showing it (R23).
#[derive(Clone, Debug, Default)]
pub struct Presentation {
    /// Columns that add up.
    pub additive: Vec<String>,
    /// Headings for people, by column.
    pub headings: BTreeMap<String, String>,
}

impl Answer {
    /// All rows.
    pub async fn collect(self) -> Result<Vec<RecordBatch>> {
        self.rows.try_collect().await
    }

    /// Other rows in the place of these.
    pub(crate) fn with_rows(self, rows: RecordBatch) -> Self {
        let schema = rows.schema();
        Answer { schema, rows: Box::pin(futures::stream::iter([Ok(rows)])), ..self }
    }

    pub(crate) fn shown_as(mut self, source: &Source) -> Self {
        self.presentation = Presentation { additive: source.additive.clone(), headings: source.headings.clone() };
        self
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns: Vec<&Arc<arrow::datatypes::Field>> = self.schema.fields().iter().collect();
        f.debug_struct("Answer").field("columns", &columns).field("freshness", &self.freshness).finish_non_exhaustive()
    }
}
