//! The chain as catalog entries: what it is on the first day, and what head office changes later.

use event::{CatalogEntry, Day, Instant, Text};

use super::calendar::{Special, special};
use super::products::{Product, SKILLS, Type, Validity};
use super::world::{HEAD_OFFICE, Store, World};

/// An entry that is not stamped yet.
pub(crate) fn entry(kind: &'static str, id: impl Into<Text<'static>>) -> CatalogEntry<'static> {
    CatalogEntry { kind: Some(kind.into()), id: Some(id.into()), schema_version: 1, ..CatalogEntry::default() }
}

fn skill_names(mask: u8) -> Vec<Text<'static>> {
    SKILLS.iter().enumerate().filter(|(i, _)| mask & (1 << i) != 0).map(|(_, name)| (*name).into()).collect()
}

fn text(s: &str) -> Option<Text<'static>> {
    Some(Text::from(s.to_owned()))
}

/// Every entry of the first day, in an order in which what is named comes first.
pub(crate) fn opening(world: &World, days: impl Iterator<Item = Day> + Clone, cross_store: bool) -> Vec<CatalogEntry<'static>> {
    let mut out = vec![CatalogEntry { enabled: Some(cross_store), ..entry("cross_store", "chain") }];
    let first = days.clone().next().unwrap_or_default();
    for s in &world.stores {
        out.push(store(s, first));
    }
    for (p, product_) in world.products.iter().enumerate() {
        out.push(product(world, p, first));
        if !product_.at_once() {
            out.push(applicable_stores(world, p));
        }
        for s in product_.stores.iter().map(|s| &world.stores[*s as usize]).filter(|s| s.city.price_level != 1.0) {
            out.push(price(product_, s));
        }
        // What the store's people could do and its machines cannot, and what a forgotten store could do.
        for s in
            world.stores.iter().skip(1).enumerate().map(|(i, s)| (i + 1, s)).filter(|(i, s)| {
                product_.crosses() && !product_.reaches[*i] && s.does(product_.template.skill) && s.opens_on == 0
            })
        {
            let enabled = s.1.left_out || product_.template.units != 6;
            out.push(CatalogEntry {
                store_id: text(&s.1.id),
                product_id: text(&product_.id),
                enabled: Some(enabled),
                ..entry("capability", format!("{}/{}", s.1.id, product_.id))
            });
        }
    }
    for (i, s) in world.stores.iter().enumerate() {
        people(s, &mut out);
        if i > 0 {
            hours(s, days.clone(), &mut out);
        }
    }
    for day in days {
        let kind = match special(day) {
            Some(Special::Holiday | Special::Closed) => "holiday",
            Some(Special::MakeupWorkday) => "makeup_workday",
            None => continue,
        };
        out.push(CatalogEntry { on_day: Some(day), holiday_kind: Some(kind.into()), ..entry("holiday", day.to_string()) });
    }
    rules(world, &mut out);
    out
}

pub(crate) fn store(s: &Store, first: Day) -> CatalogEntry<'static> {
    let head_office = s.id == "HQ";
    CatalogEntry {
        name: text(&s.name),
        region: text(s.city.region),
        city: text(s.city.name),
        city_tier: text(s.city.tier),
        format: text(if head_office { "head_office" } else { s.format.name() }),
        legal_entity_id: text(&s.entity),
        ownership: text(if s.franchise { "franchise" } else { "own" }),
        skills: Some(skill_names(s.skills)),
        lat: Some(s.at.0),
        lon: Some(s.at.1),
        time_zone: text("Asia/Shanghai"),
        opened_on: Some(Day(first.0 + s.opens_on)),
        min_technicians: (!head_office).then_some(1),
        head_office: Some(head_office),
        ..entry("store", s.id.clone())
    }
}

pub(crate) fn product(world: &World, p: usize, first: Day) -> CatalogEntry<'static> {
    let product = &world.products[p];
    let t = product.template;
    let prepaid_money = t.kind == Type::StoredValue;
    let year = first.ymd().0;
    let (valid_from_on, valid_to_on) = match t.validity {
        Validity::Year => (Day::from_ymd(year, 1, 1), Day::from_ymd(year, 12, 31)),
        _ => (None, None),
    };
    CatalogEntry {
        name: text(t.name),
        creator_store_id: text(&world.stores[product.creator as usize].id),
        category: text(t.category),
        product_type: text(t.kind.name()),
        sale_kind: text(t.sale_kind),
        skill: t.skill.and_then(|s| text(SKILLS[s as usize])),
        service_minutes: (t.minutes > 0).then_some(t.minutes.into()),
        product_version: Some(product.version.into()),
        units: Some(t.units.into()),
        list_price_fen: Some(product.price_fen),
        vat_rate_bp: Some(vat_rate_bp(t.kind)),
        draw_order: prepaid_money.then(|| "pro_rata".into()),
        validity: text(t.validity.name()),
        valid_from_on,
        valid_to_on,
        valid_days: match t.validity {
            Validity::FromPurchase(days) | Validity::FromFirstUse(days) => Some(days.into()),
            _ => None,
        },
        blackouts: (!product.blackouts.is_empty())
            .then(|| product.blackouts.iter().map(|(a, b)| format!("{a}/{b}").into()).collect()),
        ..entry("product", product.id.clone())
    }
}

/// 6 % on services, 13 % on goods, in basis points.
pub(crate) fn vat_rate_bp(kind: Type) -> i32 {
    if kind == Type::Goods { 1300 } else { 600 }
}

