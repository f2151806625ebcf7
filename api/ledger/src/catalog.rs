//! The catalog as decisions need it: stores, products, applicable stores, prices and the cross-store switch, in memory, as
//! versions in time. Every kind of entry is kept in the file; the rest of them are read from there.

mod entry;
mod put;

use std::sync::Arc;

use event::{CatalogEntry, Day, Instant, Moment};
use hashbrown::HashMap;
use redemption::{
    Blackout, Chain, NarrowReason, Payment, ProductId, ProductType, Refusal, SaleKind, ScopeChange, StoreId, Terms, Validity,
    Zone,
};
use rusqlite::Connection;

use crate::error::{Error, Result, attempt, invalid, invalid_field};

pub use entry::catalog_entry;
pub(crate) use put::load;
pub use put::{CatalogPut, CatalogVersion};

/// Minutes a store's clock is ahead of UTC where nothing says otherwise: China's.
const HOME_ZONE: &str = "Asia/Shanghai";

/// Versions of one thing, in order of (`effective_from`, `seq`). `None` is a removal.
#[derive(Clone, Debug)]
struct Versions<T>(Vec<(Instant, i64, Option<Arc<T>>)>);

impl<T> Default for Versions<T> {
    fn default() -> Self {
        Versions(Vec::new())
    }
}

impl<T> Versions<T> {
    fn add(&mut self, effective_from: Instant, seq: i64, value: Option<T>) {
        let at = self.0.partition_point(|(from, s, _)| (*from, *s) < (effective_from, seq));
        self.0.insert(at, (effective_from, seq, value.map(Arc::new)));
    }

    fn at(&self, now: Instant) -> Option<&Arc<T>> {
        self.0.iter().rev().find(|(from, _, _)| *from <= now)?.2.as_ref()
    }
}

/// A store, as decisions need it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Store {
    pub(crate) zone: Zone,
    pub(crate) head_office: bool,
    pub(crate) closed_on: Option<Day>,
}

/// A product, as decisions need it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Product {
    pub(crate) id: ProductId,
    pub(crate) product_type: ProductType,
    pub(crate) sale_kind: SaleKind,
    pub(crate) creator: StoreId,
    pub(crate) skill: Option<String>,
    pub(crate) service_minutes: Option<i32>,
    pub(crate) version: i32,
    pub(crate) units: i32,
    pub(crate) list_price_fen: Option<i64>,
    pub(crate) vat_rate_bp: Option<i32>,
    pub(crate) validity: Validity,
    pub(crate) blackouts: Vec<Blackout>,
}

/// One list of applicable stores.
#[derive(Clone, Debug, PartialEq)]
struct Scope {
    stores: Vec<StoreId>,
    applies_to_sold: bool,
    binding: Option<NarrowReason>,
}

/// What an entry of the catalog means for decisions; most kinds mean nothing.
#[derive(Clone, Debug, PartialEq)]
enum Fact {
    CrossStore(bool),
    Store(StoreId, Store),
    Product(Product),
    Scope(ProductId, Scope),
    Price(StoreId, ProductId, i64),
}

/// The catalog in memory.
#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    /// The sequence number of the last entry: an order sold now comes after all up to it (R3).
    pub(crate) seq: i64,
    home: Zone,
    cross_store: Versions<bool>,
    stores: HashMap<StoreId, Versions<Store>>,
    products: HashMap<ProductId, Versions<Product>>,
    scopes: HashMap<ProductId, Versions<Scope>>,
    /// Derived from `scopes`: each list against the one before it.
    changes: HashMap<ProductId, Arc<Vec<ScopeChange>>>,
    prices: HashMap<(StoreId, ProductId), Versions<i64>>,
    /// What an entry is about, where its id need not say so.
    scope_products: HashMap<String, ProductId>,
    price_subjects: HashMap<String, (StoreId, ProductId)>,
}

impl Default for Catalog {
    fn default() -> Self {
        Catalog::empty(HOME_ZONE).expect("China's zone is known")
    }
}

