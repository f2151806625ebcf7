//! Bookings: a unit and a slot held at one store until the member comes, cancels, moves it or stays away (R4).

use event::{Event, Id, Instant, Refusal};

use super::products::SKILLS;
use super::sale::MINI_APP;
use super::sim::{CHANNELS, Chain, What};

/// A hold. Its slot in the list is used again once it is no longer open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Booking {
    pub id: i64,
    pub entitlement: u32,
    pub store: u16,
    pub ordinal: u8,
    pub technician: u8,
    pub start: i64,
    pub open: bool,
}

const DAY: i64 = 86_400;

/// How a booking may be written.
struct Told<'a> {
    event_type: &'a str,
    /// Store and start before a switch.
    from: Option<(u16, i64)>,
    reason: Option<&'a str>,
}

impl Chain {
    /// Place of a slot's counter: `[day % 32][store][skill][hour]`.
    fn slot_at(&self, store: u16, skill: usize, start: i64) -> usize {
        let day = self.index_of(start);
        let hour = ((start - self.midnight(day)) / 3600) as usize;
        (((day as usize % 32) * self.world.stores.len() + store as usize) * SKILLS.len() + skill) * 24 + hour
    }

    /// An hour in the next fortnight at which a store is open.
    fn wish(&mut self, store: u16, at: i64) -> Option<i64> {
        let day = self.index_of(at) + self.rng.i32(1..14);
        let s = &self.world.stores[store as usize];
        if !s.open_on(self.day_of(day), day) {
            return None;
        }
        let second = s.time_of_day(&mut self.rng).min((s.close_minute - 120) * 60);
        // Slots start on the hour.
        Some(self.midnight(day) + i64::from(second / 3600) * 3600)
    }

    /// Takes a slot if it has room.
    fn take_slot(&mut self, store: u16, skill: usize, start: i64) -> bool {
        let n = self.slot_at(store, skill, start);
        let free = self.slots[n] < self.world.stores[store as usize].capacity[skill];
        self.slots[n] += u8::from(free);
        free
    }

    fn leave_slot(&mut self, b: &Booking) {
        let skill = self.skill_of(b.entitlement);
        let n = self.slot_at(b.store, skill, b.start);
        self.slots[n] = self.slots[n].saturating_sub(1);
    }

    fn skill_of(&self, entitlement: u32) -> usize {
        let product = self.entitlements[entitlement].product;
        self.world.products[product as usize].template.skill.unwrap_or(0) as usize
    }

    /// Books a unit that may be used at the store, if the member has one.
    pub(crate) fn book(&mut self, member: u32, store: u16, at: i64) {
        if !self.active(member) {
            return;
        }
        // Whoever has nothing to book comes in person.
        let Ok(slot) = self.find_usable(member, store, at) else { return self.visit(member, store, at) };
        let Some(start) = self.wish(store, at) else { return };
        let (product, valid_until) = (self.entitlements[slot].product, self.entitlements[slot].valid_until);
        let template = self.world.products[product as usize].template;
        let last = start + i64::from(template.minutes) * 60;
        let blacked_out = self.world.products[product as usize].blacked_out(self.day_of(self.index_of(start)));
        if template.minutes == 0 || last + DAY > valid_until || blacked_out {
            return;
        }
        let skill = self.skill_of(slot);
        if !self.take_slot(store, skill, start) {
            self.write_slot_full(slot, store, start, at);
            return;
        }
        let weekday = self.day_of(self.index_of(start)).iso_weekday() as usize - 1;
        let able = &self.world.stores[store as usize].on_duty[weekday][skill];
        let technician = if able.is_empty() { 255 } else { able[self.rng.usize(..able.len())] };
        let Some(ordinal) = self.entitlements[slot].next_unit() else { return };
        self.entitlements[slot].held |= 1 << (ordinal - 1);
        let booking = Booking { id: self.ids.next(at), entitlement: slot, store, ordinal, technician, start, open: true };
        let n = match self.free_bookings.pop() {
            Some(n) => {
                self.bookings[n as usize] = booking;
                n
            }
            None => {
                self.bookings.push(booking);
                (self.bookings.len() - 1) as u32
            }
        };
        self.write_booking(n, at, Told { event_type: "booked", from: None, reason: None });
        self.plan_outcome(n, at, true);
    }

    /// Draws what will come of a booking. What comes after the history leaves the hold open.
    fn plan_outcome(&mut self, n: u32, at: i64, may_switch: bool) {
        let b = self.bookings[n as usize];
        // Cancelled or moved at some time before, not in the last hour.
        let before = at + self.rng.i64(60..(b.start - 3600 - at).max(120));
        match self.rng.u32(0..100) {
            0..=8 if before < b.start => self.schedule(before, What::Cancel(n)),
            9..=15 if may_switch && before < b.start => self.schedule(before, What::Switch(n)),
            16..=20 => self.schedule(b.start + 1800, What::NoShow(n)),
            _ => {
                let come = b.start + self.rng.i64(-600..600);
                self.schedule(come, What::Arrive(n))
            }
        };
    }

    /// The member comes: the booking's own unit is redeemed.
    pub(crate) fn arrive(&mut self, n: u32, at: i64) {
        let b = self.bookings[n as usize];
        if self.entitlements[b.entitlement].refund_open != 0 {
            return self.free_hold(n, at, "cancelled");
        }
        self.leave_slot(&b);
        self.close_booking(n);
        self.redeem(b.entitlement, 1, b.store, Some((b.ordinal, b.technician)), MINI_APP, at);
    }

