//! From a catalog entry's fields to what they mean, every wrong field named.

use std::str::FromStr;

use event::{CatalogEntry, Id, Moment};
use redemption::{Blackout, DrawOrder, NarrowReason, ProductId, StoreId, Validity, Zone};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Fact, Product, Scope, Store};
use crate::error::{Result, invalid, invalid_field};

/// Id of what the chain has one of.
const CHAIN: &str = "chain";

/// The entry of a JSON object: the kind's own fields, without an envelope. A field the contract does not know is refused,
/// so that a misspelt one does not vanish.
pub fn catalog_entry(kind: &str, id: &str, fields: Map<String, Value>) -> Result<CatalogEntry<'static>> {
    if !CatalogEntry::KINDS.contains(&kind) {
        let known = CatalogEntry::KINDS.join(", ");
        return Err(invalid_field("kind", format!("there is no catalog kind `{kind}`; there are {known}")));
    }
    // The form of an id is the same for all kinds.
    let form = "1 to 64 bytes, no control characters, no blank at either end";
    StoreId::new(id).map_err(|_| invalid_field("id", format!("`{id}` is not an id: {form}")))?;
    // One switch for the chain: several would each say something about all stores.
    if kind == "cross_store" && id != CHAIN {
        return Err(invalid_field("id", format!("the switch is the chain's: its id is `{CHAIN}`")));
    }
    for (name, expected) in [("kind", kind), ("id", id)] {
        if fields.get(name).is_some_and(|found| found != expected) {
            return Err(invalid(format!("`{name}` must be `{expected}`, as in the path")));
        }
    }
    if let Some(unknown) = fields.keys().find(|name| !CatalogEntry::COLUMNS.iter().any(|column| column.name == *name)) {
        return Err(invalid(format!("a catalog entry has no field `{unknown}`")));
    }
    let mut object = fields;
    object.insert("kind".to_owned(), kind.into());
    object.insert("id".to_owned(), id.into());
    for (name, value) in [("source", "-"), ("event_id", "0"), ("type", "upserted"), ("occurred_at", "2000-01-01T00:00:00Z")] {
        object.insert(name.to_owned(), value.into());
    }
    CatalogEntry::deserialize(Value::Object(object)).map_err(|e| invalid(format!("{kind} {id}: {e}")))
}

/// The entry's own fields as JSON, without envelope, kind, id and time: what is stored, and what is compared.
pub(super) fn body(entry: &CatalogEntry<'_>) -> Result<String> {
    let bare = CatalogEntry {
        source: "".into(),
        event_id: Id(0),
        r#type: "".into(),
        occurred_at: Moment::default(),
        schema_version: 1,
        kind: None,
        id: None,
        effective_from: None,
        ..entry.clone()
    };
    let Value::Object(mut object) = serde_json::to_value(&bare).map_err(invalid)? else { return Err(invalid("no object")) };
    for name in ["source", "event_id", "type", "occurred_at", "schema_version", "day_start_hour"] {
        object.remove(name);
    }
    serde_json::to_string(&object).map_err(invalid)
}

/// What an entry means for decisions; an entry of a kind that means nothing is checked all the same.
pub(super) fn fact(entry: &CatalogEntry<'_>) -> Result<Option<Fact>> {
    let (kind, id) = (entry.kind.as_deref().unwrap_or_default(), entry.id.as_deref().unwrap_or_default());
    let fault = |what: String| invalid(format!("{kind} {id}: {what}"));
    range(entry).map_err(fault)?;
    let fact = match kind {
        "cross_store" => Fact::CrossStore(entry.enabled.ok_or_else(|| fault("needs `enabled`".to_owned()))?),
        "store" => Fact::Store(StoreId::new(id).map_err(invalid)?, store(entry).map_err(fault)?),
        "product" => Fact::Product(product(id, entry).map_err(fault)?),
        "applicable_stores" => {
            let product = entry.product_id.as_deref().unwrap_or(id);
            Fact::Scope(ProductId::new(product).map_err(invalid)?, scope(entry).map_err(fault)?)
        }
        "price" => {
            let store = StoreId::new(entry.store_id.as_deref().unwrap_or_default()).map_err(invalid)?;
            let product = ProductId::new(entry.product_id.as_deref().unwrap_or_default()).map_err(invalid)?;
            Fact::Price(store, product, entry.list_price_fen.ok_or_else(|| fault("needs `list_price_fen`".to_owned()))?)
        }
        _ => return Ok(None),
    };
    Ok(Some(fact))
}