impl Catalog {
    fn empty(home_zone: &str) -> Option<Self> {
        Some(Catalog {
            seq: 0,
            home: Zone::new(home_zone, event::DEFAULT_DAY_START_HOUR)?,
            cross_store: Versions::default(),
            stores: HashMap::new(),
            products: HashMap::new(),
            scopes: HashMap::new(),
            changes: HashMap::new(),
            prices: HashMap::new(),
            scope_products: HashMap::new(),
            price_subjects: HashMap::new(),
        })
    }

    /// Reads the file's versions.
    pub(crate) fn read(conn: &Connection, home_zone: &str) -> Result<Self> {
        let mut catalog = Catalog::empty(home_zone).ok_or_else(|| invalid(format!("there is no time zone {home_zone}")))?;
        let failed = attempt("read the catalog");
        let sql = "SELECT kind, id, effective_from, seq, removed, entry FROM catalog
                   WHERE kind IN ('cross_store', 'store', 'product', 'applicable_stores', 'price') ORDER BY seq";
        let mut statement = conn.prepare(sql).map_err(&failed)?;
        let mut rows = statement.query([]).map_err(&failed)?;
        while let Some(row) = rows.next().map_err(&failed)? {
            let read = || -> rusqlite::Result<(String, String, i64, i64, bool, String)> {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
            };
            let (kind, id, effective_from, seq, removed, entry) = read().map_err(&failed)?;
            let damaged = |what: String| Error::Damaged(format!("catalog {kind}/{id}: {what}"));
            let fields = serde_json::from_str(&entry).map_err(|e| damaged(e.to_string()))?;
            let entry = catalog_entry(&kind, &id, fields).map_err(|e| damaged(e.to_string()))?;
            catalog.apply(&entry, Instant(effective_from), seq, removed).map_err(|e| damaged(e.to_string()))?;
        }
        let seq = conn.query_row("SELECT coalesce(max(seq), 0) FROM catalog", [], |row| row.get(0)).map_err(&failed)?;
        catalog.seq = seq;
        Ok(catalog)
    }

    /// Takes a version in.
    fn apply(&mut self, entry: &CatalogEntry<'_>, effective_from: Instant, seq: i64, removed: bool) -> Result<()> {
        self.seq = self.seq.max(seq);
        let id = entry.id.as_deref().unwrap_or_default();
        if removed {
            match entry.kind.as_deref().unwrap_or_default() {
                "cross_store" => self.cross_store.add(effective_from, seq, None),
                "store" => self.stores.entry(StoreId::new(id).map_err(invalid)?).or_default().add(effective_from, seq, None),
                "product" => {
                    self.products.entry(ProductId::new(id).map_err(invalid)?).or_default().add(effective_from, seq, None)
                }
                "applicable_stores" => {
                    if let Some(product) = self.scope_products.get(id).cloned() {
                        self.scopes.entry(product.clone()).or_default().add(effective_from, seq, None);
                        self.derive_changes(&product);
                    }
                }
                "price" => {
                    if let Some(subject) = self.price_subjects.get(id).cloned() {
                        self.prices.entry(subject).or_default().add(effective_from, seq, None);
                    }
                }
                _ => {}
            }
            return Ok(());
        }
        match entry::fact(entry)? {
            Some(Fact::CrossStore(on)) => self.cross_store.add(effective_from, seq, Some(on)),
            Some(Fact::Store(id, store)) => self.stores.entry(id).or_default().add(effective_from, seq, Some(store)),
            Some(Fact::Product(product)) => {
                self.products.entry(product.id.clone()).or_default().add(effective_from, seq, Some(product));
            }
            Some(Fact::Scope(product, scope)) => {
                self.scope_products.insert(id.to_owned(), product.clone());
                self.scopes.entry(product.clone()).or_default().add(effective_from, seq, Some(scope));
                self.derive_changes(&product);
            }
            Some(Fact::Price(store, product, fen)) => {
                self.price_subjects.insert(id.to_owned(), (store.clone(), product.clone()));
                self.prices.entry((store, product)).or_default().add(effective_from, seq, Some(fen));
            }
            None => {}
        }
        Ok(())
    }

