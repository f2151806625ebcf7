//! The lake's live files, as the intake looks for known events in them.

use std::collections::HashMap;
use std::path::PathBuf;

use event::Table;
use eventlog::KnownEvents;
use parking_lot::RwLock;

use crate::view::View;

/// The files of each month of a table, or of the whole table where it has no months.
type Files = HashMap<(Table, Option<String>), Vec<PathBuf>>;

/// The live files of a View.
#[derive(Debug, Default)]
pub(crate) struct LiveFiles(RwLock<Files>);

impl LiveFiles {
    /// Those of `view`.
    pub fn of(view: &View) -> Self {
        let files = LiveFiles::default();
        files.set(view);
        files
    }

    /// Goes on to those of `view`.
    pub fn set(&self, view: &View) {
        let mut files = Files::new();
        for (table, t) in &view.tables {
            for file in &t.lake.files {
                files.entry((*table, file.month.clone())).or_default().push(file.local());
            }
        }
        *self.0.write() = files;
    }
}

impl KnownEvents for LiveFiles {
    fn files(&self, table: Table, month: Option<&str>) -> eventlog::Result<Vec<PathBuf>> {
        Ok(self.0.read().get(&(table, month.map(str::to_owned))).cloned().unwrap_or_default())
    }
}
