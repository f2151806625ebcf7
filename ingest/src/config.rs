//! The limits of ingest, each with its reason.

use std::time::Duration;

/// When to commit, how much to hold, what to keep.
#[derive(Clone, Copy, Debug)]
pub struct IngestConfig {
    /// Rows wait at most this long for their commit. Freshness does not depend on it, the tail has them; every commit is a
    /// file per table and month, and 15 s make at most 5,760 of each a day before compaction.
    pub commit_every: Duration,
    /// Rows of this many bytes in memory are committed without waiting: about 200,000 events, which make files of 10 to 20
    /// MB, large enough to scan well.
    pub commit_bytes: usize,
    /// Reading stops while the tail is this large: a lake that can't be written must not fill the memory. Room for the
    /// rows being written and as many read meanwhile.
    pub tail_bytes: usize,
    /// Bytes of the log, as stored, decoded at a time: 1 MiB of compressed segments is about 25,000 events, 0.1 s of work,
    /// so that a live event never waits long behind a bulk load.
    pub read_bytes: usize,
    /// A table without rows commits its offset alone this often, if the log moved: it must not hold up pruning for ever.
    pub idle_commit_every: Duration,
    /// … or once it lags this many offsets: a reader in another process decodes the log from the slowest table on, and
    /// 100,000 events take it less than a second.
    pub idle_commit_offsets: i64,
    /// The log keeps what was committed for this long: readers in other processes follow it from versions that old.
    pub prune_behind: Duration,
    /// A checkpoint after this many commits of a table: a reader that opens it replays at most as many.
    pub checkpoint_every: u64,
    /// The small files of a month are merged once there are more than this: commits and openings cost about 40 µs per
    /// live file, and looking into a month's files costs per file too.
    pub compact_files: usize,
    /// Files that no version names, and those replaced longer ago than the tables' retention (6 h), are deleted this often.
    pub sweep_every: Duration,
    /// Waits this long after a failed commit or read, doubling up to 30 times as long.
    pub retry_after: Duration,
    /// Ids kept in memory to find duplicates by (see [`eventlog::IntakeConfig`]).
    pub cached_ids: usize,
}

impl Default for IngestConfig {
    fn default() -> Self {
        IngestConfig {
            commit_every: Duration::from_secs(15),
            commit_bytes: 96 << 20,
            tail_bytes: 256 << 20,
            read_bytes: 1 << 20,
            idle_commit_every: Duration::from_secs(3600),
            idle_commit_offsets: 100_000,
            prune_behind: Duration::from_secs(3600),
            checkpoint_every: 10,
            compact_files: 24,
            sweep_every: Duration::from_secs(6 * 3600),
            retry_after: Duration::from_secs(1),
            cached_ids: eventlog::IntakeConfig::default().cached_ids,
        }
    }
}
