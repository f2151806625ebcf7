//! The data folder: where it is, whose it is, how old it is.
//!
//! ```text
//! DIR/VERSION         number of the folder's format
//! DIR/hexiao.toml     its config, if it has one
//! DIR/lock            who writes: {"pid":…,"address":…,"token":…}, held with a file lock
//! DIR/ledger.sqlite   ledger and outbox
//! DIR/lake/<table>/   Delta tables
//! ```
//! One process writes a folder at a time; readers take no lock.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config;

/// The format this build writes. An older folder is migrated by adding to it; a newer one is left alone.
pub const VERSION: u32 = 1;

/// What can be wrong with a data folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process writes it.
    #[error("`{}` is being written by another process (pid {}{}); stop it, or choose another folder with --data", .path.display(), .holder.pid, .holder.at())]
    Held {
        /// The folder.
        path: PathBuf,
        /// Who holds it.
        holder: Holder,
    },
    /// Written by a newer build.
    #[error("`{}` has format {found}; this build knows up to {VERSION}: use a newer hexiao", .path.display())]
    Newer {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Not made by Hexiao.
    #[error("`{}` has files but no VERSION: it isn't a data folder of hexiao; choose another with --data", .0.display())]
    Foreign(PathBuf),
    /// No data there.
    #[error("there is no data in `{}`: run `hexiao demo` or `hexiao serve` first, or name another folder with --data", .0.display())]
    Absent(PathBuf),
    /// VERSION is not a number.
    #[error("`{}` holds no number", .0.display())]
    BadVersion(PathBuf),
    /// The file system refused.
    #[error("could not {attempt} `{}`", .path.display())]
    Io {
        /// What was tried.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Who writes a folder; the contents of its lock file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// `host:port` of its HTTP door, once it is open.
    #[serde(default)]
    pub address: Option<String>,
    /// Key that local commands use at that door. The file is readable by its owner only.
    #[serde(default)]
    pub token: Option<String>,
}

impl Holder {
    fn at(&self) -> String {
        self.address.as_ref().map(|address| format!(", http://{address}")).unwrap_or_default()
    }
}

/// A data folder this process may write.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: File,
}

impl Folder {
    /// Takes the folder for writing, making it if it is not there.
    ///
    /// # Errors
    /// [`FolderError::Held`], [`FolderError::Newer`], [`FolderError::Foreign`], or an IO failure; the folder is unchanged
    /// then.
    pub fn open(path: &Path) -> Result<Folder, FolderError> {
        let fail = |attempt, path: &Path| move_err(attempt, path.to_owned());
        match version(path)? {
            Some(found) if found > VERSION => return Err(FolderError::Newer { path: path.to_owned(), found }),
            Some(_) => {}
            None if has_files(path) => return Err(FolderError::Foreign(path.to_owned())),
            None => fs::create_dir_all(path).map_err(fail("create", path))?,
        }
        let lock_path = path.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = options.open(&lock_path).map_err(fail("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(FolderError::Held { path: path.to_owned(), holder: holder(path).unwrap_or_default() });
            }
            Err(TryLockError::Error(source)) => return Err(FolderError::Io { attempt: "lock", path: lock_path, source }),
        }
        let folder = Folder { path: path.to_owned(), lock };
        folder.announce(&Holder { pid: std::process::id(), ..Holder::default() })?;
        // Written last: a folder with a VERSION is a folder whose lock exists.
        if version(path)? != Some(VERSION) {
            write_version(path)?;
        }
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says in the lock file who writes, and at which address.
    pub fn announce(&self, holder: &Holder) -> Result<(), FolderError> {
        let text = serde_json::to_string(holder).expect("a holder is plain data");
        let write = |mut file: &File| -> std::io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(text.as_bytes())
        };
        write(&self.lock).map_err(move_err("write", self.path.join("lock")))
    }

    /// Empties the folder but for its lock and config.
    pub fn clear(&self) -> Result<(), FolderError> {
        for entry in fs::read_dir(&self.path).map_err(move_err("list", self.path.clone()))?.flatten() {
            let path = entry.path();
            if path.file_name().is_some_and(|name| name == "lock" || name == "VERSION" || name == config::FILE) {
                continue;
            }
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(move_err("remove", path))?;
        }
        Ok(())
    }
}

