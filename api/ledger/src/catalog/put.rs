//! Putting and removing catalog entries: checked against the catalog, stored as a version, told to the log.

use std::sync::Arc;

use event::{CatalogEntry, Event, Id, Instant, Text};
use redemption::{ProductId, StoreId};
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::entry::{body, catalog_entry, fact};
use super::{Catalog, Fact};
use crate::Ledger;
use crate::error::{Error, Result, attempt, invalid, invalid_field};
use crate::writer::{Work, Written};

/// What came of putting or removing a catalog entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogPut {
    /// Whether the entry is new.
    pub created: bool,
    /// Whether anything changed. The same entry put again changes nothing and is no event.
    pub changed: bool,
    /// From when the entry in force holds.
    pub effective_from: Instant,
}

/// A catalog entry in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CatalogVersion {
    /// Its kind.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// From when it holds.
    pub effective_from: Instant,
    /// Its own fields.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Ledger {
    /// Puts an entry of any kind of [`CatalogEntry::KINDS`]: the whole of it, as the kind's own JSON fields, in force from
    /// `effective_from` on (now, if it is not there). Faulty fields and unknown stores or products are
    /// [`Error::Invalid`]; so is a settlement rule that ties with another (R11).
    pub async fn put_catalog(&self, kind: &str, id: &str, fields: Map<String, Value>) -> Result<Written<CatalogPut>> {
        let entry = catalog_entry(kind, id, fields)?;
        // Checked here already: a faulty entry does not trouble the writer.
        fact(&entry)?;
        self.write(move |work| put(work, entry)).await
    }

    /// Removes an entry from `effective_from` (now, if it is not there) on. To take a store from orders already sold, put a
    /// narrower list of applicable stores with the reason `closed` or `cannot_serve` instead (R3).
    pub async fn remove_catalog(&self, kind: &str, id: &str, effective_from: Option<Instant>) -> Result<Written<CatalogPut>> {
        let mut entry = catalog_entry(kind, id, Map::new())?;
        entry.effective_from = effective_from;
        self.write(move |work| remove(work, entry)).await
    }

    /// The entry of an id that is in force.
    pub async fn catalog_entry(&self, kind: &str, id: &str) -> Result<Option<CatalogVersion>> {
        let id = id.to_owned();
        Ok(self.catalog_of(kind, Some(id)).await?.pop())
    }

    /// Every entry of a kind that is in force, by id.
    pub async fn catalog_entries(&self, kind: &str) -> Result<Vec<CatalogVersion>> {
        self.catalog_of(kind, None).await
    }

    async fn catalog_of(&self, kind: &str, id: Option<String>) -> Result<Vec<CatalogVersion>> {
        if !CatalogEntry::KINDS.contains(&kind) {
            return Err(Error::NotFound(format!("catalog kind `{kind}`")));
        }
        let (kind, now) = (kind.to_owned(), self.clock().now());
        self.read(move |conn| in_force(conn, &kind, id.as_deref(), now)).await
    }
}

/// The last version of each id that has taken effect, unless it is a removal.
fn in_force(conn: &rusqlite::Connection, kind: &str, id: Option<&str>, now: Instant) -> Result<Vec<CatalogVersion>> {
    let failed = attempt("read the catalog");
    let sql = "SELECT c.id, c.effective_from, c.entry FROM catalog c
               WHERE c.kind = $1 AND c.effective_from <= $2 AND ($3 IS NULL OR c.id = $3) AND NOT c.removed
                 AND NOT EXISTS (SELECT 1 FROM catalog n WHERE n.kind = c.kind AND n.id = c.id AND n.effective_from <= $2
                                 AND (n.effective_from > c.effective_from
                                      OR (n.effective_from = c.effective_from AND n.seq > c.seq)))
               ORDER BY c.id";
    let mut statement = conn.prepare_cached(sql).map_err(&failed)?;
    let mut rows = statement.query(params![kind, now.0, id]).map_err(&failed)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next().map_err(&failed)? {
        let read = || -> rusqlite::Result<(String, i64, String)> { Ok((row.get(0)?, row.get(1)?, row.get(2)?)) };
        let (id, effective_from, entry) = read().map_err(&failed)?;
        let fields = serde_json::from_str(&entry).map_err(|e| Error::Damaged(format!("catalog {kind}/{id}: {e}")))?;
        entries.push(CatalogVersion { kind: kind.to_owned(), id, effective_from: Instant(effective_from), fields });
    }
    Ok(entries)
}

