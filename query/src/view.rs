//! What one query sees: a version of every table, the tail after it, and how fresh that is.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use event::{Instant, Table};
use eventlog::{LogIds, Partition, Position, Taken};
use serde::Serialize;

use crate::lake::Committed;
use crate::tail::Tail;

/// A consistent cut through all tables: the rows of one Delta version each and the rows read since. No row is in it twice,
/// none below [`View::position`] is missing. A statement sees one View from its first table to its last row.
#[derive(Clone, Debug)]
pub struct View {
    pub(crate) tables: BTreeMap<Table, TableView>,
    pub(crate) position: Position,
    pub(crate) as_of: Option<Instant>,
}

/// One table of a [`View`].
#[derive(Clone, Debug)]
pub(crate) struct TableView {
    pub lake: Arc<Committed>,
    pub tail: Tail,
}

/// How fresh an answer is; it goes to headers and envelopes, never into rows (R23).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Freshness {
    /// When the last entry included was recorded, RFC 3339; `None` if there is no entry.
    pub as_of: Option<Instant>,
    /// Delta version per table; tables that do not exist yet are left out.
    pub lake_versions: BTreeMap<&'static str, u64>,
    /// Next offset per partition of the log: everything below it is included.
    pub log_position: BTreeMap<Partition, i64>,
    /// Rows that come from the tail.
    pub tail_rows: u64,
}

impl View {
    /// No rows in any table.
    pub fn empty() -> Self {
        let tables = Table::all()
            .map(|table| (table, TableView { lake: Arc::new(Committed::none(table)), tail: Tail::default() }))
            .collect();
        View { tables, position: Position::default(), as_of: None }
    }

    /// A View of these rows alone, each batch of its table's schema: for tests, and for reading a log without a lake.
    pub fn of(batches: &[(Table, RecordBatch)], position: Position, as_of: Option<Instant>) -> Result<Self, ArrowError> {
        let mut view = View::empty();
        view.append(batches)?;
        view.position = position;
        view.as_of = as_of;
        Ok(view)
    }

    /// Everything below it is included.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// How fresh it is.
    pub fn freshness(&self) -> Freshness {
        Freshness {
            as_of: self.as_of,
            lake_versions: self.tables.iter().filter_map(|(table, t)| Some((table.name(), t.lake.version?))).collect(),
            log_position: self.position.0.clone(),
            tail_rows: self.tables.values().map(|t| t.tail.rows() as u64).sum(),
        }
    }

    /// Adds rows to the tails, leaving out what a table's commit holds already.
    pub(crate) fn append(&mut self, batches: &[(Table, RecordBatch)]) -> Result<(), ArrowError> {
        let everywhere = self.committed_everywhere();
        for (table, batch) in batches {
            let entry = self.tables.get_mut(table).expect("a View has every table");
            // Letters may turn up below the letters' own offset: of an event that another process contradicted since.
            let new =
                crate::tail::above(*table, batch, if *table == Table::DeadLetters { &everywhere } else { &entry.lake.upto });
            if new.true_count() == batch.num_rows() {
                entry.tail.push(batch, &queried_schema(*table))?;
            } else {
                entry.tail.push(&arrow::compute::filter_record_batch(batch, &new)?, &queried_schema(*table))?;
            }
        }
        Ok(())
    }

    /// Replaces a table's commit by a later one and forgets the tail's rows that it holds.
    pub(crate) fn advance(&mut self, table: Table, lake: Arc<Committed>) -> Result<(), ArrowError> {
        let entry = self.tables.get_mut(&table).expect("a View has every table");
        entry.tail.drop_below(table, &lake.upto)?;
        entry.lake = lake;
        Ok(())
    }

    /// Adds what was read.
    pub(crate) fn take(&mut self, taken: &Taken) -> Result<(), ArrowError> {
        self.append(&taken.batches)?;
        taken.upto.0.iter().for_each(|(partition, next)| self.position.advance(*partition, *next));
        self.as_of = self.as_of.max(taken.recorded_at);
        Ok(())
    }

