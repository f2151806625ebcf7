//! Which files are live, for whoever looks for known events.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use event::Table;
use eventlog::KnownEvents;
use parking_lot::RwLock;

/// The files of each month of a table; of the whole table where it has no months.
type Months = HashMap<Option<String>, Vec<PathBuf>>;

/// The live files per table and month, kept up with every commit of this process.
#[derive(Debug, Default)]
pub(crate) struct LiveFiles {
    tables: RwLock<HashMap<Table, Months>>,
}

impl LiveFiles {
    /// Replaces what is known of a table: each file's folder-relative path and month.
    pub(crate) fn set(&self, table: Table, folder: &Path, files: impl Iterator<Item = (String, Option<String>)>) {
        let mut months = Months::new();
        for (path, month) in files {
            months.entry(month).or_default().push(folder.join(path));
        }
        self.tables.write().insert(table, months);
    }

    /// Adds a file.
    pub(crate) fn add(&self, table: Table, folder: &Path, path: &str, month: Option<String>) {
        self.tables.write().entry(table).or_default().entry(month).or_default().push(folder.join(path));
    }

    /// Number of live files of a table.
    pub(crate) fn count(&self, table: Table) -> usize {
        self.tables.read().get(&table).map_or(0, |months| months.values().map(Vec::len).sum())
    }
}

impl KnownEvents for LiveFiles {
    fn files(&self, table: Table, month: Option<&str>) -> eventlog::Result<Vec<PathBuf>> {
        let all = self.tables.read();
        let files = all.get(&table).and_then(|months| months.get(&month.map(str::to_owned)));
        Ok(files.cloned().unwrap_or_default())
    }
}