fn put(work: &mut Work<'_>, mut entry: CatalogEntry<'static>) -> Result<Written<CatalogPut>> {
    references(work, &entry)?;
    let before = current(work, &entry)?;
    let body = body(&entry)?;
    if let Some((from, found)) = &before
        && *found == body
        && entry.effective_from.is_none_or(|wanted| wanted == *from)
    {
        return Ok(work.written(CatalogPut { created: false, changed: false, effective_from: *from }));
    }
    let effective_from = *entry.effective_from.get_or_insert(work.now);
    record(work, entry, "upserted", false, &body)?;
    Ok(work.written(CatalogPut { created: before.is_none(), changed: true, effective_from }))
}

fn remove(work: &mut Work<'_>, mut entry: CatalogEntry<'static>) -> Result<Written<CatalogPut>> {
    let (kind, id) = (text(&entry.kind), text(&entry.id));
    if current(work, &entry)?.is_none() {
        return Err(Error::NotFound(format!("{kind} {id} in the catalog")));
    }
    let effective_from = *entry.effective_from.get_or_insert(work.now);
    record(work, entry, "removed", true, "{}")?;
    Ok(work.written(CatalogPut { created: false, changed: true, effective_from }))
}

fn record(
    work: &mut Work<'_>,
    mut entry: CatalogEntry<'static>,
    event_type: &'static str,
    removed: bool,
    body: &str,
) -> Result<()> {
    let effective_from = entry.effective_from.unwrap_or(work.now);
    let about = entry.store_id.as_deref().and_then(|id| StoreId::new(id).ok());
    let catalog = &work.state.catalog;
    entry.occurred_at = match about {
        Some(store) if catalog.store(&store, work.now).is_some() => catalog.zone(&store, work.now).moment(work.now),
        _ => catalog.home_moment(work.now),
    };
    entry.event_id = Id(work.next_id());
    entry.source = Text::from(work.source());
    entry.r#type = event_type.into();
    insert(work, &entry, removed, body)?;
    debug_assert_eq!(entry.effective_from, Some(effective_from));
    work.emit(&Event::Catalog(entry))
}

/// Stores a version and takes it into memory; tells the log nothing.
pub(crate) fn insert(work: &mut Work<'_>, entry: &CatalogEntry<'_>, removed: bool, body: &str) -> Result<()> {
    let effective_from = entry.effective_from.unwrap_or(work.now);
    let catalog = Arc::make_mut(&mut work.state.catalog);
    let seq = catalog.seq + 1;
    catalog.apply(entry, effective_from, seq, removed)?;
    let (kind, id) = (entry.kind.as_deref(), entry.id.as_deref());
    work.conn
        .prepare_cached("INSERT INTO catalog (kind, id, effective_from, seq, removed, entry) VALUES ($1, $2, $3, $4, $5, $6)")
        .and_then(|mut s| s.execute(params![kind, id, effective_from.0, seq, removed, body]))
        .map_err(attempt("write the catalog"))?;
    Ok(())
}

/// An entry as it stands in the log, into the file.
pub(crate) fn load(work: &mut Work<'_>, entry: &CatalogEntry<'_>) -> Result<()> {
    let removed = entry.r#type.as_str() == "removed";
    let body = if removed { "{}".to_owned() } else { body(entry)? };
    insert(work, entry, removed, &body)
}

