//! Entitlements as rows: reading them whole, and the one conditional update that takes units (R1).

use std::sync::Arc;

use event::{Id, Instant};
use hashbrown::HashMap;
use redemption::{Counts, Entitlement, EntitlementId, Hold, MemberId, OrderId, Payment, StoreId, Terms, Units, Window};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::{Error, Result, attempt};

/// The terms of sale by id, and back. Sales of one product share them, so that there are few; they never change.
#[derive(Debug, Default)]
pub(crate) struct TermsCache {
    by_id: HashMap<i64, Arc<Terms>>,
    by_body: HashMap<String, i64>,
}

/// Beyond so many distinct terms the cache starts over: 100,000 of 0.5 KB are 50 MB.
const TERMS_LIMIT: usize = 100_000;

impl TermsCache {
    /// A rolled-back savepoint may have made some of them.
    pub(crate) fn clear(&mut self) {
        self.by_id.clear();
        self.by_body.clear();
    }

    pub(crate) fn get(&mut self, conn: &Connection, id: i64) -> Result<Arc<Terms>> {
        if let Some(terms) = self.by_id.get(&id) {
            return Ok(terms.clone());
        }
        let body: Option<String> = conn
            .prepare_cached("SELECT body FROM terms WHERE terms_id = $1")
            .and_then(|mut s| s.query_row([id], |row| row.get(0)).optional())
            .map_err(attempt("read terms of sale"))?;
        let damaged = |what: String| Error::Damaged(format!("terms of sale {id}: {what}"));
        let body = body.ok_or_else(|| damaged("missing".to_owned()))?;
        let terms: Arc<Terms> = Arc::new(serde_json::from_str(&body).map_err(|e| damaged(e.to_string()))?);
        if self.by_id.len() >= TERMS_LIMIT {
            self.clear();
        }
        self.by_id.insert(id, terms.clone());
        Ok(terms)
    }

    /// The id of terms, new ones stored.
    pub(crate) fn id(&mut self, conn: &Connection, terms: &Terms) -> Result<i64> {
        let body = serde_json::to_string(terms).map_err(|e| Error::Damaged(e.to_string()))?;
        if let Some(id) = self.by_body.get(&body) {
            return Ok(*id);
        }
        let failed = attempt("write terms of sale");
        conn.prepare_cached("INSERT INTO terms (body) VALUES ($1) ON CONFLICT (body) DO NOTHING")
            .and_then(|mut s| s.execute([&body]))
            .map_err(&failed)?;
        let id = conn
            .prepare_cached("SELECT terms_id FROM terms WHERE body = $1")
            .and_then(|mut s| s.query_row([&body], |row| row.get(0)))
            .map_err(&failed)?;
        if self.by_body.len() >= TERMS_LIMIT {
            self.clear();
        }
        self.by_body.insert(body, id);
        Ok(id)
    }
}

/// An order's own facts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OrderRow {
    pub(crate) order_id: OrderId,
    pub(crate) sold_store: StoreId,
    pub(crate) sold_at: Instant,
    pub(crate) member_id: Option<MemberId>,
    pub(crate) clerk_id: Option<String>,
    pub(crate) seller_id: Option<String>,
    pub(crate) channel: String,
    pub(crate) last_four: Option<String>,
}

/// An entitlement and what its row knows beside the rules' facts.
#[derive(Clone, Debug)]
pub(crate) struct EntitlementRow {
    pub(crate) card: Entitlement,
    pub(crate) list_price_fen: i64,
    /// The counters as they stand in the row.
    pub(crate) counts: Counts,
}