    /// Replaces tables' commits by later ones, whoever made them: the tail's rows that they hold go, and the position moves
    /// on if they hold what was not read yet.
    pub(crate) fn advance_to(&mut self, newer: &[Arc<Committed>]) -> Result<(), ArrowError> {
        for lake in newer {
            self.as_of = self.as_of.max(lake.recorded_at());
            self.advance(lake.table, lake.clone())?;
        }
        let everywhere = self.committed_everywhere();
        let letters = self.table(Table::DeadLetters).lake.clone();
        if letters.version.is_some() && !letters.upto.covers(&everywhere) {
            let mut letters = Committed::clone(&letters);
            everywhere.0.iter().for_each(|(partition, next)| letters.upto.advance(*partition, *next));
            self.advance(Table::DeadLetters, Arc::new(letters))?;
        }
        everywhere.0.iter().for_each(|(partition, next)| self.position.advance(*partition, *next));
        Ok(())
    }

    /// The same lake without a tail.
    pub(crate) fn without_tail(&self) -> Self {
        let mut view = self.clone();
        view.tables.values_mut().for_each(|table| table.tail = Tail::default());
        view.position = view.committed_everywhere();
        view
    }

    /// Bytes of the tail in memory.
    pub(crate) fn tail_bytes(&self) -> usize {
        self.tables.values().map(|table| table.tail.bytes()).sum()
    }

    /// How far each table that exists was committed.
    pub(crate) fn committed(&self) -> BTreeMap<Table, Position> {
        let existing = self.tables.iter().filter(|(_, t)| t.lake.version.is_some());
        existing.map(|(table, t)| (*table, t.lake.upto.clone())).collect()
    }

    /// Below it every stream's rows are in a commit. Dead letters are committed before the rows of their stream, so they are
    /// complete up to there too, even if their own table has not moved for long because there were none.
    pub fn committed_everywhere(&self) -> Position {
        let streams = || self.tables.iter().filter(|(table, t)| matches!(table, Table::Events(_)) && t.lake.version.is_some());
        let partitions = streams().flat_map(|(_, t)| t.lake.upto.0.keys());
        let fed = |partition: Partition| streams().filter(move |(table, _)| partition.feeds(**table));
        let lowest = |partition| fed(partition).map(|(_, t)| t.lake.upto.next(partition)).min().unwrap_or(0);
        Position(partitions.map(|p| (*p, lowest(*p))).collect())
    }

    /// The same of the log `ids`: of a topic that was made anew the lake holds nothing.
    pub fn committed_of(&self, ids: &LogIds) -> Position {
        let same = |partition: Partition| {
            let mut filled = self
                .tables
                .iter()
                .filter(|(table, t)| matches!(table, Table::Events(_)) && partition.feeds(**table) && t.lake.version.is_some());
            filled.all(|(_, t)| t.lake.log_ids.of(partition) == ids.of(partition))
        };
        let mut committed = self.committed_everywhere();
        committed.0.retain(|partition, _| same(*partition));
        committed
    }

    pub(crate) fn table(&self, table: Table) -> &TableView {
        &self.tables[&table]
    }
}

/// The schema in which queries see a table: that of the lake, with text and bytes as views, which are faster to group and
/// join by. Lists keep the lake's type.
pub(crate) fn queried_schema(table: Table) -> SchemaRef {
    static SCHEMAS: LazyLock<BTreeMap<Table, SchemaRef>> = LazyLock::new(|| {
        let queried = |f: &Field| match f.data_type() {
            DataType::Utf8 => f.clone().with_data_type(DataType::Utf8View),
            DataType::Binary => f.clone().with_data_type(DataType::BinaryView),
            _ => f.clone(),
        };
        Table::all()
            .map(|table| {
                let fields: Vec<Field> = table.schema().fields().iter().map(|f| queried(f)).collect();
                (table, Arc::new(Schema::new(fields)))
            })
            .collect()
    });
    SCHEMAS[&table].clone()
}
