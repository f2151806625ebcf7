//! Wrong codes, counted per terminal and per store (R10).

use event::Instant;
use redemption::{LockoutPolicy, Refusal, StoreId, TerminalId};
use rusqlite::params;

use crate::error::{Result, attempt};
use crate::writer::Work;

fn scopes(work: &Work<'_>, store: &StoreId, terminal: Option<&TerminalId>) -> Vec<(String, LockoutPolicy)> {
    let config = &work.state.config;
    let store_scope = (format!("store:{store}"), config.store_lockout);
    // Two stores may call their terminals the same.
    let terminal_scope = terminal.map(|t| (format!("terminal:{store}/{t}"), config.terminal_lockout));
    terminal_scope.into_iter().chain([store_scope]).collect()
}

/// Refuses if the terminal or the store has tried too many wrong codes.
pub(crate) fn check(work: &Work<'_>, store: &StoreId, terminal: Option<&TerminalId>) -> Result<Result<(), Refusal>> {
    let failed = attempt("count wrong codes");
    for (scope, policy) in scopes(work, store, terminal) {
        let sql = "SELECT failed_at FROM code_failures WHERE scope = $1 AND failed_at > $2 ORDER BY failed_at DESC LIMIT $3";
        let mut statement = work.conn.prepare_cached(sql).map_err(&failed)?;
        let failures: Vec<Instant> = statement
            .query_map(params![scope, policy.horizon(work.now).0, policy.failures], |row| row.get(0).map(Instant))
            .and_then(Iterator::collect)
            .map_err(&failed)?;
        if let Some(until) = policy.locked_until(&failures, work.now) {
            return Ok(Err(Refusal::LockedOut { until }));
        }
    }
    Ok(Ok(()))
}

/// Counts one wrong code.
pub(crate) fn count(work: &Work<'_>, store: &StoreId, terminal: Option<&TerminalId>) -> Result<()> {
    for (scope, _) in scopes(work, store, terminal) {
        work.conn
            .prepare_cached("INSERT INTO code_failures (scope, failed_at) VALUES ($1, $2)")
            .and_then(|mut s| s.execute(params![scope, work.now.0]))
            .map_err(attempt("count a wrong code"))?;
    }
    Ok(())
}
