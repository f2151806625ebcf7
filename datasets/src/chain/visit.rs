//! A member comes to a store: redeems what may be redeemed there, is refused, or buys.

use event::{Event, Refusal, Stream};

use super::catalog;
use super::entitlements::{Entitlement, NONE, PERMANENT};
use super::line::{Line, key};
use super::products::{SKILLS, Validity};
use super::sale::{MINI_APP, TILL};
use super::sim::{CHANNELS, Chain, Reversal, Sampled, Standing, What, starts};

const DAY: i64 = 86_400;

/// Why an entitlement is of no use here and now; codes and rules are those of `redemption::Refusal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    NotApplicable,
    SoldStoreOnly,
    RefundOpen,
    Blackout,
    Held,
    Expired,
    NoUnitsLeft,
    UnknownCode,
}

impl Blocked {
    fn code_and_rule(self) -> (&'static str, &'static str) {
        match self {
            Blocked::NotApplicable => ("store_not_applicable", "R3"),
            Blocked::SoldStoreOnly => ("sold_store_only", "R3"),
            Blocked::RefundOpen => ("refund_open", "R6"),
            Blocked::Blackout => ("blacked_out", "R5"),
            Blocked::Held => ("held_elsewhere", "R3"),
            Blocked::Expired => ("expired", "R5"),
            Blocked::NoUnitsLeft => ("no_units_left", "R1"),
            Blocked::UnknownCode => ("unknown_code", "R10"),
        }
    }
}

impl Chain {
    pub(crate) fn active(&self, member: u32) -> bool {
        self.members[member as usize].standing == Standing::Active
    }

    /// Whether R3 lets a unit be redeemed at a store today.
    pub(crate) fn applicable(&self, e: &Entitlement, store: u16) -> bool {
        let product = &self.world.products[e.product as usize];
        if self.cross_store && product.crosses() { product.reaches[store as usize] } else { e.sold_store == store }
    }

    /// Whether a unit may be taken at a store now, and if not, why.
    pub(crate) fn usable(&self, e: &Entitlement, store: u16, at: i64) -> Result<(), Blocked> {
        if !self.applicable(e, store) {
            let crosses = self.cross_store && self.world.products[e.product as usize].crosses();
            Err(if crosses { Blocked::NotApplicable } else { Blocked::SoldStoreOnly })
        } else if e.refund_open != 0 {
            Err(Blocked::RefundOpen)
        } else if e.valid_until <= at {
            Err(Blocked::Expired)
        } else if self.world.products[e.product as usize].blacked_out(self.day_of(self.index_of(at))) {
            Err(Blocked::Blackout)
        } else if e.available() == 0 {
            Err(if e.held != 0 { Blocked::Held } else { Blocked::NoUnitsLeft })
        } else {
            Ok(())
        }
    }

    /// The member's first entitlement that may be used at a store, or the last reason why none may.
    pub(crate) fn find_usable(&self, member: u32, store: u16, at: i64) -> Result<u32, Option<(u32, Blocked)>> {
        let mut blocked = None;
        let mut slot = self.members[member as usize].head;
        while slot != NONE {
            let e = &self.entitlements[slot];
            // Stored value is not redeemed by unit.
            if !self.world.products[e.product as usize].stored_value() {
                match self.usable(e, store, at) {
                    Ok(()) => return Ok(slot),
                    Err(reason) => blocked = Some((slot, reason)),
                }
            }
            slot = e.next;
        }
        Err(blocked)
    }

    pub(crate) fn visit(&mut self, member: u32, store: u16, at: i64) {
        if !self.active(member) {
            return;
        }
        match self.find_usable(member, store, at) {
            Ok(slot) => self.use_card(member, slot, store, at),
            Err(Some((slot, reason))) if self.rng.u32(0..100) < 40 => {
                self.refuse(store, Some(slot), member, reason, at);
                if matches!(reason, Blocked::NotApplicable | Blocked::SoldStoreOnly) && self.rng.u32(0..100) < 30 {
                    self.go_elsewhere(member, slot, store, at);
                }
            }
            Err(_) => self.buy(member, store, at),
        }
    }

