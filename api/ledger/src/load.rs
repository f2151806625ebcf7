//! History in bulk: log segments of importers, and set-wise loads of final state with the history that led to it.

use std::sync::Arc;

use event::{CatalogEntry, Instant, Member, Stream};
use hashbrown::HashMap;
use redemption::{
    Channel, ClerkId, Code, Entitlement, EntitlementId, Hold, MemberId, OrderId, Payment, StoreId, Terms, Units, Window,
};
use rusqlite::params;

use crate::entitlements::{self, EntitlementRow, OrderRow};
use crate::error::{Error, Result, attempt, invalid};
use crate::sell::{insert_code, insert_order};
use crate::totals::{self, Totals};
use crate::writer::{Work, Written};
use crate::{Ledger, catalog, members};
use event::first_id_at;

/// Messages of one stream, compressed by `eventlog::outbox::compress` off the writer's thread: 1 to 4,096 of them.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSegment {
    /// Their stream.
    pub stream: Stream,
    /// How many.
    pub count: u32,
    /// Their bytes.
    pub zstd_lines: Vec<u8>,
}

/// A piece of a load: state as it is at the end of the history, and the piece of the log. One transaction.
#[derive(Clone, Debug, Default)]
pub struct LoadChunk {
    /// Versions of catalog entries as in the log, `effective_from` set, oldest first. They come before what is sold by them.
    pub catalog: Vec<CatalogEntry<'static>>,
    /// Members as in the log; the last one by an id stays.
    pub members: Vec<Member<'static>>,
    /// Orders in their final state.
    pub orders: Vec<LoadOrder>,
    /// The history itself, events of this ledger's source; in log order.
    pub segments: Vec<LogSegment>,
    /// The highest event, order or entitlement id in the chunk: the ledger gives higher ones from now on. At most
    /// [`first_id_at`] of a day from now.
    pub highest_id: i64,
}

/// An order in its final state.
#[derive(Clone, Debug)]
pub struct LoadOrder {
    /// The order.
    pub order_id: OrderId,
    /// The store that sold it.
    pub sold_store_id: StoreId,
    /// When.
    pub sold_at: Instant,
    /// Who bought it, if known.
    pub member_id: Option<MemberId>,
    /// The clerk at the till.
    pub clerk_id: Option<ClerkId>,
    /// Who gets the credit for the sale.
    pub seller_id: Option<ClerkId>,
    /// Where it came in.
    pub channel: Channel,
    /// Its code; without one it redeems by id only.
    pub code: Option<Code>,
    /// Its lines.
    pub lines: Vec<LoadLine>,
}

/// An order line in its final state.
#[derive(Clone, Debug)]
pub struct LoadLine {
    /// What it gave.
    pub entitlement_id: EntitlementId,
    /// The terms it was sold under; shared by lines of the same product and version.
    pub terms: Arc<Terms>,
    /// Its list price at the sale.
    pub list_price_fen: i64,
    /// What was paid for it.
    pub payment: Payment,
    /// When it is valid, a first use considered (R5).
    pub window: Window,
    /// Its units.
    pub units: Units,
    /// A hold for every unit that is held, and none else (R4).
    pub holds: Vec<Hold>,
}

impl Ledger {
    /// Appends segments to the log, in one transaction: history of other sources, which changes no state here.
    pub async fn append(&self, segments: Vec<LogSegment>) -> Result<Written<()>> {
        check_segments(&segments)?;
        self.write(move |work| {
            segments.into_iter().for_each(|segment| work.append(segment));
            Ok(work.written(()))
        })
        .await
    }

    /// Whether a chunk of a load is in. Ask before making it.
    pub async fn loaded(&self, load_id: &str, chunk: u32) -> Result<bool> {
        let load_id = load_id.to_owned();
        self.read(move |conn| {
            conn.prepare_cached("SELECT count(*) FROM loads WHERE load_id = $1 AND chunk = $2")
                .and_then(|mut s| s.query_row(params![load_id, chunk], |row| row.get::<_, i64>(0)))
                .map(|n| n > 0)
                .map_err(attempt("look up a load"))
        })
        .await
    }