    fn close_booking(&mut self, n: u32) {
        self.bookings[n as usize].open = false;
        self.free_bookings.push(n);
    }

    /// Cancelled, or nobody came: the hold is freed once.
    pub(crate) fn free_hold(&mut self, n: u32, at: i64, event_type: &'static str) {
        let b = self.bookings[n as usize];
        self.leave_slot(&b);
        self.entitlements[b.entitlement].held &= !(1 << (b.ordinal - 1));
        let reason = (event_type == "cancelled").then_some("member asked");
        self.write_booking(n, at, Told { event_type, from: None, reason });
        self.close_booking(n);
        self.expire_leftover(b.entitlement, at);
    }

    /// Moves a booking to another time, one in three to another store as well.
    pub(crate) fn switch(&mut self, n: u32, at: i64) {
        let b = self.bookings[n as usize];
        let e = &self.entitlements[b.entitlement];
        let (skill, valid_until, product) = (self.skill_of(b.entitlement), e.valid_until, e.product);
        let minutes = i64::from(self.world.products[product as usize].template.minutes);
        let elsewhere = self.rng.u32(0..3) == 0;
        let near = self.world.stores[b.store as usize].neighbours.iter().take(3).copied();
        let store = near
            .filter(|_| elsewhere)
            .find(|s| self.applicable(e, *s) && self.world.stores[*s as usize].does(Some(skill as u8)))
            .unwrap_or(b.store);
        let start = self.wish(store, at).filter(|start| {
            let day = self.day_of(self.index_of(*start));
            start + minutes * 60 + DAY <= valid_until && !self.world.products[product as usize].blacked_out(day)
        });
        let moved = match start {
            Some(start) if start != b.start && self.take_slot(store, skill, start) => start,
            // Nothing suits: it stays as it is.
            _ => return self.plan_outcome(n, at, false),
        };
        self.leave_slot(&b);
        let weekday = self.day_of(self.index_of(moved)).iso_weekday() as usize - 1;
        let able = &self.world.stores[store as usize].on_duty[weekday][skill];
        let technician = if able.is_empty() { 255 } else { able[self.rng.usize(..able.len())] };
        self.bookings[n as usize] = Booking { store, start: moved, technician, ..b };
        self.write_booking(n, at, Told { event_type: "switched", from: Some((b.store, b.start)), reason: None });
        self.plan_outcome(n, at, false);
    }

    fn write_booking(&mut self, n: u32, at: i64, told: Told<'_>) {
        let id = self.ids.next(at);
        let b = &self.bookings[n as usize];
        let e = &self.entitlements[b.entitlement];
        let p = &self.world.products[e.product as usize];
        let store = &self.world.stores[b.store as usize];
        let instant = |secs: i64| Some(Instant::from_secs(secs));
        let booking = event::Booking {
            booking_id: Some(Id(b.id)),
            order_id: Some(Id(e.order)),
            entitlement_id: Some(Id(e.id)),
            unit_ordinal: Some(b.ordinal.into()),
            booked_store_id: Some(store.id.as_str().into()),
            sold_store_id: Some(self.world.stores[e.sold_store as usize].id.as_str().into()),
            product_id: Some(p.id.as_str().into()),
            skill: p.template.skill.map(|s| SKILLS[s as usize].into()),
            member_id: self.members.get(e.member as usize).map(|m| Id(m.id)),
            start_at: instant(b.start),
            service_minutes: Some(p.template.minutes.into()),
            technician_id: store.technicians.get(b.technician as usize).map(|t| t.id.as_str().into()),
            from_store_id: told.from.map(|(s, _)| self.world.stores[s as usize].id.as_str().into()),
            from_start_at: told.from.and_then(|(_, start)| instant(start)),
            channel: Some(CHANNELS[MINI_APP as usize].into()),
            reason: told.reason.map(Into::into),
            ..event::Booking::new(self.config.source.as_str(), id, told.event_type, Chain::moment(at))
        };
        let event = Event::Booking(booking);
        self.chunks.push(event.stream(), |out| event.encode(out));
    }

    fn write_slot_full(&mut self, slot: u32, store: u16, start: i64, at: i64) {
        let id = self.ids.next(at);
        let e = &self.entitlements[slot];
        let p = &self.world.products[e.product as usize];
        let refusal = Refusal {
            store_id: Some(self.world.stores[store as usize].id.as_str().into()),
            product_id: Some(p.id.as_str().into()),
            member_id: self.members.get(e.member as usize).map(|m| Id(m.id)),
            order_id: Some(Id(e.order)),
            entitlement_id: Some(Id(e.id)),
            reason: Some("slot_full".into()),
            rule: Some("R4".into()),
            wished_start_at: Some(Instant::from_secs(start)),
            service_minutes: Some(p.template.minutes.into()),
            units: Some(1),
            channel: Some(CHANNELS[MINI_APP as usize].into()),
            ..Refusal::new(self.config.source.as_str(), id, "slot_full", Chain::moment(at))
        };
        let event = Event::Refusal(refusal);
        self.chunks.push(event.stream(), |out| event.encode(out));
    }
}