    fn use_card(&mut self, member: u32, slot: u32, store: u16, at: i64) {
        let (product, several) = {
            let e = &self.entitlements[slot];
            (e.product, e.available().count_ones() >= 2)
        };
        let channel = if self.rng.u32(0..100) < 25 { MINI_APP } else { TILL };
        let units = if several && self.rng.u32(0..100) < 4 { 2 } else { 1 };
        self.redeem(slot, units, store, None, channel, at);
        let last = self.entitlements[slot].remaining() == 0;
        let at_counter = at + self.rng.i64(60..900);
        // Half renew with the last unit, where they are.
        if last && self.world.products[product as usize].reaches[store as usize] && self.rng.bool() {
            self.sell(product, store, member, TILL, at);
        } else if self.rng.u32(0..100) < 22 {
            self.schedule(at_counter, What::WalkIn { store });
        }
        if last && self.rng.u32(0..100) < 5 {
            let again = at + self.rng.i64(DAY..20 * DAY);
            self.schedule(again, What::TooLate { member, product, store, expired: false });
        }
    }

    fn buy(&mut self, member: u32, store: u16, at: i64) {
        match self.rng.u32(0..100) {
            0..=44 => {
                let Some(product) = self.choose(store, false) else { return };
                if self.sell(product, store, member, TILL, at).is_some() && self.rng.u32(0..100) < 75 {
                    let soon = at + self.rng.i64(120..900);
                    self.schedule(soon, What::Visit { member, store });
                }
            }
            45..=95 => {
                if let Some(product) = self.choose(store, true) {
                    self.sell(product, store, member, TILL, at);
                }
            }
            _ => self.refuse(store, None, member, Blocked::UnknownCode, at),
        }
    }

    /// Somebody unknown, or a member on the way out, buys something at the till.
    pub(crate) fn walk_in(&mut self, store: u16, at: i64) {
        if let Some(product) = self.choose(store, true) {
            self.sell(product, store, NONE, TILL, at);
        }
    }

    /// Tries again within the week at the nearest store that is applicable, if one is within reach.
    fn go_elsewhere(&mut self, member: u32, slot: u32, store: u16, at: i64) {
        let e = &self.entitlements[slot];
        let near = &self.world.stores[store as usize].neighbours;
        if let Some(other) = near.iter().take(4).copied().find(|s| self.applicable(e, *s)) {
            let later = at + self.rng.i64(1..7) * DAY;
            let day = self.index_of(later);
            if self.world.stores[other as usize].open_on(self.day_of(day), day) {
                let second = self.world.stores[other as usize].time_of_day(&mut self.rng);
                let later = self.midnight(day) + i64::from(second);
                self.schedule(later, What::Visit { member, store: other });
            }
        }
    }

    /// Somebody asks for units that are no longer there.
    pub(crate) fn too_late(&mut self, member: u32, product: u16, store: u16, expired: bool, at: i64) {
        let open = self.world.stores[store as usize].open_on(self.today(), self.day);
        if self.active(member) && open && self.members[member as usize].head == NONE {
            let reason = if expired { Blocked::Expired } else { Blocked::NoUnitsLeft };
            self.write_refusal(store, None, Some(product), member, reason, at);
        }
    }

    pub(crate) fn refuse(&mut self, store: u16, slot: Option<u32>, member: u32, reason: Blocked, at: i64) {
        self.write_refusal(store, slot, None, member, reason, at);
    }

