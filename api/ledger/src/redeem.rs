//! Redeeming: what is shown leads to an order, the rules decide, and the units are taken in one conditional update each.

use std::num::NonZeroU32;

use event::{Event, Id, Instant, Moment, Redemption, Text};
use redemption::{
    Channel, ClerkId, Code, Counts, EntitlementId, MemberId, OrderId, Payment, ProductId, QrToken, RedemptionId, Refusal,
    Serving, StoreId, Taken, TechnicianId, TerminalId, qr_read,
};
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::Ledger;
use crate::entitlements::{self, EntitlementRow, OrderRow};
use crate::error::{Error, Result, attempt, invalid, invalid_field};
use crate::idempotency::{self, Request};
use crate::lockouts;
use crate::refusals::{self, Attempt};
use crate::writer::{Work, Written};

/// Units to be redeemed at a store, all or none (R8).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redeem {
    /// The serving store.
    pub store_id: StoreId,
    /// What is taken: several entitlements of several orders if need be.
    pub takes: Vec<Take>,
    /// The clerk who redeems.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clerk_id: Option<ClerkId>,
    /// The terminal; wrong codes are counted for it (R10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal_id: Option<TerminalId>,
    /// Who serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub technician_id: Option<TechnicianId>,
    /// When the service starts; now if not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_start_at: Option<Instant>,
    /// How long it takes; as the product says if not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_minutes: Option<i32>,
    /// Where it came in; the till if not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
}

/// Units of one entitlement. It is named by exactly one of `code`, `qr` and `order_id`, to which `entitlement_id` may be
/// added where the order has several lines, or by `entitlement_id` alone.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Take {
    /// The redemption code as typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The QR token as scanned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qr: Option<String>,
    /// The order; only for a clerk who has found the member otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// The entitlement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entitlement_id: Option<EntitlementId>,
    /// How many units.
    #[serde(default = "one")]
    pub units: NonZeroU32,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

impl Take {
    /// One unit by code.
    pub fn by_code(code: impl Into<String>) -> Self {
        Take { code: Some(code.into()), qr: None, order_id: None, entitlement_id: None, units: one() }
    }

    /// One unit of an entitlement.
    pub fn by_entitlement(id: EntitlementId) -> Self {
        Take { code: None, qr: None, order_id: None, entitlement_id: Some(id), units: one() }
    }
}

/// Codes and tokens stay out of logs.
impl std::fmt::Debug for Take {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let by = match self {
            Take { code: Some(_), .. } => "code",
            Take { qr: Some(_), .. } => "qr",
            _ => "id",
        };
        f.debug_struct("Take")
            .field("by", &by)
            .field("order_id", &self.order_id)
            .field("entitlement_id", &self.entitlement_id)
            .field("units", &self.units)
            .finish()
    }
}

/// Units redeemed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Redeemed {
    /// The call; every unit's event carries it.
    pub redemption_id: RedemptionId,
    /// When, as the store's clock tells it.
    pub redeemed_at: Moment,
    /// The store that served.
    pub store_id: StoreId,
    /// The units, in the order they were taken.
    pub units: Vec<RedeemedUnit>,
    /// What is left of each entitlement afterwards.
    pub entitlements: Vec<EntitlementLeft>,
}

/// One unit redeemed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RedeemedUnit {
    /// Id of its `redeemed` event.
    pub event_id: Id,
    /// The order.
    pub order_id: OrderId,
    /// The entitlement.
    pub entitlement_id: EntitlementId,
    /// The product.
    pub product_id: ProductId,
    /// The member, if known.
    pub member_id: Option<MemberId>,
    /// Which unit, from 1.
    pub unit_ordinal: i32,
    /// Units left before it was taken.
    pub remaining_before: i32,
    /// Units left afterwards.
    pub remaining_after: i32,
    /// What it is worth, and of what parts (R9).
    #[serde(flatten)]
    pub value: UnitValue,
    /// The store that sold it.
    pub sold_store_id: StoreId,
    /// The store it was booked at, if it was.
    pub booked_store_id: Option<StoreId>,
}

