//! What a log holds after the lake: read from where the lake's tables end, by the same rules as ingest.

use std::collections::BTreeMap;
use std::sync::Arc;

use event::Table;
use eventlog::{Intake, IntakeConfig, Partition, Position, Segment, Source, Taken};

use crate::files::LiveFiles;
use crate::view::View;
use crate::{Error, Result};

/// Reads on from the end of a View's lake.
pub(crate) struct LogTail {
    intake: Option<Intake>,
    files: Arc<LiveFiles>,
    /// Partitions that can't be read from where the lake ends, and why. Their rows are in no tail; they end where they were
    /// committed.
    left_out: BTreeMap<Partition, String>,
    /// Where to read these, so that the source can go on with the others: what comes of them is dropped.
    beyond: Position,
    /// What the intake still keeps of what came out of it.
    kept: Vec<(Table, Position, usize)>,
}

impl LogTail {
    /// Begins where the lake of `view` ends.
    pub async fn begin(view: &View, source: &dyn Source, config: IntakeConfig) -> eventlog::Result<Self> {
        let (start, end) = (source.start().await?, source.end().await?);
        let left_out = unreadable(view, source, &start, &end);
        let beyond = left_out.keys().map(|partition| (*partition, end.next(*partition))).collect();
        let files = Arc::new(LiveFiles::of(view));
        let intake = Intake::new(files.clone(), view.committed(), config);
        Ok(LogTail { intake: Some(intake), files, left_out, beyond: Position(beyond), kept: Vec::new() })
    }

    /// Everything below it was taken.
    pub fn position(&self) -> Position {
        self.intake.as_ref().map(|intake| intake.position().clone()).unwrap_or_default()
    }

    /// Where the source reads on.
    pub fn from(&self) -> Position {
        let mut from = self.position();
        from.0.extend(&self.beyond.0);
        from
    }

    /// Partitions that are not read, and why.
    pub fn left_out(&self) -> &BTreeMap<Partition, String> {
        &self.left_out
    }

    /// Bytes that the intake keeps.
    pub fn kept_bytes(&self) -> usize {
        self.kept.iter().map(|(.., bytes)| bytes).sum()
    }

    /// Takes what the source gave from [`LogTail::from`] on.
    ///
    /// # Errors
    /// Of [`Intake::take`]. [`eventlog::Error::Stopped`]: this can't go on, begin anew.
    pub async fn take(&mut self, mut segments: Vec<Segment>) -> eventlog::Result<Taken> {
        let mut intake = self.intake.take().ok_or(eventlog::Error::Stopped("decoding the log"))?;
        segments.retain(|segment| {
            let read = !self.left_out.contains_key(&segment.partition);
            if !read {
                self.beyond.advance(segment.partition, segment.next_offset);
            }
            read
        });
        // Decoding is pure work: on the async threads it would hold up whoever shares them.
        let work = tokio::task::spawn_blocking(move || {
            let taken = intake.take(&segments);
            (intake, taken)
        });
        let (intake, taken) = work.await.map_err(|_| eventlog::Error::Stopped("decoding the log"))?;
        self.intake = Some(intake);
        let taken = taken?;
        for (table, batch) in &taken.batches {
            self.kept.push((*table, taken.upto.feeding(*table), batch.get_array_memory_size()));
        }
        Ok(taken)
    }

    /// Takes into `view` what the source holds below `target`, and maybe a little more.
    pub async fn read_to(&mut self, source: &dyn Source, target: &Position, view: &mut View, read_bytes: usize) -> Result<()> {
        let failed = |e: eventlog::Error| Error::folder("the log's tail", e);
        while !self.from().covers(target) {
            let segments = source.read(&self.from(), read_bytes).await.map_err(failed)?;
            if segments.is_empty() {
                break;
            }
            let taken = self.take(segments).await.map_err(failed)?;
            view.take(&taken).map_err(|e| Error::folder("the log's tail", e))?;
        }
        Ok(())
    }

    /// The lake is that of `view` now.
    pub fn committed(&mut self, view: &View) {
        self.files.set(view);
        for (table, upto) in view.committed() {
            if let Some(intake) = &mut self.intake {
                intake.committed(table, &upto);
            }
            self.kept.retain(|(of, reach, _)| *of != table || !upto.covers(reach));
        }
    }
}

/// The partitions that `source` can't be read of from where the lake of `view` ends, and why.
pub(crate) fn unreadable(view: &View, source: &dyn Source, start: &Position, end: &Position) -> BTreeMap<Partition, String> {
    let committed = view.committed_everywhere();
    let why = |partition: Partition| {
        let log = || partition.log();
        let filled = view
            .tables
            .iter()
            .filter(|(table, t)| matches!(table, Table::Events(_)) && partition.feeds(**table) && !t.lake.log_ids.0.is_empty());
        let found = source.log_ids().of(partition);
        if let Some((table, t)) = filled.into_iter().find(|(_, t)| t.lake.log_ids.of(partition) != found) {
            let found = found.unwrap_or("(none)");
            return Some(format!("{} is {found}, and {table} was filled from {}", log(), t.lake.log_ids));
        }
        let (from, pruned_to, end) = (committed.next(partition), start.next(partition), end.next(partition));
        match from {
            _ if from < pruned_to => Some(eventlog::Error::Pruned { log: log(), partition, from, pruned_to }.to_string()),
            _ if from > end => Some(eventlog::Error::Ahead { log: log(), partition, from, end }.to_string()),
            _ => None,
        }
    };
    end.0.keys().filter_map(|partition| Some((*partition, why(*partition)?))).collect()
}
