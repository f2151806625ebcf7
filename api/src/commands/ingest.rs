//! `hexiao ingest`: brings what the log holds into the lake, and leaves.

use std::path::Path;
use std::time::Instant;

use super::Done;
use crate::folder::{Folder, check_readable};
use crate::node::{Node, NodeConfig};

/// Commits everything that is in the log by now.
pub async fn run(data: &Path) -> Done {
    check_readable(data)?;
    let started = Instant::now();
    let node = Node::start(Folder::open(data)?, NodeConfig::default()).await?;
    node.app().ingest.flush().await?;
    let end = *node.app().ledger.end().borrow();
    node.stop().await?;
    println!("The lake holds the log up to offset {end}; {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}