    fn write_refusal(&mut self, store: u16, slot: Option<u32>, product: Option<u16>, member: u32, reason: Blocked, at: i64) {
        let id = self.ids.next(at);
        let source = self.config.source.clone();
        let clerk = self.rng.usize(..self.world.stores[store as usize].clerks.len());
        let s = &self.world.stores[store as usize];
        let e = slot.map(|slot| &self.entitlements[slot]);
        let product = e.map(|e| e.product).or(product).map(|p| &self.world.products[p as usize]);
        let minutes = product.map(|p| i32::from(p.template.minutes)).filter(|m| *m > 0);
        let (code, rule) = reason.code_and_rule();
        let refusal = Refusal {
            store_id: Some(s.id.as_str().into()),
            product_id: product.map(|p| p.id.as_str().into()),
            member_id: (reason != Blocked::UnknownCode).then(|| event::Id(self.members[member as usize].id)),
            order_id: e.map(|e| event::Id(e.order)),
            entitlement_id: e.map(|e| event::Id(e.id)),
            reason: Some(code.into()),
            rule: Some(rule.into()),
            wished_start_at: minutes.map(|_| event::Instant::from_secs(at)),
            service_minutes: minutes,
            clerk_id: Some(s.clerks[clerk].0.as_str().into()),
            terminal_id: Some(format!("{}-POS{}", s.id, clerk + 1).into()),
            units: Some(1),
            channel: Some("till".into()),
            ..Refusal::new(source.as_str(), id, "refused", Chain::moment(at))
        };
        let event = Event::Refusal(refusal);
        self.chunks.push(event.stream(), |out| event.encode(out));
    }

    /// Redeems units; `booked` is the ordinal that a booking holds here and its technician.
    pub(crate) fn redeem(&mut self, slot: u32, units: u8, store: u16, booked: Option<(u8, u8)>, channel: u8, at: i64) {
        let redemption_id = self.ids.next(at);
        for _ in 0..units {
            let e = &self.entitlements[slot];
            let Some(ordinal) = booked.map(|(ordinal, _)| ordinal).or_else(|| e.next_unit()) else { return };
            let (product, generation) = (e.product, e.generation);
            let technician = match booked {
                Some((_, technician)) => Some(technician),
                None => self.technician(store, product),
            };
            let remaining = self.entitlements[slot].remaining();
            let bit = 1 << (ordinal - 1);
            let first_use = match self.world.products[product as usize].template.validity {
                Validity::FromFirstUse(days) if self.entitlements[slot].valid_until == PERMANENT => Some(days),
                _ => None,
            };
            let ends = starts(self.today().0 + i32::from(first_use.unwrap_or(0)) + 1);
            let e = &mut self.entitlements[slot];
            e.redeemed |= bit;
            e.held &= !bit;
            if first_use.is_some() {
                e.valid_until = ends;
                self.schedule(ends + 60, What::Expire { slot, generation });
            }
            let event_id = self.ids.next(at);
            let clerk = self.rng.usize(..self.world.stores[store as usize].clerks.len());
            self.write_redeemed(
                slot,
                Taken {
                    event_id,
                    redemption_id,
                    ordinal,
                    remaining,
                    store,
                    technician,
                    clerk,
                    channel,
                    at,
                    booked: booked.is_some(),
                },
            );
            let reversed = units == 1
                && self.rng.u32(0..1000) < 9
                && self.plan_reversal(slot, event_id, redemption_id, ordinal, store, technician, at);
            if !reversed && self.rng.u32(0..200) == 0 {
                self.sample(slot, event_id, redemption_id, ordinal, store, at);
            }
        }
        self.close_if_done(slot);
    }

    #[expect(clippy::too_many_arguments, reason = "the facts of one redemption, stored as they are")]
    fn plan_reversal(
        &mut self,
        entitlement: u32,
        event_id: i64,
        redemption_id: i64,
        ordinal: u8,
        store: u16,
        technician: Option<u8>,
        at: i64,
    ) -> bool {
        let reversal =
            Reversal { entitlement, event_id, redemption_id, at, store, ordinal, technician: technician.unwrap_or(255) };
        let n = match self.free_reversals.pop() {
            Some(n) => {
                self.reversals[n as usize] = reversal;
                n
            }
            None => {
                self.reversals.push(reversal);
                (self.reversals.len() - 1) as u32
            }
        };
        // Most mistakes are seen at once, some the next morning: inside the window of 24 h (R7).
        let seen = if self.rng.u32(0..5) == 0 {
            let opens = self.midnight(self.day + 1) + i64::from(self.world.stores[store as usize].open_minute) * 60;
            (opens + self.rng.i64(0..1800)).min(at + 23 * 3600)
        } else {
            at + self.rng.i64(60..1800)
        };
        if self.schedule(seen, What::Reverse(n)) {
            self.entitlements[entitlement].pins += 1;
            true
        } else {
            self.free_reversals.push(n);
            false
        }
    }

