//! What keeps the Views up to date, whatever the log is: this process's own ingest of the embedded log, or topics of Kafka
//! that are followed while the outbox is relayed to them.
//!
//! Doors ask here and nowhere else how far reading is, so that they are the same over both.

pub mod ends;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use eventlog::{Partition, Position};
use ingest::Ingest;
use query::{View, Views};
use tokio::sync::watch;

pub use topics::{Topics, TopicsStatus};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What brings the log to the Views.
pub struct Feed {
    views: Arc<Views>,
    /// End of the outbox.
    recorded: watch::Receiver<i64>,
    way: Way,
}

/// Which way the log takes.
pub enum Way {
    /// The embedded log is ingested here.
    Own(Ingest),
    /// The outbox is relayed to topics, which are followed.
    Topics(Topics),
}

/// Why there is no View as asked for.
#[derive(Debug)]
pub enum NotVisible {
    /// The log has not come to this position: nobody was told it.
    Unknown(Position),
    /// It is not read up to there, after so long.
    Yet {
        /// What was asked for.
        wanted: Position,
        /// How long it was waited for.
        waited: Duration,
    },
}

/// How far reading is; over topics all partitions together.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Next offset of the log.
    pub log_end: i64,
    /// Offset up to which answers include it.
    pub visible_to: i64,
    /// What answers lack.
    pub behind: i64,
}

impl Feed {
    /// A feed of `views`; `recorded` shows the outbox's end.
    pub fn new(views: Arc<Views>, recorded: watch::Receiver<i64>, way: Way) -> Self {
        Feed { views, recorded, way }
    }

    /// What it keeps up to date.
    pub fn views(&self) -> &Arc<Views> {
        &self.views
    }

    /// Which way the log takes.
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// Returns once the outbox is known to end at `position` or beyond: who reads the file may see a commit before its writer has
    /// told of it.
    pub async fn recorded(&self, position: i64) {
        let mut recorded = self.recorded.clone();
        // The writer lives as long as the feed; where it is gone nothing more is told.
        let _ = recorded.wait_for(|end| *end >= position).await;
    }

    /// A View that includes what `wanted` names: the position after a write, or one of an answer. Without it one that includes
    /// everything recorded by now.
    ///
    /// Over topics, nothing named, the wait is all that is promised: brokers that are gone, or a partition that can't be read,
    /// must not end the answers about everything else. How fresh they are they say themselves.
    pub async fn view(&self, wanted: Option<&Position>, patience: Duration) -> Result<Arc<View>, NotVisible> {
        let recorded = *self.recorded.borrow();
        let topics = match &self.way {
            Way::Own(_) => {
                let end = Position::single(recorded);
                let wanted = wanted.unwrap_or(&end);
                if !end.covers(wanted) {
                    return Err(NotVisible::Unknown(wanted.clone()));
                }
                let waited = self.views.wait_for(wanted, patience).await;
                return waited.map_err(|_| NotVisible::Yet { wanted: wanted.clone(), waited: patience });
            }
            Way::Topics(topics) => topics,
        };
        match wanted {
            None => match tokio::time::timeout(patience, topics.reach_all(recorded)).await {
                Ok(view) => Ok(view),
                Err(_) => Ok(self.views.current()),
            },
            Some(wanted) if wanted.next(Partition::WHOLE) > recorded => Err(NotVisible::Unknown(wanted.clone())),
            Some(wanted) => match tokio::time::timeout(patience, topics.reach(wanted)).await {
                Ok(Some(view)) => Ok(view),
                Ok(None) => Err(NotVisible::Unknown(wanted.clone())),
                Err(_) => Err(NotVisible::Yet { wanted: wanted.clone(), waited: patience }),
            },
        }
    }

    /// How far reading is.
    pub fn reading(&self) -> Reading {
        let visible = self.views.current().position().clone();
        let end = match &self.way {
            Way::Own(_) => Position::single(*self.recorded.borrow()),
            Way::Topics(topics) => topics.status().ends.end,
        };
        let sum = |position: &Position| position.0.values().sum();
        Reading { log_end: sum(&end), visible_to: sum(&visible), behind: visible.lag(&end) }
    }

    /// Returns once the lake holds everything recorded by now.
    pub async fn flush(&self) -> Result<(), Failure> {
        match &self.way {
            Way::Own(ingest) => Ok(ingest.flush().await?),
            Way::Topics(topics) => topics.flush(*self.recorded.borrow()).await,
        }
    }

    /// Commits what was read where that is done here, and ends.
    pub async fn stop(&self) -> Result<(), Failure> {
        match &self.way {
            Way::Own(ingest) => Ok(ingest.stop().await?),
            Way::Topics(topics) => topics.stop().await,
        }
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("reading", &self.reading()).finish_non_exhaustive()
    }
}