/// An order with every line, in order; `None` if there is no such order.
pub(crate) fn read_order(
    conn: &Connection,
    terms: &mut TermsCache,
    order_id: OrderId,
) -> Result<Option<(OrderRow, Vec<EntitlementRow>)>> {
    let failed = attempt("read an order");
    let order = conn
        .prepare_cached(
            "SELECT sold_store_id, sold_at, member_id, clerk_id, seller_id, channel, last_four FROM orders WHERE order_id = $1",
        )
        .and_then(|mut s| s.query_row([order_id.0], |row| order_row(order_id, row)).optional())
        .map_err(&failed)?;
    let Some(order) = order.transpose()? else { return Ok(None) };
    let sql = "SELECT entitlement_id, terms_id, catalog_seq, list_price_fen, paid_fen, principal_fen, bonus_fen, points_fen,
                   coupon_fen, valid_from, valid_until, unit_states, total, redeemed, held, refund_open, refunded, expired
               FROM entitlements WHERE order_id = $1 ORDER BY line";
    let mut statement = conn.prepare_cached(sql).map_err(&failed)?;
    let mut rows = statement.query([order_id.0]).map_err(&failed)?;
    let mut lines = Vec::with_capacity(1);
    while let Some(row) = rows.next().map_err(&failed)? {
        lines.push(entitlement_row(conn, terms, &order, row)?);
    }
    // R6: a refund request for one unit blocks the whole order.
    let refund_open = lines.iter().any(|line| line.counts.refund_open > 0);
    lines.iter_mut().for_each(|line| line.card.refund_open = refund_open);
    Ok(Some((order, lines)))
}

/// The order of an entitlement.
pub(crate) fn order_of(conn: &Connection, id: EntitlementId) -> Result<Option<OrderId>> {
    conn.prepare_cached("SELECT order_id FROM entitlements WHERE entitlement_id = $1")
        .and_then(|mut s| s.query_row([id.0], |row| row.get(0).map(OrderId)).optional())
        .map_err(attempt("find an entitlement"))
}

fn order_row(order_id: OrderId, row: &Row<'_>) -> rusqlite::Result<Result<OrderRow>> {
    let store: String = row.get(0)?;
    let (sold_at, member_id, clerk_id, seller_id, channel, last_four) =
        (row.get(1)?, row.get::<_, Option<i64>>(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?);
    Ok(StoreId::new(&store).map_err(|e| Error::Damaged(format!("order {order_id}: {e}"))).map(|sold_store| OrderRow {
        order_id,
        sold_store,
        sold_at: Instant(sold_at),
        member_id: member_id.map(MemberId),
        clerk_id,
        seller_id,
        channel,
        last_four,
    }))
}

fn entitlement_row(conn: &Connection, terms: &mut TermsCache, order: &OrderRow, row: &Row<'_>) -> Result<EntitlementRow> {
    let failed = attempt("read an entitlement");
    let int = |at: usize| row.get::<_, i64>(at).map_err(&failed);
    let count = |at: usize| row.get::<_, i32>(at).map_err(&failed);
    let id = EntitlementId(int(0)?);
    let states: String = row.get(11).map_err(&failed)?;
    let units = Units::parse(&states).ok_or_else(|| Error::Damaged(format!("entitlement {id}: units {states}")))?;
    let mut counts = Counts {
        total: count(12)?,
        redeemed: count(13)?,
        held: count(14)?,
        refund_open: count(15)?,
        refunded: count(16)?,
        expired: count(17)?,
        available: 0,
    };
    counts.available = counts.total - counts.redeemed - counts.held - counts.refund_open - counts.refunded - counts.expired;
    if counts != units.counts() {
        return Err(Error::Damaged(format!("entitlement {id}: counters {counts:?} and units {states} differ")));
    }
    let valid_until: Option<i64> = row.get(10).map_err(&failed)?;
    let card = Entitlement {
        id,
        order_id: order.order_id,
        member_id: order.member_id,
        terms: terms.get(conn, int(1)?)?,
        sold_store: order.sold_store.clone(),
        sold_at: order.sold_at,
        catalog_seq: int(2)?,
        window: Window { valid_from: Instant(int(9)?), valid_until: valid_until.map(Instant) },
        units,
        holds: if counts.held > 0 { read_holds(conn, id)? } else { Vec::new() },
        refund_open: false,
        payment: Payment {
            paid_fen: int(4)?,
            principal_fen: int(5)?,
            bonus_fen: int(6)?,
            points_fen: int(7)?,
            coupon_fen: int(8)?,
        },
    };
    Ok(EntitlementRow { card, list_price_fen: int(3)?, counts })
}

fn read_holds(conn: &Connection, id: EntitlementId) -> Result<Vec<Hold>> {
    let failed = attempt("read holds");
    let sql =
        "SELECT unit_ordinal, booked_store_id, booking_id, start_at FROM holds WHERE entitlement_id = $1 ORDER BY unit_ordinal";
    let mut statement = conn.prepare_cached(sql).map_err(&failed)?;
    let mut rows = statement.query([id.0]).map_err(&failed)?;
    let mut holds = Vec::new();
    while let Some(row) = rows.next().map_err(&failed)? {
        let read =
            || -> rusqlite::Result<(i32, String, i64, Option<i64>)> { Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)) };
        let (unit_ordinal, store, booking_id, start_at) = read().map_err(&failed)?;
        let booked_store = StoreId::new(&store).map_err(|e| Error::Damaged(format!("a hold on entitlement {id}: {e}")))?;
        holds.push(Hold { unit_ordinal, booked_store, booking_id: Id(booking_id), start_at: start_at.map(Instant) });
    }
    Ok(holds)
}

