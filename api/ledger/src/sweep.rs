//! The sweep: what time alone brings about. Units expire (R5); old keys, wrong codes and tokens go.

use event::{Event, Instant, Order};
use redemption::{EntitlementId, OrderId, QR_STEP_SECS, UnitState};
use rusqlite::params;
use serde::{Deserialize, Serialize};

use crate::Ledger;
use crate::entitlements::{self, EntitlementRow, OrderRow};
use crate::error::{Error, Result, attempt};
use crate::writer::{Work, Written};

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// Entitlements whose validity had ended with units left.
    pub entitlements: usize,
    /// Units that expired.
    pub units: usize,
    /// Whether the limit of one sweep was reached: sweep again.
    pub more: bool,
}

impl Ledger {
    /// Expires what is left of entitlements whose validity has ended, one `expired` event each, and forgets what is too old
    /// to matter. To be called every minute or so; one call does a bounded piece of work.
    pub async fn sweep(&self) -> Result<Written<Swept>> {
        self.write(|work| {
            let swept = expire(work)?;
            forget(work)?;
            Ok(work.written(swept))
        })
        .await
    }
}

fn expire(work: &mut Work<'_>) -> Result<Swept> {
    let failed = attempt("find what expires");
    let limit = work.state.config.sweep_limit;
    let due: Vec<(EntitlementId, OrderId)> = work
        .conn
        .prepare_cached(
            "SELECT entitlement_id, order_id FROM entitlements
             WHERE valid_until IS NOT NULL AND total > redeemed + refund_open + refunded + expired AND valid_until <= $1
             ORDER BY valid_until LIMIT $2",
        )
        .and_then(|mut s| {
            let ids =
                s.query_map(params![work.now.0, limit as i64], |row| Ok((EntitlementId(row.get(0)?), OrderId(row.get(1)?))))?;
            ids.collect()
        })
        .map_err(&failed)?;
    let mut swept = Swept { more: due.len() == limit, ..Swept::default() };
    for (id, order_id) in due {
        let read = entitlements::read_order(work.conn, &mut work.state.terms, order_id)?;
        let (order, lines) = read.ok_or_else(|| Error::Damaged(format!("entitlement {id} has no order")))?;
        for line in lines.iter().filter(|line| line.card.id == id) {
            swept.entitlements += 1;
            swept.units += expire_line(work, &order, line)?;
        }
    }
    Ok(swept)
}

fn expire_line(work: &mut Work<'_>, order: &OrderRow, line: &EntitlementRow) -> Result<usize> {
    let card = &line.card;
    let mut after = card.units.clone();
    let free: Vec<i32> = card.units.ordinals(UnitState::Available).collect();
    let held: Vec<i32> = card.units.ordinals(UnitState::Held).collect();
    let mut ordinals = [free.as_slice(), held.as_slice()].concat();
    ordinals.sort_unstable();
    ordinals.iter().for_each(|ordinal| after.set(*ordinal, UnitState::Expired));
    let taken = work
        .conn
        .prepare_cached(
            "UPDATE entitlements SET expired = expired + $1 + $2, held = held - $2, unit_states = $3
             WHERE entitlement_id = $4 AND total - redeemed - held - refund_open - refunded - expired >= $1 AND held >= $2
               AND unit_states = $5",
        )
        .and_then(|mut s| {
            s.execute(params![free.len() as i64, held.len() as i64, after.as_str(), card.id.0, card.units.as_str()])
        })
        .map_err(attempt("expire units"))?;
    if taken != 1 {
        return Err(Error::Damaged(format!("units of entitlement {} changed under the writer", card.id)));
    }
    // R4: expiry frees the hold, exactly once.
    for ordinal in &held {
        entitlements::free_hold(work.conn, card.id, *ordinal)?;
    }
    let zone = work.state.catalog.zone(&order.sold_store, work.now);
    let carrying_fen = ordinals.iter().map(|o| card.payment.of_unit(*o, line.counts.total).paid_fen).sum();
    let (source, event_id) = (work.source(), work.next_id());
    let count = ordinals.len();
    let event = Order {
        day_start_hour: Some(zone.day_start_hour()).filter(|hour| *hour != event::DEFAULT_DAY_START_HOUR),
        order_id: Some(order.order_id.into()),
        entitlement_id: Some(card.id.into()),
        sold_store_id: Some(order.sold_store.as_str().into()),
        product_id: Some(card.terms.product_id.as_str().into()),
        product_version: Some(card.terms.product_version),
        product_type: Some(card.terms.product_type.as_str().into()),
        kind: Some(card.terms.sale_kind.as_str().into()),
        member_id: order.member_id.map(Into::into),
        vat_rate_bp: card.terms.vat_rate_bp,
        valid_from: Some(card.window.valid_from),
        valid_until: card.window.valid_until,
        unit_ordinals: Some(ordinals),
        carrying_fen: Some(carrying_fen),
        // It happened when the validity ended, however late the sweep comes by.
        ..Order::new(source.as_str(), event_id, "expired", zone.moment(card.window.valid_until.unwrap_or(work.now)))
    };
    work.emit(&Event::Order(event))?;
    Ok(count)
}

/// Rows forgotten per sweep and kind: deleting 5,000 small rows takes about 20 ms.
const FORGET_LIMIT: i64 = 5_000;

fn forget(work: &Work<'_>) -> Result<()> {
    let config = &work.state.config;
    let horizon = config.terminal_lockout.horizon(work.now).min(config.store_lockout.horizon(work.now));
    let day_old = Instant(work.now.0 - 86_400_000_000);
    for (sql, before) in [
        (
            "DELETE FROM idempotency WHERE key_hash IN (SELECT key_hash FROM idempotency WHERE created_at <= $1 ORDER BY created_at LIMIT $2)",
            work.now.0 - config.idempotency_days * 86_400_000_000,
        ),
        ("DELETE FROM code_failures WHERE failed_at <= $1 AND $2 > 0", horizon.0),
        // Steps long past can't be presented again.
        ("DELETE FROM qr_used WHERE step <= $1 AND $2 > 0", day_old.0 / (QR_STEP_SECS * 1_000_000)),
    ] {
        work.conn
            .prepare_cached(sql)
            .and_then(|mut s| s.execute(params![before, FORGET_LIMIT]))
            .map_err(attempt("forget what is too old"))?;
    }
    Ok(())
}
