//! The ledger's file: opening, its pragmas, its format, its secret.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use event::Clock;
use redemption::Secret;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::error::{Error, Result, attempt};
use crate::totals;

/// Every step of the format, oldest first. A step only adds: a file of an older build stays readable.
const MIGRATIONS: [&str; 2] =
    [include_str!("../../../sql/migrations/ledger_1.sql"), include_str!("../../../sql/migrations/ledger_2.sql")];

/// The first format with totals.
pub(crate) const TOTALS_SINCE: i64 = 2;

/// The write lock is only ever taken by the writer; a second process may read. 10 s is a hint that something is wrong.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Statements kept prepared per connection: all there are.
const STATEMENTS: usize = 128;

/// Opens the writer's connection; makes and migrates the file where needed.
pub(crate) fn open_writer(path: &Path, clock: &dyn Clock, source: &str, home_zone: &str) -> Result<Connection> {
    let open = |source| Error::Open { path: path.to_owned(), source };
    let conn = Connection::open(path).map_err(open)?;
    // Before WAL and before the first table: only then it takes effect without rewriting the file.
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(open)?;
    conn.pragma_update(None, "journal_mode", "WAL").map_err(open)?;
    // Every commit is on disk before it is answered (invariant 3).
    conn.pragma_update(None, "synchronous", "FULL").map_err(open)?;
    // 16 MiB of WAL between checkpoints: fewer pages are written twice than with the default 4 MiB. (A thread that checkpoints
    // beside the writer made no measurable difference, 1 to 256 clients on 2 cores.)
    conn.pragma_update(None, "wal_autocheckpoint", 4_096).map_err(open)?;
    // 64 MiB: keeps the inner pages of the indexes over 10 million entitlements in memory.
    conn.pragma_update(None, "cache_size", -65_536).map_err(open)?;
    prepare(&conn).map_err(open)?;
    migrate(&conn, path, home_zone)?;
    eventlog::outbox::create(&conn, clock)?;
    own(&conn, path, source)?;
    Ok(conn)
}

/// Opens a connection that can only read.
pub(crate) fn open_reader(path: &Path) -> Result<Connection> {
    let open = |source| Error::Open { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(open)?;
    prepare(&conn).map_err(open)?;
    Ok(conn)
}

fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

fn migrate(conn: &Connection, path: &Path, home_zone: &str) -> Result<()> {
    let failed = attempt("migrate the ledger");
    let known = MIGRATIONS.len() as i64;
    conn.execute_batch("BEGIN IMMEDIATE").map_err(&failed)?;
    let migrated = (|| {
        let found = format(conn)?;
        if found > known {
            return Err(Error::Newer { path: path.to_owned(), found, known });
        }
        for step in &MIGRATIONS[found.max(0) as usize..] {
            conn.execute_batch(step).map_err(&failed)?;
        }
        if (1..TOTALS_SINCE).contains(&found) {
            totals::fill(conn, home_zone)?;
        }
        conn.execute("INSERT INTO counters (name, value) VALUES ('last_id', 0) ON CONFLICT (name) DO NOTHING", [])
            .map_err(&failed)?;
        conn.pragma_update(None, "user_version", known).map_err(&failed)
    })();
    conn.execute_batch(if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" }).map_err(&failed)?;
    migrated
}

/// The format of a ledger's file.
pub(crate) fn format(conn: &Connection) -> Result<i64> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(attempt("read the ledger's format"))
}

/// A ledger writes under one source for good: event ids are unique within it.
fn own(conn: &Connection, path: &Path, source: &str) -> Result<()> {
    let found = setting(conn, "source", || source.to_owned())?;
    if found != source {
        return Err(Error::OtherSource { path: path.to_owned(), found, wanted: source.to_owned() });
    }
    Ok(())
}

/// The value of a setting; the first asker sets it.
fn setting(conn: &Connection, name: &str, first: impl FnOnce() -> String) -> Result<String> {
    let failed = attempt("read the ledger's settings");
    let read = || conn.query_row("SELECT value FROM settings WHERE name = $1", [name], |row| row.get(0)).optional();
    if let Some(value) = read().map_err(&failed)? {
        return Ok(value);
    }
    conn.execute("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", [name, &first()])
        .map_err(&failed)?;
    Ok(read().map_err(&failed)?.unwrap_or_default())
}

/// The chain's secret: as given, else from the file beside the ledger, made on first use. A ledger whose codes were hashed
/// with another one is refused.
pub(crate) fn secret(conn: &Connection, path: &Path, given: Option<[u8; 32]>) -> Result<Secret> {
    let (bytes, place) = match given {
        Some(bytes) => (bytes, PathBuf::from("the configuration")),
        None => {
            let place = path.with_extension("secret");
            // A lost secret is an error, not a reason to make another: no code would be found with it.
            let known = conn.query_row("SELECT 1 FROM settings WHERE name = 'secret_check'", [], |_| Ok(())).optional();
            let make = known.map_err(attempt("read the ledger's settings"))?.is_none();
            (read_or_make(&place, make).map_err(|source| Error::Secret { path: place.clone(), source })?, place)
        }
    };
    let secret = Secret::new(&bytes);
    let check: String = secret.hash(b"check").iter().map(|b| format!("{b:02x}")).collect();
    if setting(conn, "secret_check", || check.clone())? != check {
        return Err(Error::WrongSecret { path: place });
    }
    Ok(secret)
}

fn read_or_make(path: &Path, make: bool) -> std::io::Result<[u8; 32]> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let made = if make { options.open(path) } else { Err(ErrorKind::AlreadyExists.into()) };
    match made {
        Ok(mut file) => {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
            file.write_all(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>().as_bytes())?;
            // Codes hashed with it are on disk before long; so must it be.
            file.sync_all()?;
            if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
                std::fs::File::open(folder)?.sync_all()?;
            }
            Ok(bytes)
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            let text = std::fs::read_to_string(path)?;
            let text = text.trim();
            let mut bytes = [0; 32];
            let well_formed = text.len() == 64
                && bytes.iter_mut().enumerate().all(|(i, byte)| {
                    let digits = text.get(2 * i..2 * i + 2).and_then(|d| u8::from_str_radix(d, 16).ok());
                    digits.inspect(|d| *byte = *d).is_some()
                });
            well_formed.then_some(bytes).ok_or_else(|| std::io::Error::other("it must hold 64 hexadecimal digits"))
        }
        Err(e) => Err(e),
    }
}
