//! Idempotency keys (R2): the outcome of a write is stored in its transaction, and given again to whoever asks again.
//!
//! A second call with the same key can't be "still in flight" here: it waits its turn at the writer and finds the outcome
//! of the first. The key itself is kept only as a keyed hash, because the code of a sale is sealed with it (R10).

use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result, attempt, invalid, invalid_field};
use crate::writer::{Work, Written};

/// Who asks, and the key of this very request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    caller: String,
    key: String,
}

impl Request {
    /// A request of `caller` (the API key's id, or the name of a command) with its client-made key: 1 to 255 visible ASCII
    /// characters. Another caller's equal key is another key.
    pub fn new(caller: &str, key: &str) -> Result<Self> {
        if key.is_empty() || key.len() > 255 || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(invalid_field("Idempotency-Key", "an idempotency key has 1 to 255 visible ASCII characters"));
        }
        Ok(Request { caller: caller.to_owned(), key: key.to_owned() })
    }

    /// Unambiguous bytes of both; never stored in clear.
    pub(crate) fn name(&self) -> Vec<u8> {
        [self.caller.as_bytes(), &[0], self.key.as_bytes()].concat()
    }
}

/// The hash of a command and its parameters: keyed, because parameters may hold a code.
pub(crate) fn params_hash(work: &Work<'_>, command: &str, params: &impl Serialize) -> Result<[u8; 32]> {
    let json = serde_json::to_vec(&(command, params)).map_err(invalid)?;
    Ok(work.state.secret.hash(&json))
}

/// The stored outcome of this key, if there is one; [`Error::KeyReused`] if it was used for something else.
pub(crate) fn stored<T: DeserializeOwned>(work: &Work<'_>, request: &Request, params: &[u8; 32]) -> Result<Option<Written<T>>> {
    let oldest = work.now.0 - work.state.config.idempotency_days * 86_400_000_000;
    let row: Option<([u8; 32], String, i64)> = work
        .conn
        .prepare_cached("SELECT params_hash, outcome, position FROM idempotency WHERE key_hash = $1 AND created_at > $2")
        .and_then(|mut s| {
            let key = work.state.secret.hash(&request.name());
            s.query_row(params![key, oldest], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
        })
        .map_err(attempt("look up an idempotency key"))?;
    let Some((found, outcome, position)) = row else { return Ok(None) };
    if found != *params {
        return Err(Error::KeyReused);
    }
    let outcome = serde_json::from_str(&outcome).map_err(|e| Error::Damaged(format!("a stored outcome: {e}")))?;
    Ok(Some(Written { outcome, position, repeated: true }))
}

/// Stores the outcome of this key, in the transaction of the change.
pub(crate) fn store<T: Serialize>(work: &Work<'_>, request: &Request, params: &[u8; 32], written: &Written<T>) -> Result<()> {
    let outcome = serde_json::to_string(&written.outcome).map_err(invalid)?;
    // An outcome older than kept may still lie there, until the sweep comes by.
    work.conn
        .prepare_cached(
            "INSERT INTO idempotency (key_hash, params_hash, outcome, position, created_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (key_hash) DO UPDATE SET params_hash = excluded.params_hash, outcome = excluded.outcome,
                 position = excluded.position, created_at = excluded.created_at",
        )
        .and_then(|mut s| {
            let key = work.state.secret.hash(&request.name());
            s.execute(params![key, params, outcome, written.position, work.now.0])
        })
        .map_err(attempt("store an idempotency key"))?;
    Ok(())
}
