//! The demo's history: events through the log, then the state they leave behind into the ledger, both in pieces that are
//! loaded once however often it is broken off.

use std::collections::HashMap;
use std::sync::Arc;

use datasets::{Chain, ChainConfig, Chunk, EntitlementState, FinalState, Step};
use event::{CatalogEntry, Day, Id, Instant, Member, first_id_at};
use ledger::{LoadChunk, LoadLine, LoadOrder};
use redemption::{Blackout, Hold, Terms, Units, Validity, Window};
use tokio::sync::mpsc;

use crate::log;
use crate::node::{Node, SOURCE};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Names the load in the ledger; a chain made otherwise would need another.
const LOAD: &str = "demo";

/// The chunk that says that all others are in.
const LAST: u32 = u32::MAX;

/// Chunks of events per transaction.
const CHUNKS_AT_ONCE: usize = 16;

/// Orders per transaction: about 10 MB of rows.
const ORDERS_AT_ONCE: usize = 20_000;

/// What was loaded.
pub struct Made {
    /// Events.
    pub events: u64,
    /// Stores.
    pub stores: u32,
    /// Members.
    pub members: usize,
    /// Entitlements.
    pub entitlements: usize,
}

enum Piece {
    Events(Vec<Chunk>),
    State(Box<FinalState>, Vec<EntitlementState>, u64),
}

/// Ids of a history that ends with the business day `end_day` lie below this, those of the live ledger above. In the chain's
/// zone the last business day ends at 20:00 UTC.
fn highest_id(end_day: Day) -> i64 {
    first_id_at(Instant::from_secs(i64::from(end_day.0 + 1) * 86_400))
}

/// Loads what is missing and commits it; `None` if nothing was.
pub async fn run(node: &Node, end_day: Day, events: u64) -> Result<Option<Made>, Failure> {
    let ledger = &node.app().ledger;
    if ledger.loaded(LOAD, LAST).await? {
        return Ok(None);
    }
    let config = ChainConfig { source: SOURCE.into(), events, ..ChainConfig::demo(end_day) };
    let stores = config.stores;
    let highest_id = highest_id(end_day);
    let bar = crate::commands::progress(events, "events");
    let mut pieces = make(config);
    let mut number = 0;
    while let Some(piece) = pieces.recv().await {
        match piece {
            Piece::Events(chunks) => {
                let count: u64 = chunks.iter().map(|c| u64::from(c.count)).sum();
                if !ledger.loaded(LOAD, number).await? {
                    let segments = tokio::task::spawn_blocking(move || chunks.iter().map(log::segment).collect()).await?;
                    ledger.load(LOAD, number, LoadChunk { segments, highest_id, ..LoadChunk::default() }).await?;
                }
                number += 1;
                bar.inc(count);
            }
            Piece::State(state, closed, events) => {
                bar.set_message("· ledger");
                let made = Made { events, stores, members: state.members.len(), entitlements: state.open.len() + closed.len() };
                let chunks = tokio::task::spawn_blocking(move || state_chunks(*state, closed, highest_id)).await??;
                for chunk in chunks {
                    ledger.load(LOAD, number, chunk).await?;
                    number += 1;
                }
                bar.set_message("· lake");
                node.app().feed.flush().await?;
                ledger.load(LOAD, LAST, LoadChunk::default()).await?;
                bar.finish_and_clear();
                return Ok(Some(made));
            }
        }
    }
    Err("making the history broke off".into())
}

/// The history, made on a thread of its own.
fn make(config: ChainConfig) -> mpsc::Receiver<Piece> {
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let mut chain = Chain::new(config);
        let (mut group, mut closed) = (Vec::new(), Vec::new());
        for step in chain.by_ref() {
            match step {
                Step::Events(chunk) => group.push(chunk),
                Step::Closed(states) => closed.extend(states),
            }
            if group.len() == CHUNKS_AT_ONCE && sender.blocking_send(Piece::Events(std::mem::take(&mut group))).is_err() {
                return;
            }
        }
        let events = chain.events();
        if sender.blocking_send(Piece::Events(group)).is_ok() {
            let _ = sender.blocking_send(Piece::State(Box::new(chain.into_state()), closed, events));
        }
    });
    receiver
}

/// Catalog and members first, then the orders, in pieces.
fn state_chunks(state: FinalState, closed: Vec<EntitlementState>, highest_id: i64) -> Result<Vec<LoadChunk>, Failure> {
    let mut orders = orders(&state, closed)?;
    let members = state
        .members
        .iter()
        .map(|m| {
            let at = Instant::from_secs(i64::from(m.joined_on.0) * 86_400 + 43_200).with_offset(0);
            Member {
                member_id: Some(Id(m.member_id)),
                joined_on: Some(m.joined_on),
                joined_store_id: Some(m.joined_store_id.to_string().into()),
                home_lat: m.home.map(|h| h.0),
                home_lon: m.home.map(|h| h.1),
                neighbourhood: m.neighbourhood.as_ref().map(|n| n.to_string().into()),
                tier: Some(m.tier.into()),
                phone_hash: Some(m.phone_hash.clone().into()),
                ..Member::new(SOURCE, m.member_id, "joined", at)
            }
        })
        .collect();
    let mut chunks = vec![LoadChunk { catalog: state.catalog, members, highest_id, ..LoadChunk::default() }];
    while !orders.is_empty() {
        let rest = orders.split_off(orders.len().saturating_sub(ORDERS_AT_ONCE));
        chunks.push(LoadChunk { orders: rest, highest_id, ..LoadChunk::default() });
    }
    Ok(chunks)
}

