//! The ids known per table and business month, and what the rows they stand for say.
//!
//! A copy of an event has the same business month, so a month's ids decide exactly whether an event is new. Months are
//! loaded from the lake and the uncommitted rows when they are needed and forgotten when room is needed.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int32Type, Int64Type};
use event::Table;
use hashbrown::{HashMap, HashSet};

use super::content::Prints;
use super::known::KnownEvents;
use super::lookup;
use crate::Position;
use crate::error::Result;

/// A search for rows of more than one in 16 of a month's events reads the whole month and remembers it: an import that is
/// repeated asks for all of them, batch after batch.
const WHOLE_MONTH_FROM: usize = 16;

/// So does every fourth search, however small: many small ones cost as much.
const WHOLE_MONTH_EVERY: u32 = 4;

/// What [`Months::admit`] found.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// The rows whose identity is known already. All others are new and known from now on.
    pub(super) repeated: Vec<Repeat>,
}

/// A row whose identity is known.
#[derive(Debug)]
pub(super) struct Repeat {
    pub(super) row: usize,
    pub(super) source: String,
    pub(super) event_id: i64,
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// Whether it says what the known one says.
    pub(super) same: bool,
}

#[derive(Debug)]
pub(super) struct Months {
    known: Arc<dyn KnownEvents>,
    limit: usize,
    prints: Prints,
    at: HashMap<(Table, String), usize>,
    months: Vec<Month>,
    ticks: u64,
}

#[derive(Debug, Default)]
struct Month {
    sources: Vec<Ids>,
    /// When it was used last.
    used: u64,
    /// How often rows were searched for in the lake.
    searches: u32,
}

#[derive(Debug, Default)]
struct Ids {
    source: String,
    seen: HashSet<i64>,
    /// Content of the rows that were asked for so far.
    prints: HashMap<i64, u64>,
}

impl Month {
    fn source(&mut self, source: &str) -> usize {
        match self.sources.iter().position(|s| s.source == source) {
            Some(at) => at,
            None => {
                self.sources.push(Ids { source: source.to_owned(), ..Ids::default() });
                self.sources.len() - 1
            }
        }
    }

    fn ids(&self) -> usize {
        self.sources.iter().map(|s| s.seen.len() + 2 * s.prints.len()).sum()
    }
}

impl Months {
    pub(super) fn new(known: Arc<dyn KnownEvents>, limit: usize) -> Self {
        Months { known, limit, prints: Prints::default(), at: HashMap::new(), months: Vec::new(), ticks: 0 }
    }

    /// Forgets everything; it is loaded again when needed.
    pub(super) fn forget(&mut self) {
        self.at.clear();
        self.months.clear();
    }

    /// Forgets the months used longest ago until the rest fits.
    pub(super) fn make_room(&mut self) {
        let mut total: usize = self.months.iter().map(Month::ids).sum();
        while total > self.limit && self.months.len() > 1 {
            let oldest = (0..self.months.len()).min_by_key(|i| self.months[*i].used).expect("there are months");
            total -= self.months[oldest].ids();
            self.months.swap_remove(oldest);
            let moved = self.months.len();
            self.at.retain(|_, at| *at != oldest);
            self.at.values_mut().filter(|at| **at == moved).for_each(|at| *at = oldest);
        }
    }

    /// Notes every identity of `batch`, and says which of them were known: to the lake, to `held` (rows taken and not yet
    /// committed) or to an earlier row of the batch.
    pub(super) fn admit(&mut self, table: Table, batch: &RecordBatch, held: &[(Position, RecordBatch)]) -> Result<Verdict> {
        let (sources, ids) = identity_columns(batch);
        let months: Option<&StringArray> = table.partitioned().then(|| batch.column(batch.num_columns() - 1).as_string());
        let mut repeated: Vec<(usize, usize, usize)> = Vec::new();
        let (mut month_name, mut month, mut source) = (None, 0, usize::MAX);
        for row in 0..batch.num_rows() {
            let name = months.map_or("", |m| m.value(row));
            if month_name != Some(name) {
                (month, source) = (self.load(table, name, held)?, usize::MAX);
                month_name = Some(name);
            }
            let entry = &mut self.months[month];
            if entry.sources.get(source).is_none_or(|s| s.source != sources.value(row)) {
                source = entry.source(sources.value(row));
            }
            if !entry.sources[source].seen.insert(ids.value(row)) {
                repeated.push((row, month, source));
            }
        }
        if repeated.is_empty() {
            return Ok(Verdict::default());
        }
        self.compare(table, batch, held, repeated)
    }