/// The value of a unit and its parts, in fen (R9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitValue {
    /// The whole.
    pub value_fen: i64,
    /// Part that is principal of stored value.
    pub principal_fen: i64,
    /// Part that is bonus.
    pub bonus_fen: i64,
    /// Part paid with points.
    pub points_fen: i64,
    /// Part covered by a coupon.
    pub coupon_fen: i64,
}

impl From<Payment> for UnitValue {
    fn from(p: Payment) -> Self {
        UnitValue {
            value_fen: p.paid_fen,
            principal_fen: p.principal_fen,
            bonus_fen: p.bonus_fen,
            points_fen: p.points_fen,
            coupon_fen: p.coupon_fen,
        }
    }
}

/// What is left of an entitlement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntitlementLeft {
    /// The entitlement.
    pub entitlement_id: EntitlementId,
    /// The product.
    pub product_id: ProductId,
    /// Units by state.
    pub units: Counts,
    /// End of validity, exclusive; `None` without end. The first use may have set it (R5).
    pub valid_until: Option<Instant>,
}

impl Ledger {
    /// Redeems units at a store, all or none (R1, R3, R5, R6, R8, R10). A refusal is an answer, and an event.
    pub async fn redeem(&self, request: &Request, command: Redeem) -> Result<Written<Result<Redeemed, Refusal>>> {
        let limit = self.config().takes_limit;
        if command.takes.is_empty() || command.takes.len() > limit {
            return Err(invalid_field("takes", format!("one call redeems from 1 to {limit} entitlements")));
        }
        for take in &command.takes {
            let named = [take.code.is_some(), take.qr.is_some(), take.order_id.is_some()].iter().filter(|n| **n).count();
            if named > 1 || (named == 0 && take.entitlement_id.is_none()) {
                return Err(invalid("name what is redeemed by one of `code`, `qr`, `order_id`, or by `entitlement_id`"));
            }
        }
        if command.service_minutes.is_some_and(|minutes| !(0..=1440).contains(&minutes)) {
            return Err(invalid("`service_minutes` is outside 0..=1440"));
        }
        let request = request.clone();
        self.write(move |work| redeem(work, &request, &command)).await
    }
}

/// Why a call was turned down, and what is known about it.
struct Turned {
    refusal: Refusal,
    take: usize,
    order_id: Option<OrderId>,
    member_id: Option<MemberId>,
    entitlement_id: Option<EntitlementId>,
    product_id: Option<ProductId>,
    service_minutes: Option<i32>,
}

impl Turned {
    fn bare(refusal: Refusal, take: usize) -> Self {
        Turned { refusal, take, order_id: None, member_id: None, entitlement_id: None, product_id: None, service_minutes: None }
    }

    fn about(refusal: Refusal, take: usize, order: &OrderRow, line: Option<&EntitlementRow>) -> Self {
        Turned {
            order_id: Some(order.order_id),
            member_id: order.member_id,
            entitlement_id: line.map(|l| l.card.id),
            product_id: line.map(|l| l.card.terms.product_id.clone()),
            service_minutes: line.and_then(|l| l.card.terms.service_minutes),
            ..Turned::bare(refusal, take)
        }
    }
}

/// The orders a call touches, as they will be once it is done, and what it takes in which order.
#[derive(Default)]
struct Plan {
    orders: Vec<(OrderRow, Vec<EntitlementRow>)>,
    steps: Vec<Step>,
    tokens: Vec<QrToken>,
}

struct Step {
    /// Index of the order and of the line in it.
    at: (usize, usize),
    before: redemption::Units,
    taken: Taken,
}