/// Makes the folder if it is not there, without a lock: its ledger has one writer, its lake takes any number.
pub fn prepare(path: &Path) -> Result<(), FolderError> {
    match version(path)? {
        Some(found) if found > VERSION => Err(FolderError::Newer { path: path.to_owned(), found }),
        Some(_) => Ok(()),
        None if has_files(path) => Err(FolderError::Foreign(path.to_owned())),
        None => {
            fs::create_dir_all(path).map_err(move_err("create", path.to_owned()))?;
            write_version(path)
        }
    }
}

/// Checks that a folder can be read, without a lock.
pub fn check_readable(path: &Path) -> Result<(), FolderError> {
    match version(path)? {
        None => Err(FolderError::Absent(path.to_owned())),
        Some(found) if found > VERSION => Err(FolderError::Newer { path: path.to_owned(), found }),
        Some(_) => Ok(()),
    }
}

/// Who wrote the lock file last; not necessarily still running.
pub fn holder(path: &Path) -> Option<Holder> {
    let mut text = String::new();
    File::open(path.join("lock")).ok()?.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn version(path: &Path) -> Result<Option<u32>, FolderError> {
    let file = path.join("VERSION");
    match fs::read_to_string(&file) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| FolderError::BadVersion(file)),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(FolderError::Io { attempt: "read", path: file, source }),
    }
}

/// Whether a folder holds anything but a config and what a crash left before VERSION was written: a lock, the file that was to
/// become VERSION.
fn has_files(path: &Path) -> bool {
    let ours = |name: OsString| name == "lock" || name == config::FILE || name.to_string_lossy().starts_with("VERSION.");
    fs::read_dir(path).is_ok_and(|mut entries| entries.any(|e| e.is_ok_and(|e| !ours(e.file_name()))))
}

/// Written whole or not at all: a folder whose VERSION is cut short is nobody's.
fn write_version(path: &Path) -> Result<(), FolderError> {
    let (part, whole) = (path.join(format!("VERSION.{}", std::process::id())), path.join("VERSION"));
    fs::write(&part, format!("{VERSION}\n")).map_err(move_err("write", part.clone()))?;
    fs::rename(&part, &whole).inspect_err(|_| drop(fs::remove_file(&part))).map_err(move_err("write", whole))
}

fn move_err(attempt: &'static str, path: PathBuf) -> impl FnOnce(std::io::Error) -> FolderError {
    move |source| FolderError::Io { attempt, path, source }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_folder_that_was_not_made_to_its_end_is_made_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("VERSION.42"), "1").unwrap();
        prepare(dir.path()).unwrap();
        check_readable(dir.path()).unwrap();
    }

    #[test]
    fn a_folder_has_one_writer_and_says_who() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        assert!(matches!(check_readable(&path), Err(FolderError::Absent(_))));
        let folder = Folder::open(&path).unwrap();
        folder.announce(&Holder { pid: 42, address: Some("127.0.0.1:8080".into()), token: None }).unwrap();
        let error = Folder::open(&path).unwrap_err().to_string().replace(&path.display().to_string(), "DIR");
        expect!["`DIR` is being written by another process (pid 42, http://127.0.0.1:8080); stop it, or choose another folder with --data"]
            .assert_eq(&error);
        check_readable(&path).unwrap();
        drop(folder);
        Folder::open(&path).unwrap();
    }

    #[test]
    fn newer_and_foreign_folders_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("VERSION"), "99\n").unwrap();
        assert!(matches!(Folder::open(dir.path()), Err(FolderError::Newer { found: 99, .. })));
        assert!(matches!(check_readable(dir.path()), Err(FolderError::Newer { .. })));
        assert!(!dir.path().join("lock").exists());
        fs::remove_file(dir.path().join("VERSION")).unwrap();
        fs::write(dir.path().join("holiday.jpg"), "").unwrap();
        assert!(matches!(Folder::open(dir.path()), Err(FolderError::Foreign(_))));
        assert!(matches!(prepare(dir.path()), Err(FolderError::Foreign(_))));
    }

    #[test]
    fn a_config_may_be_there_first_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(config::FILE), "").unwrap();
        prepare(dir.path()).unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        fs::create_dir(dir.path().join("lake")).unwrap();
        folder.clear().unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["VERSION", config::FILE, "lock"]);
    }
}