/// Numbers that can't mean anything outside their range, whatever the kind.
fn range(e: &CatalogEntry<'_>) -> Result<(), String> {
    let within = |name: &str, value: Option<i64>, low: i64, high: i64| match value.filter(|v| !(low..=high).contains(v)) {
        Some(found) => Err(format!("`{name}` is {found}, outside {low}..={high}")),
        None => Ok(()),
    };
    let int = |value: Option<i32>| value.map(i64::from);
    within("day_start", int(e.day_start), 0, 23)?;
    within("on_weekday", int(e.on_weekday), 1, 7)?;
    within("from_minute", int(e.from_minute), 0, 1440)?;
    within("to_minute", int(e.to_minute), 0, 2880)?;
    within("service_minutes", int(e.service_minutes), 0, 1440)?;
    within("min_technicians", int(e.min_technicians), 0, 10_000)?;
    within("capacity", int(e.capacity), 0, 10_000)?;
    within("units", int(e.units), 1, 10_000)?;
    within("valid_days", int(e.valid_days), 1, 36_500)?;
    within("list_price_fen", e.list_price_fen, 0, i64::MAX)?;
    within("amount_fen", e.amount_fen, 0, i64::MAX)?;
    for (name, share) in [
        ("vat_rate_bp", e.vat_rate_bp),
        ("share_bp", e.share_bp),
        ("fee_bp", e.fee_bp),
        ("credit_sold_store_bp", e.credit_sold_store_bp),
        ("credit_redeemed_store_bp", e.credit_redeemed_store_bp),
        ("credit_seller_bp", e.credit_seller_bp),
        ("credit_technician_bp", e.credit_technician_bp),
    ] {
        within(name, int(share), 0, 10_000)?;
    }
    if e.lat.is_some_and(|lat| lat.abs() > 90.0) {
        return Err("`lat` is outside ±90 degrees".to_owned());
    }
    if e.lat.is_some() != e.lon.is_some() {
        return Err("`lat` and `lon` come together".to_owned());
    }
    if let (Some(from), Some(to)) = (e.from_minute, e.to_minute)
        && from >= to
    {
        return Err("`from_minute` must be before `to_minute`".to_owned());
    }
    if let Some(order) = e.draw_order.as_deref() {
        DrawOrder::from_str(order).map_err(|e| format!("`draw_order`: {e}"))?;
    }
    Ok(())
}

fn store(e: &CatalogEntry<'_>) -> Result<Store, String> {
    let zone = e.time_zone.as_deref().ok_or("needs `time_zone`")?;
    let day_start = e.day_start.unwrap_or(event::DEFAULT_DAY_START_HOUR.into());
    Ok(Store {
        zone: Zone::new(zone, day_start as i8).ok_or_else(|| format!("`time_zone` is `{zone}`: there is no such time zone"))?,
        head_office: e.head_office.unwrap_or(false),
        closed_on: e.closed_on,
    })
}

fn product(id: &str, e: &CatalogEntry<'_>) -> Result<Product, String> {
    let product_type: redemption::ProductType =
        e.product_type.as_deref().ok_or("needs `product_type`")?.parse().map_err(|e| format!("`product_type`: {e}"))?;
    let sale_kind = match e.sale_kind.as_deref() {
        Some(kind) => kind.parse().map_err(|e| format!("`sale_kind`: {e}"))?,
        None => product_type.sale_kind(),
    };
    let creator = e.creator_store_id.as_deref().ok_or("needs `creator_store_id`")?;
    let days = || e.valid_days.ok_or("needs `valid_days` for this validity");
    let validity = match e.validity.as_deref().unwrap_or("permanent") {
        "permanent" => Validity::Permanent,
        "fixed" => {
            let from_on = e.valid_from_on.ok_or("needs `valid_from_on` for a fixed validity")?;
            let to_on = e.valid_to_on.ok_or("needs `valid_to_on` for a fixed validity")?;
            if to_on < from_on {
                return Err("`valid_to_on` is before `valid_from_on`".to_owned());
            }
            Validity::Fixed { from_on, to_on }
        }
        "days_from_purchase" => Validity::DaysFromPurchase { days: days()? },
        "days_from_first_use" => Validity::DaysFromFirstUse { days: days()? },
        other => {
            let known = "permanent, fixed, days_from_purchase, days_from_first_use";
            return Err(format!("`validity` `{other}` is none of {known}"));
        }
    };
    let blackouts: Result<Vec<Blackout>, String> = e.blackouts.iter().flatten().map(|b| b.parse()).collect();
    Ok(Product {
        id: ProductId::new(id).map_err(|e| e.to_string())?,
        product_type,
        sale_kind,
        creator: StoreId::new(creator).map_err(|e| format!("`creator_store_id`: {e}"))?,
        skill: e.skill.as_deref().map(str::to_owned),
        service_minutes: e.service_minutes,
        version: e.product_version.unwrap_or(1),
        units: e.units.unwrap_or(1),
        list_price_fen: e.list_price_fen,
        vat_rate_bp: e.vat_rate_bp,
        validity,
        blackouts: blackouts?,
    })
}

fn scope(e: &CatalogEntry<'_>) -> Result<Scope, String> {
    let ids = e.store_ids.as_deref().ok_or("needs `store_ids`")?;
    let mut stores: Vec<StoreId> = ids.iter().map(|id| StoreId::new(id)).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    stores.sort();
    stores.dedup();
    Ok(Scope {
        stores,
        applies_to_sold: e.applies_to_sold.unwrap_or(true),
        binding: e.reason.as_deref().and_then(NarrowReason::parse),
    })
}
