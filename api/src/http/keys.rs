//! `/v1/keys`: who may do what. Head office makes and revokes keys; a key's secret is shown once.

use axum::extract::State;
use axum::http::StatusCode;
use ledger::{Principal, Role};
use redemption::{ClerkId, StoreId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::auth::{HeadOffice, role_name};
use super::extract::{Json, Path};
use super::problem::Problem;

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// What it is for, in words.
    #[schema(example = "till 2 at the flagship")]
    name: String,
    /// What its bearer may do: everything, what one store may, what one clerk may.
    role: RoleName,
    /// The store; for `store` and `clerk`.
    #[schema(value_type = Option<String>)]
    store_id: Option<StoreId>,
    /// The clerk; for `clerk`.
    #[schema(value_type = Option<String>)]
    clerk_id: Option<ClerkId>,
}

/// A role.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleName {
    /// Everything.
    HeadOffice,
    /// What one store may: sell, redeem, look up, and reports on itself.
    Store,
    /// What one clerk of a store may.
    Clerk,
}

/// A key without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyView {
    /// Its id; not secret.
    key_id: String,
    /// What it is for.
    name: String,
    /// head_office, store or clerk.
    role: &'static str,
    /// Its store.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    store_id: Option<StoreId>,
    /// Its clerk.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    clerk_id: Option<ClerkId>,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
}

/// A key just made.
#[derive(Serialize, ToSchema)]
pub struct NewKeyView {
    /// What its bearer sends as `Authorization: Bearer …`. Shown this once.
    key: String,
    #[serde(flatten)]
    about: KeyView,
}

impl From<&Principal> for KeyView {
    fn from(principal: &Principal) -> Self {
        let clerk_id = match &principal.role {
            Role::Clerk { clerk_id, .. } => Some(clerk_id.clone()),
            _ => None,
        };
        KeyView {
            key_id: principal.key_id.clone(),
            name: principal.name.clone(),
            role: role_name(&principal.role),
            store_id: principal.role.store().cloned(),
            clerk_id,
            created_at: principal.created_at.to_string(),
            revoked_at: principal.revoked_at.map(|at| at.to_string()),
        }
    }
}

impl KeyRequest {
    fn into_role(self) -> Result<Role, Problem> {
        let needs = |field: &str| Problem::bad_field(field, format!("A key of this role needs `{field}`"));
        let extra = |field: &str| Problem::bad_field(field, format!("A key of this role has no `{field}`"));
        match (self.role, self.store_id, self.clerk_id) {
            (RoleName::HeadOffice, None, None) => Ok(Role::HeadOffice),
            (RoleName::HeadOffice, Some(_), _) => Err(extra("store_id")),
            (RoleName::HeadOffice, None, Some(_)) | (RoleName::Store, _, Some(_)) => Err(extra("clerk_id")),
            (RoleName::Store, Some(store_id), None) => Ok(Role::Store { store_id }),
            (RoleName::Clerk, Some(store_id), Some(clerk_id)) => Ok(Role::Clerk { store_id, clerk_id }),
            (RoleName::Clerk, Some(_), None) => Err(needs("clerk_id")),
            (RoleName::Store | RoleName::Clerk, None, _) => Err(needs("store_id")),
        }
    }
}

/// Makes a key.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = KeyRequest, responses((status = 201, body = NewKeyView)))]
pub async fn create(
    State(app): State<App>,
    _: HeadOffice,
    Json(body): Json<KeyRequest>,
) -> Result<(StatusCode, axum::Json<NewKeyView>), Problem> {
    let name = body.name.clone();
    let made = app.ledger.create_key(&name, body.into_role()?).await?;
    Ok((StatusCode::CREATED, axum::Json(NewKeyView { key: made.secret, about: (&made.principal).into() })))
}

/// Every key ever made.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", responses((status = 200, body = [KeyView])))]
pub async fn list(State(app): State<App>, _: HeadOffice) -> Result<axum::Json<Vec<KeyView>>, Problem> {
    Ok(axum::Json(app.ledger.keys().await?.iter().map(KeyView::from).collect()))
}

/// Revokes a key.
///
/// From the answer on it opens nothing; doing it twice changes nothing.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 204, description = "Revoked"))
)]
pub async fn revoke(State(app): State<App>, _: HeadOffice, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    app.ledger.revoke_key(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
