//! `/v1/catalog`: what the chain is. One wide record serves every kind; the contract says which fields there are, the ledger
//! which a kind needs and what they refer to.

use axum::extract::State;
use axum::http::StatusCode;
use event::{CatalogEntry, Instant, Kind};
use ledger::{CatalogPut, CatalogVersion, Stranded, StrandedHolder};
use redemption::{EntitlementId, MemberId, NarrowReason, OrderId, ProductId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::App;
use super::auth::{AnyKey, HeadOffice};
use super::extract::{Json, Path, Query};
use super::problem::Problem;
use super::recorded::Recorded;

/// The fields of an entry, without kind, id and envelope.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct CatalogFields(Map<String, Value>);

/// Fields that the path or the envelope gives.
const GIVEN: [&str; 2] = ["kind", "id"];

impl ToSchema for CatalogFields {}

impl PartialSchema for CatalogFields {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new().description(Some(
            "The fields of an entry, whole: what is left out is empty from `effective_from` on (default now). \
             A kind uses its own fields and names the ones it misses.",
        ));
        let columns = CatalogEntry::COLUMNS.iter().filter(|c| !GIVEN.contains(&c.name));
        columns.fold(object, |object, column| object.property(column.name, field_schema(column.kind, column.doc))).into()
    }
}

fn field_schema(kind: Kind, doc: &str) -> Schema {
    let of = |schema_type, format: Option<KnownFormat>| {
        ObjectBuilder::new().schema_type(schema_type).format(format.map(SchemaFormat::KnownFormat))
    };
    let doc = Some(doc);
    let list = |items: ObjectBuilder| ArrayBuilder::new().items(items).description(doc).build().into();
    let scalar = match kind {
        Kind::Texts => return list(of(Type::String, None)),
        Kind::Ints => return list(of(Type::Integer, Some(KnownFormat::Int32))),
        Kind::Id | Kind::Text => of(Type::String, None),
        Kind::Int => of(Type::Integer, Some(KnownFormat::Int32)),
        Kind::Fen => of(Type::Integer, Some(KnownFormat::Int64)),
        Kind::Flag => of(Type::Boolean, None),
        Kind::Instant => of(Type::String, Some(KnownFormat::DateTime)),
        Kind::Day => of(Type::String, Some(KnownFormat::Date)),
        Kind::Degrees => of(Type::Number, Some(KnownFormat::Double)),
    };
    scalar.description(doc).build().into()
}

/// What came of a put or a removal.
#[derive(Debug, Serialize, ToSchema)]
pub struct CatalogPutView {
    /// Whether the entry is new.
    created: bool,
    /// Whether anything changed: the same entry put again changes nothing.
    changed: bool,
    /// From when it holds.
    #[schema(format = DateTime)]
    effective_from: String,
    /// Where applicable stores were narrowed with a reason that binds orders already sold: who holds units of the product
    /// that may be redeemed nowhere now (R3).
    #[serde(skip_serializing_if = "Option::is_none")]
    stranded: Option<StrandedView>,
}

/// Holders without a store.
#[derive(Debug, Serialize, ToSchema)]
pub struct StrandedView {
    /// How many entitlements.
    entitlements: usize,
    /// How many free units they have.
    units: i64,
    /// The first hundred of them.
    holders: Vec<StrandedHolderView>,
}

/// A holder without a store.
#[derive(Debug, Serialize, ToSchema)]
pub struct StrandedHolderView {
    /// The member, if known.
    #[schema(value_type = Option<String>)]
    member_id: Option<MemberId>,
    /// The order.
    #[schema(value_type = String)]
    order_id: OrderId,
    /// The entitlement.
    #[schema(value_type = String)]
    entitlement_id: EntitlementId,
    /// Free units.
    units: i32,
}

/// People call the holders: a hundred fill a day, and the counts tell how many there are.
const STRANDED_LIMIT: usize = 100;

impl From<CatalogPut> for CatalogPutView {
    fn from(put: CatalogPut) -> Self {
        let effective_from = put.effective_from.to_string();
        CatalogPutView { created: put.created, changed: put.changed, effective_from, stranded: None }
    }
}

impl From<Stranded> for StrandedView {
    fn from(stranded: Stranded) -> Self {
        let holder = |h: StrandedHolder| StrandedHolderView {
            member_id: h.member_id,
            order_id: h.order_id,
            entitlement_id: h.entitlement_id,
            units: h.units,
        };
        StrandedView {
            entitlements: stranded.entitlements,
            units: stranded.units,
            holders: stranded.holders.into_iter().map(holder).collect(),
        }
    }
}

