//! API keys: who may ask for what. A key is 256 random bits and is kept as its hash.

use std::sync::Arc;

use event::Instant;
use hashbrown::HashMap;
use redemption::{ClerkId, StoreId};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use crate::Ledger;
use crate::error::{Error, Result, attempt, invalid, invalid_field};
use crate::writer::{Work, Written};

/// What a key's bearer may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    HeadOffice,
    /// What one store may.
    Store {
        /// The store.
        store_id: StoreId,
    },
    /// What one clerk may.
    Clerk {
        /// The clerk's store.
        store_id: StoreId,
        /// The clerk.
        clerk_id: ClerkId,
    },
}

impl Role {
    /// The store it is bound to; `None` for head office.
    pub fn store(&self) -> Option<&StoreId> {
        match self {
            Role::HeadOffice => None,
            Role::Store { store_id } | Role::Clerk { store_id, .. } => Some(store_id),
        }
    }
}

/// The bearer of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The key's id; not secret. Idempotency keys are counted per caller, and this is the caller.
    pub key_id: String,
    /// What the key is for, in words.
    pub name: String,
    /// What it may do.
    #[serde(flatten)]
    pub role: Role,
    /// When it was made.
    pub created_at: Instant,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Instant>,
}

/// A key just made. The secret is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    /// What the bearer sends: `hx_` and 64 hexadecimal digits.
    pub secret: String,
    /// Whose it is.
    #[serde(flatten)]
    pub principal: Principal,
}

/// Secrets stay out of logs.
impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("principal", &self.principal).finish_non_exhaustive()
    }
}

/// Every key in force, by its hash. A chain has tens per store: they fit in memory, and no request waits for a look-up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(HashMap<[u8; 32], Arc<Principal>>);

impl Keys {
    pub(crate) fn read(conn: &Connection) -> Result<Self> {
        let failed = attempt("read the API keys");
        let mut statement = conn
            .prepare("SELECT key_hash, key_id, name, role, created_at, revoked_at FROM api_keys WHERE revoked_at IS NULL")
            .map_err(&failed)?;
        let mut rows = statement.query([]).map_err(&failed)?;
        let mut keys = HashMap::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            keys.insert(row.get(0).map_err(&failed)?, Arc::new(principal(row, 1)?));
        }
        Ok(Keys(keys))
    }
}

fn principal(row: &rusqlite::Row<'_>, at: usize) -> Result<Principal> {
    let read = || -> rusqlite::Result<(String, String, String, i64, Option<i64>)> {
        Ok((row.get(at)?, row.get(at + 1)?, row.get(at + 2)?, row.get(at + 3)?, row.get(at + 4)?))
    };
    let (key_id, name, role, created_at, revoked_at) = read().map_err(attempt("read an API key"))?;
    let role = serde_json::from_str(&role).map_err(|e| Error::Damaged(format!("the role of API key {key_id}: {e}")))?;
    Ok(Principal { key_id, name, role, created_at: Instant(created_at), revoked_at: revoked_at.map(Instant) })
}

fn hash(secret: &str) -> [u8; 32] {
    // 256 random bits need no slow hash: there is nothing to guess.
    *blake3::hash(secret.as_bytes()).as_bytes()
}

impl Ledger {
    /// Makes an API key. Its store must be in the catalog.
    pub async fn create_key(&self, name: &str, role: Role) -> Result<NewKey> {
        if name.is_empty() || name.chars().count() > 100 {
            return Err(invalid_field("name", "a key's name has 1 to 100 characters"));
        }
        let mut bytes = [0; 40];
        getrandom::fill(&mut bytes)?;
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let (secret, key_id) = (format!("hx_{}", hex(&bytes[..32])), hex(&bytes[32..]));
        let (name, hash) = (name.to_owned(), hash(&secret));
        let principal = self.write(move |work| insert(work, key_id, name, role, hash)).await?.outcome;
        Ok(NewKey { secret, principal: Principal::clone(&principal) })
    }

    /// The bearer of a key; `None` for a key that was never made or is revoked. Answers from memory.
    pub fn authenticate(&self, secret: &str) -> Option<Arc<Principal>> {
        self.published().keys.read().0.get(&hash(secret)).cloned()
    }

    /// Revokes a key; from the answer on it opens nothing. Doing it twice changes nothing.
    pub async fn revoke_key(&self, key_id: &str) -> Result<()> {
        let key_id = key_id.to_owned();
        self.write(move |work| {
            let revoked = work
                .conn
                .prepare_cached("UPDATE api_keys SET revoked_at = coalesce(revoked_at, $1) WHERE key_id = $2")
                .and_then(|mut s| s.execute(params![work.now.0, key_id]))
                .map_err(attempt("revoke an API key"))?;
            if revoked == 0 {
                return Err(Error::NotFound(format!("API key {key_id}")));
            }
            Arc::make_mut(&mut work.state.keys).0.retain(|_, p| p.key_id != key_id);
            Ok(work.written(()))
        })
        .await
        .map(|w| w.outcome)
    }

    /// Every key ever made, without its secret, oldest first.
    pub async fn keys(&self) -> Result<Vec<Principal>> {
        self.read(|conn| {
            let failed = attempt("read the API keys");
            let sql = "SELECT key_id, name, role, created_at, revoked_at FROM api_keys ORDER BY created_at, key_id";
            let mut statement = conn.prepare_cached(sql).map_err(&failed)?;
            let mut rows = statement.query([]).map_err(&failed)?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next().map_err(&failed)? {
                keys.push(principal(row, 0)?);
            }
            Ok(keys)
        })
        .await
    }
}

fn insert(work: &mut Work<'_>, key_id: String, name: String, role: Role, hash: [u8; 32]) -> Result<Written<Arc<Principal>>> {
    if let Some(store) = role.store() {
        work.state
            .catalog
            .store(store, work.now)
            .ok_or_else(|| invalid_field("store_id", format!("there is no store {store}")))?;
    }
    let json = serde_json::to_string(&role).map_err(invalid)?;
    work.conn
        .prepare_cached("INSERT INTO api_keys (key_id, key_hash, name, role, created_at) VALUES ($1, $2, $3, $4, $5)")
        .and_then(|mut s| s.execute(params![key_id, hash, name, json, work.now.0]))
        .map_err(attempt("make an API key"))?;
    let principal = Arc::new(Principal { key_id, name, role, created_at: work.now, revoked_at: None });
    Arc::make_mut(&mut work.state.keys).0.insert(hash, principal.clone());
    Ok(work.written(principal))
}