    /// Loads one chunk, once: its state and its piece of the log in one transaction. `false` if it was in already, and then
    /// nothing happened; a load that was broken off goes on with the first chunk that is missing.
    pub async fn load(&self, load_id: &str, chunk: u32, load: LoadChunk) -> Result<Written<bool>> {
        check_segments(&load.segments)?;
        let load_id = load_id.to_owned();
        let (source, now) = (self.source().to_owned(), self.clock().now());
        // Reading the messages takes longer than writing them: clerks must not wait behind it.
        let count = move || totals::of_segments(&source, &load.segments, now).map(|totals| (load, totals));
        let (load, totals) = tokio::task::spawn_blocking(count).await.map_err(|_| Error::Broken)??;
        self.write(move |work| {
            let new = work
                .conn
                .prepare_cached(
                    "INSERT INTO loads (load_id, chunk, loaded_at) VALUES ($1, $2, $3) ON CONFLICT (load_id, chunk) DO NOTHING",
                )
                .and_then(|mut s| s.execute(params![load_id, chunk, work.now.0]))
                .map_err(attempt("record a load"))?;
            if new == 1 {
                take_in(work, load, &totals)?;
            }
            Ok(work.written(new == 1))
        })
        .await
    }
}

fn check_segments(segments: &[LogSegment]) -> Result<()> {
    let limit = eventlog::outbox::SEGMENT_MESSAGES_LIMIT;
    match segments.iter().find(|s| s.count == 0 || s.count as usize > limit) {
        Some(bad) => Err(invalid(format!("a segment of {} messages; it must have 1 to {limit}", bad.count))),
        None => Ok(()),
    }
}

fn take_in(work: &mut Work<'_>, load: LoadChunk, totals: &Totals) -> Result<()> {
    if load.highest_id > first_id_at(Instant(work.now.0 + 86_400_000_000)) {
        return Err(invalid(format!("id {} is beyond tomorrow: it would leave too few for later", load.highest_id)));
    }
    work.state.ids.skip_to(load.highest_id);
    for entry in &load.catalog {
        catalog::load(work, entry)?;
    }
    for member in &load.members {
        members::load(work, member)?;
    }
    // Terms are shared by address within the chunk, which is alive as long as this map.
    let mut terms_ids: HashMap<*const Terms, i64> = HashMap::new();
    let catalog_seq = work.state.catalog.seq;
    for order in &load.orders {
        let row = OrderRow {
            order_id: order.order_id,
            sold_store: order.sold_store_id.clone(),
            sold_at: order.sold_at,
            member_id: order.member_id,
            clerk_id: order.clerk_id.as_ref().map(ToString::to_string),
            seller_id: order.seller_id.as_ref().map(ToString::to_string),
            channel: order.channel.as_str().to_owned(),
            last_four: order.code.as_ref().map(Code::last_four),
        };
        insert_order(work, &row)?;
        if let Some(code) = &order.code
            && !insert_code(work, code, order.order_id)?
        {
            return Err(invalid(format!("the code of order {} is another order's", order.order_id)));
        }
        for (at, line) in order.lines.iter().enumerate() {
            let terms_id = match terms_ids.get(&Arc::as_ptr(&line.terms)) {
                Some(id) => *id,
                None => {
                    let id = work.state.terms.id(work.conn, &line.terms)?;
                    terms_ids.insert(Arc::as_ptr(&line.terms), id);
                    id
                }
            };
            let row = line_row(order, line, catalog_seq)?;
            entitlements::insert_with_terms(work.conn, terms_id, at, &row)?;
        }
    }
    totals.iter().try_for_each(|(of, total)| totals::add(work.conn, of, total))?;
    load.segments.into_iter().for_each(|segment| work.append(segment));
    Ok(())
}

fn line_row(order: &LoadOrder, line: &LoadLine, catalog_seq: i64) -> Result<EntitlementRow> {
    let fault = |what: &str| invalid(format!("entitlement {}: {what}", line.entitlement_id));
    line.payment.check_for(line.terms.product_type).map_err(|e| fault(&e.to_string()))?;
    let counts = line.units.counts();
    if counts.total < 1 {
        return Err(fault("it has no units"));
    }
    let held_ordinals: Vec<i32> = line.units.ordinals(redemption::UnitState::Held).collect();
    let mut holds: Vec<i32> = line.holds.iter().map(|hold| hold.unit_ordinal).collect();
    holds.sort_unstable();
    if holds != held_ordinals {
        return Err(fault("its holds are not those of its held units"));
    }
    let card = Entitlement {
        id: line.entitlement_id,
        order_id: order.order_id,
        member_id: order.member_id,
        terms: line.terms.clone(),
        sold_store: order.sold_store_id.clone(),
        sold_at: order.sold_at,
        catalog_seq,
        window: line.window,
        units: line.units.clone(),
        holds: line.holds.clone(),
        refund_open: false,
        payment: line.payment,
    };
    Ok(EntitlementRow { card, list_price_fen: line.list_price_fen, counts })
}
