//! Sales: cards and bookings that leave units to redeem, and what is redeemed by the sale itself.

use event::{Day, Stream};

use super::entitlements::{Entitlement, NONE, PERMANENT};
use super::line::{Line, key};
use super::products::{Product, Validity};
use super::sim::{CHANNELS, Chain, What, starts};
use super::world::HEAD_OFFICE;
use super::{catalog, world};

pub(crate) const TILL: u8 = 0;
pub(crate) const MINI_APP: u8 = 1;
pub(crate) const ONLINE: u8 = 2;

const DAY: i64 = 86_400;

impl Chain {
    /// A product of one shelf of the store, by popularity.
    pub(crate) fn choose(&mut self, store: u16, at_once: bool) -> Option<u16> {
        let u = self.rng.f64();
        let store = &self.world.stores[store as usize];
        let shelf = if at_once { &store.at_once } else { &store.prepaid };
        if shelf.is_empty() {
            return None;
        }
        let n = world::pick(shelf.iter().map(|(_, upto)| *upto), u);
        Some(shelf[n].0)
    }

    /// A technician on duty who can do it.
    pub(crate) fn technician(&mut self, store: u16, product: u16) -> Option<u8> {
        let t = self.world.products[product as usize].template;
        if t.minutes == 0 {
            return None;
        }
        let weekday = self.today().iso_weekday() as usize - 1;
        let able = &self.world.stores[store as usize].on_duty[weekday][t.skill.unwrap_or(0) as usize];
        (!able.is_empty()).then(|| able[self.rng.usize(..able.len())])
    }

    /// Sells one line, and gives the slot of its entitlement. What is used up at the till is redeemed in the same second.
    pub(crate) fn sell(&mut self, product: u16, store: u16, member: u32, channel: u8, at: i64) -> Option<u32> {
        let sold_by = &self.world.stores[store as usize];
        let p = &self.world.products[product as usize];
        let (t, at_once) = (p.template, p.at_once());
        let stored_value = p.stored_value();
        let list_price_fen = if stored_value { p.price_fen } else { p.list_price_fen(sold_by.city.price_level) };
        // Half of all sales are at a discount of up to 15 %, which leaves prices that do not divide by the units.
        let paid_fen =
            if stored_value || self.rng.bool() { list_price_fen } else { list_price_fen * self.rng.i64(85..100) / 100 };
        let (coupon_fen, points_fen) = match self.rng.u32(0..100) {
            0..=7 if !stored_value => ((paid_fen / 10).min(5_000), 0),
            8..=10 if !stored_value => (0, paid_fen / 20),
            _ => (0, 0),
        };
        let (valid_until, valid_from_day) = valid_until(p, self.today().0);
        let version = p.version;
        let (seller, clerk) = if store == HEAD_OFFICE {
            (255, 255)
        } else {
            (self.rng.u8(..sold_by.technicians.len() as u8), self.rng.u8(..sold_by.clerks.len() as u8))
        };
        let drawn = if at_once { self.draw(member, store, paid_fen - coupon_fen - points_fen) } else { (0, 0) };
        let e = Entitlement {
            order: self.ids.next(at),
            id: self.ids.next(at),
            sold_at: at,
            valid_until,
            paid_fen,
            list_price_fen,
            principal_fen: drawn.0,
            bonus_fen: if stored_value { t.bonus_fen } else { drawn.1 },
            points_fen: points_fen as i32,
            coupon_fen: coupon_fen as i32,
            spent_fen: 0,
            member,
            redeemed: 0,
            held: 0,
            refund_open: 0,
            refunded: 0,
            expired: 0,
            generation: 0,
            next: NONE,
            product,
            version,
            sold_store: store,
            valid_from_day,
            units: t.units,
            seller,
            clerk,
            channel,
            pins: 0,
            live: true,
        };
        self.write_sold(&e);
        let slot = self.entitlements.insert(e);
        self.link(slot, member);
        if at_once {
            self.redeem(slot, 1, store, None, channel, at);
            return None;
        }
        self.plan_for(slot, at);
        Some(slot)
    }

    /// Pays from stored value that the member bought at this store, principal and bonus in proportion; gives the two parts.
    fn draw(&mut self, member: u32, store: u16, amount_fen: i64) -> (i64, i64) {
        let mut slot = if member == NONE { NONE } else { self.members[member as usize].head };
        while slot != NONE {
            let e = &mut self.entitlements[slot];
            if e.sold_store == store && self.world.products[e.product as usize].stored_value() {
                let face = e.paid_fen + e.bonus_fen;
                let amount = amount_fen.min(face - e.spent_fen);
                let principal_of = |spent: i64| spent * e.paid_fen / face;
                let principal = principal_of(e.spent_fen + amount) - principal_of(e.spent_fen);
                e.spent_fen += amount;
                if e.spent_fen == face {
                    self.close(slot);
                }
                return (principal, amount - principal);
            }
            slot = e.next;
        }
        (0, 0)
    }

