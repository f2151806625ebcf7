//! What becomes of units besides redemption: expiry, refunds, transfers, reversals, adjustments.

use event::{Event, Id, Instant, Order, Redemption, Text};

use super::catalog;
use super::entitlements::{Entitlement, NONE, ordinals};
use super::products::SKILLS;
use super::sim::{Chain, Sampled, What};

const DAY: i64 = 86_400;

impl Chain {
    /// The fields that name the entitlement, for an order event that is not a sale.
    fn order_event(&mut self, slot: u32, event_type: &'static str, units: u32, at: i64) -> Order<'static> {
        let id = self.ids.next(at);
        let e = &self.entitlements[slot];
        let p = &self.world.products[e.product as usize];
        let text = |s: &str| Some(Text::from(s.to_owned()));
        Order {
            order_id: Some(Id(e.order)),
            entitlement_id: Some(Id(e.id)),
            sold_store_id: text(&self.world.stores[e.sold_store as usize].id),
            product_id: text(&p.id),
            product_version: Some(e.version.into()),
            product_type: text(p.template.kind.name()),
            kind: text(p.template.sale_kind),
            vat_rate_bp: Some(catalog::vat_rate_bp(p.template.kind)),
            member_id: self.members.get(e.member as usize).map(|m| Id(m.id)),
            unit_ordinals: Some(ordinals(units).map(i32::from).collect()),
            carrying_fen: Some(e.carrying_fen(units)),
            ..Order::new(self.config.source.clone(), id, event_type, Chain::moment(at))
        }
    }

    /// Validity has passed: what is left expires. Units in a refund request wait for its end.
    pub(crate) fn expire(&mut self, slot: u32, generation: u32, at: i64) {
        let Some(e) = self.entitlements.current(slot, generation) else { return };
        let (member, product, sold_store) = (e.member, e.product, e.sold_store);
        let left = e.available() != 0;
        self.expire_leftover(slot, at);
        // Some come a little too late.
        if left && member != NONE && self.rng.u32(0..100) < 12 {
            let store = self.members[member as usize].home_store;
            let store = if self.world.products[product as usize].crosses() { store } else { sold_store };
            let later = at + self.rng.i64(1..20) * DAY + self.rng.i64(8..14) * 3600;
            self.schedule(later, What::TooLate { member, product, store, expired: true });
        }
    }

    /// Expires the available units of an entitlement whose validity has passed, then closes it if nothing is left.
    pub(crate) fn expire_leftover(&mut self, slot: u32, at: i64) {
        let e = &self.entitlements[slot];
        let units = e.available();
        if e.valid_until <= at && units != 0 {
            let valid_until = e.valid_until;
            let order = self.order_event(slot, "expired", units, at);
            self.emit(&Event::Order(Order { valid_until: Some(Instant::from_secs(valid_until)), ..order }));
            self.entitlements[slot].expired |= units;
        }
        self.close_if_done(slot);
    }

    /// Asks for the money of what is left, if nothing is booked (R6).
    pub(crate) fn request_refund(&mut self, slot: u32, generation: u32, at: i64) {
        let Some(e) = self.entitlements.current(slot, generation) else { return };
        let units = e.available();
        if units == 0 || e.held != 0 || e.refund_open != 0 || e.valid_until <= at {
            return;
        }
        let order = self.order_event(slot, "refund_requested", units, at);
        self.emit(&Event::Order(Order { reason: Some("moved away".into()), ..order }));
        self.entitlements[slot].refund_open = units;
        let decided = at + self.rng.i64(1..12) * DAY + self.rng.i64(0..3600);
        self.schedule(decided, What::ResolveRefund { slot, generation });
    }

    /// Pays the refund, or the member thinks better of it.
    pub(crate) fn resolve_refund(&mut self, slot: u32, generation: u32, at: i64) {
        let Some(e) = self.entitlements.current(slot, generation) else { return };
        let units = e.refund_open;
        if self.rng.u32(0..100) < 40 {
            let order = self.order_event(slot, "refund_withdrawn", units, at);
            self.emit(&Event::Order(order));
            self.entitlements[slot].refund_open = 0;
            // What was blocked when validity passed expires now.
            self.expire_leftover(slot, at);
            return;
        }
        let cash_fen = self.refund_fen(e);
        let entity = self.world.stores[e.sold_store as usize].entity.clone();
        let order = self.order_event(slot, "refunded", units, at);
        self.emit(&Event::Order(Order { cash_fen: Some(cash_fen), bearing_entity_id: Some(entity.into()), ..order }));
        let e = &mut self.entitlements[slot];
        e.refund_open = 0;
        e.refunded |= units;
        self.close_if_done(slot);
    }

    /// What was paid less what was consumed at list price, never below 0 (R6).
    fn refund_fen(&self, e: &Entitlement) -> i64 {
        let p = &self.world.products[e.product as usize];
        let level = self.world.stores[e.sold_store as usize].city.price_level;
        let consumed = i64::from(e.redeemed.count_ones()) * p.unit_list_price_fen(level);
        (e.paid_fen - consumed).clamp(0, e.carrying_fen(e.refund_open))
    }

    /// Gives what is left to another member of the same store.
    pub(crate) fn transfer(&mut self, slot: u32, generation: u32, at: i64) {
        let Some(e) = self.entitlements.current(slot, generation) else { return };
        let (from, units) = (e.member, e.available());
        if units == 0 || e.held != 0 || e.refund_open != 0 || from == NONE {
            return;
        }
        let near = &self.regulars[self.members[from as usize].home_store as usize];
        let to = near[self.rng.usize(..near.len())];
        if to == from || !self.active(to) {
            return;
        }
        let order = self.order_event(slot, "transferred", units, at);
        let (from_id, to_id) = (self.members[from as usize].id, self.members[to as usize].id);
        self.emit(&Event::Order(Order {
            member_id: Some(Id(to_id)),
            from_member_id: Some(Id(from_id)),
            to_member_id: Some(Id(to_id)),
            ..order
        }));
        self.unlink(slot);
        self.link(slot, to);
    }

    /// Takes a redemption back (R7): the unit is available again, or expired if its time has ended since.
    pub(crate) fn reverse(&mut self, n: u32, at: i64) {
        let r = self.reversals[n as usize];
        self.free_reversals.push(n);
        let id = self.ids.next(at);
        let e = &mut self.entitlements[r.entitlement];
        e.pins -= 1;
        let remaining = e.remaining();
        e.redeemed &= !(1 << (r.ordinal - 1));
        let e = &self.entitlements[r.entitlement];
        let value = e.value(r.ordinal);
        let p = &self.world.products[e.product as usize];
        let t = p.template;
        let (sold, store) = (&self.world.stores[e.sold_store as usize], &self.world.stores[r.store as usize]);
        let text = |s: &str| Some(Text::from(s.to_owned()));
        let part = |fen: i64, paid: i64| (paid != 0).then_some(fen);
        let reversed = Redemption {
            redemption_id: Some(Id(r.redemption_id)),
            order_id: Some(Id(e.order)),
            entitlement_id: Some(Id(e.id)),
            unit_ordinal: Some(r.ordinal.into()),
            sold_store_id: text(&sold.id),
            redeemed_store_id: text(&store.id),
            product_id: text(&p.id),
            product_version: Some(e.version.into()),
            product_type: text(t.kind.name()),
            skill: t.skill.map(|s| SKILLS[s as usize].into()),
            member_id: self.members.get(e.member as usize).map(|m| Id(m.id)),
            clerk_id: text(&store.clerks[0].0),
            seller_id: sold.technicians.get(e.seller as usize).and_then(|t| text(&t.id)),
            technician_id: store.technicians.get(r.technician as usize).and_then(|t| text(&t.id)),
            remaining_before: Some(remaining),
            remaining_after: Some(remaining + 1),
            valid_until: (e.valid_until != super::entitlements::PERMANENT).then(|| Instant::from_secs(e.valid_until)),
            value_fen: Some(value.paid_fen),
            principal_fen: part(value.principal_fen, e.principal_fen),
            bonus_fen: part(value.bonus_fen, e.bonus_fen),
            points_fen: part(value.points_fen, e.points_fen.into()),
            coupon_fen: part(value.coupon_fen, e.coupon_fen.into()),
            vat_rate_bp: Some(catalog::vat_rate_bp(t.kind)),
            list_price_fen: Some(p.unit_list_price_fen(store.city.price_level)),
            sold_at: Some(Instant::from_secs(e.sold_at)),
            service_start_at: (t.minutes > 0).then(|| Instant::from_secs(r.at)),
            service_minutes: (t.minutes > 0).then_some(t.minutes.into()),
            channel: Some("till".into()),
            original_event_id: Some(Id(r.event_id)),
            original_redeemed_at: Some(Instant::from_secs(r.at)),
            reason: Some("redeemed by mistake".into()),
            ..Redemption::new(self.config.source.clone(), id, "reversed", Chain::moment(at))
        };
        let at_once = p.at_once();
        self.emit(&Event::Redemption(reversed));
        if at_once {
            // Nobody keeps a single service that was taken back: the money goes back too.
            let generation = self.entitlements[r.entitlement].generation;
            self.schedule(at + 30, What::RequestRefund { slot: r.entitlement, generation });
        }
        self.expire_leftover(r.entitlement, at);
    }

    /// Head office corrects some redemptions of the locked month (R7).
    pub(crate) fn adjust(&mut self, at: i64) {
        // Those of before this month, whose period is locked.
        let locked: Vec<Sampled> = self.sampled.drain(..).collect();
        let month_began = self.midnight(self.day - 9);
        for s in locked.into_iter().filter(|s| s.at < month_began).take(2) {
            let id = self.ids.next(at);
            let store = &self.world.stores[s.store as usize];
            let sold = &self.world.stores[s.sold_store as usize];
            let p = &self.world.products[s.product as usize];
            let text = |s: &str| Some(Text::from(s.to_owned()));
            let adjusted = Redemption {
                redemption_id: Some(Id(s.redemption_id)),
                order_id: Some(Id(s.order)),
                entitlement_id: Some(Id(s.entitlement)),
                unit_ordinal: Some(s.ordinal.into()),
                sold_store_id: text(&sold.id),
                redeemed_store_id: text(&store.id),
                product_id: text(&p.id),
                product_version: Some(s.version.into()),
                product_type: text(p.template.kind.name()),
                member_id: self.members.get(s.member as usize).map(|m| Id(m.id)),
                clerk_id: Some("HQ-C1".into()),
                value_fen: Some(-s.value_fen / 5),
                original_event_id: Some(Id(s.event_id)),
                original_redeemed_at: Some(Instant::from_secs(s.at)),
                bearing_entity_id: text(&store.entity),
                reason: Some("complaint about the service".into()),
                ..Redemption::new(self.config.source.clone(), id, "adjusted", Chain::moment(at))
            };
            self.emit(&Event::Redemption(adjusted));
        }
    }
}
