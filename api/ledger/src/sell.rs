//! Selling: one order, several lines, one code.

use std::sync::Arc;

use event::{Event, Id, Instant, Moment, Order, Text};
use redemption::{
    Channel, ClerkId, Code, Entitlement, EntitlementId, MemberId, OrderId, Payment, ProductId, Refusal, StoreId, TechnicianId,
    TerminalId, Units, split_package,
};
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::Ledger;
use crate::entitlements::{self, EntitlementRow, OrderRow};
use crate::error::{Error, Result, attempt, invalid, invalid_field};
use crate::idempotency::{self, Request};
use crate::refusals::{self, Attempt};
use crate::writer::{Work, Written};

/// An order to be sold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sell {
    /// The selling store.
    pub store_id: StoreId,
    /// Who buys; nobody known if not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_id: Option<MemberId>,
    /// The clerk at the till.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clerk_id: Option<ClerkId>,
    /// Who gets the credit for the sale (R22).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller_id: Option<ClerkId>,
    /// The terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal_id: Option<TerminalId>,
    /// Where it came in; the till if not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// What is sold.
    pub lines: Vec<SellLine>,
    /// What was paid for all lines together: split over them pro rata to their list prices (R9). Not there: the lines say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Payment>,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SellLine {
    /// The product.
    pub product_id: ProductId,
    /// How many pieces; one if not there. Units are pieces × the product's units.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub quantity: i32,
    /// What was paid for the line; its list price in cash if not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<Payment>,
    /// Who serves it, for a service sold and served at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub technician_id: Option<TechnicianId>,
    /// When that service starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_start_at: Option<Instant>,
}

fn one() -> i32 {
    1
}

fn is_one(quantity: &i32) -> bool {
    *quantity == 1
}

/// An order sold.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Sold {
    /// The order.
    pub order_id: OrderId,
    /// When, as the store's clock tells it.
    pub sold_at: Moment,
    /// The order's one code, for all its lines, in groups of four (R10). Shown here and never again, but to a repeated
    /// request.
    pub code: String,
    /// What the lines gave, in their order.
    pub entitlements: Vec<SoldLine>,
}

/// Codes stay out of logs.
impl std::fmt::Debug for Sold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sold").field("order_id", &self.order_id).field("entitlements", &self.entitlements).finish_non_exhaustive()
    }
}

/// What one line gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoldLine {
    /// The entitlement.
    pub entitlement_id: EntitlementId,
    /// Id of its `sold` event.
    pub event_id: Id,
    /// The product.
    pub product_id: ProductId,
    /// Its units.
    pub units: i32,
    /// What was paid for it.
    pub payment: Payment,
    /// List price of the line.
    pub list_price_fen: i64,
    /// First instant of validity.
    pub valid_from: Instant,
    /// End of validity, exclusive; `None` without end.
    pub valid_until: Option<Instant>,
    /// Applicable stores at the sale (R3).
    pub applicable_store_ids: Vec<StoreId>,
}

/// What is stored for a repeated request: the code is sealed with its key, so that it never lies in the ledger in clear.
#[derive(Serialize, Deserialize)]
struct Stored {
    order_id: OrderId,
    sold_at: Moment,
    sealed: u64,
    entitlements: Vec<SoldLine>,
}

impl Ledger {
    /// Sells an order (R3, R5, R9, R10): the terms of today are fixed for good, one `sold` event per line. Products that
    /// are not on sale here are refused.
    pub async fn sell(&self, request: &Request, command: Sell) -> Result<Written<Result<Sold, Refusal>>> {
        let limit = self.config().lines_limit;
        if command.lines.is_empty() || command.lines.len() > limit {
            return Err(invalid_field("lines", format!("an order has 1 to {limit} lines")));
        }
        if command.package.is_some() && command.lines.iter().any(|line| line.payment.is_some()) {
            return Err(invalid_field("package", "either the package or its lines say what was paid, not both"));
        }
        if let Some(package) = command.package {
            package.check().map_err(invalid)?;
        }
        let request = request.clone();
        self.write(move |work| sell(work, &request, &command)).await
    }
}

fn sell(work: &mut Work<'_>, request: &Request, command: &Sell) -> Result<Written<Result<Sold, Refusal>>> {
    let params = idempotency::params_hash(work, "sell", command)?;
    if let Some(before) = idempotency::stored::<Result<Stored, Refusal>>(work, request, &params)? {
        let secret = &work.state.secret;
        return Ok(before.map(|outcome| outcome.map(|stored| unseal(stored, |sealed| secret.seal(&request.name(), sealed)))));
    }
    let sold = match decide(work, command)? {
        Ok(lines) => Ok(write(work, command, lines)?),
        Err((refusal, product_id)) => {
            let attempt = Attempt {
                product_id: product_id.as_ref(),
                member_id: command.member_id,
                clerk_id: command.clerk_id.as_ref(),
                terminal_id: command.terminal_id.as_ref(),
                channel: command.channel,
                ..Attempt::at(&command.store_id)
            };
            refusals::emit(work, &attempt, &refusal)?;
            Err(refusal)
        }
    };
    let stored = sold.as_ref().map_err(Clone::clone).map(|(sold, code)| Stored {
        order_id: sold.order_id,
        sold_at: sold.sold_at,
        sealed: work.state.secret.seal(&request.name(), code.number()),
        entitlements: sold.entitlements.clone(),
    });
    idempotency::store(work, request, &params, &work.written(stored))?;
    Ok(work.written(sold.map(|(sold, _)| sold)))
}

