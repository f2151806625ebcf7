//! The relations and reports there are: the embedded files, and those of a folder as they are now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::source::{self, Source};
use crate::{Error, Result};

/// The relations and reports of one moment.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub views: BTreeMap<String, Arc<Source>>,
    pub reports: BTreeMap<String, Arc<Source>>,
    /// Files of the folder that are not as they should be, and why.
    pub left_out: Vec<(String, String)>,
}

/// The files of a folder, with what tells that one has changed.
type Seen = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// Keeps [`Sources`] as the folder has them: a file that is put there is there for the next question.
pub(crate) struct Library {
    folder: Option<PathBuf>,
    current: ArcSwap<Sources>,
    seen: Mutex<Seen>,
}

impl Library {
    /// The embedded files and, where `folder` has folders `views` and `reports`, those in there; a file of the same name
    /// replaces the embedded one.
    pub fn open(folder: Option<&Path>) -> Result<Self> {
        let seen = folder.map(seen).unwrap_or_default();
        let sources = load(folder)?;
        Ok(Library { folder: folder.map(Path::to_owned), current: ArcSwap::from_pointee(sources), seen: Mutex::new(seen) })
    }

    /// What there is now. A folder that can't be read any more stays as it was read last.
    pub fn current(&self) -> Arc<Sources> {
        let Some(folder) = &self.folder else { return self.current.load_full() };
        let now = seen(folder);
        let mut last = self.seen.lock();
        if *last != now {
            match load(Some(folder)) {
                Ok(sources) => self.current.store(Arc::new(sources)),
                Err(error) => tracing::warn!(error = %error, "Could not read {} again: {error}", folder.display()),
            }
            *last = now;
        }
        self.current.load_full()
    }
}

impl Sources {
    /// The version of a report's definition: a hash over its text and those of the relations it names, and they in turn.
    pub fn definition(&self, report: &Source) -> String {
        let mut texts = BTreeMap::from([(&report.name, &report.sql)]);
        let mut open = vec![&report.sql];
        while let Some(sql) = open.pop() {
            for word in sql.split(|c: char| !c.is_alphanumeric() && c != '_') {
                if let Some((name, view)) = self.views.get_key_value(word)
                    && texts.insert(name, &view.sql).is_none()
                {
                    open.push(&view.sql);
                }
            }
        }
        let mut hash = blake3::Hasher::new();
        for sql in texts.values() {
            hash.update(sql.as_bytes());
        }
        hash.finalize().to_hex()[..12].to_owned()
    }
}

fn load(folder: Option<&Path>) -> Result<Sources> {
    let mut sources = Sources::default();
    for (embedded, name) in [(source::VIEWS, "views"), (source::REPORTS, "reports")] {
        let mut all = BTreeMap::new();
        for (stem, sql) in embedded {
            all.insert((*stem).to_owned(), Arc::new(Source::parse(stem, sql)?));
        }
        if let Some(dir) = folder.map(|f| f.join(name)).filter(|dir| dir.is_dir()) {
            extend(&mut all, &dir, &mut sources.left_out)?;
        }
        match name {
            "views" => sources.views = all,
            _ => sources.reports = all,
        }
    }
    Ok(sources)
}

/// Adds the files of `dir`. One that is not as it should be is left out and said so: somebody's unfinished report must not keep
/// the till from starting.
fn extend(all: &mut BTreeMap<String, Arc<Source>>, dir: &Path, left_out: &mut Vec<(String, String)>) -> Result<()> {
    let failed = |e: std::io::Error| Error::folder(dir.display().to_string(), e);
    let mut paths =
        std::fs::read_dir(dir).map_err(failed)?.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    paths.retain(|path| path.extension().is_some_and(|e| e == "sql"));
    paths.sort();
    for path in paths {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let sql =
            std::fs::read_to_string(&path).map_err(|e| Error::BadSource { file: format!("{stem}.sql"), problem: e.to_string() });
        match sql.and_then(|sql| Source::parse(&stem, &sql)) {
            Ok(source) => drop(all.insert(stem, Arc::new(source))),
            Err(error) => {
                tracing::warn!(error = %error, "Left out {}: {error}", path.display());
                left_out.push((path.display().to_string(), error.to_string()));
            }
        }
    }
    Ok(())
}

/// The files of a folder now; what can't be looked at is not there.
fn seen(folder: &Path) -> Seen {
    let files = ["views", "reports"].into_iter().filter_map(|name| std::fs::read_dir(folder.join(name)).ok()).flatten().flatten();
    files
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .map(|(path, m)| (path, (m.modified().ok(), m.len())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_put_into_the_folder_is_there_and_a_broken_one_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let reports = dir.path().join("reports");
        std::fs::create_dir(&reports).unwrap();
        let library = Library::open(Some(dir.path())).unwrap();
        let embedded = library.current().reports.len();
        assert!(embedded > 0 && library.current().left_out.is_empty());

        let report = "-- mine\n-- Title: Mine\n-- Grain: one.\nSELECT 1 AS one";
        for (name, sql) in [("mine.sql", report), ("broken.sql", "SELECT 1"), ("notes.txt", "")] {
            std::fs::write(reports.join(name), sql).unwrap();
        }
        std::fs::write(reports.join("latin.sql"), b"-- latin \xe4").unwrap();
        let now = library.current();
        assert_eq!(now.reports.len(), embedded + 1);
        let said: Vec<&str> = now.left_out.iter().map(|(_, problem)| problem.as_str()).collect();
        assert_eq!(said, ["`broken.sql`: its first line must be `-- broken`", "`latin.sql`: stream did not contain valid UTF-8"]);

        let first = now.definition(&now.reports["mine"]);
        std::fs::write(reports.join("mine.sql"), report.replace("1 AS", "11 AS")).unwrap();
        let now = library.current();
        assert_ne!(now.definition(&now.reports["mine"]), first);
        std::fs::remove_file(reports.join("mine.sql")).unwrap();
        assert_eq!(library.current().reports.len(), embedded);
    }

    #[test]
    fn a_definition_is_also_the_relations_it_names() {
        let view = |sql: &str| Arc::new(Source::parse("v", &format!("-- v\n-- Grain: one.\n{sql}")).unwrap());
        let report = Source::parse("r", "-- r\n-- Grain: one.\nSELECT * FROM v").unwrap();
        let with = |sql: &str| {
            Sources { views: BTreeMap::from([("v".to_owned(), view(sql))]), ..Sources::default() }.definition(&report)
        };
        assert_eq!(with("SELECT 1"), with("SELECT 1"));
        assert_ne!(with("SELECT 1"), with("SELECT 2"));
    }

    #[test]
    fn every_embedded_file_is_whole() {
        load(None).unwrap();
    }
}
