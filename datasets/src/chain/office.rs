//! Head office and the members' desk: what is planned for certain days, and what members change about themselves.

use event::{CatalogEntry, Day, Decision, Event, Id, Instant, Order, Text};

use super::catalog;
use super::cities::moved;
use super::entitlements::NONE;
use super::products::Validity;
use super::sim::{Chain, Entry, Member, Standing, TIERS, What, phone_hash, poisson, starts};
use super::world::{group_of, pick};

/// Something head office does on a day.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Matter {
    CrossStoreOn,
    OpenStore(u16),
    /// A store that was forgotten gets its products.
    Widen,
    NewYear,
    NewPrice,
    LeaveRoster,
    /// The month before gets a state.
    Period(Period),
    Adjust,
    ScheduleRun,
    Recommendation {
        accepted: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Period {
    Drafted,
    Confirmed,
    Disputed,
    Locked,
}

/// Share of the members who are there when the history begins.
const FIRST_MEMBERS: f64 = 0.35;

impl Chain {
    /// Puts what is known beforehand into the agenda.
    pub(crate) fn plan(&mut self) {
        let days = self.config.days as i32;
        let at_day = |share: f64| (f64::from(days) * share) as i32;
        self.on(self.config.cross_store_after_days as i32, 8 * 3600, Matter::CrossStoreOn);
        for s in 1..self.world.stores.len() {
            if self.world.stores[s].opens_on > 0 {
                self.on(self.world.stores[s].opens_on, 8 * 3600, Matter::OpenStore(s as u16));
            }
        }
        self.on(at_day(0.5), 7 * 3600, Matter::NewPrice);
        self.on(at_day(0.6), 7 * 3600, Matter::LeaveRoster);
        self.on(at_day(0.75), 7 * 3600, Matter::Widen);
        for index in 1..days {
            let (_, month, of_month) = self.day_of(index).ymd();
            match of_month {
                1 => {
                    self.on(index, 9 * 3600, Matter::Period(Period::Drafted));
                    if month == 1 {
                        self.on(index, 4 * 3600, Matter::NewYear);
                    }
                }
                3 => self.on(index, 10 * 3600, Matter::Period(Period::Confirmed)),
                4 => self.on(index, 10 * 3600, Matter::Period(Period::Disputed)),
                8 => self.on(index, 9 * 3600, Matter::Period(Period::Locked)),
                10 => self.on(index, 10 * 3600, Matter::Adjust),
                15 => self.on(index, 11 * 3600, Matter::Recommendation { accepted: month % 3 != 0 }),
                _ => {}
            }
            if self.day_of(index).iso_weekday() == 1 {
                self.on(index, 8 * 3600, Matter::ScheduleRun);
            }
            self.plan_members(index);
        }
    }

    fn on(&mut self, index: i32, at: u32, matter: Matter) {
        if (0..self.config.days as i32).contains(&index) {
            self.agenda_on(index, Entry { at, what: What::Office(matter) });
        }
    }

    /// Who joins, changes, merges or leaves on a day.
    fn plan_members(&mut self, index: i32) {
        let members = f64::from(self.config.members);
        let joining = members * (1.0 - FIRST_MEMBERS);
        let upto = |share: f64| (joining * share).round() as u32;
        let joins = upto(self.activity_until(index)) - upto(self.activity_until(index - 1));
        for _ in 0..joins {
            let store = self.store_for_member(index);
            let at = self.world.stores[store as usize].time_of_day(&mut self.rng);
            self.agenda_on(index, Entry { at, what: What::Join { store } });
        }
        // One in seven moves or changes tier within a year; few are merged or leave. Also a small chain sees each now and then.
        let now_and_then = u32::from(index % (self.config.days as i32 / 6).max(1) == 1);
        for (rate, at_least, what) in
            [(0.0004, 0, What::Change), (0.000_01, now_and_then, What::Merge), (0.000_01, now_and_then, What::Erase)]
        {
            for _ in 0..poisson(&mut self.rng, members * rate).max(at_least) {
                let at = self.rng.u32(9 * 3600..21 * 3600);
                self.agenda_on(index, Entry { at, what });
            }
        }
    }

    /// A store that is open by then, by size.
    fn store_for_member(&mut self, index: i32) -> u16 {
        let total: f64 = self.world.stores.iter().map(|s| s.weight).sum();
        loop {
            let mut left = self.rng.f64() * total;
            let found = self.world.stores.iter().position(|s| {
                left -= s.weight;
                left < 0.0
            });
            let s = found.unwrap_or(1).max(1);
            // The first two stores are open from the start.
            if self.world.stores[s].opens_on <= index {
                return s as u16;
            }
        }
    }

    /// The members whom the chain has already.
    pub(crate) fn first_members(&mut self, at: i64) {
        let count = (f64::from(self.config.members) * FIRST_MEMBERS) as u32;
        for _ in 0..count {
            let store = self.store_for_member(0);
            self.add_member(store, at);
        }
    }

    /// What the former system still owed its members, as one sum per store: it is not redeemed here.
    pub(crate) fn opening_balances(&mut self, at: i64) {
        let stored_value = self.world.products.iter().find(|p| p.stored_value()).map(|p| p.id.clone()).unwrap_or_default();
        for s in 1..self.world.stores.len() {
            if self.world.stores[s].opens_on > 0 {
                continue;
            }
            let units = self.rng.i32(5..60);
            let balance = Order {
                sold_store_id: Some(self.world.stores[s].id.clone().into()),
                product_id: Some(format!("{stored_value}-OLD").into()),
                product_type: Some("stored_value".into()),
                kind: Some("stored_value".into()),
                units: Some(units),
                carrying_fen: Some(i64::from(units) * self.rng.i64(8_000..25_000)),
                reason: Some("balance of the former system".into()),
                ..Order::new(self.config.source.clone(), self.ids.next(at), "opening_balance", Chain::moment(at))
            };
            self.emit(&Event::Order(balance));
        }
    }

    pub(crate) fn join(&mut self, store: u16, at: i64) {
        let member = self.add_member(store, at);
        if self.world.stores[store as usize].open_on(self.today(), self.day) {
            let soon = at + self.rng.i64(60..600);
            self.schedule(soon, What::Visit { member, store });
        }
    }

    fn add_member(&mut self, store: u16, at: i64) -> u32 {
        let (neighbourhood, home) = self.draw_home(store);
        let member = Member {
            id: self.ids.next(at),
            phone: self.rng.u64(..),
            home,
            joined_on: self.day.max(0),
            head: NONE,
            store,
            home_store: store,
            neighbourhood,
            tier: 0,
            standing: Standing::Active,
        };
        let m = self.members.len() as u32;
        self.members.push(member);
        self.regulars[store as usize].push(m);
        self.write_member(m, "joined", at);
        m
    }

    /// A home in one of the store's neighbourhoods; some never tell.
    fn draw_home(&mut self, store: u16) -> (u8, (f64, f64)) {
        let near = &self.world.stores[store as usize].neighbourhoods;
        // The first ones are the larger.
        let n = pick([0.35, 0.6, 0.78, 0.9, 1.0], self.rng.f64()).min(near.len() - 1);
        let home = moved(near[n].at, self.rng.f64() * 0.5 - 0.25, self.rng.f64() * 0.5 - 0.25);
        (n as u8, if self.rng.u32(0..100) < 3 { (f64::NAN, f64::NAN) } else { home })
    }

    fn write_member(&mut self, m: u32, event_type: &'static str, at: i64) {
        let id = self.ids.next(at);
        let member = &self.members[m as usize];
        let known = !member.home.0.is_nan();
        let near = &self.world.stores[member.home_store as usize].neighbourhoods;
        let record = event::Member {
            member_id: Some(Id(member.id)),
            joined_on: Some(self.day_of(member.joined_on)),
            joined_store_id: Some(self.world.stores[member.store as usize].id.as_str().into()),
            home_lat: known.then_some(member.home.0),
            home_lon: known.then_some(member.home.1),
            neighbourhood: near.get(member.neighbourhood as usize).filter(|_| known).map(|n| n.name.as_str().into()),
            tier: Some(TIERS[member.tier as usize].into()),
            phone_hash: Some(phone_hash(member.phone).into()),
            ..event::Member::new(self.config.source.as_str(), id, event_type, Chain::moment(at))
        };
        let event = Event::Member(record);
        self.chunks.push(event.stream(), |out| event.encode(out));
    }

    /// One member moves house or reaches a tier.
    pub(crate) fn change_member(&mut self, at: i64) {
        let Some(m) = self.some_member(|_| true) else { return };
        let from = self.members[m as usize].home_store;
        if self.rng.bool() || self.members[m as usize].tier as usize + 1 == TIERS.len() {
            let near = &self.world.stores[from as usize].neighbours;
            let near: Vec<u16> =
                near.iter().take(3).copied().filter(|s| self.world.stores[*s as usize].opens_on <= self.day).collect();
            let to = if near.is_empty() { from } else { near[self.rng.usize(..near.len())] };
            let (neighbourhood, home) = self.draw_home(to);
            let member = &mut self.members[m as usize];
            (member.neighbourhood, member.home, member.home_store) = (neighbourhood, home, to);
            self.regulars[from as usize].retain(|other| *other != m);
            self.regulars[to as usize].push(m);
        } else {
            self.members[m as usize].tier += 1;
        }
        self.write_member(m, "changed", at);
    }

    /// Any active member for whom `suits` holds.
    fn some_member(&mut self, suits: impl Fn(&Member) -> bool) -> Option<u32> {
        for _ in 0..200 {
            let m = self.rng.usize(..self.members.len().max(1));
            if self.members.get(m).is_some_and(|member| member.standing == Standing::Active && suits(member)) {
                return Some(m as u32);
            }
        }
        None
    }

    /// Two cards of one person become one member, who gets all entitlements.
    pub(crate) fn merge_members(&mut self, at: i64) {
        let Some(from) = self.some_member(|_| true) else { return };
        let store = self.members[from as usize].home_store;
        let regulars = &self.regulars[store as usize];
        let into = regulars[self.rng.usize(..regulars.len())];
        if into == from || !self.active(into) {
            return;
        }
        let merged = event::Member {
            member_id: Some(Id(self.members[from as usize].id)),
            merged_into_member_id: Some(Id(self.members[into as usize].id)),
            ..event::Member::new(self.config.source.clone(), self.ids.next(at), "merged", Chain::moment(at))
        };
        self.emit(&Event::Member(merged));
        while self.members[from as usize].head != NONE {
            let slot = self.members[from as usize].head;
            self.unlink(slot);
            self.link(slot, into);
        }
        self.leave(from, Standing::Merged);
    }

    /// A member without entitlements asks to be forgotten.
    pub(crate) fn erase_member(&mut self, at: i64) {
        let Some(m) = self.some_member(|member| member.head == NONE) else { return };
        let erased = event::Member {
            member_id: Some(Id(self.members[m as usize].id)),
            ..event::Member::new(self.config.source.clone(), self.ids.next(at), "erased", Chain::moment(at))
        };
        self.emit(&Event::Member(erased));
        self.leave(m, Standing::Erased);
    }

    fn leave(&mut self, m: u32, standing: Standing) {
        let home = self.members[m as usize].home_store;
        self.members[m as usize].standing = standing;
        self.regulars[home as usize].retain(|other| *other != m);
    }

    pub(crate) fn office(&mut self, matter: Matter, at: i64) {
        match matter {
            Matter::CrossStoreOn => {
                if !self.cross_store {
                    self.cross_store = true;
                    self.put(CatalogEntry { enabled: Some(true), ..catalog::entry("cross_store", "chain") }, at, at);
                }
            }
            Matter::OpenStore(s) => {
                let group = group_of(s, self.world.stores.len());
                self.add_to_products(s, at, |p| p.group == group && (p.creator == 0 || p.creator == s));
            }
            Matter::Widen => self.widen(at),
            Matter::NewYear => self.new_year(at),
            Matter::NewPrice => self.new_price(at),
            Matter::LeaveRoster => {
                let shift =
                    self.world.stores.iter().rev().flat_map(|s| &s.technicians).find_map(|t| {
                        t.shifts.iter().position(Option::is_some).map(|weekday| format!("{}/{}", t.id, weekday + 1))
                    });
                if let Some(id) = shift {
                    self.take_away("roster", &id, at);
                }
            }
            Matter::Period(period) => self.period(period, at),
            Matter::Adjust => self.adjust(at),
            Matter::ScheduleRun => {
                self.decide("schedule_run", "weekday_load/weekly".into(), at, |d| {
                    d.report = Some("weekday_load".into());
                    d.outcome = Some("delivered".into());
                });
            }
            Matter::Recommendation { accepted } => {
                let Some((p, s)) = self.left_out() else { return };
                let (product, store) = (self.world.products[p].id.clone(), self.world.stores[s as usize].id.clone());
                let (event_type, reason) =
                    if accepted { ("recommendation_accepted", "trial") } else { ("recommendation_rejected", "no machine there") };
                self.decide(event_type, format!("coverage_gap/{product}/{store}"), at, |d| {
                    (d.product_id, d.store_id) = (Some(product.into()), Some(store.into()));
                    d.reason = Some(reason.into());
                });
            }
        }
    }

    /// Adds a store to products and says so in the catalog; orders already sold profit (R3).
    fn add_to_products(&mut self, s: u16, at: i64, wanted: impl Fn(&super::products::Product) -> bool) {
        for p in 0..self.world.products.len() {
            let product = &self.world.products[p];
            if !wanted(product) || product.reaches[s as usize] || !self.world.stores[s as usize].does(product.template.skill) {
                continue;
            }
            self.world.products[p].put(s);
            self.product_changed(p);
            if !self.world.products[p].at_once() {
                self.put(catalog::applicable_stores(&self.world, p), at, at);
            }
            if self.world.stores[s as usize].city.price_level != 1.0 {
                self.put(catalog::price(&self.world.products[p], &self.world.stores[s as usize]), at, at);
            }
        }
        self.world.arrange_shelves();
    }

    /// A product that a forgotten store could serve, and the store.
    fn left_out(&self) -> Option<(usize, u16)> {
        (1..self.world.stores.len() as u16).filter(|s| self.world.stores[*s as usize].left_out).find_map(|s| {
            let group = group_of(s, self.world.stores.len());
            let missing = |p: &super::products::Product| {
                p.crosses() && p.group == group && !p.reaches[s as usize] && self.world.stores[s as usize].does(p.template.skill)
            };
            self.world.products.iter().position(missing).map(|p| (p, s))
        })
    }

    fn widen(&mut self, at: i64) {
        let Some((p, s)) = self.left_out() else { return };
        let forgotten = self.world.stores.iter().filter(|s| s.left_out).count();
        let group = group_of(s, self.world.stores.len());
        let only = self.world.products[p].id.clone();
        // Where there is one such store only, most of its gap stays to be found.
        self.add_to_products(s, at, |p| p.crosses() && p.group == group && (forgotten > 1 || p.id == only));
    }

    /// Products of a calendar year get the new year's version.
    fn new_year(&mut self, at: i64) {
        for p in 0..self.world.products.len() {
            if self.world.products[p].template.validity == Validity::Year {
                self.world.products[p].version += 1;
                self.put(catalog::product(&self.world, p, self.today()), at, starts(self.today().0));
            }
        }
    }

    /// The best-selling card becomes a tenth dearer; what was sold keeps its version.
    fn new_price(&mut self, at: i64) {
        for p in 0..self.world.products.len() {
            if !std::ptr::eq(self.world.products[p].template, &super::products::TEMPLATES[0]) {
                continue;
            }
            self.world.products[p].version += 1;
            self.world.products[p].price_fen += self.world.products[p].price_fen / 10;
            self.put(catalog::product(&self.world, p, self.today()), at, at);
            for s in self.world.products[p].stores.clone() {
                if self.world.stores[s as usize].city.price_level != 1.0 {
                    self.put(catalog::price(&self.world.products[p], &self.world.stores[s as usize]), at, at);
                }
            }
        }
    }

    /// The month before goes on to its next state, entity by entity.
    fn period(&mut self, period: Period, at: i64) {
        let first_of_this = Day(self.today().0 - self.today().ymd().2 as i32 + 1);
        let to = Day(first_of_this.0 - 1);
        let from = Day(to.0 - to.ymd().2 as i32 + 1);
        let mut entities: Vec<String> = self.world.stores.iter().map(|s| s.entity.clone()).collect();
        entities.sort_unstable();
        entities.dedup();
        for (i, entity) in entities.into_iter().enumerate() {
            let event_type = match period {
                Period::Drafted => "period_drafted",
                Period::Confirmed => "period_confirmed",
                // One entity in five looks again and settles on the same day.
                Period::Disputed if i % 5 != 1 => continue,
                Period::Disputed => "period_disputed",
                Period::Locked => "period_locked",
            };
            let month = to.month();
            let mut decide = |event_type, at| {
                let entity = entity.clone();
                self.decide(event_type, format!("settlement/{month}/{entity}"), at, |d| {
                    (d.period_from, d.period_to) = (Some(from), Some(to));
                    d.entity_id = Some(entity.into());
                });
            };
            decide(event_type, at);
            if period == Period::Disputed {
                decide("period_confirmed", at);
            }
        }
    }

    fn decide(&mut self, event_type: &'static str, subject: String, at: i64, fill: impl FnOnce(&mut Decision<'static>)) {
        let id = self.ids.next(at);
        let mut decision = Decision {
            subject: Some(Text::from(subject)),
            decided_by: Some("HQ-C1".into()),
            ..Decision::new(
                self.config.source.clone(),
                id,
                event_type,
                Instant::from_secs(at).with_offset(super::line::OFFSET_MIN),
            )
        };
        fill(&mut decision);
        self.emit(&Event::Decision(decision));
    }
}
