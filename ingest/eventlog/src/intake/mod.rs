//! Segments into rows: decoding, dead letters, duplicates (R20).
//!
//! Owns the one answer to "which rows do these messages come to": `ingest` commits it, and a reader that follows the log
//! by itself gets the same. A message stands in exactly one place: a row of its stream's table, a dead letter, or nowhere
//! because it is an identical copy.

mod content;
mod known;
mod letters;
mod lookup;
mod months;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use event::{DeadLetter, Event, Fault, Place, Rows, Stream, Table, dead_letter_batch};

pub use known::{KnownEvents, NoneKnown};

use crate::error::Result;
use crate::{Messages, Partition, Position, Segment, Taken};
use letters::Letters;
use months::Months;

/// Bounds of an [`Intake`].
#[derive(Clone, Copy, Debug)]
pub struct IntakeConfig {
    /// Ids kept in memory to find duplicates by; the months used last stay. At 10 to 20 bytes an id, 8 million take at
    /// most 160 MB; a month of a chain of 500 stores has about 4 million.
    pub cached_ids: usize,
}

impl Default for IntakeConfig {
    fn default() -> Self {
        IntakeConfig { cached_ids: 8_000_000 }
    }
}

/// What became of the messages so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of the streams' tables.
    pub accepted: u64,
    /// Identical copies, dropped.
    pub copies: u64,
    /// Dead letters kept.
    pub dead_letters: u64,
    /// Dead letters known already, dropped.
    pub dead_copies: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.accepted += other.accepted;
        self.copies += other.copies;
        self.dead_letters += other.dead_letters;
        self.dead_copies += other.dead_copies;
    }
}

/// Turns the log, segment by segment, into the rows that belong in the lake and are not there.
#[derive(Debug)]
pub struct Intake {
    /// How far each table was committed when this began: what lies below needs no second look.
    committed: BTreeMap<Table, Position>,
    position: Position,
    rows: Vec<Rows>,
    months: Months,
    letters: Letters,
    /// Rows taken and not known to be committed, per table, with the position they reach.
    uncommitted: BTreeMap<Table, Vec<(Position, RecordBatch)>>,
    counts: Counts,
}

