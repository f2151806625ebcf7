//! `/v1/redemptions`: redeeming at the till, and the record of it.
//!
//! What may be redeemed is the ledger's to say; the records of the past are answered by the lake and its tail, which has
//! every redemption by the time it is asked for.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use event::{Day, Instant};
use ledger::{EntitlementLeft, Redeem, Redeemed, RedeemedUnit, Request, Take};
use redemption::{
    Channel, ClerkId, EntitlementId, MemberId, OrderId, ProductId, RedemptionId, StoreId, TechnicianId, TerminalId,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::auth::AnyKey;
use super::extract::{self, IdempotencyKey, Query, WaitFor};
use super::orders::{OrderView, UnitsView};
use super::problem::Problem;
use super::recorded::{Recorded, allowed};
use super::reports::{Envelope, grant, run_report};

/// Units to be redeemed at a store, all or none (R8). One entitlement is named by `code`, `qr`, `order_id` or
/// `entitlement_id` right here, several in `takes`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeemRequest {
    /// The serving store; a store's or clerk's key has its own.
    #[schema(value_type = Option<String>)]
    store_id: Option<StoreId>,
    /// The redemption code (核销码) as typed: blanks and dashes do not matter.
    #[schema(example = "3141 5926 5358 9796")]
    code: Option<String>,
    /// The QR token as scanned.
    qr: Option<String>,
    /// The order, where the clerk has found the member otherwise.
    #[schema(value_type = Option<String>)]
    order_id: Option<OrderId>,
    /// The entitlement, where the code or order has several.
    #[schema(value_type = Option<String>)]
    entitlement_id: Option<EntitlementId>,
    /// How many units; 1 if not there.
    #[schema(value_type = Option<u32>, minimum = 1, default = 1)]
    units: Option<NonZeroU32>,
    /// Several entitlements at once.
    takes: Option<Vec<TakeRequest>>,
    /// The clerk who redeems (核销员); a clerk's key is that clerk.
    #[schema(value_type = Option<String>)]
    clerk_id: Option<ClerkId>,
    /// The terminal; wrong codes are counted for it (R10).
    #[schema(value_type = Option<String>)]
    terminal_id: Option<TerminalId>,
    /// Who serves.
    #[schema(value_type = Option<String>)]
    technician_id: Option<TechnicianId>,
    /// When the service starts; now if not there.
    #[schema(value_type = Option<String>, format = DateTime)]
    service_start_at: Option<Instant>,
    /// How long it takes; as the product says if not there.
    service_minutes: Option<i32>,
    /// till (default), mini_app or online.
    #[schema(value_type = Option<String>)]
    channel: Option<Channel>,
}

/// Units of one entitlement, named by one of `code`, `qr`, `order_id`, to which `entitlement_id` may be added, or by that
/// alone.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeRequest {
    /// The redemption code.
    code: Option<String>,
    /// The QR token.
    qr: Option<String>,
    /// The order.
    #[schema(value_type = Option<String>)]
    order_id: Option<OrderId>,
    /// The entitlement.
    #[schema(value_type = Option<String>)]
    entitlement_id: Option<EntitlementId>,
    /// How many units.
    #[schema(value_type = Option<u32>, minimum = 1, default = 1)]
    units: Option<NonZeroU32>,
}

impl TakeRequest {
    fn named(&self) -> bool {
        self.code.is_some() || self.qr.is_some() || self.order_id.is_some() || self.entitlement_id.is_some()
    }

    fn into_take(self) -> Take {
        let TakeRequest { code, qr, order_id, entitlement_id, units } = self;
        Take { code, qr, order_id, entitlement_id, units: units.unwrap_or(NonZeroU32::MIN) }
    }
}

impl RedeemRequest {
    fn into_command(self, caller: &AnyKey) -> Result<Redeem, Problem> {
        let one = TakeRequest {
            code: self.code,
            qr: self.qr,
            order_id: self.order_id,
            entitlement_id: self.entitlement_id,
            units: self.units,
        };
        let takes = match self.takes {
            None => vec![one.into_take()],
            Some(_) if one.named() || one.units.is_some() => {
                return Err(Problem::bad_field("takes", "Name what is redeemed either in `takes` or beside it, not both"));
            }
            Some(takes) => takes.into_iter().map(TakeRequest::into_take).collect(),
        };
        // R3: a till redeems by what the member shows; only head office may name an order or entitlement instead.
        if caller.0.role.store().is_some() && takes.iter().any(|take| take.code.is_none() && take.qr.is_none()) {
            return Err(Problem {
                rule: Some("R3"),
                field: Some("code".into()),
                ..Problem::forbidden("A till redeems by code or QR token")
            });
        }
        Ok(Redeem {
            store_id: caller.acting_store(self.store_id.as_ref())?,
            clerk_id: caller.acting_clerk(self.clerk_id.as_ref())?,
            takes,
            terminal_id: self.terminal_id,
            technician_id: self.technician_id,
            service_start_at: self.service_start_at,
            service_minutes: self.service_minutes,
            channel: self.channel,
        })
    }
}

