//! Ids that are unique for good and ordered in time.

use event::{Instant, first_id_at};
use rusqlite::Connection;

use crate::error::{Result, attempt};

/// Gives ids, each greater than the one before, also after a restart and when the clock goes back.
#[derive(Debug)]
pub(crate) struct EventIds {
    last: i64,
    saved: i64,
}

impl EventIds {
    pub(crate) fn read(conn: &Connection) -> Result<Self> {
        let last = conn
            .query_row("SELECT value FROM counters WHERE name = 'last_id'", [], |row| row.get(0))
            .map_err(attempt("read the last id"))?;
        Ok(EventIds { last, saved: last })
    }

    pub(crate) fn next(&mut self, now: Instant) -> i64 {
        self.last = first_id_at(now).max(self.last + 1);
        self.last
    }

    /// Nothing at or below `id` is given any more.
    pub(crate) fn skip_to(&mut self, id: i64) {
        self.last = self.last.max(id);
    }

    /// Writes the last id inside the transaction that used it.
    pub(crate) fn save(&mut self, conn: &Connection) -> Result<()> {
        if self.last != self.saved {
            conn.prepare_cached("UPDATE counters SET value = $1 WHERE name = 'last_id'")
                .and_then(|mut s| s.execute([self.last]))
                .map_err(attempt("save the last id"))?;
            self.saved = self.last;
        }
        Ok(())
    }

    /// The transaction was rolled back: what was saved in it is not.
    pub(crate) fn unsaved(&mut self) {
        self.saved = i64::MIN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_whatever_the_clock_does() {
        let mut ids = EventIds { last: i64::MIN, saved: 0 };
        let at = |secs| Instant::from_secs(secs);
        let a = ids.next(at(1_780_000_000));
        let b = ids.next(at(1_780_000_000));
        let c = ids.next(at(1_700_000_000));
        let d = ids.next(at(1_780_000_001));
        assert_eq!(a, first_id_at(at(1_780_000_000)));
        assert_eq!((b - a, c - b), (1, 1));
        assert_eq!(d, first_id_at(at(1_780_000_001)));
    }
}
