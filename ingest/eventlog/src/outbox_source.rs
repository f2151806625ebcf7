//! The embedded log as a source: its own connections to the ledger's file, so that reading never waits for the ledger.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::watch;

use crate::error::{Result, attempt};
use crate::{Error, LogIds, Partition, Position, Segment, Source, outbox};

/// Writers in other processes can't wake us; 100 ms keeps their events well within a second of freshness for ten tiny
/// reads a second.
const POLL: Duration = Duration::from_millis(100);

/// The ledger's writer holds the write lock for milliseconds; after 5 s something else is wrong.
const BUSY: Duration = Duration::from_secs(5);

/// Rows of a chunk of pruning; it also stops at 4 MiB (see [`outbox::prune`]).
const PRUNE_ROWS: usize = 2_000;

/// Reads the outbox of a ledger's file.
#[derive(Debug)]
pub struct OutboxSource {
    log_ids: LogIds,
    reader: Arc<Mutex<Connection>>,
    pruner: Arc<Mutex<Connection>>,
    appended: Option<watch::Receiver<i64>>,
}

impl OutboxSource {
    /// Opens the outbox in the ledger's file at `path`, which must exist. `appended` shows the log's end as this process
    /// moves it; without it the end is polled.
    pub fn open(path: &Path, appended: Option<watch::Receiver<i64>>) -> Result<Self> {
        let open = |query_only: bool| -> rusqlite::Result<Connection> {
            let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
            conn.busy_timeout(BUSY)?;
            conn.pragma_update(None, "synchronous", "FULL")?;
            conn.pragma_update(None, "query_only", query_only)?;
            Ok(conn)
        };
        let reader = open(true).map_err(attempt("open the log"))?;
        let pruner = open(false).map_err(attempt("open the log"))?;
        let log_ids = LogIds::single(outbox::log_id(&reader)?);
        Ok(OutboxSource { log_ids, reader: Arc::new(Mutex::new(reader)), pruner: Arc::new(Mutex::new(pruner)), appended })
    }

    /// Runs `work` on the reader's connection, off the async threads.
    async fn with_reader<T: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        on_connection(&self.reader, work).await
    }
}

async fn on_connection<T: Send + 'static>(
    conn: &Arc<Mutex<Connection>>,
    work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
) -> Result<T> {
    let conn = conn.clone();
    tokio::task::spawn_blocking(move || work(&conn.lock())).await.map_err(|_| Error::Stopped("reading the log"))?
}

#[async_trait]
impl Source for OutboxSource {
    fn log_ids(&self) -> &LogIds {
        &self.log_ids
    }

    async fn start(&self) -> Result<Position> {
        self.with_reader(|conn| outbox::pruned_to(conn).map(Position::single)).await
    }

    async fn end(&self) -> Result<Position> {
        self.with_reader(|conn| outbox::end(conn).map(Position::single)).await
    }

    async fn read(&self, from: &Position, max_bytes: usize) -> Result<Vec<Segment>> {
        let from = from.next(Partition::WHOLE);
        self.with_reader(move |conn| {
            let segments = outbox::read(conn, from, max_bytes)?;
            if segments.is_empty() {
                let end = outbox::end(conn)?;
                if from > end {
                    return Err(Error::Ahead { log: Partition::WHOLE.log(), partition: Partition::WHOLE, from, end });
                }
            }
            Ok(segments)
        })
        .await
    }

    async fn wait(&self, from: &Position) -> Result<()> {
        let from = from.next(Partition::WHOLE);
        let mut appended = self.appended.clone();
        loop {
            // Marked as seen before the log is asked, so that what comes in between wakes us.
            if appended.as_mut().is_some_and(|rx| *rx.borrow_and_update() > from) {
                return Ok(());
            }
            if self.end().await?.next(Partition::WHOLE) > from {
                return Ok(());
            }
            match &mut appended {
                Some(rx) => {
                    // Whoever showed the end is gone; others may still append.
                    if let Ok(Err(_)) = tokio::time::timeout(POLL, rx.changed()).await {
                        appended = None;
                    }
                }
                None => tokio::time::sleep(POLL).await,
            }
        }
    }

    async fn prune(&self, below: &Position) -> Result<bool> {
        let below = below.next(Partition::WHOLE);
        on_connection(&self.pruner, move |conn| outbox::prune(conn, below, PRUNE_ROWS).map(|deleted| deleted > 0)).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use event::{Stream, SystemClock};
    use rusqlite::Connection;

    use super::OutboxSource;
    use crate::source_conformance::{self as conformance, Log};
    use crate::{Partition, Position, Source, outbox};

    struct Outbox {
        conn: Connection,
        source: OutboxSource,
        appended: tokio::sync::watch::Sender<i64>,
        _dir: tempfile::TempDir,
    }

    fn new() -> Outbox {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        let conn = Connection::open(&path).unwrap();
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL").unwrap();
        conn.pragma_update(None, "journal_mode", "wal").unwrap();
        outbox::create(&conn, &SystemClock).unwrap();
        let (appended, rx) = tokio::sync::watch::channel(0);
        let source = OutboxSource::open(&path, Some(rx)).unwrap();
        Outbox { conn, source, appended, _dir: dir }
    }

    impl Log for Outbox {
        fn source(&self) -> &dyn Source {
            &self.source
        }
        async fn append(&mut self, stream: Stream, messages: &[&str]) -> Vec<(Partition, i64)> {
            let messages: Vec<_> = messages.iter().map(|m| m.as_bytes().to_vec()).collect();
            let appended = outbox::append(&self.conn, &SystemClock, stream, &messages).unwrap();
            self.appended.send_replace(appended.next_offset);
            (appended.first_offset..appended.next_offset).map(|offset| (Partition::WHOLE, offset)).collect()
        }
        async fn forget(&mut self, below: &Position) {
            while self.source.prune(below).await.unwrap() {}
        }
    }

    #[tokio::test]
    async fn the_outbox_is_a_source() {
        conformance::reads_what_was_appended(new()).await;
        conformance::what_comes_while_it_is_read_comes_once_and_in_order(new()).await;
        conformance::reading_beyond_the_end_is_an_error(new()).await;
        conformance::what_is_pruned_is_an_error_and_not_a_gap(new()).await;
        conformance::waiting_ends_when_something_comes(new()).await;
        conformance::a_new_log_has_another_id(new(), new()).await;
    }

    #[tokio::test]
    async fn what_another_process_appends_is_found_without_a_wake() {
        let log = new();
        outbox::append(&log.conn, &SystemClock, Stream::Orders, &[b"{}".to_vec()]).unwrap();
        tokio::time::timeout(Duration::from_secs(30), log.source.wait(&Position::single(0))).await.unwrap().unwrap();
    }

    #[test]
    fn the_file_shrinks_after_pruning() {
        let log = new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for _ in 0..32 {
            outbox::append(&log.conn, &SystemClock, Stream::Orders, &[vec![b'x'; 1 << 20]]).unwrap();
        }
        let pages = |conn: &Connection| conn.query_row("PRAGMA page_count", [], |r| r.get::<_, i64>(0)).unwrap();
        let before = pages(&log.conn);
        while runtime.block_on(log.source.prune(&Position::single(32))).unwrap() {}
        assert!(pages(&log.conn) * 4 < before, "{} pages of {before} are left", pages(&log.conn));
    }
}
