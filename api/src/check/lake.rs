//! The lake's side, asked in SQL over one View.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Int64Type};
use event::Day;
use ledger::{Cut, Days, Total, TotalOf, Totals, reduced};
use query::{Engine, Error, Params, Type, Value, View};

use super::compare::{Difference, Kind, Side};
use super::{Failure, Later};

/// An event of the lake or its tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LakeRow {
    /// The total it is in.
    pub of: TotalOf,
    /// Its id.
    pub event_id: i64,
    /// The entitlement it is about.
    pub entitlement_id: Option<i64>,
    /// Its units.
    pub units: i64,
    /// Its value.
    pub fen: i64,
    /// Its place in the log.
    pub log_offset: i64,
}

/// Asks about one View.
pub struct Lake<'a> {
    /// Runs the statements.
    pub engine: &'a Engine,
    /// What they see.
    pub view: &'a Arc<View>,
    /// The ledger's side.
    pub cut: &'a Cut,
    /// Days and store.
    pub days: &'a Days,
}

impl Lake<'_> {
    /// Totals of the ledger's source.
    pub async fn totals(&self) -> Result<Totals, Failure> {
        let mut params = self.params();
        params.set("whole", Value::Flag(self.cut.since.is_empty()));
        for (name, event_type) in [("redeemed_since", "redeemed"), ("sold_since", "sold"), ("since", "")] {
            params.set(name, Value::Int(self.cut.since(event_type)));
        }
        let rows = self.ask(include_str!("../../../sql/check/totals.sql"), &params, |row| {
            let fingerprint = row.int("fingerprint").map(reduced);
            (row.of(), Total { events: row.number("events"), units: row.number("units"), fen: row.number("fen"), fingerprint })
        });
        Ok(rows.await?.into_iter().collect())
    }

    /// Events that may be later than the cut.
    pub async fn late(&self, later: &Later) -> Result<Vec<LakeRow>, Failure> {
        let (offsets, from_id) = match later {
            Later::Offsets(offsets) if offsets.is_empty() => return Ok(Vec::new()),
            Later::Offsets(offsets) => (offsets.clone(), i64::MIN),
            Later::Ids { from, pending } => (i64::MIN..i64::MAX, pending.iter().copied().fold(*from, i64::min)),
        };
        let mut params = self.params();
        for (name, value) in [("from_offset", offsets.start), ("to_offset", offsets.end), ("from_id", from_id)] {
            params.set(name, Value::Int(value));
        }
        self.ask(include_str!("../../../sql/check/late.sql"), &params, |row| row.event()).await
    }

    /// The events of a store's day.
    pub async fn rows(&self, store_id: &str, day: Day) -> Result<Vec<LakeRow>, Failure> {
        let mut params = self.params();
        params.set("store", Value::Text(store_id.to_owned()));
        params.set("day", Value::Day(day));
        self.ask(include_str!("../../../sql/check/rows.sql"), &params, |row| row.event()).await
    }

    /// Where else an event stands, in words.
    pub async fn elsewhere(&self, event_id: i64, of: &TotalOf) -> Result<Option<String>, Failure> {
        let mut params = self.params();
        params.set("event_id", Value::Int(event_id));
        let places = self.ask(include_str!("../../../sql/check/places.sql"), &params, |row| row.of()).await?;
        let others = places.iter().filter(|place| *place != of);
        let others: Vec<String> = others.map(|p| format!("{} at {} on {}", p.event_type, p.store_id, p.business_day)).collect();
        Ok((!others.is_empty()).then(|| format!("it stands also as {}", others.join(", "))))
    }

    /// Events of other sources that stand in two months.
    pub async fn two_months(&self) -> Result<Vec<Difference>, Failure> {
        let params = self.params();
        let found = self.ask(include_str!("../../../sql/check/two_months.sql"), &params, |row| {
            let (first, last) = (row.day("first_day"), row.day("last_day"));
            let said = format!("source {}, on {first} and on {last}", row.text("source"));
            let lake = Side { events: row.number("events"), units: 0, fen: 0 };
            Difference {
                event_id: row.int("event_id"),
                lake: Some(lake),
                detail: Some(said),
                ..Difference::of_kind(Kind::TwoMonths)
            }
        });
        found.await
    }

    /// Open dead letters of the ledger's own source: what it writes are events, and one that is not was lost on the way.
    pub async fn letters(&self) -> Result<Vec<Difference>, Failure> {
        let params = self.params();
        let count = self.ask(include_str!("../../../sql/check/letters.sql"), &params, |row| row.number("events")).await?;
        // Whether a letter is open takes a look at every event; there are normally none to look for.
        if count.iter().sum::<i64>() == 0 {
            return Ok(Vec::new());
        }
        let found = self.ask(include_str!("../../../sql/check/open_letters.sql"), &params, |row| Difference {
            event_id: row.int("event_id"),
            detail: Some(format!("{}: {}", row.text("place"), row.text("reason"))),
            ..Difference::of_kind(Kind::DeadLetter)
        });
        found.await
    }

    fn params(&self) -> Params {
        let mut params = Params::new();
        params.set("source", Value::Text(self.cut.source.clone()));
        params.set("from", Value::Day(self.days.from));
        params.set("to", Value::Day(self.days.to));
        params.set("store", self.days.store_id.clone().map_or(Value::Null(Type::Text), Value::Text));
        params
    }

    async fn ask<T>(&self, sql: &str, params: &Params, read: impl Fn(&Row<'_>) -> T) -> Result<Vec<T>, Failure> {
        let batches = self.engine.sql(self.view, sql, params).await?.collect().await?;
        let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        for batch in &batches {
            let columns = Columns::of(batch)?;
            rows.extend((0..batch.num_rows()).map(|at| read(&Row { columns: &columns, at })));
        }
        Ok(rows)
    }
}