fn redeem(work: &mut Work<'_>, request: &Request, command: &Redeem) -> Result<Written<Result<Redeemed, Refusal>>> {
    let params = idempotency::params_hash(work, "redeem", command)?;
    if let Some(before) = idempotency::stored(work, request, &params)? {
        return Ok(before);
    }
    work.state.catalog.known_store(&command.store_id, work.now)?;
    let outcome = match decide(work, command)? {
        Ok(plan) => Ok(write(work, command, plan)?),
        Err(turned) => {
            let attempt = Attempt {
                product_id: turned.product_id.as_ref(),
                member_id: turned.member_id,
                order_id: turned.order_id,
                entitlement_id: turned.entitlement_id,
                service_start_at: command.service_start_at,
                service_minutes: command.service_minutes.or(turned.service_minutes),
                clerk_id: command.clerk_id.as_ref(),
                terminal_id: command.terminal_id.as_ref(),
                units: command.takes.get(turned.take).map(|take| take.units.get()),
                channel: command.channel,
                ..Attempt::at(&command.store_id)
            };
            refusals::emit(work, &attempt, &turned.refusal)?;
            Err(turned.refusal)
        }
    };
    let written = work.written(outcome);
    // R2: malformed input is not an outcome; typed right, the same key may be used again.
    if !matches!(written.outcome, Err(Refusal::MalformedCode { .. })) {
        idempotency::store(work, request, &params, &written)?;
    }
    Ok(written)
}

/// Looks everything up and asks the rules; changes nothing but the count of wrong codes.
fn decide(work: &mut Work<'_>, command: &Redeem) -> Result<Result<Plan, Turned>> {
    let (catalog, now) = (work.state.catalog.clone(), work.now);
    let mut plan = Plan::default();
    for (i, take) in command.takes.iter().enumerate() {
        let order_id = match find_order(work, command, take, &mut plan.tokens)? {
            Ok(order_id) => order_id,
            Err(refusal) => return Ok(Err(Turned::bare(refusal, i))),
        };
        let at = match plan.orders.iter().position(|(order, _)| order.order_id == order_id) {
            Some(at) => at,
            None => match entitlements::read_order(work.conn, &mut work.state.terms, order_id)? {
                Some(order) => {
                    plan.orders.push(order);
                    plan.orders.len() - 1
                }
                None => return Ok(Err(Turned::bare(Refusal::UnknownEntitlement, i))),
            },
        };
        let (order, lines) = &mut plan.orders[at];
        let serving = Serving {
            store: &command.store_id,
            at: now,
            zone: catalog.zone(&command.store_id, now),
            sold_zone: catalog.zone(&order.sold_store, now),
        };
        let try_line = |line: &EntitlementRow| {
            let chain = catalog.chain(&line.card.terms.product_id, now);
            redemption::redeem(&line.card, chain, serving, take.units)
        };
        let (line, taken) = match choose(lines, take.entitlement_id, try_line) {
            Ok(chosen) => chosen,
            Err((refusal, line)) => return Ok(Err(Turned::about(refusal, i, order, line.map(|l| &lines[l])))),
        };
        // A later take of the same call sees what this one leaves (R8).
        let card = &mut lines[line].card;
        let before = std::mem::replace(&mut card.units, taken.after.clone());
        card.window = taken.window;
        card.holds.retain(|hold| taken.units.iter().all(|unit| unit.ordinal != hold.unit_ordinal));
        lines[line].counts = lines[line].card.units.counts();
        plan.steps.push(Step { at: (at, line), before, taken });
    }
    Ok(Ok(plan))
}

/// The line to take from: the one named, else the only one that may be taken. A refusal names its line where there is one.
fn choose(
    lines: &[EntitlementRow],
    named: Option<EntitlementId>,
    try_line: impl Fn(&EntitlementRow) -> Result<Taken, Refusal>,
) -> Result<(usize, Taken), (Refusal, Option<usize>)> {
    if let Some(id) = named {
        let at = lines.iter().position(|line| line.card.id == id).ok_or((Refusal::UnknownEntitlement, None))?;
        return try_line(&lines[at]).map(|taken| (at, taken)).map_err(|refusal| (refusal, Some(at)));
    }
    let mut allowed = Vec::new();
    let mut refused = None;
    for (at, line) in lines.iter().enumerate() {
        match try_line(line) {
            Ok(taken) => allowed.push((at, taken)),
            Err(refusal) => refused = refused.or(Some((refusal, Some(at)))),
        }
    }
    if allowed.len() > 1 {
        let entitlements = allowed.iter().map(|(at, _)| lines[*at].card.id).collect();
        return Err((Refusal::WhichEntitlement { entitlements }, None));
    }
    allowed.pop().ok_or_else(|| refused.unwrap_or((Refusal::UnknownEntitlement, None)))
}

