//! `hexiao import`: another system's history, through the log like everything else.

use std::path::{Path, PathBuf};

use super::Done;

/// Arguments of `import`.
#[derive(clap::Args)]
pub struct Args {
    /// Map.
    #[arg(long)]
    map: Option<PathBuf>,
}

/// Imports.
pub async fn run(_data: &Path, _args: Args) -> Done {
    Err("not yet".into())
}