fn unseal(stored: Stored, open: impl Fn(u64) -> u64) -> Sold {
    let code = Code::from_number(open(stored.sealed)).to_string();
    Sold { order_id: stored.order_id, sold_at: stored.sold_at, code, entitlements: stored.entitlements }
}

struct Line {
    row: EntitlementRow,
    technician_id: Option<TechnicianId>,
    service_start_at: Option<Instant>,
}

type Refused = (Refusal, Option<ProductId>);

/// The lines as they would be sold, ids included; or the refusal and the product it is about.
fn decide(work: &mut Work<'_>, command: &Sell) -> Result<Result<Vec<Line>, Refused>> {
    let (store, now) = (&command.store_id, work.now);
    let catalog = work.state.catalog.clone();
    let known = catalog.known_store(store, now)?;
    if let Some(closed_on) = known.closed_on.filter(|day| *day < known.zone.business_time(now).day) {
        return Ok(Err((Refusal::StoreClosed { store: store.clone(), closed_on }, None)));
    }
    if let Some(member_id) = command.member_id
        && !member_exists(work, member_id)?
    {
        return Ok(Err((Refusal::UnknownMember, None)));
    }
    let order_id = OrderId(work.next_id());
    let mut lines = Vec::with_capacity(command.lines.len());
    for line in &command.lines {
        let terms = match catalog.terms(store, &line.product_id, now) {
            Ok(terms) => terms,
            Err(refusal) => return Ok(Err((refusal, Some(line.product_id.clone())))),
        };
        let limit = work.state.config.units_limit;
        let units = terms.units.checked_mul(line.quantity).filter(|units| (1..=limit).contains(units));
        let units = units.ok_or_else(|| invalid_field("quantity", format!("a line has 1 to {limit} units")))?;
        let price = catalog.price(store, &line.product_id, now);
        let list_price_fen = price.map_or(Some(0), |fen| fen.checked_mul(line.quantity.into()));
        let list_price_fen =
            list_price_fen.ok_or_else(|| invalid_field("quantity", "the line's list price is beyond counting"))?;
        let payment = match line.payment {
            Some(payment) => payment,
            None if command.package.is_some() => Payment::default(),
            None if price.is_some() => Payment::cash(list_price_fen),
            None => {
                return Err(invalid_field(
                    "payment",
                    format!("product {} has no list price here: say what was paid", line.product_id),
                ));
            }
        };
        payment.check_for(terms.product_type).map_err(invalid)?;
        let units = Units::new(units as usize);
        let counts = units.counts();
        let card = Entitlement {
            id: EntitlementId(work.next_id()),
            order_id,
            member_id: command.member_id,
            window: terms.validity.window(now, known.zone),
            terms: Arc::new(terms),
            sold_store: store.clone(),
            sold_at: now,
            catalog_seq: catalog.seq,
            units,
            holds: Vec::new(),
            refund_open: false,
            payment,
        };
        lines.push(Line {
            row: EntitlementRow { card, list_price_fen, counts },
            technician_id: line.technician_id.clone(),
            service_start_at: line.service_start_at,
        });
    }
    if let Some(package) = command.package {
        let prices: Vec<i64> = lines.iter().map(|line| line.row.list_price_fen).collect();
        for (line, payment) in lines.iter_mut().zip(split_package(package, &prices)) {
            line.row.card.payment = payment;
        }
    }
    Ok(Ok(lines))
}

fn member_exists(work: &Work<'_>, member_id: MemberId) -> Result<bool> {
    work.conn
        .prepare_cached("SELECT 1 FROM members WHERE member_id = $1")
        .and_then(|mut s| s.query_row([member_id.0], |_| Ok(())).optional())
        .map(|found| found.is_some())
        .map_err(attempt("find a member"))
}

