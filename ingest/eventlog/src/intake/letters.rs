//! Dead letters that are known: one that names its event is kept once, however often it comes.

use std::hash::BuildHasher;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use event::{DeadLetter, Id, Table};
use hashbrown::{DefaultHashBuilder, HashSet};

use super::known::KnownEvents;
use super::lookup;
use crate::error::Result;

/// How the reason of a row that an importer could not map begins (`Fault::Unmapped`). Such a wrapper may be worded anew by
/// a second import; its id is a hash of file and row, so the id alone says that it is the same.
const UNMAPPED: &str = "could not be mapped";

/// What a letter is known by.
const COLUMNS: [&str; 5] = ["topic", "source", "event_id", "reason", "payload"];

/// The dead letters known by identity: 128 bits each, made by two seeded hashes, so that no two letters are ever taken for
/// one (10^7 letters: 10^14 / 2^129).
#[derive(Debug)]
pub(super) struct Letters {
    known: Arc<dyn KnownEvents>,
    seeds: [DefaultHashBuilder; 2],
    /// `None` until the first letter with an identity comes.
    seen: Option<HashSet<u128>>,
}

impl Letters {
    pub(super) fn new(known: Arc<dyn KnownEvents>) -> Self {
        Letters { known, seeds: [DefaultHashBuilder::default(), DefaultHashBuilder::default()], seen: None }
    }

    /// Forgets everything; it is loaded again when needed.
    pub(super) fn forget(&mut self) {
        self.seen = None;
    }

    /// Leaves those that are neither in the lake nor in `held` (taken and not yet committed), and notes them.
    pub(super) fn keep_new<'a>(
        &mut self,
        letters: &mut Vec<DeadLetter>,
        held: impl Iterator<Item = &'a RecordBatch>,
    ) -> Result<()> {
        if letters.iter().all(|l| l.identity.is_none()) {
            return Ok(());
        }
        let mut seen = match self.seen.take() {
            Some(seen) => seen,
            None => self.load(held)?,
        };
        letters.retain(|l| match &l.identity {
            None => true,
            Some((source, id)) => seen.insert(self.key(&l.topic, source, *id, &l.reason, &l.payload)),
        });
        self.seen = Some(seen);
        Ok(())
    }

    /// Notes the letters of a file of the lake that another process committed. Returns whether one of `held` stands in it.
    pub(super) fn landed<'a>(&mut self, file: &Path, held: impl Iterator<Item = &'a RecordBatch>) -> Result<bool> {
        let (mut landed, mut taken) = (HashSet::new(), HashSet::new());
        lookup::columns(file, &COLUMNS, |batch| self.note(file, batch, &mut landed))?;
        for batch in held {
            self.note(Path::new("the rows in memory"), batch, &mut taken)?;
        }
        let repeats = !landed.is_disjoint(&taken);
        // Letters that are not loaded find the file when they are.
        if let Some(seen) = &mut self.seen {
            seen.extend(landed);
        }
        Ok(repeats)
    }

    fn load<'a>(&self, held: impl Iterator<Item = &'a RecordBatch>) -> Result<HashSet<u128>> {
        let mut seen = HashSet::new();
        for file in self.known.files(Table::DeadLetters, None)? {
            lookup::columns(&file, &COLUMNS, |batch| self.note(&file, batch, &mut seen))?;
        }
        for batch in held {
            self.note(Path::new("the rows in memory"), batch, &mut seen)?;
        }
        Ok(seen)
    }

    fn note(&self, file: &Path, batch: &RecordBatch, seen: &mut HashSet<u128>) -> Result<()> {
        let (sources, ids) = lookup::identities(file, batch)?;
        let columns = || {
            Some((
                batch.column_by_name("topic")?.as_string_opt::<i32>()?,
                batch.column_by_name("reason")?.as_string_opt::<i32>()?,
                batch.column_by_name("payload")?.as_binary_opt::<i32>()?,
            ))
        };
        let (topics, reasons, payloads) = columns().ok_or_else(|| lookup::failed(file, "it is not a file of dead letters"))?;
        for row in (0..batch.num_rows()).filter(|row| sources.is_valid(*row) && ids.is_valid(*row)) {
            seen.insert(self.key(topics.value(row), sources.value(row), ids.value(row), reasons.value(row), payloads.value(row)));
        }
        Ok(())
    }

    fn key(&self, topic: &str, source: &str, id: i64, reason: &str, payload: &[u8]) -> u128 {
        let content = (!reason.starts_with(UNMAPPED)).then_some(payload);
        let [high, low] = [0, 1].map(|i| self.seeds[i].hash_one((topic, source, id, content)));
        u128::from(high) << 64 | u128::from(low)
    }
}

/// The identity of a message that is no event, where it has one.
pub(super) fn identity(message: &[u8]) -> Option<(String, i64)> {
    #[derive(serde::Deserialize)]
    struct Identity {
        source: String,
        event_id: Id,
    }
    serde_json::from_slice::<Identity>(message).ok().map(|i| (i.source, i.event_id.0))
}