/// Writes a new entitlement.
pub(crate) fn insert(conn: &Connection, terms: &mut TermsCache, line: usize, row: &EntitlementRow) -> Result<()> {
    let terms_id = terms.id(conn, &row.card.terms)?;
    insert_with_terms(conn, terms_id, line, row)
}

/// Writes a new entitlement whose terms are known by id.
pub(crate) fn insert_with_terms(conn: &Connection, terms_id: i64, line: usize, row: &EntitlementRow) -> Result<()> {
    let (card, counts, paid) = (&row.card, &row.counts, &row.card.payment);
    conn.prepare_cached(
        "INSERT INTO entitlements (entitlement_id, order_id, line, terms_id, catalog_seq, list_price_fen, paid_fen, principal_fen,
             bonus_fen, points_fen, coupon_fen, valid_from, valid_until, total, redeemed, held, refund_open, refunded, expired,
             unit_states)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
    )
    .and_then(|mut s| {
        s.execute(params![
            card.id.0,
            card.order_id.0,
            line as i64,
            terms_id,
            card.catalog_seq,
            row.list_price_fen,
            paid.paid_fen,
            paid.principal_fen,
            paid.bonus_fen,
            paid.points_fen,
            paid.coupon_fen,
            card.window.valid_from.0,
            card.window.valid_until.map(|t| t.0),
            counts.total,
            counts.redeemed,
            counts.held,
            counts.refund_open,
            counts.refunded,
            counts.expired,
            card.units.as_str(),
        ])
    })
    .map_err(attempt("write an entitlement"))?;
    for hold in &card.holds {
        conn.prepare_cached(
            "INSERT INTO holds (entitlement_id, unit_ordinal, booking_id, booked_store_id, start_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .and_then(|mut s| {
            let start_at = hold.start_at.map(|t| t.0);
            s.execute(params![card.id.0, hold.unit_ordinal, hold.booking_id.0, hold.booked_store.as_str(), start_at])
        })
        .map_err(attempt("write a hold"))?;
    }
    Ok(())
}

/// Takes `free + held` units (R1): relative counters under the condition that they are there, and the unit states under
/// the condition that nobody changed them. Whether it took them; on a server with several writers the loser reads again.
pub(crate) fn take(
    conn: &Connection,
    id: EntitlementId,
    (free, held): (i32, i32),
    before: &Units,
    after: &Units,
    valid_until: Option<Instant>,
) -> Result<bool> {
    conn.prepare_cached(
        "UPDATE entitlements SET redeemed = redeemed + $1 + $2, held = held - $2, unit_states = $3, valid_until = $4
         WHERE entitlement_id = $5 AND total - redeemed - held - refund_open - refunded - expired >= $1 AND held >= $2
           AND unit_states = $6",
    )
    .and_then(|mut s| s.execute(params![free, held, after.as_str(), valid_until.map(|t| t.0), id.0, before.as_str()]))
    .map(|rows| rows == 1)
    .map_err(attempt("take units"))
}

/// Removes the hold of a unit; whether it was there.
pub(crate) fn free_hold(conn: &Connection, id: EntitlementId, ordinal: i32) -> Result<bool> {
    conn.prepare_cached("DELETE FROM holds WHERE entitlement_id = $1 AND unit_ordinal = $2")
        .and_then(|mut s| s.execute(params![id.0, ordinal]))
        .map(|rows| rows == 1)
        .map_err(attempt("free a hold"))
}