    /// What may become of an entitlement besides redemption is drawn when it is sold.
    fn plan_for(&mut self, slot: u32, at: i64) {
        let e = &self.entitlements[slot];
        let (generation, valid_until) = (e.generation, e.valid_until);
        if self.world.products[e.product as usize].stored_value() {
            return;
        }
        if valid_until != PERMANENT {
            // The ledger's sweep comes by within ten minutes.
            let sweep = valid_until + self.rng.i64(1..600);
            self.schedule(sweep, What::Expire { slot, generation });
        }
        match self.rng.u32(0..1000) {
            0..=24 => {
                let later = at + self.rng.i64(1..40) * DAY + self.rng.i64(0..3600);
                self.schedule(later, What::RequestRefund { slot, generation });
            }
            25..=30 => {
                let later = at + self.rng.i64(1..60) * DAY + self.rng.i64(0..3600);
                self.schedule(later, What::Transfer { slot, generation });
            }
            _ => {}
        }
    }

    fn write_sold(&mut self, e: &Entitlement) {
        let id = self.ids.next(e.sold_at);
        let store = &self.world.stores[e.sold_store as usize];
        let p = &self.world.products[e.product as usize];
        let t = p.template;
        let member = self.members.get(e.member as usize).map(|m| m.id);
        let valid_from = self.valid_from(e);
        let json = &self.json;
        self.chunks.push(Stream::Orders, |out| {
            let mut line = Line(out);
            line.open(&json.source, id, "sold", e.sold_at);
            line.id(key!("order_id"), e.order);
            line.id(key!("entitlement_id"), e.id);
            line.text(key!("sold_store_id"), &store.id);
            line.text(key!("product_id"), &p.id);
            line.int(key!("product_version"), e.version.into());
            line.text(key!("product_type"), t.kind.name());
            line.text(key!("kind"), t.sale_kind);
            line.int(key!("units"), e.units.into());
            line.int(key!("paid_fen"), e.paid_fen);
            let parts = [
                (key!("principal_fen"), e.principal_fen),
                (key!("bonus_fen"), e.bonus_fen),
                (key!("points_fen"), e.points_fen.into()),
                (key!("coupon_fen"), e.coupon_fen.into()),
            ];
            parts.iter().filter(|(_, fen)| *fen != 0).for_each(|(key, fen)| line.int(key, *fen));
            line.int(key!("list_price_fen"), e.list_price_fen);
            line.int(key!("vat_rate_bp"), catalog::vat_rate_bp(t.kind).into());
            if let Some(seller) = store.technicians.get(e.seller as usize) {
                line.text(key!("seller_id"), &seller.id);
            }
            if let Some(member) = member {
                line.id(key!("member_id"), member);
            }
            if let Some((clerk, _)) = store.clerks.get(e.clerk as usize) {
                line.text(key!("clerk_id"), clerk);
            }
            line.instant(key!("valid_from"), valid_from);
            if e.valid_until != PERMANENT {
                line.instant(key!("valid_until"), e.valid_until);
            }
            if p.crosses() {
                line.raw(key!("applicable_store_ids"), &json.applicable[e.product as usize]);
            } else {
                line.raw(key!("applicable_store_ids"), "[\"");
                line.raw("", &store.id);
                line.raw("", "\"]");
            }
            line.text(key!("channel"), CHANNELS[e.channel as usize]);
            line.raw(key!("head_office_product"), if p.creator == HEAD_OFFICE { "true" } else { "false" });
            if !json.blackouts[e.product as usize].is_empty() {
                line.raw(key!("blackouts"), &json.blackouts[e.product as usize]);
            }
            line.close();
        });
    }

    /// Head office sells online what redeems across stores; while the switch is off it could be used nowhere.
    pub(crate) fn buy_online(&mut self, member: u32, at: i64) {
        if self.cross_store && self.active(member) {
            // Head office ships to every group of stores; the member takes what is of use near home.
            let home = self.members[member as usize].home_store as usize;
            let city = self.world.stores[home].city;
            for _ in 0..4 {
                let Some(product) = self.choose(HEAD_OFFICE, false) else { return };
                let near = &self.world.products[product as usize].stores;
                if near.iter().any(|s| std::ptr::eq(self.world.stores[*s as usize].city, city)) {
                    self.sell(product, HEAD_OFFICE, member, ONLINE, at);
                    return;
                }
            }
        }
    }
}

/// End of validity in seconds since 1970, and the first day of a fixed range (0: from the sale).
fn valid_until(p: &Product, today: i32) -> (i64, i32) {
    match p.template.validity {
        Validity::Permanent | Validity::FromFirstUse(_) => (PERMANENT, 0),
        // The last of the days is whole.
        Validity::FromPurchase(days) => (starts(today + i32::from(days) + 1), 0),
        Validity::Year => {
            let year = Day(today).ymd().0;
            let first = |year| Day::from_ymd(year, 1, 1).unwrap_or_default().0;
            (starts(first(year + 1)), first(year))
        }
    }
}