/// A batch whose columns are of three types only.
struct Columns(RecordBatch);

struct Row<'a> {
    columns: &'a Columns,
    at: usize,
}

impl Columns {
    fn of(batch: &RecordBatch) -> Result<Columns, Error> {
        let plain = |data_type: &DataType| match data_type {
            DataType::Date32 => DataType::Date32,
            t if t.is_integer() => DataType::Int64,
            _ => DataType::Utf8,
        };
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, column)| Ok((field.name().clone(), cast(column, &plain(field.data_type()))?)));
        let columns = columns.collect::<Result<Vec<_>, arrow::error::ArrowError>>();
        let batch = columns.and_then(RecordBatch::try_from_iter);
        batch.map(Columns).map_err(|e| Error::BadData { message: e.to_string() })
    }

    fn column(&self, name: &str) -> &arrow::array::ArrayRef {
        self.0.column_by_name(name).unwrap_or_else(|| panic!("the statement has a column {name}"))
    }
}

impl Row<'_> {
    fn int(&self, name: &str) -> Option<i64> {
        let column = self.columns.column(name).as_primitive::<Int64Type>();
        column.is_valid(self.at).then(|| column.value(self.at))
    }

    fn number(&self, name: &str) -> i64 {
        self.int(name).unwrap_or(0)
    }

    fn text(&self, name: &str) -> &str {
        self.columns.column(name).as_string::<i32>().value(self.at)
    }

    fn day(&self, name: &str) -> Day {
        Day(self.columns.column(name).as_primitive::<Date32Type>().value(self.at))
    }

    fn of(&self) -> TotalOf {
        TotalOf {
            store_id: self.text("store_id").to_owned(),
            business_day: self.day("business_day"),
            event_type: self.text("type").to_owned(),
        }
    }

    fn event(&self) -> LakeRow {
        LakeRow {
            of: self.of(),
            event_id: self.number("event_id"),
            entitlement_id: self.int("entitlement_id"),
            units: self.number("units"),
            fen: self.number("fen"),
            log_offset: self.number("log_offset"),
        }
    }
}