/// The order that a take's code, token or id stands for. Wrong codes are counted (R10).
pub(crate) fn find_order(
    work: &Work<'_>,
    command: &Redeem,
    take: &Take,
    tokens: &mut Vec<QrToken>,
) -> Result<Result<OrderId, Refusal>> {
    let (store, terminal) = (&command.store_id, command.terminal_id.as_ref());
    if let Some(order_id) = take.order_id {
        return Ok(Ok(order_id));
    }
    if take.code.is_some() || take.qr.is_some() {
        if let Err(locked) = lockouts::check(work, store, terminal)? {
            return Ok(Err(locked));
        }
        let found = match (&take.code, &take.qr) {
            (Some(code), _) => match Code::parse(code) {
                Ok(code) => find_code(work, &code)?.ok_or(Refusal::UnknownCode),
                Err(fault) => Err(fault.into()),
            },
            (_, Some(token)) => match qr_read(&work.state.secret, token, work.now) {
                Ok(token) if qr_used(work, token)? => Err(Refusal::QrUsed),
                Ok(token) => {
                    tokens.push(token);
                    Ok(token.order_id)
                }
                Err(fault) => Err(fault.into()),
            },
            (None, None) => Err(Refusal::UnknownEntitlement),
        };
        if matches!(found, Err(Refusal::UnknownCode) | Err(Refusal::QrForged)) {
            lockouts::count(work, store, terminal)?;
        }
        return Ok(found);
    }
    let Some(id) = take.entitlement_id else { return Ok(Err(Refusal::UnknownEntitlement)) };
    Ok(entitlements::order_of(work.conn, id)?.ok_or(Refusal::UnknownEntitlement))
}

fn find_code(work: &Work<'_>, code: &Code) -> Result<Option<OrderId>> {
    work.conn
        .prepare_cached("SELECT order_id FROM codes WHERE code_hash = $1")
        .and_then(|mut s| s.query_row([code.hash(&work.state.secret).0], |row| row.get(0).map(OrderId)).optional())
        .map_err(attempt("find a code"))
}

fn qr_used(work: &Work<'_>, token: QrToken) -> Result<bool> {
    work.conn
        .prepare_cached("SELECT 1 FROM qr_used WHERE order_id = $1 AND step = $2")
        .and_then(|mut s| s.query_row(params![token.order_id.0, token.step], |_| Ok(())).optional())
        .map(|found| found.is_some())
        .map_err(attempt("find a QR token"))
}