    /// Notes the events of a file of the lake that another process committed. Returns whether an event of `held` stands in it.
    pub(super) fn landed(
        &mut self,
        table: Table,
        file: &Path,
        month: Option<&str>,
        held: &[(Position, RecordBatch)],
    ) -> Result<bool> {
        let name = month.unwrap_or_default();
        let mut landed: HashMap<String, HashSet<i64>> = HashMap::new();
        lookup::ids(file, |source, id| {
            landed.entry_ref(source).or_default().insert(id);
        })?;
        let repeats = held.iter().any(|(_, batch)| {
            let (sources, ids) = identity_columns(batch);
            rows_of_month(table, batch, name)
                .any(|row| landed.get(sources.value(row)).is_some_and(|s| s.contains(&ids.value(row))))
        });
        // A month that is not loaded finds the file when it is.
        if let Some(at) = self.at.get(&(table, name.to_owned())) {
            for (source, ids) in landed {
                let source = self.months[*at].source(&source);
                self.months[*at].sources[source].seen.extend(ids);
            }
        }
        Ok(repeats)
    }

    /// The month's place, loaded if it is not there.
    fn load(&mut self, table: Table, month: &str, held: &[(Position, RecordBatch)]) -> Result<usize> {
        self.ticks += 1;
        let key = (table, month.to_owned());
        if let Some(at) = self.at.get(&key) {
            self.months[*at].used = self.ticks;
            return Ok(*at);
        }
        let mut loaded = Month { used: self.ticks, ..Month::default() };
        let mut last = usize::MAX;
        let mut note = |source: &str, id: i64| {
            if loaded.sources.get(last).is_none_or(|s| s.source != source) {
                last = loaded.source(source);
            }
            loaded.sources[last].seen.insert(id);
        };
        for file in self.known.files(table, table.partitioned().then_some(month))? {
            lookup::ids(&file, &mut note)?;
        }
        for (_, batch) in held {
            let (sources, ids) = identity_columns(batch);
            for row in rows_of_month(table, batch, month) {
                note(sources.value(row), ids.value(row));
            }
        }
        self.months.push(loaded);
        self.at.insert(key, self.months.len() - 1);
        Ok(self.months.len() - 1)
    }

    /// Compares each repeated row (row, month, source) with the row that was there first.
    fn compare(
        &mut self,
        table: Table,
        batch: &RecordBatch,
        held: &[(Position, RecordBatch)],
        repeated: Vec<(usize, usize, usize)>,
    ) -> Result<Verdict> {
        let (sources, ids) = identity_columns(batch);
        let rows: Vec<usize> = repeated.iter().map(|(row, ..)| *row).collect();
        let prints = self.prints_of(table, batch, &rows)?;
        // What is asked for, per month, and not known yet.
        let mut wanted: HashMap<usize, HashSet<(usize, i64)>> = HashMap::new();
        for (row, month, source) in &repeated {
            if !self.months[*month].sources[*source].prints.contains_key(&ids.value(*row)) {
                wanted.entry(*month).or_default().insert((*source, ids.value(*row)));
            }
        }
        let again: HashSet<usize> = rows.iter().copied().collect();
        for (month, mut wanted) in wanted {
            let name = self.at.iter().find(|(_, at)| **at == month).map(|((_, name), _)| name.clone()).expect("it is loaded");
            // First among the uncommitted, then in this batch, then in the lake.
            for (_, other) in held {
                self.remember(table, other, &name, month, &mut wanted, |_| true)?;
            }
            self.remember(table, batch, &name, month, &mut wanted, |row| !again.contains(&row))?;
            if !wanted.is_empty() {
                self.search(table, &name, month, wanted)?;
            }
        }
        let partitions = batch.column_by_name("log_partition").expect("every table has it").as_primitive::<Int32Type>();
        let offsets = batch.column_by_name("log_offset").expect("every table has it").as_primitive::<Int64Type>();
        let repeated = repeated.into_iter().zip(prints).map(|((row, month, source), print)| Repeat {
            row,
            source: sources.value(row).to_owned(),
            event_id: ids.value(row),
            partition: partitions.value(row),
            offset: offsets.value(row),
            same: self.months[month].sources[source].prints.get(&ids.value(row)) == Some(&print),
        });
        Ok(Verdict { repeated: repeated.collect() })
    }

