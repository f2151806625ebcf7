//! `/v1/members`: who holds the cards.

use axum::extract::State;
use axum::http::StatusCode;
use event::Day;
use ledger::{MemberEntry, MemberPut};
use redemption::{MemberId, StoreId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::auth::AnyKey;
use super::extract::{Json, Path};
use super::problem::Problem;
use super::recorded::Recorded;

/// A member, whole: what is left out is empty afterwards, but for the day of joining.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberRequest {
    /// Business day of joining; today for a new member.
    #[schema(value_type = Option<String>, format = Date)]
    joined_on: Option<Day>,
    /// Store of joining.
    #[schema(value_type = Option<String>)]
    joined_store_id: Option<StoreId>,
    /// Latitude of the home, degrees north.
    home_lat: Option<f64>,
    /// Longitude of the home, degrees east.
    home_lon: Option<f64>,
    /// Neighbourhood (小区) of the home.
    neighbourhood: Option<String>,
    /// Tier of membership.
    tier: Option<String>,
    /// Phone number; only a keyed hash of it is kept.
    phone: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberPutView {
    /// The member.
    #[schema(value_type = String)]
    member_id: MemberId,
    /// Whether the member is new.
    created: bool,
    /// Whether anything changed.
    changed: bool,
}

impl From<MemberPut> for MemberPutView {
    fn from(put: MemberPut) -> Self {
        MemberPutView { member_id: put.member_id, created: put.created, changed: put.changed }
    }
}

impl From<MemberRequest> for MemberEntry {
    fn from(body: MemberRequest) -> Self {
        let MemberRequest { joined_on, joined_store_id, home_lat, home_lon, neighbourhood, tier, phone } = body;
        MemberEntry { joined_on, joined_store_id, home_lat, home_lon, neighbourhood, tier, phone }
    }
}

/// Puts a member.
///
/// The id is yours: the number of the membership, as a string. Putting the same again changes nothing.
#[utoipa::path(
    put, path = "/v1/members/{id}", tag = "members",
    params(("id" = String, Path, description = "The member's id, a 64-bit number", example = "7211002")),
    request_body = MemberRequest,
    responses((status = 200, description = "Put", body = MemberPutView), (status = 201, description = "New", body = MemberPutView))
)]
pub async fn put(
    State(app): State<App>,
    _: AnyKey,
    Path(id): Path<MemberId>,
    Json(body): Json<MemberRequest>,
) -> Result<Recorded<MemberPutView>, Problem> {
    let written = app.ledger.put_member(None, Some(id), body.into()).await?;
    let status = if written.outcome.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Recorded::of(status, written.map(MemberPutView::from)))
}