impl Intake {
    /// Begins where the table that is furthest behind was committed.
    pub fn new(known: Arc<dyn KnownEvents>, committed: BTreeMap<Table, Position>, config: IntakeConfig) -> Self {
        let rows = Stream::ALL.map(|stream| {
            let mut rows = Rows::new(stream);
            // Empties the builders' first capacity: a trickle makes batches of one row, and 1,024 are reserved per column.
            rows.finish();
            rows
        });
        Intake {
            position: least(&committed),
            committed,
            rows: rows.into(),
            months: Months::new(known.clone(), config.cached_ids),
            letters: Letters::new(known),
            uncommitted: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// Everything below it has been taken; the next segments start here.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// What became of the messages so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes the next segments. They must reach [`Intake::position`] from below without a gap; what is known is skipped.
    ///
    /// # Errors
    /// After an error nothing was taken, and the same segments may be tried again.
    pub fn take(&mut self, segments: &[Segment]) -> Result<Taken> {
        let before = (self.position.clone(), self.counts);
        self.try_take(segments).inspect_err(|_| {
            (self.position, self.counts) = before;
            self.rows.iter_mut().for_each(|rows| drop(rows.finish()));
            // Ids were noted whose rows are not taken. The lake and the uncommitted rows still know the others.
            self.months.forget();
            self.letters.forget();
        })
    }

    /// `table` holds its rows below `upto` now, and [`KnownEvents`] shows the files with them.
    pub fn committed(&mut self, table: Table, upto: &Position) {
        if let Some(batches) = self.uncommitted.get_mut(&table) {
            batches.retain(|(reach, _)| !upto.covers(reach));
        }
    }

    /// Another process has committed `files`, each with its business month, to `table`, and [`KnownEvents`] shows them. Notes
    /// what they hold, and returns whether a row that was taken here and is in no commit stands in one of them: it must not
    /// be committed a second time, and what it comes to now only a new beginning tells.
    ///
    /// # Errors
    /// [`crate::Error::Lookup`]; then begin anew too, for some of it may have been noted.
    pub fn landed(&mut self, table: Table, files: &[(PathBuf, Option<String>)]) -> Result<bool> {
        let held = self.uncommitted.get(&table).map(Vec::as_slice).unwrap_or_default();
        let mut repeats = false;
        for (file, month) in files {
            repeats |= match table {
                Table::DeadLetters => self.letters.landed(file, held.iter().map(|(_, batch)| batch))?,
                Table::Events(_) => self.months.landed(table, file, month.as_deref(), held)?,
            };
        }
        self.months.make_room();
        Ok(repeats)
    }

    fn try_take(&mut self, segments: &[Segment]) -> Result<Taken> {
        let mut letters = Vec::new();
        let mut unpacked: Vec<(&Segment, Messages<'_>)> = Vec::new();
        let mut recorded_at = None;
        for segment in segments {
            let at = self.position.next(segment.partition);
            if segment.next_offset <= at {
                continue;
            }
            recorded_at = recorded_at.max(Some(segment.recorded_at));
            // A stream's dead letters are committed before its rows, so below the rows' offset both are done.
            let from = at.max(self.reach(Table::Events(segment.stream), segment.partition));
            if segment.next_offset > from {
                let messages = segment.messages()?;
                self.decode(segment, &messages, from, &mut letters);
                unpacked.push((segment, messages));
            }
            self.position.advance(segment.partition, segment.next_offset);
        }
        let mut batches = Vec::new();
        for stream in Stream::ALL {
            if !self.rows[stream as usize].is_empty() {
                let batch = self.rows[stream as usize].finish();
                let batch = self.without_duplicates(stream, batch, &unpacked, &mut letters)?;
                if batch.num_rows() > 0 {
                    self.counts.accepted += batch.num_rows() as u64;
                    batches.push((Table::Events(stream), batch));
                }
            }
        }
        if !letters.is_empty() {
            letters.sort_by_key(|l| (l.place.partition, l.place.offset));
            let found = letters.len() as u64;
            let held = self.uncommitted.get(&Table::DeadLetters);
            self.letters.keep_new(&mut letters, held.into_iter().flatten().map(|(_, batch)| batch))?;
            self.counts.dead_letters += letters.len() as u64;
            self.counts.dead_copies += found - letters.len() as u64;
            if !letters.is_empty() {
                batches.push((Table::DeadLetters, dead_letter_batch(&letters)));
            }
        }
        self.months.make_room();
        for (table, batch) in &batches {
            self.uncommitted.entry(*table).or_default().push((self.position.feeding(*table), batch.clone()));
        }
        Ok(Taken { batches, upto: self.position.clone(), recorded_at })
    }

    /// How far a table was committed when this began.
    fn reach(&self, table: Table, partition: Partition) -> i64 {
        self.committed.get(&table).map_or(0, |position| position.next(partition))
    }

    fn decode(&mut self, segment: &Segment, messages: &Messages<'_>, from: i64, letters: &mut Vec<DeadLetter>) {
        let letters_from = self.reach(Table::DeadLetters, segment.partition);
        let rows = &mut self.rows[segment.stream as usize];
        for (offset, recorded_at, message) in messages.iter().filter(|(offset, ..)| *offset >= from) {
            let place = Place { partition: segment.partition.number, offset, recorded_at };
            match Event::decode(segment.stream, message, recorded_at) {
                Ok(event) => rows.push(&event, place),
                Err(_) if offset < letters_from => {}
                Err(fault) => letters.push(letter(segment.stream, place, letters::identity(message), &fault, message)),
            }
        }
    }

    /// Leaves out of `batch` what is known: identical copies go, other content becomes a dead letter.
    fn without_duplicates(
        &mut self,
        stream: Stream,
        batch: RecordBatch,
        unpacked: &[(&Segment, Messages<'_>)],
        letters: &mut Vec<DeadLetter>,
    ) -> Result<RecordBatch> {
        let table = Table::Events(stream);
        let held = self.uncommitted.get(&table).map(Vec::as_slice).unwrap_or_default();
        let verdict = self.months.admit(table, &batch, held)?;
        if verdict.repeated.is_empty() {
            return Ok(batch);
        }
        let mut keep = vec![true; batch.num_rows()];
        for repeat in &verdict.repeated {
            keep[repeat.row] = false;
            if repeat.same {
                self.counts.copies += 1;
                continue;
            }
            let fault = Fault::Conflict { source_name: repeat.source.clone(), event_id: repeat.event_id };
            let (_, messages) = unpacked
                .iter()
                .find(|(s, _)| {
                    s.stream == stream && s.partition.number == repeat.partition && s.offsets().contains(&repeat.offset)
                })
                .expect("a row comes from a segment");
            // It may lie below the letters' offset and be none of them: another process may have committed the event that it
            // contradicts since. Having an identity, it is kept once in any case.
            let (recorded_at, message) = messages.at(repeat.offset).expect("it is inside");
            let place = Place { partition: repeat.partition, offset: repeat.offset, recorded_at };
            letters.push(letter(stream, place, Some((repeat.source.clone(), repeat.event_id)), &fault, message));
        }
        Ok(filter_record_batch(&batch, &BooleanArray::from(keep)).expect("the mask has the batch's length"))
    }
}

fn letter(stream: Stream, place: Place, identity: Option<(String, i64)>, fault: &Fault, message: &[u8]) -> DeadLetter {
    DeadLetter { topic: stream.name().to_owned(), place, identity, reason: fault.to_string(), payload: message.to_vec() }
}

/// The position that no table is behind, partition by partition: of each the tables it feeds count.
fn least(committed: &BTreeMap<Table, Position>) -> Position {
    let partitions = committed.values().flat_map(|position| position.0.keys());
    let fed = |partition: Partition| committed.iter().filter(move |(table, _)| partition.feeds(**table));
    let least = |partition: Partition| fed(partition).map(|(_, position)| position.next(partition)).min().unwrap_or(0);
    Position(partitions.map(|partition| (*partition, least(*partition))).collect())
}

#[cfg(test)]
mod tests;