fn orders(state: &FinalState, closed: Vec<EntitlementState>) -> Result<Vec<LoadOrder>, Failure> {
    let products: HashMap<&str, &CatalogEntry<'static>> = state
        .catalog
        .iter()
        .filter(|e| e.kind.as_deref() == Some("product"))
        .filter_map(|e| Some((e.id.as_deref()?, e)))
        .collect();
    let mut terms: HashMap<(Arc<str>, i32, usize), Arc<Terms>> = HashMap::new();
    let mut all: Vec<&EntitlementState> = state.open.iter().chain(&closed).collect();
    all.sort_unstable_by_key(|e| (e.order_id, e.entitlement_id));
    let mut orders: Vec<LoadOrder> = Vec::new();
    for e in all {
        // Lines that were sold under the same terms share them by address.
        let key = (e.product_id.clone(), e.product_version, Arc::as_ptr(&e.applicable_store_ids).cast::<()>() as usize);
        let terms = match terms.get(&key) {
            Some(terms) => terms.clone(),
            None => {
                let made = Arc::new(terms_of(e, products.get(&*e.product_id).copied())?);
                terms.insert(key, made.clone());
                made
            }
        };
        let line = line(e, terms)?;
        match orders.last_mut() {
            Some(order) if order.order_id.0 == e.order_id => order.lines.push(line),
            _ => orders.push(LoadOrder {
                order_id: e.order_id.to_string().parse()?,
                sold_store_id: e.sold_store_id.parse()?,
                sold_at: e.sold_at,
                member_id: e.member_id.map(|m| m.to_string().parse()).transpose()?,
                clerk_id: e.clerk_id.as_ref().map(|c| c.parse()).transpose()?,
                seller_id: e.seller_id.as_ref().map(|s| s.parse()).transpose()?,
                channel: e.channel.parse()?,
                code: None,
                lines: vec![line],
            }),
        }
    }
    Ok(orders)
}

fn line(e: &EntitlementState, terms: Arc<Terms>) -> Result<LoadLine, Failure> {
    let mut units = Units::new(e.units.len());
    for (at, state) in e.units.iter().enumerate() {
        units.set(at as i32 + 1, *state);
    }
    let hold = |h: &datasets::HoldState| -> Result<Hold, Failure> {
        Ok(Hold {
            unit_ordinal: h.unit_ordinal,
            booked_store: h.store_id.parse()?,
            booking_id: Id(h.booking_id),
            start_at: Some(h.start_at),
        })
    };
    Ok(LoadLine {
        entitlement_id: e.entitlement_id.to_string().parse()?,
        terms,
        list_price_fen: e.list_price_fen,
        payment: e.payment,
        window: Window { valid_from: e.valid_from, valid_until: e.valid_until },
        units,
        holds: e.holds.iter().map(hold).collect::<Result<_, _>>()?,
    })
}

fn terms_of(e: &EntitlementState, product: Option<&CatalogEntry<'static>>) -> Result<Terms, Failure> {
    let mut applicable_stores = e.applicable_store_ids.iter().map(|s| s.parse()).collect::<Result<Vec<_>, _>>()?;
    applicable_stores.sort_unstable();
    Ok(Terms {
        product_id: e.product_id.parse()?,
        product_version: e.product_version,
        product_type: e.product_type.parse()?,
        sale_kind: e.kind.parse()?,
        head_office_product: e.head_office_product,
        units: product.and_then(|p| p.units).unwrap_or(e.units.len() as i32),
        applicable_stores,
        vat_rate_bp: Some(e.vat_rate_bp),
        skill: e.skill.map(str::to_owned),
        service_minutes: e.service_minutes,
        validity: validity(e, product),
        blackouts: e.blackouts.iter().map(|(from_on, to_on)| Blackout { from_on: *from_on, to_on: *to_on }).collect(),
    })
}

fn validity(e: &EntitlementState, product: Option<&CatalogEntry<'static>>) -> Validity {
    let days = product.and_then(|p| p.valid_days);
    match (product.and_then(|p| p.validity.as_deref()), product.and_then(|p| Some((p.valid_from_on?, p.valid_to_on?)))) {
        (Some("fixed"), Some((from_on, to_on))) => Validity::Fixed { from_on, to_on },
        (Some("days_from_first_use"), _) => Validity::DaysFromFirstUse { days: e.days_from_first_use.or(days).unwrap_or(365) },
        (Some("days_from_purchase"), _) => Validity::DaysFromPurchase { days: days.unwrap_or(365) },
        _ => Validity::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ledger takes ids up to a day ahead (`LoadChunk::highest_id`), whatever hour it is when the demo is made.
    #[test]
    fn a_history_up_to_yesterday_fits_at_every_hour() {
        for hour in 0..48 {
            let now = Instant::from_secs(1_790_000_000 / 86_400 * 86_400 + hour * 3_600);
            let end_day = crate::commands::yesterday(now);
            let day_ends = Instant::from_secs(i64::from(end_day.0) * 86_400 + 20 * 3_600);
            assert!(day_ends <= now, "hour {hour}: it is over");
            assert!(highest_id(end_day) > first_id_at(day_ends), "hour {hour}");
            assert!(highest_id(end_day) <= first_id_at(Instant(now.0 + 86_400_000_000)), "hour {hour}");
        }
    }
}
