//! Members: who may buy under a name, and what is told of them to the log.

use event::{Day, Event, Id, Member, Text};
use redemption::{MemberId, StoreId};
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::Ledger;
use crate::error::{Error, Result, attempt, invalid};
use crate::idempotency::{self, Request};
use crate::writer::{Work, Written};

/// A member, whole.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemberEntry {
    /// Business day of joining; today if not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined_on: Option<Day>,
    /// Store of joining.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined_store_id: Option<StoreId>,
    /// Latitude of the home, degrees north.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home_lat: Option<f64>,
    /// Longitude of the home, degrees east.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home_lon: Option<f64>,
    /// Neighbourhood (小区) of the home.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neighbourhood: Option<String>,
    /// Tier of membership.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Phone number; only its keyed hash is kept and told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// Personal data stays out of logs.
impl std::fmt::Debug for MemberEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemberEntry").field("joined_on", &self.joined_on).field("tier", &self.tier).finish_non_exhaustive()
    }
}

/// What came of putting a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberPut {
    /// The member.
    pub member_id: MemberId,
    /// Whether the member is new.
    pub created: bool,
    /// Whether anything changed.
    pub changed: bool,
}

/// A member as the ledger keeps them: with the phone's hash instead of the phone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberView {
    /// The member.
    pub member_id: MemberId,
    /// The rest.
    #[serde(flatten)]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

impl Ledger {
    /// Puts a member, whole: a `joined` event for a new one, `changed` for a known one, none if nothing changed. Without an
    /// id a new member is made; a request then makes a repeated call find the same one (R2).
    pub async fn put_member(
        &self,
        request: Option<&Request>,
        id: Option<MemberId>,
        entry: MemberEntry,
    ) -> Result<Written<MemberPut>> {
        let degrees = |name: &str, value: Option<f64>, limit: f64| match value.filter(|v| !v.is_finite() || v.abs() > limit) {
            Some(found) => Err(invalid(format!("`{name}` is {found}, outside ±{limit} degrees"))),
            None => Ok(()),
        };
        degrees("home_lat", entry.home_lat, 90.0)?;
        degrees("home_lon", entry.home_lon, 180.0)?;
        if entry.home_lat.is_some() != entry.home_lon.is_some() {
            return Err(invalid("`home_lat` and `home_lon` come together"));
        }
        let request = request.cloned();
        self.write(move |work| {
            let Some(request) = request else { return put(work, id, &entry) };
            let params = idempotency::params_hash(work, "put_member", &(id, &entry))?;
            if let Some(before) = idempotency::stored(work, &request, &params)? {
                return Ok(before);
            }
            let written = put(work, id, &entry)?;
            idempotency::store(work, &request, &params, &written)?;
            Ok(written)
        })
        .await
    }

    /// A member; `None` if there is none by this id.
    pub async fn member(&self, id: MemberId) -> Result<Option<MemberView>> {
        self.read(move |conn| {
            let entry: Option<String> = conn
                .prepare_cached("SELECT entry FROM members WHERE member_id = $1")
                .and_then(|mut s| s.query_row([id.0], |row| row.get(0)).optional())
                .map_err(attempt("read a member"))?;
            let damaged = |e: serde_json::Error| Error::Damaged(format!("member {id}: {e}"));
            entry.map(|e| Ok(MemberView { member_id: id, fields: serde_json::from_str(&e).map_err(damaged)? })).transpose()
        })
        .await
    }
}

fn put(work: &mut Work<'_>, id: Option<MemberId>, entry: &MemberEntry) -> Result<Written<MemberPut>> {
    let now = work.now;
    let catalog = work.state.catalog.clone();
    let occurred_at = match &entry.joined_store_id {
        Some(store) => catalog.known_store(store, now)?.zone.moment(now),
        None => catalog.home_moment(now),
    };
    let member_id = id.unwrap_or_else(|| MemberId(work.next_id()));
    let before: Option<String> = work
        .conn
        .prepare_cached("SELECT entry FROM members WHERE member_id = $1")
        .and_then(|mut s| s.query_row([member_id.0], |row| row.get(0)).optional())
        .map_err(attempt("read a member"))?;
    let source = work.source();
    let known_joined_on = before.as_deref().and_then(|b| serde_json::from_str::<Joined>(b).ok()?.joined_on);
    let joined_on = entry.joined_on.or(known_joined_on).unwrap_or(occurred_at.business_time(event::DEFAULT_DAY_START_HOUR).day);
    let phone_hash = entry.phone.as_deref().map(|phone| {
        let digits: String = phone.chars().filter(char::is_ascii_alphanumeric).collect();
        work.state.secret.hash(digits.as_bytes()).iter().map(|b| format!("{b:02x}")).collect::<String>()
    });
    let mut member = Member {
        member_id: Some(member_id.into()),
        joined_on: Some(joined_on),
        joined_store_id: entry.joined_store_id.as_ref().map(|s| s.as_str().into()),
        home_lat: entry.home_lat,
        home_lon: entry.home_lon,
        neighbourhood: entry.neighbourhood.as_deref().map(Text::from),
        tier: entry.tier.as_deref().map(Text::from),
        phone_hash: phone_hash.as_deref().map(Text::from),
        ..Member::new(source.as_str(), 0, if before.is_some() { "changed" } else { "joined" }, occurred_at)
    };
    let body = body(&member)?;
    if before.as_ref() == Some(&body) {
        return Ok(work.written(MemberPut { member_id, created: false, changed: false }));
    }
    write(work, member_id, &body)?;
    member.event_id = Id(work.next_id());
    work.emit(&Event::Member(member))?;
    Ok(work.written(MemberPut { member_id, created: before.is_none(), changed: true }))
}

#[derive(Deserialize)]
struct Joined {
    joined_on: Option<Day>,
}

/// The member's own fields as JSON, without the envelope.
fn body(member: &Member<'_>) -> Result<String> {
    let serde_json::Value::Object(mut object) = serde_json::to_value(member).map_err(invalid)? else {
        return Err(invalid("no object"));
    };
    for name in ["source", "event_id", "type", "occurred_at", "schema_version", "day_start_hour", "member_id"] {
        object.remove(name);
    }
    serde_json::to_string(&object).map_err(invalid)
}

fn write(work: &Work<'_>, id: MemberId, body: &str) -> Result<()> {
    work.conn
        .prepare_cached(
            "INSERT INTO members (member_id, entry) VALUES ($1, $2) ON CONFLICT (member_id) DO UPDATE SET entry = excluded.entry",
        )
        .and_then(|mut s| s.execute(params![id.0, body]))
        .map_err(attempt("write a member"))?;
    Ok(())
}

/// A member as it stands in the log, into the file.
pub(crate) fn load(work: &Work<'_>, member: &Member<'_>) -> Result<()> {
    let id = member.member_id.ok_or_else(|| invalid("a member to be loaded has no id"))?;
    if member.r#type.as_str() == "erased" {
        return work
            .conn
            .prepare_cached("DELETE FROM members WHERE member_id = $1")
            .and_then(|mut s| s.execute([id.0]))
            .map(|_| ())
            .map_err(attempt("erase a member"));
    }
    write(work, MemberId(id.0), &body(member)?)
}