/// Carries the plan out: every condition is checked again by the statements themselves.
fn write(work: &mut Work<'_>, command: &Redeem, plan: Plan) -> Result<Redeemed> {
    let (store, now) = (&command.store_id, work.now);
    let catalog = work.state.catalog.clone();
    let zone = catalog.zone(store, now);
    let redeemed_at = zone.moment(now);
    let business_day = redeemed_at.business_time(zone.day_start_hour()).day;
    let redemption_id = RedemptionId(work.next_id());
    let source = work.source();
    for token in &plan.tokens {
        work.conn
            .prepare_cached("INSERT INTO qr_used (order_id, step) VALUES ($1, $2) ON CONFLICT (order_id, step) DO NOTHING")
            .and_then(|mut s| s.execute(params![token.order_id.0, token.step]))
            .map_err(attempt("use up a QR token"))?;
    }
    let mut units = Vec::new();
    for Step { at: (order, line), before, taken } in &plan.steps {
        let (order, lines) = &plan.orders[*order];
        let row = &lines[*line];
        let (card, terms) = (&row.card, &row.card.terms);
        let held = taken.units.iter().filter(|unit| unit.booked.is_some()).count() as i32;
        let free = taken.units.len() as i32 - held;
        if !entitlements::take(work.conn, card.id, (free, held), before, &taken.after, taken.window.valid_until)? {
            return Err(Error::Damaged(format!("units of entitlement {} changed under the writer", card.id)));
        }
        for unit in &taken.units {
            if unit.booked.is_some() && !entitlements::free_hold(work.conn, card.id, unit.ordinal)? {
                return Err(Error::Damaged(format!("unit {} of entitlement {} is held by nobody", unit.ordinal, card.id)));
            }
            let event_id = work.next_id();
            work.conn
                .prepare_cached(
                    "INSERT INTO redemptions (event_id, redemption_id, entitlement_id, unit_ordinal, redeemed_store_id, redeemed_at,
                         business_day, value_fen)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                )
                .and_then(|mut s| {
                    let value = unit.value.paid_fen;
                    let ids = (event_id, redemption_id.0, card.id.0);
                    s.execute(params![ids.0, ids.1, ids.2, unit.ordinal, store.as_str(), now.0, business_day.0, value])
                })
                .map_err(attempt("write a redemption"))?;
            let list_price = catalog.unit_price(store, &terms.product_id, now, unit.ordinal);
            let sold_list_price = Payment::cash(row.list_price_fen).of_unit(unit.ordinal, row.counts.total).paid_fen;
            let booked_store_id = unit.booked.as_ref().map(|(store, _)| store.clone());
            let event = Redemption {
                day_start_hour: Some(zone.day_start_hour()).filter(|hour| *hour != event::DEFAULT_DAY_START_HOUR),
                redemption_id: Some(redemption_id.into()),
                order_id: Some(order.order_id.into()),
                entitlement_id: Some(card.id.into()),
                unit_ordinal: Some(unit.ordinal),
                sold_store_id: Some(order.sold_store.as_str().into()),
                booked_store_id: booked_store_id.as_ref().map(|s| s.as_str().into()),
                redeemed_store_id: Some(store.as_str().into()),
                product_id: Some(terms.product_id.as_str().into()),
                product_version: Some(terms.product_version),
                product_type: Some(terms.product_type.as_str().into()),
                skill: terms.skill.as_deref().map(Text::from),
                member_id: order.member_id.map(Id::from),
                clerk_id: command.clerk_id.as_ref().map(|c| c.as_str().into()),
                seller_id: order.seller_id.as_deref().map(Text::from),
                technician_id: command.technician_id.as_ref().map(|t| t.as_str().into()),
                remaining_before: Some(unit.remaining_before),
                remaining_after: Some(unit.remaining_after),
                valid_until: taken.window.valid_until,
                value_fen: Some(unit.value.paid_fen),
                principal_fen: Some(unit.value.principal_fen),
                bonus_fen: Some(unit.value.bonus_fen),
                points_fen: Some(unit.value.points_fen),
                coupon_fen: Some(unit.value.coupon_fen),
                vat_rate_bp: terms.vat_rate_bp,
                list_price_fen: Some(list_price.unwrap_or(sold_list_price)),
                sold_at: Some(order.sold_at),
                service_start_at: Some(command.service_start_at.unwrap_or(now)),
                service_minutes: command.service_minutes.or(terms.service_minutes),
                channel: Some(command.channel.unwrap_or(Channel::Till).as_str().into()),
                ..Redemption::new(source.as_str(), event_id, "redeemed", redeemed_at)
            };
            work.emit(&Event::Redemption(event))?;
            units.push(RedeemedUnit {
                event_id: Id(event_id),
                order_id: order.order_id,
                entitlement_id: card.id,
                product_id: terms.product_id.clone(),
                member_id: order.member_id,
                unit_ordinal: unit.ordinal,
                remaining_before: unit.remaining_before,
                remaining_after: unit.remaining_after,
                value: unit.value.into(),
                sold_store_id: order.sold_store.clone(),
                booked_store_id,
            });
        }
    }
    let touched = |order: usize, line: usize| plan.steps.iter().any(|step| step.at == (order, line));
    let entitlements = plan
        .orders
        .iter()
        .enumerate()
        .flat_map(|(o, (_, lines))| lines.iter().enumerate().filter(move |(l, _)| touched(o, *l)))
        .map(|(_, row)| EntitlementLeft {
            entitlement_id: row.card.id,
            product_id: row.card.terms.product_id.clone(),
            units: row.counts,
            valid_until: row.card.window.valid_until,
        })
        .collect();
    Ok(Redeemed { redemption_id, redeemed_at, store_id: store.clone(), units, entitlements })
}