/// Units redeemed.
#[derive(Serialize, ToSchema)]
pub struct RedemptionView {
    /// The call; its units share it.
    #[schema(value_type = String)]
    redemption_id: RedemptionId,
    /// When, as the store's clock tells it.
    #[schema(format = DateTime)]
    redeemed_at: String,
    /// The store that served.
    #[schema(value_type = String)]
    store_id: StoreId,
    /// The units, in the order they were taken.
    units: Vec<RedeemedUnitView>,
    /// What is left of each entitlement.
    entitlements: Vec<EntitlementLeftView>,
}

/// One unit redeemed.
#[derive(Serialize, ToSchema)]
pub struct RedeemedUnitView {
    /// Id of its event.
    #[schema(value_type = String)]
    event_id: event::Id,
    /// The order.
    #[schema(value_type = String)]
    order_id: OrderId,
    /// The entitlement.
    #[schema(value_type = String)]
    entitlement_id: EntitlementId,
    /// The product.
    #[schema(value_type = String)]
    product_id: ProductId,
    /// The member, if known.
    #[schema(value_type = Option<String>)]
    member_id: Option<MemberId>,
    /// Which unit, from 1.
    unit_ordinal: i32,
    /// Units left before.
    remaining_before: i32,
    /// Units left afterwards.
    remaining_after: i32,
    /// What it is worth, in fen (R9).
    value_fen: i64,
    /// The store that sold it.
    #[schema(value_type = String)]
    sold_store_id: StoreId,
    /// The store it was booked at, if it was.
    #[schema(value_type = Option<String>)]
    booked_store_id: Option<StoreId>,
}

/// What is left of an entitlement.
#[derive(Serialize, ToSchema)]
pub struct EntitlementLeftView {
    /// The entitlement.
    #[schema(value_type = String)]
    entitlement_id: EntitlementId,
    /// The product.
    #[schema(value_type = String)]
    product_id: ProductId,
    /// Units by state.
    units: UnitsView,
    /// End of validity, exclusive; null without end. The first use may have set it (R5).
    #[schema(format = DateTime)]
    valid_until: Option<String>,
}

impl From<Redeemed> for RedemptionView {
    fn from(redeemed: Redeemed) -> Self {
        RedemptionView {
            redemption_id: redeemed.redemption_id,
            redeemed_at: redeemed.redeemed_at.to_string(),
            store_id: redeemed.store_id,
            units: redeemed.units.into_iter().map(RedeemedUnitView::from).collect(),
            entitlements: redeemed.entitlements.into_iter().map(EntitlementLeftView::from).collect(),
        }
    }
}

impl From<RedeemedUnit> for RedeemedUnitView {
    fn from(unit: RedeemedUnit) -> Self {
        RedeemedUnitView {
            event_id: unit.event_id,
            order_id: unit.order_id,
            entitlement_id: unit.entitlement_id,
            product_id: unit.product_id,
            member_id: unit.member_id,
            unit_ordinal: unit.unit_ordinal,
            remaining_before: unit.remaining_before,
            remaining_after: unit.remaining_after,
            value_fen: unit.value.value_fen,
            sold_store_id: unit.sold_store_id,
            booked_store_id: unit.booked_store_id,
        }
    }
}

impl From<EntitlementLeft> for EntitlementLeftView {
    fn from(left: EntitlementLeft) -> Self {
        EntitlementLeftView {
            entitlement_id: left.entitlement_id,
            product_id: left.product_id,
            units: left.units.into(),
            valid_until: left.valid_until.map(|at| at.to_string()),
        }
    }
}

/// Redeems units (核销).
///
/// All or none. A refusal names its rule and what would be allowed; it is recorded as an event. The same Idempotency-Key
/// gives the same answer again.
#[utoipa::path(
    post, path = "/v1/redemptions", tag = "till",
    params(("Idempotency-Key" = String, Header, description = "Made by you, the same on each retry (R2)")),
    request_body = RedeemRequest,
    responses((status = 201, body = RedemptionView, headers(("Hexiao-Position" = String, description = "Position after the redemption"))))
)]
pub async fn redeem(
    State(app): State<App>,
    caller: AnyKey,
    IdempotencyKey(key): IdempotencyKey,
    extract::Json(body): extract::Json<RedeemRequest>,
) -> Result<Recorded<RedemptionView>, Problem> {
    let request = Request::new(&caller.0.key_id, &key)?;
    let redeemed = allowed(&app, app.ledger.redeem(&request, body.into_command(&caller)?).await?)?;
    if !redeemed.repeated {
        app.metrics.redeemed(redeemed.outcome.units.len() as u64);
    }
    Ok(Recorded::created(redeemed.map(RedemptionView::from)))
}

