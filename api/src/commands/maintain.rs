//! `hexiao maintain`: few, large files and short logs, now. A running ingest does it by the way; this does all of it, after an
//! import or from a timer, beside whatever runs.

use event::SystemClock;

use super::Done;
use crate::config::Setup;
use crate::folder::check_readable;

/// Merges, writes checkpoints, and removes what nobody reads any more.
pub async fn run(setup: &Setup) -> Done {
    check_readable(&setup.data)?;
    let done = ingest::maintain(&setup.data.join("lake"), &SystemClock).await?;
    let line = |m: &ingest::Maintained| {
        format!("{}: version {}, {} files, {} merged, {} deleted\n", m.table, m.version, m.files, m.merged, m.swept)
    };
    super::write(done.iter().map(line).collect::<String>().as_bytes())
}
