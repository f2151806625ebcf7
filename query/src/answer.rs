//! What a statement gives back: rows as a stream, and how fresh they are.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono_tz::Tz;
use futures::{Stream, TryStreamExt};
use serde::Serialize;

use crate::Result;
use crate::asked::GENERAL;
use crate::output::{Chart, Language, Sheet};
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

/// How an answer is shown to people: what the report's header says about it (R23), and what they asked for.
#[derive(Clone, Debug)]
pub struct Presentation {
    /// The report's name; empty for a statement's answer.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Its title in Chinese, if it has one.
    pub title_zh: Option<String>,
    /// What one row is.
    pub grain: String,
    /// Its definitions, a paragraph a line.
    pub doc: String,
    /// The parameters it ran with, in order, those without a value left out.
    pub parameters: Vec<(String, String)>,
    /// Columns that add up.
    pub additive: Vec<String>,
    /// Headings for people, by column.
    pub headings: BTreeMap<String, String>,
    /// The same in Chinese.
    pub headings_zh: BTreeMap<String, String>,
    /// How to draw it.
    pub chart: Option<Chart>,
    /// How to print it as sheets.
    pub sheet: Option<Sheet>,
    /// The language of headings and labels.
    pub language: Language,
    /// The chain's zone: where instants are shown on a wall clock, it is this one's.
    pub zone: Tz,
}

impl Default for Presentation {
    fn default() -> Self {
        Presentation {
            name: String::new(),
            title: String::new(),
            title_zh: None,
            grain: String::new(),
            doc: String::new(),
            parameters: Vec::new(),
            additive: Vec::new(),
            headings: BTreeMap::new(),
            headings_zh: BTreeMap::new(),
            chart: None,
            sheet: None,
            language: Language::default(),
            zone: Tz::UTC,
        }
    }
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

    /// The same answer, shown in this language.
    pub fn in_language(mut self, language: Language) -> Self {
        self.presentation.language = language;
        self
    }

    pub(crate) fn shown_as(self, source: &Source, about: About) -> Self {
        let own = source.parameters.iter().map(|p| p.name.as_str());
        let asked = own.chain(GENERAL.iter().map(|(name, _)| *name));
        let given = asked.filter_map(|name| Some((name.to_owned(), about.parameters.get(name)?.clone())));
        let presentation = Presentation {
            name: source.name.clone(),
            title: source.title.clone(),
            title_zh: source.title_zh.clone(),
            grain: source.grain.clone(),
            doc: source.doc.clone(),
            parameters: given.collect(),
            additive: source.additive.clone(),
            headings: source.headings.clone(),
            headings_zh: source.headings_zh.clone(),
            chart: source.chart.clone(),
            sheet: source.sheet.clone(),
            ..self.presentation
        };
        Answer { about: Some(about), presentation, ..self }
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns: Vec<&Arc<arrow::datatypes::Field>> = self.schema.fields().iter().collect();
        f.debug_struct("Answer").field("columns", &columns).field("freshness", &self.freshness).finish_non_exhaustive()
    }
}