/// Which records.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RecordsQuery {
    /// Of this order.
    #[param(value_type = Option<String>)]
    order: Option<OrderId>,
    /// Of this entitlement.
    #[param(value_type = Option<String>)]
    entitlement: Option<EntitlementId>,
    /// Redeemed at this store; a store's or clerk's key has its own, unless it names an order that concerns its store.
    #[param(value_type = Option<String>)]
    store: Option<StoreId>,
    /// Redeemed by this clerk.
    #[param(value_type = Option<String>)]
    clerk: Option<ClerkId>,
    /// Of this member.
    #[param(value_type = Option<String>)]
    member: Option<MemberId>,
    /// First business day, inclusive.
    #[param(value_type = Option<String>, format = Date)]
    from: Option<Day>,
    /// Last business day, inclusive.
    #[param(value_type = Option<String>, format = Date)]
    to: Option<Day>,
    /// At most so many, the latest.
    limit: Option<u32>,
}

impl RecordsQuery {
    fn into_parameters(self) -> BTreeMap<String, String> {
        fn text<T: ToString>(value: Option<T>) -> Option<String> {
            value.map(|v| v.to_string())
        }
        let given = [
            ("order_id", text(self.order)),
            ("entitlement_id", text(self.entitlement)),
            ("member_id", text(self.member)),
            ("store", text(self.store)),
            ("clerk", text(self.clerk)),
            ("from", text(self.from)),
            ("to", text(self.to)),
            ("limit", text(self.limit)),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// Redemption records (核销记录).
///
/// One row per unit redeemed, given back or corrected, with time, store, clerk, and units before and after. Includes
/// everything acknowledged by now. Formats by `Accept`, as with reports.
#[utoipa::path(
    get, path = "/v1/redemptions", tag = "till",
    params(
        RecordsQuery,
        ("Hexiao-Wait-For" = Option<String>, Header, description = "Position the answer must include; default: everything recorded when asked"),
    ),
    responses((status = 200, content((Envelope = "application/json"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.arrow.stream"))))
)]
pub async fn records(
    State(app): State<App>,
    caller: AnyKey,
    wait_for: WaitFor,
    headers: HeaderMap,
    Query(query): Query<RecordsQuery>,
) -> Result<Response, Problem> {
    const REPORT: &str = "redemption_records";
    let whole_order = concerns_caller(&app, &caller, &query).await?;
    let given = query.into_parameters();
    let given = if whole_order { given } else { grant(&*app.engine.report(REPORT)?, &caller, given)? };
    run_report(&app, &wait_for, &headers, REPORT, &given).await
}

/// Whether the records of one whole order may be shown to a till: its store sold it or may redeem it, so that the clerk
/// can tell the member where every unit went.
async fn concerns_caller(app: &App, caller: &AnyKey, query: &RecordsQuery) -> Result<bool, Problem> {
    let (Some(own), None, Some(order)) = (caller.0.role.store(), &query.store, query.order) else { return Ok(false) };
    let order = app.ledger.order(order).await?;
    Ok(order.is_some_and(|o| o.sold_store_id == *own || o.lines.iter().any(|l| l.usable_store_ids.contains(own))))
}

/// What the member shows.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LookUpRequest {
    /// The store that asks; a store's or clerk's key has its own.
    #[schema(value_type = Option<String>)]
    store_id: Option<StoreId>,
    /// The redemption code as typed.
    code: Option<String>,
    /// The QR token as scanned; it is not used up.
    qr: Option<String>,
    /// The terminal; wrong codes are counted for it (R10).
    #[schema(value_type = Option<String>)]
    terminal_id: Option<TerminalId>,
}

/// Looks an order up by its code.
///
/// What is left of it and where that may be used, before anything is redeemed. Wrong codes count as they do when redeeming.
/// It is a POST so that codes stay out of addresses and access logs.
#[utoipa::path(post, path = "/v1/lookups", tag = "till", request_body = LookUpRequest, responses((status = 200, body = OrderView)))]
pub async fn look_up(
    State(app): State<App>,
    caller: AnyKey,
    extract::Json(body): extract::Json<LookUpRequest>,
) -> Result<Recorded<OrderView>, Problem> {
    let take = match (body.code, body.qr) {
        (Some(code), None) => Take::by_code(code),
        (None, Some(qr)) => Take { code: None, qr: Some(qr), ..Take::by_code("") },
        _ => return Err(Problem::bad_field("code", "Name the order by one of `code` and `qr`")),
    };
    let command = Redeem {
        store_id: caller.acting_store(body.store_id.as_ref())?,
        takes: vec![take],
        clerk_id: caller.acting_clerk(None)?,
        terminal_id: body.terminal_id,
        technician_id: None,
        service_start_at: None,
        service_minutes: None,
        channel: None,
    };
    let found = allowed(&app, app.ledger.look_up(command).await?)?;
    Ok(Recorded::ok(found.map(OrderView::from)))
}