    fn sample(&mut self, slot: u32, event_id: i64, redemption_id: i64, ordinal: u8, store: u16, at: i64) {
        let e = &self.entitlements[slot];
        let sampled = Sampled {
            event_id,
            redemption_id,
            order: e.order,
            entitlement: e.id,
            member: e.member,
            product: e.product,
            version: e.version,
            sold_store: e.sold_store,
            store,
            ordinal,
            value_fen: e.value(ordinal).paid_fen,
            at,
        };
        if self.sampled.len() < 16 {
            self.sampled.push(sampled);
        } else {
            let n = self.rng.usize(..16);
            self.sampled[n] = sampled;
        }
    }

    fn write_redeemed(&mut self, slot: u32, taken: Taken) {
        let e = &self.entitlements[slot];
        let (sold, store) = (&self.world.stores[e.sold_store as usize], &self.world.stores[taken.store as usize]);
        let p = &self.world.products[e.product as usize];
        let t = p.template;
        let member = self.members.get(e.member as usize).map(|m| m.id);
        let json = &self.json;
        self.chunks.push(Stream::Redemptions, |out| {
            let mut line = Line(out);
            line.open(&json.source, taken.event_id, "redeemed", taken.at);
            line.id(key!("redemption_id"), taken.redemption_id);
            line.id(key!("order_id"), e.order);
            line.id(key!("entitlement_id"), e.id);
            line.int(key!("unit_ordinal"), taken.ordinal.into());
            line.text(key!("sold_store_id"), &sold.id);
            if taken.booked {
                line.text(key!("booked_store_id"), &store.id);
            }
            line.text(key!("redeemed_store_id"), &store.id);
            line.text(key!("product_id"), &p.id);
            line.int(key!("product_version"), e.version.into());
            line.text(key!("product_type"), t.kind.name());
            if let Some(skill) = t.skill {
                line.text(key!("skill"), SKILLS[skill as usize]);
            }
            if let Some(member) = member {
                line.id(key!("member_id"), member);
            }
            line.text(key!("clerk_id"), &store.clerks[taken.clerk].0);
            if let Some(seller) = sold.technicians.get(e.seller as usize) {
                line.text(key!("seller_id"), &seller.id);
            }
            if let Some(technician) = taken.technician.and_then(|t| store.technicians.get(t as usize)) {
                line.text(key!("technician_id"), &technician.id);
            }
            line.int(key!("remaining_before"), taken.remaining.into());
            line.int(key!("remaining_after"), i64::from(taken.remaining) - 1);
            if e.valid_until != PERMANENT {
                line.instant(key!("valid_until"), e.valid_until);
            }
            let value = e.value(taken.ordinal);
            line.int(key!("value_fen"), value.paid_fen);
            let parts = [
                (key!("principal_fen"), value.principal_fen, e.principal_fen != 0),
                (key!("bonus_fen"), value.bonus_fen, e.bonus_fen != 0),
                (key!("points_fen"), value.points_fen, e.points_fen != 0),
                (key!("coupon_fen"), value.coupon_fen, e.coupon_fen != 0),
            ];
            parts.iter().filter(|(.., paid)| *paid).for_each(|(key, fen, _)| line.int(key, *fen));
            line.int(key!("vat_rate_bp"), catalog::vat_rate_bp(t.kind).into());
            line.int(key!("list_price_fen"), p.unit_list_price_fen(store.city.price_level));
            line.instant(key!("sold_at"), e.sold_at);
            if t.minutes > 0 {
                line.instant(key!("service_start_at"), taken.at);
                line.int(key!("service_minutes"), t.minutes.into());
            }
            line.text(key!("channel"), CHANNELS[taken.channel as usize]);
            line.close();
        });
    }
}

/// One unit being redeemed.
#[derive(Clone, Copy, Debug)]
struct Taken {
    event_id: i64,
    redemption_id: i64,
    ordinal: u8,
    /// Units left before it.
    remaining: i32,
    store: u16,
    technician: Option<u8>,
    clerk: usize,
    channel: u8,
    at: i64,
    booked: bool,
}