    /// Remembers the content of the wanted rows that are in `batch`, and no longer wants them.
    fn remember(
        &mut self,
        table: Table,
        batch: &RecordBatch,
        name: &str,
        month: usize,
        wanted: &mut HashSet<(usize, i64)>,
        eligible: impl Fn(usize) -> bool,
    ) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let (sources, ids) = identity_columns(batch);
        let mut found = Vec::new();
        for row in rows_of_month(table, batch, name).filter(|row| eligible(*row)) {
            let source = self.months[month].source(sources.value(row));
            if wanted.remove(&(source, ids.value(row))) {
                found.push((row, source));
            }
        }
        let rows: Vec<usize> = found.iter().map(|(row, _)| *row).collect();
        for ((row, source), print) in found.into_iter().zip(self.prints_of(table, batch, &rows)?) {
            self.months[month].sources[source].prints.insert(ids.value(row), print);
        }
        Ok(())
    }

    /// Remembers the content of the wanted rows of the lake, or of the whole month if that is as cheap.
    fn search(&mut self, table: Table, name: &str, month: usize, wanted: HashSet<(usize, i64)>) -> Result<()> {
        let entry = &mut self.months[month];
        entry.searches += 1;
        let seen: usize = entry.sources.iter().map(|s| s.seen.len()).sum();
        let whole = wanted.len() * WHOLE_MONTH_FROM > seen || entry.searches.is_multiple_of(WHOLE_MONTH_EVERY);
        for file in self.known.files(table, table.partitioned().then_some(name))? {
            let sources: HashMap<String, usize> =
                self.months[month].sources.iter().enumerate().map(|(i, s)| (s.source.clone(), i)).collect();
            let asked = |source: &str, id: i64| whole || sources.get(source).is_some_and(|s| wanted.contains(&(*s, id)));
            let schema = table.schema();
            lookup::rows(&file, asked, |batch| {
                let (names, ids) = lookup::identities(Path::new(&file), batch)?;
                let prints = self.prints.of(&schema, batch).map_err(|e| lookup::failed(&file, e))?;
                for (row, print) in prints.into_iter().enumerate() {
                    let source = self.months[month].source(names.value(row));
                    self.months[month].sources[source].prints.insert(ids.value(row), print);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn prints_of(&self, table: Table, batch: &RecordBatch, rows: &[usize]) -> Result<Vec<u64>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let rows: UInt64Array = rows.iter().map(|row| *row as u64).collect::<Vec<_>>().into();
        let made = take_record_batch(batch, &rows).and_then(|some| self.prints.of(&table.schema(), &some));
        made.map_err(|e| lookup::failed(Path::new("the rows in memory"), e))
    }
}

fn identity_columns(batch: &RecordBatch) -> (&StringArray, &Int64Array) {
    let column = |name: &str| batch.column_by_name(name).expect("every stream has it");
    (column("source").as_string(), column("event_id").as_primitive())
}

/// The rows of `batch` in one month; all of a table without months.
fn rows_of_month<'a>(table: Table, batch: &'a RecordBatch, month: &'a str) -> impl Iterator<Item = usize> + 'a {
    let months: Option<&StringArray> = table.partitioned().then(|| batch.column(batch.num_columns() - 1).as_string());
    (0..batch.num_rows()).filter(move |row| months.is_none_or(|m| m.value(*row) == month))
}
