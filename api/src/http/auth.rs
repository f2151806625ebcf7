//! Who asks: `Authorization: Bearer KEY`, and what the key's role allows.
//!
//! A handler names the role it needs by the extractor it takes, so that forgetting to ask shows in its signature. Head
//! office may do everything; a store's or a clerk's key acts at its own store only.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use event::Instant;
use ledger::{Principal, Role};
use redemption::{ClerkId, StoreId};

use super::App;
use super::problem::Problem;

/// The bearer of any valid key.
#[derive(Clone, Debug)]
pub struct AnyKey(pub Arc<Principal>);

/// The bearer of a head-office key.
#[derive(Clone, Copy, Debug)]
pub struct HeadOffice;

impl FromRequestParts<App> for AnyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let missing = || Problem::unauthorized("This needs a key, sent as `Authorization: Bearer KEY`");
        let value = parts.headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
        let (scheme, key) = value.to_str().ok().and_then(|v| v.trim().split_once(' ')).ok_or_else(missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        let key = key.trim();
        match app.ledger.authenticate(key) {
            Some(principal) => Ok(AnyKey(principal)),
            None if same(key, &app.local_token) => Ok(AnyKey(local())),
            None => Err(Problem::unauthorized("This key is not known or no longer valid")),
        }
    }
}

impl FromRequestParts<App> for HeadOffice {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let AnyKey(principal) = AnyKey::from_request_parts(parts, app).await?;
        match principal.role {
            Role::HeadOffice => Ok(HeadOffice),
            _ => Err(Problem::forbidden(format!("This needs a head-office key; yours is a {} key", role_name(&principal.role)))),
        }
    }
}

impl AnyKey {
    /// The store this request acts at: the key's own; head office names one.
    pub fn acting_store(&self, named: Option<&StoreId>) -> Result<StoreId, Problem> {
        match (self.0.role.store(), named) {
            (Some(own), None) => Ok(own.clone()),
            (Some(own), Some(named)) if own == named => Ok(own.clone()),
            (Some(own), Some(named)) => Err(Problem {
                field: Some("store_id".into()),
                ..Problem::forbidden(format!("This key acts at store {own} only, not at {named}"))
            }),
            (None, Some(named)) => Ok(named.clone()),
            (None, None) => Err(Problem::bad_field("store_id", "A head-office key must name the store it acts at")),
        }
    }

    /// The clerk who acts: a clerk's key is that clerk.
    pub fn acting_clerk(&self, named: Option<&ClerkId>) -> Result<Option<ClerkId>, Problem> {
        match (&self.0.role, named) {
            (Role::Clerk { clerk_id, .. }, Some(named)) if clerk_id != named => Err(Problem {
                field: Some("clerk_id".into()),
                ..Problem::forbidden(format!("This key is clerk {clerk_id}'s, not {named}'s"))
            }),
            (Role::Clerk { clerk_id, .. }, _) => Ok(Some(clerk_id.clone())),
            (_, named) => Ok(named.cloned()),
        }
    }
}

/// A role's name, as in keys and reports.
pub fn role_name(role: &Role) -> &'static str {
    match role {
        Role::HeadOffice => "head_office",
        Role::Store { .. } => "store",
        Role::Clerk { .. } => "clerk",
    }
}

/// Whoever can read the lock file owns the folder.
fn local() -> Arc<Principal> {
    Arc::new(Principal {
        key_id: "local".into(),
        name: "commands on this machine".into(),
        role: Role::HeadOffice,
        created_at: Instant::default(),
        revoked_at: None,
    })
}

/// Compares in constant time: hashes of it tell a guesser nothing about the token.
fn same(given: &str, token: &str) -> bool {
    !token.is_empty() && blake3::hash(given.as_bytes()) == blake3::hash(token.as_bytes())
}
