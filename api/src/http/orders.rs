//! `/v1/orders`: selling, and what an order's member still has.

use axum::Json;
use axum::extract::State;
use event::Instant;
use ledger::{LineDetail, OrderDetail, Request, Sell, SellLine, Sold, SoldLine};
use redemption::{Channel, ClerkId, Counts, Hold, MemberId, OrderId, Payment, ProductId, StoreId, TechnicianId, TerminalId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::auth::AnyKey;
use super::extract::{self, IdempotencyKey, Path};
use super::problem::Problem;
use super::recorded::{Recorded, allowed};

/// An order to be sold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SellRequest {
    /// The selling store; a store's or clerk's key has its own.
    #[schema(value_type = Option<String>)]
    store_id: Option<StoreId>,
    /// Who buys; not there for an anonymous sale.
    #[schema(value_type = Option<String>, example = "7211002")]
    member_id: Option<MemberId>,
    /// The clerk at the till; a clerk's key is that clerk.
    #[schema(value_type = Option<String>)]
    clerk_id: Option<ClerkId>,
    /// Who gets the credit for the sale.
    #[schema(value_type = Option<String>)]
    seller_id: Option<ClerkId>,
    /// The terminal.
    #[schema(value_type = Option<String>)]
    terminal_id: Option<TerminalId>,
    /// till (default), mini_app, online or import.
    #[schema(value_type = Option<String>)]
    channel: Option<Channel>,
    /// What is sold.
    lines: Vec<SellLineRequest>,
    /// What was paid for all lines together, split over them pro rata to their list prices (R9); else the lines say.
    #[schema(value_type = Option<PaymentView>)]
    package: Option<Payment>,
}

/// One line of an order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SellLineRequest {
    /// The product.
    #[schema(value_type = String)]
    product_id: ProductId,
    /// How many pieces; units are pieces × the product's units.
    #[serde(default = "one")]
    #[schema(default = 1)]
    quantity: i32,
    /// What was paid for the line; its list price in cash if not there.
    #[schema(value_type = Option<PaymentView>)]
    payment: Option<Payment>,
    /// Who serves it, for a service sold and served at once.
    #[schema(value_type = Option<String>)]
    technician_id: Option<TechnicianId>,
    /// When that service starts.
    #[schema(value_type = Option<String>, format = DateTime)]
    service_start_at: Option<Instant>,
}

fn one() -> i32 {
    1
}

/// An amount in fen and the parts of it that were not paid now; what they leave is cash.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct PaymentView {
    /// The whole amount, in fen.
    paid_fen: i64,
    /// Part drawn from the principal of stored value.
    #[schema(default = 0)]
    principal_fen: i64,
    /// Part drawn from its bonus.
    #[schema(default = 0)]
    bonus_fen: i64,
    /// Part paid with points.
    #[schema(default = 0)]
    points_fen: i64,
    /// Part covered by a coupon.
    #[schema(default = 0)]
    coupon_fen: i64,
}

impl From<Payment> for PaymentView {
    fn from(p: Payment) -> Self {
        let Payment { paid_fen, principal_fen, bonus_fen, points_fen, coupon_fen } = p;
        PaymentView { paid_fen, principal_fen, bonus_fen, points_fen, coupon_fen }
    }
}

/// An order sold.
#[derive(Serialize, ToSchema)]
pub struct SoldView {
    /// The order.
    #[schema(value_type = String)]
    order_id: OrderId,
    /// When, as the store's clock tells it.
    #[schema(format = DateTime)]
    sold_at: String,
    /// The redemption code (核销码) for all its lines. Shown this once, and to a repeated request with the same key.
    #[schema(example = "3141 5926 5358 9796")]
    code: String,
    /// What the lines gave, in their order.
    entitlements: Vec<SoldLineView>,
}

/// What one line gave.
#[derive(Serialize, ToSchema)]
pub struct SoldLineView {
    /// The entitlement (权益).
    #[schema(value_type = String)]
    entitlement_id: redemption::EntitlementId,
    /// The product.
    #[schema(value_type = String)]
    product_id: ProductId,
    /// Its units.
    units: i32,
    /// What was paid for it.
    payment: PaymentView,
    /// List price of the line, in fen.
    list_price_fen: i64,
    /// First instant of validity.
    #[schema(format = DateTime)]
    valid_from: String,
    /// End of validity, exclusive; null without end, or until the first use sets it.
    #[schema(format = DateTime)]
    valid_until: Option<String>,
    /// Applicable stores (适用门店) at the sale.
    #[schema(value_type = Vec<String>)]
    applicable_store_ids: Vec<StoreId>,
    /// Id of its event.
    #[schema(value_type = String)]
    event_id: event::Id,
}