fn write(work: &mut Work<'_>, command: &Sell, lines: Vec<Line>) -> Result<(Sold, Code)> {
    let (store, now) = (&command.store_id, work.now);
    let zone = work.state.catalog.zone(store, now);
    let sold_at = zone.moment(now);
    let channel = command.channel.unwrap_or(Channel::Till);
    let order_id = lines.first().map_or(OrderId(0), |line| line.row.card.order_id);
    let code = new_code(work, order_id)?;
    let order = OrderRow {
        order_id,
        sold_store: store.clone(),
        sold_at: now,
        member_id: command.member_id,
        clerk_id: command.clerk_id.as_ref().map(ToString::to_string),
        seller_id: command.seller_id.as_ref().map(ToString::to_string),
        channel: channel.as_str().to_owned(),
        last_four: Some(code.last_four()),
    };
    insert_order(work, &order)?;
    let source = work.source();
    let mut entitlements = Vec::with_capacity(lines.len());
    for (at, line) in lines.iter().enumerate() {
        let card = &line.row.card;
        entitlements::insert(work.conn, &mut work.state.terms, at, &line.row)?;
        let event_id = work.next_id();
        let (terms, paid) = (&card.terms, &card.payment);
        let event = Order {
            day_start_hour: Some(zone.day_start_hour()).filter(|hour| *hour != event::DEFAULT_DAY_START_HOUR),
            order_id: Some(order_id.into()),
            entitlement_id: Some(card.id.into()),
            sold_store_id: Some(store.as_str().into()),
            product_id: Some(terms.product_id.as_str().into()),
            product_version: Some(terms.product_version),
            product_type: Some(terms.product_type.as_str().into()),
            kind: Some(terms.sale_kind.as_str().into()),
            units: Some(line.row.counts.total),
            paid_fen: Some(paid.paid_fen),
            principal_fen: Some(paid.principal_fen),
            bonus_fen: Some(paid.bonus_fen),
            points_fen: Some(paid.points_fen),
            coupon_fen: Some(paid.coupon_fen),
            list_price_fen: Some(line.row.list_price_fen),
            vat_rate_bp: terms.vat_rate_bp,
            seller_id: order.seller_id.as_deref().map(Text::from),
            member_id: command.member_id.map(Id::from),
            technician_id: line.technician_id.as_ref().map(|t| t.as_str().into()),
            clerk_id: order.clerk_id.as_deref().map(Text::from),
            service_start_at: line.service_start_at,
            service_minutes: terms.service_minutes,
            valid_from: Some(card.window.valid_from),
            valid_until: card.window.valid_until,
            applicable_store_ids: Some(terms.applicable_stores.iter().map(|s| s.as_str().into()).collect()),
            channel: Some(channel.as_str().into()),
            head_office_product: Some(terms.head_office_product),
            blackouts: Some(terms.blackouts.iter().map(|b| Text::from(b.to_string())).collect())
                .filter(|b: &Vec<_>| !b.is_empty()),
            ..Order::new(source.as_str(), event_id, "sold", sold_at)
        };
        work.emit(&Event::Order(event))?;
        entitlements.push(SoldLine {
            entitlement_id: card.id,
            event_id: Id(event_id),
            product_id: terms.product_id.clone(),
            units: line.row.counts.total,
            payment: *paid,
            list_price_fen: line.row.list_price_fen,
            valid_from: card.window.valid_from,
            valid_until: card.window.valid_until,
            applicable_store_ids: terms.applicable_stores.clone(),
        });
    }
    Ok((Sold { order_id, sold_at, code: code.to_string(), entitlements }, code))
}

/// A code nobody has yet. Among a million codes in use, one in a billion draws meets one: a second draw settles it.
fn new_code(work: &Work<'_>, order_id: OrderId) -> Result<Code> {
    for _ in 0..10 {
        let code = Code::generate()?;
        if insert_code(work, &code, order_id)? {
            return Ok(code);
        }
    }
    Err(Error::Damaged("ten fresh codes in a row were in use".to_owned()))
}

/// Stores a code's hash; whether it was free.
pub(crate) fn insert_code(work: &Work<'_>, code: &Code, order_id: OrderId) -> Result<bool> {
    work.conn
        .prepare_cached("INSERT INTO codes (code_hash, order_id) VALUES ($1, $2) ON CONFLICT (code_hash) DO NOTHING")
        .and_then(|mut s| s.execute(params![code.hash(&work.state.secret).0, order_id.0]))
        .map(|rows| rows == 1)
        .map_err(attempt("store a code"))
}

/// Writes an order's own row.
pub(crate) fn insert_order(work: &Work<'_>, order: &OrderRow) -> Result<()> {
    let zone = work.state.catalog.zone(&order.sold_store, order.sold_at);
    work.conn
        .prepare_cached(
            "INSERT INTO orders (order_id, sold_store_id, sold_at, business_day, member_id, clerk_id, seller_id, channel,
                 last_four)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .and_then(|mut s| {
            s.execute(params![
                order.order_id.0,
                order.sold_store.as_str(),
                order.sold_at.0,
                zone.business_time(order.sold_at).day.0,
                order.member_id.map(|m| m.0),
                order.clerk_id,
                order.seller_id,
                order.channel,
                order.last_four,
            ])
        })
        .map_err(attempt("write an order"))?;
    Ok(())
}