/// An entry in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct CatalogEntryView {
    /// Its kind.
    kind: String,
    /// Its id.
    id: String,
    /// From when it holds.
    #[schema(format = DateTime)]
    effective_from: String,
    /// Its own fields.
    #[serde(flatten)]
    #[schema(value_type = CatalogFields)]
    fields: Map<String, Value>,
}

impl From<CatalogVersion> for CatalogEntryView {
    fn from(entry: CatalogVersion) -> Self {
        CatalogEntryView {
            kind: entry.kind,
            id: entry.id,
            effective_from: entry.effective_from.to_string(),
            fields: entry.fields,
        }
    }
}

/// When a removal holds.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Removal {
    /// From when on, RFC 3339; now if not there.
    #[param(value_type = Option<String>, format = DateTime)]
    effective_from: Option<Instant>,
}

/// Puts an entry.
///
/// The whole of it, from `effective_from` on. Kinds: cross_store (its id is `chain`), store, product, applicable_stores,
/// price, capability, clerk, technician, roster, opening_hours, holiday, slot_capacity, settlement_rule, credit_rule,
/// breakage_policy, expiry_policy, account. Putting the same again changes nothing.
#[utoipa::path(
    put, path = "/v1/catalog/{kind}/{id}", tag = "catalog",
    params(("kind" = String, Path, description = "Kind of entry"), ("id" = String, Path, description = "Its id within the kind")),
    request_body = CatalogFields,
    responses((status = 200, description = "Put", body = CatalogPutView), (status = 201, description = "New", body = CatalogPutView))
)]
pub async fn put(
    State(app): State<App>,
    _: HeadOffice,
    Path((kind, id)): Path<(String, String)>,
    Json(CatalogFields(fields)): Json<CatalogFields>,
) -> Result<Recorded<CatalogPutView>, Problem> {
    let narrowed = narrowed(&kind, &id, &fields);
    let mut written = app.ledger.put_catalog(&kind, &id, fields).await?.map(CatalogPutView::from);
    if let Some(product) = narrowed {
        written.outcome.stranded = Some(app.ledger.stranded(&product, STRANDED_LIMIT).await?.into());
    }
    let status = if written.outcome.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Recorded::of(status, written))
}

/// The product whose applicable stores this entry narrows for orders already sold, if it does.
fn narrowed(kind: &str, id: &str, fields: &Map<String, Value>) -> Option<ProductId> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let binds = kind == "applicable_stores" && text("reason").is_some_and(|r| NarrowReason::parse(r).is_some());
    binds.then(|| ProductId::new(text("product_id").unwrap_or(id)).ok()).flatten()
}

/// Takes an entry away.
#[utoipa::path(
    delete, path = "/v1/catalog/{kind}/{id}", tag = "catalog",
    params(("kind" = String, Path, description = "Kind of entry"), ("id" = String, Path, description = "Its id within the kind"), Removal),
    responses((status = 200, body = CatalogPutView))
)]
pub async fn remove(
    State(app): State<App>,
    _: HeadOffice,
    Path((kind, id)): Path<(String, String)>,
    Query(removal): Query<Removal>,
) -> Result<Recorded<CatalogPutView>, Problem> {
    let written = app.ledger.remove_catalog(&kind, &id, removal.effective_from).await?;
    Ok(Recorded::ok(written.map(CatalogPutView::from)))
}

/// Every entry of a kind in force, by id.
#[utoipa::path(
    get, path = "/v1/catalog/{kind}", tag = "catalog",
    params(("kind" = String, Path, description = "Kind of entry")),
    responses((status = 200, body = [CatalogEntryView]))
)]
pub async fn list(
    State(app): State<App>,
    _: AnyKey,
    Path(kind): Path<String>,
) -> Result<axum::Json<Vec<CatalogEntryView>>, Problem> {
    let entries = app.ledger.catalog_entries(&kind).await?;
    Ok(axum::Json(entries.into_iter().map(CatalogEntryView::from).collect()))
}

/// An entry in force.
#[utoipa::path(
    get, path = "/v1/catalog/{kind}/{id}", tag = "catalog",
    params(("kind" = String, Path, description = "Kind of entry"), ("id" = String, Path, description = "Its id within the kind")),
    responses((status = 200, body = CatalogEntryView))
)]
pub async fn get(
    State(app): State<App>,
    _: AnyKey,
    Path((kind, id)): Path<(String, String)>,
) -> Result<axum::Json<CatalogEntryView>, Problem> {
    let entry = app.ledger.catalog_entry(&kind, &id).await?;
    let entry = entry.ok_or_else(|| Problem::not_found("not_found", format!("There is no {kind} {id} in the catalog")))?;
    Ok(axum::Json(entry.into()))
}