impl From<Sold> for SoldView {
    fn from(sold: Sold) -> Self {
        SoldView {
            order_id: sold.order_id,
            sold_at: sold.sold_at.to_string(),
            code: sold.code,
            entitlements: sold.entitlements.into_iter().map(SoldLineView::from).collect(),
        }
    }
}

impl From<SoldLine> for SoldLineView {
    fn from(line: SoldLine) -> Self {
        SoldLineView {
            entitlement_id: line.entitlement_id,
            product_id: line.product_id,
            units: line.units,
            payment: line.payment.into(),
            list_price_fen: line.list_price_fen,
            valid_from: line.valid_from.to_string(),
            valid_until: line.valid_until.map(|at| at.to_string()),
            applicable_store_ids: line.applicable_store_ids,
            event_id: line.event_id,
        }
    }
}

impl SellRequest {
    fn into_command(self, caller: &AnyKey) -> Result<Sell, Problem> {
        let line = |line: SellLineRequest| SellLine {
            product_id: line.product_id,
            quantity: line.quantity,
            payment: line.payment,
            technician_id: line.technician_id,
            service_start_at: line.service_start_at,
        };
        Ok(Sell {
            store_id: caller.acting_store(self.store_id.as_ref())?,
            clerk_id: caller.acting_clerk(self.clerk_id.as_ref())?,
            member_id: self.member_id,
            seller_id: self.seller_id,
            terminal_id: self.terminal_id,
            channel: self.channel,
            lines: self.lines.into_iter().map(line).collect(),
            package: self.package,
        })
    }
}

/// Sells an order.
///
/// Fixes the terms of today for good and gives the member one code for all its lines. The same Idempotency-Key gives the
/// same answer again.
#[utoipa::path(
    post, path = "/v1/orders", tag = "till",
    params(("Idempotency-Key" = String, Header, description = "Made by you, the same on each retry (R2)")),
    request_body = SellRequest,
    responses((status = 201, body = SoldView, headers(("Hexiao-Position" = String, description = "Position after the sale"))))
)]
pub async fn sell(
    State(app): State<App>,
    caller: AnyKey,
    IdempotencyKey(key): IdempotencyKey,
    extract::Json(body): extract::Json<SellRequest>,
) -> Result<Recorded<SoldView>, Problem> {
    let request = Request::new(&caller.0.key_id, &key)?;
    let sold = allowed(&app, app.ledger.sell(&request, body.into_command(&caller)?).await?)?;
    if !sold.repeated {
        app.metrics.sold();
    }
    Ok(Recorded::created(sold.map(SoldView::from)))
}

/// An order with what is left of it.
#[derive(Serialize, ToSchema)]
pub struct OrderView {
    /// The order.
    #[schema(value_type = String)]
    order_id: OrderId,
    /// The store that sold it.
    #[schema(value_type = String)]
    sold_store_id: StoreId,
    /// When, as that store's clock tells it.
    #[schema(format = DateTime)]
    sold_at: String,
    /// Who bought it, if known.
    #[schema(value_type = Option<String>)]
    member_id: Option<MemberId>,
    /// The clerk at the till.
    clerk_id: Option<String>,
    /// Who gets the credit for the sale.
    seller_id: Option<String>,
    /// till, mini_app, online or import.
    channel: String,
    /// Last four digits of its code; null if it has none.
    code_last_four: Option<String>,
    /// Its lines.
    lines: Vec<LineView>,
}