    fn derive_changes(&mut self, product: &ProductId) {
        let Some(versions) = self.scopes.get(product) else { return };
        let nowhere = Arc::new(Scope { stores: vec![], applies_to_sold: true, binding: None });
        let mut before = nowhere.clone();
        let mut changes = Vec::with_capacity(versions.0.len());
        for (effective_from, seq, scope) in &versions.0 {
            let scope = scope.clone().unwrap_or_else(|| nowhere.clone());
            let without = |a: &Scope, b: &Scope| a.stores.iter().filter(|s| !b.stores.contains(s)).cloned().collect();
            changes.push(ScopeChange {
                effective_from: *effective_from,
                seq: *seq,
                added: without(&scope, &before),
                removed: without(&before, &scope),
                applies_to_sold: scope.applies_to_sold,
                binding: scope.binding,
            });
            before = scope;
        }
        self.changes.insert(product.clone(), Arc::new(changes));
    }

    /// The store, if there is one in force.
    pub(crate) fn store(&self, id: &StoreId, now: Instant) -> Option<&Arc<Store>> {
        self.stores.get(id)?.at(now)
    }

    /// The store, or that there is none.
    pub(crate) fn known_store(&self, id: &StoreId, now: Instant) -> Result<Arc<Store>> {
        self.store(id, now).cloned().ok_or_else(|| invalid_field("store_id", format!("there is no store {id}")))
    }

    /// The store's own time; the chain's for one that is no longer there.
    pub(crate) fn zone(&self, id: &StoreId, now: Instant) -> Zone {
        self.store(id, now).map_or(self.home, |store| store.zone)
    }

    /// The time of what belongs to no store.
    pub(crate) fn home_moment(&self, at: Instant) -> Moment {
        self.home.moment(at)
    }

    /// The product, if it is in force.
    pub(crate) fn product(&self, id: &ProductId, now: Instant) -> Option<&Arc<Product>> {
        self.products.get(id)?.at(now)
    }

    /// What the chain allows for a product's units at the moment (R3).
    pub(crate) fn chain(&self, product: &ProductId, now: Instant) -> Chain<'_> {
        Chain {
            cross_store: self.cross_store.at(now).is_some_and(|on| **on),
            changes: self.changes.get(product).map_or(&[], |changes| changes.as_slice()),
        }
    }

    /// List price of one piece of the product at a store: the store's own, else the product's.
    pub(crate) fn price(&self, store: &StoreId, product: &ProductId, now: Instant) -> Option<i64> {
        let own = self.prices.get(&(store.clone(), product.clone())).and_then(|versions| versions.at(now));
        own.map(|fen| **fen).or_else(|| self.product(product, now)?.list_price_fen)
    }

    /// List price of one unit at a store: its share of a piece's, by ordinal as R9 splits what was paid.
    pub(crate) fn unit_price(&self, store: &StoreId, product: &ProductId, now: Instant, ordinal: i32) -> Option<i64> {
        let units = self.product(product, now)?.units;
        let of_piece = (ordinal - 1).rem_euclid(units) + 1;
        Some(Payment::cash(self.price(store, product, now)?).of_unit(of_piece, units).paid_fen)
    }

    /// The terms of a sale at `store` (R3): a product not on sale, or one that another store made, is refused. A product
    /// without a list of applicable stores is applicable where it is sold.
    pub(crate) fn terms(&self, store: &StoreId, product: &ProductId, now: Instant) -> Result<Terms, Refusal> {
        let Some(found) = self.product(product, now) else {
            return Err(Refusal::ProductNotOnSale { product: product.clone() });
        };
        let head_office_product = self.store(&found.creator, now).is_some_and(|creator| creator.head_office);
        if !head_office_product && found.creator != *store {
            return Err(Refusal::ProductNotSoldHere { product: product.clone(), creator: found.creator.clone() });
        }
        let scope = self.scopes.get(product).and_then(|versions| versions.at(now));
        Ok(Terms {
            product_id: found.id.clone(),
            product_version: found.version,
            product_type: found.product_type,
            sale_kind: found.sale_kind,
            head_office_product,
            units: found.units,
            applicable_stores: scope.map_or_else(|| vec![store.clone()], |scope| scope.stores.clone()),
            vat_rate_bp: found.vat_rate_bp,
            skill: found.skill.clone(),
            service_minutes: found.service_minutes,
            validity: found.validity,
            blackouts: found.blackouts.clone(),
        })
    }
}