pub(crate) fn applicable_stores(world: &World, p: usize) -> CatalogEntry<'static> {
    let product = &world.products[p];
    CatalogEntry {
        product_id: text(&product.id),
        store_ids: Some(product.stores.iter().map(|s| Text::from(world.stores[*s as usize].id.clone())).collect()),
        applies_to_sold: Some(true),
        ..entry("applicable_stores", product.id.clone())
    }
}

pub(crate) fn price(product: &Product, s: &Store) -> CatalogEntry<'static> {
    CatalogEntry {
        store_id: text(&s.id),
        product_id: text(&product.id),
        list_price_fen: Some(product.list_price_fen(s.city.price_level)),
        ..entry("price", format!("{}/{}", product.id, s.id))
    }
}

fn people(s: &Store, out: &mut Vec<CatalogEntry<'static>>) {
    for (id, name) in &s.clerks {
        out.push(CatalogEntry { name: text(name), store_id: text(&s.id), ..entry("clerk", id.clone()) });
    }
    for t in &s.technicians {
        let (name, store_id) = (text(&t.name), text(&s.id));
        out.push(CatalogEntry { name, store_id, skills: Some(skill_names(t.skills)), ..entry("technician", t.id.clone()) });
        for (weekday, shift) in t.shifts.iter().enumerate() {
            if let Some((from, to)) = shift {
                out.push(CatalogEntry {
                    store_id: text(&s.id),
                    technician_id: text(&t.id),
                    on_weekday: Some(weekday as i32 + 1),
                    from_minute: Some(*from as i32),
                    to_minute: Some(*to as i32),
                    ..entry("roster", format!("{}/{}", t.id, weekday + 1))
                });
            }
        }
    }
}

fn hours(s: &Store, days: impl Iterator<Item = Day>, out: &mut Vec<CatalogEntry<'static>>) {
    for weekday in 0..7 {
        let closed = s.closed_weekday == Some(weekday);
        out.push(CatalogEntry {
            store_id: text(&s.id),
            on_weekday: Some(weekday as i32 + 1),
            from_minute: (!closed).then_some(s.open_minute as i32),
            to_minute: (!closed).then_some(s.close_minute as i32),
            closed: Some(closed),
            ..entry("opening_hours", format!("{}/{}", s.id, weekday + 1))
        });
    }
    for day in days.filter(|day| special(*day) == Some(Special::Closed)) {
        let (store_id, on_day) = (text(&s.id), Some(day));
        out.push(CatalogEntry { store_id, on_day, closed: Some(true), ..entry("opening_hours", format!("{}/{day}", s.id)) });
    }
    for (skill, capacity) in s.capacity.iter().enumerate().filter(|(_, capacity)| **capacity > 0) {
        out.push(CatalogEntry {
            store_id: text(&s.id),
            skill: text(SKILLS[skill]),
            from_minute: Some(s.open_minute as i32),
            to_minute: Some(s.close_minute as i32),
            capacity: Some((*capacity).into()),
            ..entry("slot_capacity", format!("{}/{}", s.id, SKILLS[skill]))
        });
    }
}

fn rules(world: &World, out: &mut Vec<CatalogEntry<'static>>) {
    let base = || Some("with_vat+principal".into());
    out.push(CatalogEntry {
        rule_kind: Some("share".into()),
        share_bp: Some(6000),
        base: base(),
        fee_bp: Some(200),
        ..entry("settlement_rule", "default")
    });
    out.push(CatalogEntry {
        product_type: Some("booking".into()),
        rule_kind: Some("share".into()),
        share_bp: Some(7000),
        base: base(),
        ..entry("settlement_rule", "booking")
    });
    if let Some(product) = world.products.iter().find(|p| p.template.category == "水光") {
        out.push(CatalogEntry {
            product_id: text(&product.id),
            rule_kind: Some("list_share".into()),
            share_bp: Some(5000),
            base: base(),
            ..entry("settlement_rule", product.id.clone())
        });
    }
    out.push(CatalogEntry {
        sold_store_id: text(&world.stores[HEAD_OFFICE as usize].id),
        rule_kind: Some("share".into()),
        share_bp: Some(8000),
        base: base(),
        fee_bp: Some(500),
        ..entry("settlement_rule", "online")
    });
    out.push(CatalogEntry {
        credit_sold_store_bp: Some(2000),
        credit_redeemed_store_bp: Some(3000),
        credit_seller_bp: Some(2000),
        credit_technician_bp: Some(3000),
        ..entry("credit_rule", "default")
    });
    out.push(CatalogEntry { rule_kind: Some("none".into()), ..entry("breakage_policy", "default") });
    out.push(CatalogEntry { rule_kind: Some("income".into()), ..entry("expiry_policy", "default") });
    let mut entities: Vec<&str> = world.stores.iter().map(|s| s.entity.as_str()).collect();
    entities.sort_unstable();
    entities.dedup();
    for (i, entity) in entities.into_iter().enumerate() {
        out.push(CatalogEntry {
            name: text(&format!("合同负债 {entity}")),
            legal_entity_id: text(entity),
            account: text(&format!("2204.{:02}", i + 1)),
            ..entry("account", format!("liability/{entity}"))
        });
    }
}

/// Stamps an entry: who says it, when, and from when it holds.
pub(crate) fn stamp(
    mut e: CatalogEntry<'static>,
    source: &str,
    id: i64,
    at: i64,
    from: i64,
    removed: bool,
) -> CatalogEntry<'static> {
    e.source = Text::from(source.to_owned());
    e.event_id = event::Id(id);
    e.r#type = if removed { "removed".into() } else { "upserted".into() };
    e.occurred_at = Instant::from_secs(at).with_offset(super::line::OFFSET_MIN);
    e.effective_from = Some(Instant::from_secs(from));
    e
}
