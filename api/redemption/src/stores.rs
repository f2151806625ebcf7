//! Who may redeem (R3): the cross-store switch, the snapshot of the sale, and what changed since.

use std::collections::BTreeSet;

use event::Instant;
use serde::{Deserialize, Serialize};

use crate::{Entitlement, StoreId};

/// Why a store was taken off a product's list. Only these two bind orders already sold (R3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NarrowReason {
    /// The store is closed.
    Closed,
    /// The store cannot perform the service.
    CannotServe,
}

impl NarrowReason {
    /// Reads the catalog's word; any other reason does not bind.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "closed" => Some(NarrowReason::Closed),
            "cannot_serve" => Some(NarrowReason::CannotServe),
            _ => None,
        }
    }
}

/// One change to a product's applicable stores, relative to the list before it.
#[derive(Clone, Debug, PartialEq)]
pub struct ScopeChange {
    /// From when it holds.
    pub effective_from: Instant,
    /// Its place in the catalog.
    pub seq: i64,
    /// Stores it added.
    pub added: Vec<StoreId>,
    /// Stores it took away.
    pub removed: Vec<StoreId>,
    /// Whether what it added applies to orders already sold; true unless the change says otherwise.
    pub applies_to_sold: bool,
    /// Set where what it took away binds orders already sold.
    pub binding: Option<NarrowReason>,
}

/// What the chain allows at the moment.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    /// Whether cards redeem across stores.
    pub cross_store: bool,
    /// Every change to the product's applicable stores, in order of (`effective_from`, `seq`).
    pub changes: &'a [ScopeChange],
}

/// Why the usable stores are what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeReason {
    /// The cross-store switch is off: only the store that sold it.
    CrossStoreOff,
    /// A store's own product, or a type that does not cross stores: only the store that sold it.
    SoldStoreOnly,
    /// The product's applicable stores.
    ApplicableStores,
}

/// Where an entitlement's free units may be redeemed, and why there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usable {
    /// The stores, sorted.
    pub stores: BTreeSet<StoreId>,
    /// Why these.
    pub because: ScopeReason,
}

/// Where the units of `card` that no booking holds may be redeemed at `at` (R3).
pub fn where_usable(card: &Entitlement, chain: Chain<'_>, at: Instant) -> Usable {
    let at_sold_store = |because| Usable { stores: BTreeSet::from([card.sold_store.clone()]), because };
    if !chain.cross_store {
        return at_sold_store(ScopeReason::CrossStoreOff);
    }
    if !card.terms.head_office_product || !card.terms.product_type.crosses_stores() {
        return at_sold_store(ScopeReason::SoldStoreOnly);
    }
    let mut stores: BTreeSet<StoreId> = card.terms.applicable_stores.iter().cloned().collect();
    // A change is later than the sale if it was entered later or took effect later; one entered in advance is both.
    let later = |c: &&ScopeChange| c.effective_from <= at && (c.seq > card.catalog_seq || c.effective_from > card.sold_at);
    for change in chain.changes.iter().filter(later) {
        if change.applies_to_sold {
            stores.extend(change.added.iter().cloned());
        }
        if change.binding.is_some() {
            change.removed.iter().for_each(|store| {
                stores.remove(store);
            });
        }
    }
    Usable { stores, because: ScopeReason::ApplicableStores }
}