/// One line of an order.
#[derive(Serialize, ToSchema)]
pub struct LineView {
    /// What it gave.
    #[schema(value_type = String)]
    entitlement_id: redemption::EntitlementId,
    /// The product.
    #[schema(value_type = String)]
    product_id: ProductId,
    /// The version that was sold.
    product_version: i32,
    /// booking, card, punch_card, service, goods or stored_value.
    product_type: &'static str,
    /// What was paid for the line.
    payment: PaymentView,
    /// Its list price at the sale, in fen.
    list_price_fen: i64,
    /// Units by state.
    units: UnitsView,
    /// One letter per unit, by ordinal: a available, h held, r redeemed, q refund requested, f refunded, x expired.
    #[schema(example = "rrah")]
    unit_states: String,
    /// Bookings that hold some of them: such a unit only at the booked store.
    holds: Vec<HoldView>,
    /// First instant of validity.
    #[schema(format = DateTime)]
    valid_from: String,
    /// End of validity, exclusive; null without end, or until the first use sets it.
    #[schema(format = DateTime)]
    valid_until: Option<String>,
    /// Days on which it is not valid, as `YYYY-MM-DD/YYYY-MM-DD`, both inclusive.
    blackouts: Vec<String>,
    /// Where units that no booking holds may be redeemed today (R3).
    #[schema(value_type = Vec<String>)]
    usable_store_ids: Vec<StoreId>,
    /// Why there: cross_store_off, sold_store_only or applicable_stores.
    #[schema(value_type = String)]
    usable_because: redemption::ScopeReason,
    /// Applicable stores at the sale.
    #[schema(value_type = Vec<String>)]
    applicable_store_ids: Vec<StoreId>,
    /// Whether a refund request blocks redemption (R6).
    refund_open: bool,
}

/// Units by state; `total` is their sum.
#[derive(Serialize, ToSchema)]
pub struct UnitsView {
    /// Units sold.
    total: i32,
    /// Free to be redeemed.
    available: i32,
    /// Held by bookings.
    held: i32,
    /// Redeemed.
    redeemed: i32,
    /// In an open refund request.
    refund_open: i32,
    /// Refunded.
    refunded: i32,
    /// Expired.
    expired: i32,
}

impl From<Counts> for UnitsView {
    fn from(c: Counts) -> Self {
        let Counts { total, available, held, redeemed, refund_open, refunded, expired } = c;
        UnitsView { total, available, held, redeemed, refund_open, refunded, expired }
    }
}

/// A unit held by a booking.
#[derive(Serialize, ToSchema)]
pub struct HoldView {
    /// The unit.
    unit_ordinal: i32,
    /// The one store where it may be redeemed.
    #[schema(value_type = String)]
    booked_store_id: StoreId,
    /// The booking.
    #[schema(value_type = String)]
    booking_id: event::Id,
    /// When the service starts.
    #[schema(format = DateTime)]
    start_at: Option<String>,
}

impl From<Hold> for HoldView {
    fn from(hold: Hold) -> Self {
        HoldView {
            unit_ordinal: hold.unit_ordinal,
            booked_store_id: hold.booked_store,
            booking_id: hold.booking_id,
            start_at: hold.start_at.map(|at| at.to_string()),
        }
    }
}

impl From<OrderDetail> for OrderView {
    fn from(order: OrderDetail) -> Self {
        OrderView {
            order_id: order.order_id,
            sold_store_id: order.sold_store_id,
            sold_at: order.sold_at.to_string(),
            member_id: order.member_id,
            clerk_id: order.clerk_id,
            seller_id: order.seller_id,
            channel: order.channel,
            code_last_four: order.code_last_four,
            lines: order.lines.into_iter().map(LineView::from).collect(),
        }
    }
}

impl From<LineDetail> for LineView {
    fn from(line: LineDetail) -> Self {
        LineView {
            entitlement_id: line.entitlement_id,
            product_id: line.product_id,
            product_version: line.product_version,
            product_type: line.product_type.as_str(),
            payment: line.payment.into(),
            list_price_fen: line.list_price_fen,
            units: line.units.into(),
            unit_states: line.unit_states.into(),
            holds: line.holds.into_iter().map(HoldView::from).collect(),
            valid_from: line.valid_from.to_string(),
            valid_until: line.valid_until.map(|at| at.to_string()),
            blackouts: line.blackouts.iter().map(ToString::to_string).collect(),
            usable_store_ids: line.usable_store_ids,
            usable_because: line.usable_because,
            applicable_store_ids: line.applicable_store_ids,
            refund_open: line.refund_open,
        }
    }
}

/// An order, what is left of it, and where that may be used.
#[utoipa::path(
    get, path = "/v1/orders/{id}", tag = "till",
    params(("id" = String, Path, description = "The order's id")),
    responses((status = 200, body = OrderView))
)]
pub async fn get(State(app): State<App>, _: AnyKey, Path(id): Path<OrderId>) -> Result<Json<OrderView>, Problem> {
    let order = app.ledger.order(id).await?;
    let order = order.ok_or_else(|| Problem::not_found("not_found", format!("There is no order {id}")))?;
    Ok(Json(order.into()))
}