fn current(work: &Work<'_>, entry: &CatalogEntry<'_>) -> Result<Option<(Instant, String)>> {
    // Of what is in force at the wanted time: a version put in advance is compared with the one it would follow.
    let at = entry.effective_from.unwrap_or(work.now).max(work.now);
    work.conn
        .prepare_cached(
            "SELECT effective_from, entry, removed FROM catalog WHERE kind = $1 AND id = $2 AND effective_from <= $3
             ORDER BY effective_from DESC, seq DESC LIMIT 1",
        )
        .and_then(|mut s| {
            s.query_row(params![entry.kind.as_deref(), entry.id.as_deref(), at.0], |row| {
                let version = (Instant(row.get(0)?), row.get(1)?);
                Ok((!row.get::<_, bool>(2)?).then_some(version))
            })
            .optional()
        })
        .map(Option::flatten)
        .map_err(attempt("read the catalog"))
}

fn text(field: &Option<Text<'static>>) -> String {
    field.as_deref().unwrap_or_default().to_owned()
}

/// Every store and product an entry names must be there; an entry stays about what it was about; rules do not tie.
fn references(work: &Work<'_>, entry: &CatalogEntry<'static>) -> Result<()> {
    let (kind, id) = (text(&entry.kind), text(&entry.id));
    let catalog: &Catalog = &work.state.catalog;
    let at = entry.effective_from.unwrap_or(work.now).max(work.now);
    let store_exists = |name: &str, store: &str| match StoreId::new(store).ok().and_then(|s| catalog.store(&s, at).cloned()) {
        Some(_) => Ok(()),
        None => Err(invalid(format!("{kind} {id}: `{name}` names store {store}, which is not in the catalog"))),
    };
    for (name, store) in
        [("store_id", &entry.store_id), ("sold_store_id", &entry.sold_store_id), ("redeemed_store_id", &entry.redeemed_store_id)]
    {
        if let Some(store) = store {
            store_exists(name, store)?;
        }
    }
    if let Some(creator) = entry.creator_store_id.as_deref().filter(|_| kind == "product") {
        store_exists("creator_store_id", creator)?;
    }
    for store in entry.store_ids.iter().flatten() {
        store_exists("store_ids", store)?;
    }
    let product = match (&entry.product_id, kind.as_str()) {
        (Some(product), _) => Some(product.as_str()),
        (None, "applicable_stores") => Some(id.as_str()),
        _ => None,
    };
    if let Some(product) = product
        && !ProductId::new(product).is_ok_and(|p| catalog.product(&p, at).is_some())
    {
        return Err(invalid(format!("{kind} {id}: `product_id` names product {product}, which is not in the catalog")));
    }
    let same = match fact(entry)? {
        Some(Fact::Scope(product, _)) => catalog.scope_products.get(&id).is_none_or(|p| *p == product),
        Some(Fact::Price(store, product, _)) => catalog.price_subjects.get(&id).is_none_or(|s| *s == (store, product)),
        _ => true,
    };
    if !same {
        return Err(invalid_field("id", format!("{kind} {id} is about something else already; use another id")));
    }
    if kind == "settlement_rule" { no_tie(work, entry, &id, at) } else { Ok(()) }
}

/// R11: of the rules that apply, the most specific wins; two of the same scope would tie.
fn no_tie(work: &Work<'_>, entry: &CatalogEntry<'static>, id: &str, at: Instant) -> Result<()> {
    let scope = |field: &dyn Fn(&'static str) -> Option<String>| {
        ["sold_store_id", "redeemed_store_id", "product_id", "product_type"].map(field)
    };
    let ours = scope(&|name| {
        let field = match name {
            "sold_store_id" => &entry.sold_store_id,
            "redeemed_store_id" => &entry.redeemed_store_id,
            "product_id" => &entry.product_id,
            _ => &entry.product_type,
        };
        field.as_deref().map(str::to_owned)
    });
    for other in in_force(work.conn, "settlement_rule", None, at)? {
        let theirs = scope(&|name| other.fields.get(name).and_then(Value::as_str).map(str::to_owned));
        if other.id != id && ours == theirs {
            return Err(invalid(format!("settlement_rule {id} ties with {}: both have the same scope (R11)", other.id)));
        }
    }
    Ok(())
}
