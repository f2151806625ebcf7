//! The loop: a day's entries in order of time, one after the other, until a chunk is full.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use event::{CatalogEntry, DEFAULT_DAY_START_HOUR, Day, Event, Instant, Moment};
use fastrand::Rng;
use hashbrown::HashMap;
use redemption::UnitState;

use super::calendar::{Format, Special, season, special};
use super::entitlements::{Entitlement, NONE, PERMANENT, Slab};
use super::line::OFFSET_MIN;
use super::products::{SKILLS, Validity};
use super::state::{EntitlementState, FinalState, HoldState, MemberState};
use super::world::{HEAD_OFFICE, World};
use super::{ChainConfig, booking::Booking, catalog};
use crate::chunk::{Chunk, Chunks};

/// What a chain hands out.
#[derive(Clone, Debug)]
pub enum Step {
    /// The next messages of a stream.
    Events(Chunk),
    /// Entitlements with nothing left, if [`ChainConfig::closed_entitlements`] asks for them.
    Closed(Vec<EntitlementState>),
}

/// A chain whose history is being made. Iterate it to the end, then take [`Chain::into_state`].
pub struct Chain {
    pub(crate) config: ChainConfig,
    pub(crate) rng: Rng,
    pub(crate) world: World,
    pub(crate) ids: Ids,
    pub(crate) chunks: Chunks,
    pub(crate) members: Vec<Member>,
    /// Members by the store they live near.
    pub(crate) regulars: Vec<Vec<u32>>,
    pub(crate) entitlements: Slab,
    pub(crate) bookings: Vec<Booking>,
    pub(crate) free_bookings: Vec<u32>,
    /// Bookings per slot: `[day % 32][store][skill][hour]`.
    pub(crate) slots: Vec<u8>,
    pub(crate) reversals: Vec<Reversal>,
    pub(crate) free_reversals: Vec<u32>,
    /// Some redemptions of late, for head office to adjust.
    pub(crate) sampled: Vec<Sampled>,
    pub(crate) catalog: BTreeMap<(String, String), CatalogEntry<'static>>,
    pub(crate) json: Fragments,
    /// Shared texts of the states handed out.
    names: Names,
    closed: Vec<EntitlementState>,
    agenda: Vec<Vec<Entry>>,
    today: VecDeque<Entry>,
    later: BinaryHeap<Reverse<(u32, u32)>>,
    later_entries: Vec<What>,
    pub(crate) day: i32,
    pub(crate) cross_store: bool,
    /// How much of the whole history's activity lies before the end of each day.
    until: Vec<f64>,
    visits: u64,
    opening_events: u64,
    done: bool,
}

/// JSON written once: quoted, ready to be copied into lines.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    /// Quoted.
    pub source: String,
    /// Per product, the snapshot of its applicable stores.
    pub applicable: Vec<String>,
    /// Per product, its blackout windows, or nothing.
    pub blackouts: Vec<String>,
}

#[derive(Debug, Default)]
struct Names {
    stores: Vec<Arc<str>>,
    products: Vec<Arc<str>>,
    applicable: Vec<Arc<[Arc<str>]>>,
    /// Each store alone, for what redeems only where it was sold.
    alone: Vec<Arc<[Arc<str>]>>,
}

/// Time-ordered ids as live producers make them, counting on within a millisecond.
#[derive(Debug, Default)]
pub(crate) struct Ids(i64);

impl Ids {
    pub(crate) fn next(&mut self, at: i64) -> i64 {
        self.0 = (self.0 + 1).max(event::first_id_at(Instant::from_secs(at)));
        self.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Active,
    Merged,
    Erased,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub id: i64,
    pub phone: u64,
    /// Degrees; not a number where the home is not known.
    pub home: (f64, f64),
    pub joined_on: i32,
    /// First of the entitlements.
    pub head: u32,
    pub store: u16,
    pub home_store: u16,
    pub neighbourhood: u8,
    pub tier: u8,
    pub standing: Standing,
}

pub(crate) const TIERS: [&str; 4] = ["standard", "silver", "gold", "diamond"];

/// A redemption that will be reversed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reversal {
    pub entitlement: u32,
    pub event_id: i64,
    pub redemption_id: i64,
    pub at: i64,
    pub store: u16,
    pub ordinal: u8,
    pub technician: u8,
}

/// A redemption that head office may adjust.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampled {
    pub event_id: i64,
    pub redemption_id: i64,
    pub order: i64,
    pub entitlement: i64,
    pub member: u32,
    pub product: u16,
    pub version: u16,
    pub sold_store: u16,
    pub store: u16,
    pub ordinal: u8,
    pub value_fen: i64,
    pub at: i64,
}

/// Something that will happen at a second of a day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub at: u32,
    pub what: What,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Join {
        store: u16,
    },
    Visit {
        member: u32,
        store: u16,
    },
    /// Somebody whom nobody knows.
    WalkIn {
        store: u16,
    },
    Book {
        member: u32,
        store: u16,
    },
    Online {
        member: u32,
    },
    Arrive(u32),
    Cancel(u32),
    Switch(u32),
    NoShow(u32),
    Reverse(u32),
    Expire {
        slot: u32,
        generation: u32,
    },
    RequestRefund {
        slot: u32,
        generation: u32,
    },
    ResolveRefund {
        slot: u32,
        generation: u32,
    },
    Transfer {
        slot: u32,
        generation: u32,
    },
    Change,
    Merge,
    Erase,
    /// Somebody asks for units that are used up or over.
    TooLate {
        member: u32,
        product: u16,
        store: u16,
        expired: bool,
    },
    Office(super::office::Matter),
}

const DAY: i64 = 86_400;

impl Chain {
    /// Draws the chain; nothing has happened yet.
    pub fn new(config: ChainConfig) -> Self {
        let mut rng = Rng::with_seed(config.seed);
        let world = World::draw(&config, &mut rng);
        let days = config.days.max(1);
        let stores = world.stores.len();
        let store_names: Vec<Arc<str>> = world.stores.iter().map(|s| s.id.as_str().into()).collect();
        let names = Names {
            alone: store_names.iter().map(|s| Arc::from([s.clone()])).collect(),
            stores: store_names,
            products: world.products.iter().map(|p| p.id.as_str().into()).collect(),
            applicable: Vec::new(),
        };
        let source = serde_json::to_string(&config.source).expect("text is JSON");
        let mut chain = Chain {
            rng,
            ids: Ids::default(),
            chunks: Chunks::new(),
            members: Vec::new(),
            regulars: vec![Vec::new(); stores],
            entitlements: Slab::default(),
            bookings: Vec::new(),
            free_bookings: Vec::new(),
            slots: vec![0; 32 * stores * SKILLS.len() * 24],
            reversals: Vec::new(),
            free_reversals: Vec::new(),
            sampled: Vec::new(),
            catalog: BTreeMap::new(),
            json: Fragments { source, ..Fragments::default() },
            names,
            closed: Vec::new(),
            agenda: (0..days).map(|_| Vec::new()).collect(),
            today: VecDeque::new(),
            later: BinaryHeap::new(),
            later_entries: Vec::new(),
            day: -1,
            cross_store: config.cross_store_after_days == 0,
            until: Vec::new(),
            visits: 0,
            opening_events: 0,
            done: false,
            config: ChainConfig { days, ..config },
            world,
        };
        chain.until = chain.activity();
        for p in 0..chain.world.products.len() {
            chain.json.applicable.push(String::new());
            chain.json.blackouts.push(String::new());
            chain.names.applicable.push(Arc::from([]));
            chain.product_changed(p);
        }
        chain.plan();
        chain
    }

    /// Messages made so far.
    pub fn events(&self) -> u64 {
        self.chunks.total()
    }

    /// How much of the history has been made, 0 to 1.
    pub fn progress(&self) -> f64 {
        if self.done { 1.0 } else { f64::from(self.day.max(0)) / f64::from(self.config.days) }
    }

    /// What the history leaves behind. Call it when the iterator has ended.
    pub fn into_state(self) -> FinalState {
        let mut holds = self.holds();
        let state = |(slot, e): (u32, &Entitlement)| EntitlementState {
            holds: holds.remove(&slot).unwrap_or_default(),
            ..self.state_of(e)
        };
        let mut open: Vec<EntitlementState> = self.entitlements.live().map(state).collect();
        open.sort_unstable_by_key(|e| e.entitlement_id);
        let members = self.members.iter().filter(|m| m.standing == Standing::Active).map(|m| self.member_state(m)).collect();
        FinalState { open, members, catalog: self.catalog.into_values().collect() }
    }

    fn member_state(&self, m: &Member) -> MemberState {
        let known = !m.home.0.is_nan();
        let near = &self.world.stores[m.home_store as usize].neighbourhoods;
        MemberState {
            member_id: m.id,
            joined_on: self.day_of(m.joined_on),
            joined_store_id: self.names.stores[m.store as usize].clone(),
            home: known.then_some(m.home),
            neighbourhood: near.get(m.neighbourhood as usize).filter(|_| known).map(|n| n.name.as_str().into()),
            tier: TIERS[m.tier as usize],
            phone_hash: phone_hash(m.phone),
        }
    }

    /// How much of the history's activity lies before the end of each day: seasons, weekdays and growth.
    fn activity(&self) -> Vec<f64> {
        let days = self.config.days as i32;
        let mut sum = 0.0;
        let mut until: Vec<f64> = (0..days)
            .map(|d| {
                sum += (1..self.world.stores.len()).map(|s| self.store_activity(s, d)).sum::<f64>();
                sum
            })
            .collect();
        until.iter_mut().for_each(|x| *x /= sum.max(f64::MIN_POSITIVE));
        until
    }

    /// How busy a store is on a day, against the others and other days.
    fn store_activity(&self, s: usize, index: i32) -> f64 {
        let (store, day) = (&self.world.stores[s], self.day_of(index));
        if !store.open_on(day, index) {
            return 0.0;
        }
        let holiday = match (special(day), store.format) {
            (Some(Special::Holiday), Format::Community) => 0.85,
            (Some(Special::Holiday), _) => 1.3,
            (Some(Special::MakeupWorkday), _) => 0.8,
            _ => 1.0,
        };
        let growth = 0.85 + 0.3 * f64::from(index) / f64::from(self.config.days);
        // A new store takes two months to become known.
        let known = if store.opens_on > 0 { (0.4 + f64::from(index - store.opens_on) / 100.0).min(1.0) } else { 1.0 };
        store.weight * store.weekdays[day.iso_weekday() as usize - 1] * season(day) * holiday * growth * known
    }

    pub(crate) fn day_of(&self, index: i32) -> Day {
        Day(self.config.end_day.0 - self.config.days as i32 + 1 + index)
    }

    pub(crate) fn today(&self) -> Day {
        self.day_of(self.day)
    }

    /// Local midnight of the history's `index`th day, in seconds since 1970.
    pub(crate) fn midnight(&self, index: i32) -> i64 {
        i64::from(self.day_of(index).0) * DAY - i64::from(OFFSET_MIN) * 60
    }

    /// The history's day that an instant falls on.
    pub(crate) fn index_of(&self, at: i64) -> i32 {
        ((at - self.midnight(0)).div_euclid(DAY)) as i32
    }

    /// Lets something happen at an instant; false if that is after the history.
    pub(crate) fn schedule(&mut self, at: i64, what: What) -> bool {
        let index = self.index_of(at);
        if index >= self.config.days as i32 {
            return false;
        }
        let second = (at - self.midnight(index)) as u32;
        if index <= self.day {
            self.later.push(Reverse((second, self.later_entries.len() as u32)));
            self.later_entries.push(what);
        } else {
            self.agenda[index as usize].push(Entry { at: second, what });
        }
        true
    }

    pub(crate) fn agenda_on(&mut self, index: i32, entry: Entry) {
        self.agenda[index as usize].push(entry);
    }

    /// Share of the history's activity up to the end of a day.
    pub(crate) fn activity_until(&self, index: i32) -> f64 {
        self.until.get(index as usize).copied().unwrap_or(1.0)
    }

    pub(crate) fn moment(at: i64) -> Moment {
        Instant::from_secs(at).with_offset(OFFSET_MIN)
    }

    /// Writes an event that is not one of the two hot ones.
    pub(crate) fn emit(&mut self, event: &Event<'_>) {
        self.chunks.push(event.stream(), |out| event.encode(out));
    }

    /// Puts a catalog entry in force from an instant on.
    pub(crate) fn put(&mut self, entry: CatalogEntry<'static>, at: i64, from: i64) {
        let entry = catalog::stamp(entry, &self.config.source, self.ids.next(at), at, from, false);
        let key = (entry.kind.as_deref().unwrap_or_default().to_owned(), entry.id.as_deref().unwrap_or_default().to_owned());
        let event = Event::Catalog(entry);
        self.emit(&event);
        if let Event::Catalog(entry) = event {
            self.catalog.insert(key, entry);
        }
    }

    /// Takes a catalog entry away.
    pub(crate) fn take_away(&mut self, kind: &'static str, id: &str, at: i64) {
        if self.catalog.remove(&(kind.to_owned(), id.to_owned())).is_some() {
            let entry = catalog::entry(kind, id.to_owned());
            let entry = catalog::stamp(entry, &self.config.source, self.ids.next(at), at, at, true);
            self.emit(&Event::Catalog(entry));
        }
    }

    /// Writes a product's fragments again.
    pub(crate) fn product_changed(&mut self, p: usize) {
        let product = &self.world.products[p];
        let ids: Vec<&str> = product.stores.iter().map(|s| self.world.stores[*s as usize].id.as_str()).collect();
        self.json.applicable[p] = serde_json::to_string(&ids).expect("text is JSON");
        let windows: Vec<String> = product.blackouts.iter().map(|(from, to)| format!("{from}/{to}")).collect();
        self.json.blackouts[p] =
            if windows.is_empty() { String::new() } else { serde_json::to_string(&windows).expect("text is JSON") };
        self.names.applicable[p] = product.stores.iter().map(|s| self.names.stores[*s as usize].clone()).collect();
    }

    /// Hands an entitlement with nothing left out and frees its slot.
    pub(crate) fn close_if_done(&mut self, slot: u32) {
        let e = &self.entitlements[slot];
        if !e.live || e.pins > 0 || e.available() | e.held | e.refund_open != 0 {
            return;
        }
        self.close(slot);
    }

    /// Hands an entitlement out and frees its slot.
    pub(crate) fn close(&mut self, slot: u32) {
        if self.config.closed_entitlements {
            let state = self.state_of(&self.entitlements[slot]);
            self.closed.push(state);
        }
        self.unlink(slot);
        self.entitlements.remove(slot);
    }

    /// Takes an entitlement out of its member's list.
    pub(crate) fn unlink(&mut self, slot: u32) {
        let (member, next) = (self.entitlements[slot].member, self.entitlements[slot].next);
        if member == NONE {
            return;
        }
        let mut at = self.members[member as usize].head;
        if at == slot {
            self.members[member as usize].head = next;
            return;
        }
        while at != NONE {
            let following = self.entitlements[at].next;
            if following == slot {
                self.entitlements[at].next = next;
                return;
            }
            at = following;
        }
    }

    /// Puts an entitlement into a member's list.
    pub(crate) fn link(&mut self, slot: u32, member: u32) {
        if member == NONE {
            return;
        }
        let head = std::mem::replace(&mut self.members[member as usize].head, slot);
        self.entitlements[slot].member = member;
        self.entitlements[slot].next = head;
    }

    /// An entitlement as the ledger would keep it.
    pub(crate) fn state_of(&self, e: &Entitlement) -> EntitlementState {
        let product = &self.world.products[e.product as usize];
        let t = product.template;
        let units = (0..e.units)
            .map(|n| match 1u32 << n {
                bit if e.refunded & bit != 0 => UnitState::Refunded,
                bit if e.expired & bit != 0 => UnitState::Expired,
                bit if e.redeemed & bit != 0 => UnitState::Redeemed,
                bit if e.refund_open & bit != 0 => UnitState::RefundOpen,
                bit if e.held & bit != 0 => UnitState::Held,
                _ => UnitState::Available,
            })
            .collect();
        let sold = &self.world.stores[e.sold_store as usize];
        let first_use = matches!(t.validity, Validity::FromFirstUse(_)) && e.valid_until == PERMANENT;
        EntitlementState {
            entitlement_id: e.id,
            order_id: e.order,
            member_id: self.members.get(e.member as usize).map(|m| m.id),
            product_id: self.names.products[e.product as usize].clone(),
            product_version: e.version.into(),
            product_type: t.kind.name(),
            kind: t.sale_kind,
            head_office_product: product.creator == HEAD_OFFICE,
            skill: t.skill.map(|s| SKILLS[s as usize]),
            service_minutes: (t.minutes > 0).then_some(t.minutes.into()),
            sold_store_id: self.names.stores[e.sold_store as usize].clone(),
            sold_at: Instant::from_secs(e.sold_at),
            channel: CHANNELS[e.channel as usize],
            seller_id: sold.technicians.get(e.seller as usize).map(|t| t.id.as_str().into()),
            clerk_id: sold.clerks.get(e.clerk as usize).map(|(id, _)| id.as_str().into()),
            units,
            payment: e.payment(),
            spent_fen: e.spent_fen,
            list_price_fen: e.list_price_fen,
            vat_rate_bp: catalog::vat_rate_bp(t.kind),
            valid_from: Instant::from_secs(self.valid_from(e)),
            valid_until: (e.valid_until != PERMANENT).then(|| Instant::from_secs(e.valid_until)),
            days_from_first_use: match t.validity {
                Validity::FromFirstUse(days) if first_use => Some(days.into()),
                _ => None,
            },
            applicable_store_ids: if product.crosses() {
                self.names.applicable[e.product as usize].clone()
            } else {
                self.names.alone[e.sold_store as usize].clone()
            },
            blackouts: product.blackouts.clone(),
            holds: Vec::new(),
        }
    }

    /// Start of validity: the sale, or the first day of a fixed range.
    pub(crate) fn valid_from(&self, e: &Entitlement) -> i64 {
        if e.valid_from_day == 0 { e.sold_at } else { starts(e.valid_from_day) }
    }

    /// Open bookings by the slot of their entitlement.
    fn holds(&self) -> HashMap<u32, Vec<HoldState>> {
        let mut holds: HashMap<u32, Vec<HoldState>> = HashMap::new();
        for b in self.bookings.iter().filter(|b| b.open) {
            let (store, e) = (&self.world.stores[b.store as usize], &self.entitlements[b.entitlement]);
            holds.entry(b.entitlement).or_default().push(HoldState {
                booking_id: b.id,
                unit_ordinal: b.ordinal.into(),
                store_id: self.names.stores[b.store as usize].clone(),
                start_at: Instant::from_secs(b.start),
                service_minutes: self.world.products[e.product as usize].template.minutes.into(),
                technician_id: store.technicians.get(b.technician as usize).map(|t| t.id.as_str().into()),
            });
        }
        holds
    }

    /// Draws a day's visits and puts everything of the day in order.
    fn begin_day(&mut self) {
        self.day += 1;
        let index = self.day as usize;
        if self.day > 0 && self.today().ymd().2 == 1 {
            // Months come in order in every stream.
            self.chunks.flush();
        }
        // The slots of the day that has ended are used again, for a day far ahead.
        let row = self.world.stores.len() * SKILLS.len() * 24;
        let past = (index + 31) % 32;
        self.slots[past * row..(past + 1) * row].fill(0);

        let mut entries = std::mem::take(&mut self.agenda[index]);
        let wanted = self.visits_wanted(index);
        let shares: Vec<f64> =
            (0..self.world.stores.len()).map(|s| if s == 0 { 0.0 } else { self.store_activity(s, self.day) }).collect();
        let total: f64 = shares.iter().sum();
        for (s, share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            let n = poisson(&mut self.rng, wanted * share / total);
            self.visits += u64::from(n);
            for _ in 0..n {
                let entry = self.draw_visit(s as u16);
                entries.push(entry);
            }
        }
        entries.sort_by_key(|e| e.at);
        self.today = entries.into();
        self.later_entries.clear();
    }

    /// How many visits today's share of the events asks for.
    fn visits_wanted(&self, index: usize) -> f64 {
        let made = self.chunks.total() as f64;
        if index == 0 {
            // The opening load is not activity.
            return self.config.events as f64 * self.until[0] / 1.9;
        }
        let opening = self.opening_events as f64;
        let goal = (self.config.events as f64 - opening).max(0.0);
        let today = goal * (self.until[index] - self.until[index - 1]);
        let behind = opening + goal * self.until[index - 1] - made;
        // Starts from a guess that the first thousands of visits outweigh.
        let per_visit = (made - opening + 1900.0) / (self.visits as f64 + 1000.0);
        ((today + (behind / 14.0).clamp(-today / 2.0, today)) / per_visit).max(0.0)
    }

    fn draw_visit(&mut self, s: u16) -> Entry {
        let store = &self.world.stores[s as usize];
        let at = store.time_of_day(&mut self.rng);
        let u = self.rng.f64();
        if u < 0.09 {
            return Entry { at, what: What::WalkIn { store: s } };
        }
        let home = if self.rng.f64() < self.config.cross_store_share && !store.neighbours.is_empty() {
            let u = self.rng.f64();
            store.neighbours[super::world::pick(store.from_elsewhere.iter().copied(), u)]
        } else {
            s
        };
        let regulars = &self.regulars[home as usize];
        if regulars.is_empty() {
            return Entry { at, what: What::WalkIn { store: s } };
        }
        // Some come far more often than others.
        let skewed = self.rng.f64().powf(1.5);
        let member = regulars[(skewed * regulars.len() as f64) as usize % regulars.len()];
        let what = match u {
            u if u < 0.31 => What::Book { member, store: s },
            u if u < 0.325 => What::Online { member },
            _ => What::Visit { member, store: s },
        };
        Entry { at, what }
    }

    /// The next entry of the day, in order of time.
    fn next_entry(&mut self) -> Option<Entry> {
        let first = self.today.front().map(|e| e.at);
        match (self.later.peek(), first) {
            (Some(Reverse((at, _))), Some(first)) if *at >= first => self.today.pop_front(),
            (None, _) => self.today.pop_front(),
            (Some(_), _) => {
                let Reverse((at, n)) = self.later.pop()?;
                Some(Entry { at, what: self.later_entries[n as usize] })
            }
        }
    }

    fn play(&mut self, entry: Entry) {
        let at = self.midnight(self.day) + i64::from(entry.at);
        match entry.what {
            What::Join { store } => self.join(store, at),
            What::Visit { member, store } => self.visit(member, store, at),
            What::WalkIn { store } => self.walk_in(store, at),
            What::Book { member, store } => self.book(member, store, at),
            What::Online { member } => self.buy_online(member, at),
            What::Arrive(b) => self.arrive(b, at),
            What::Cancel(b) => self.free_hold(b, at, "cancelled"),
            What::Switch(b) => self.switch(b, at),
            What::NoShow(b) => self.free_hold(b, at, "no_show"),
            What::Reverse(r) => self.reverse(r, at),
            What::Expire { slot, generation } => self.expire(slot, generation, at),
            What::RequestRefund { slot, generation } => self.request_refund(slot, generation, at),
            What::ResolveRefund { slot, generation } => self.resolve_refund(slot, generation, at),
            What::Transfer { slot, generation } => self.transfer(slot, generation, at),
            What::Change => self.change_member(at),
            What::Merge => self.merge_members(at),
            What::Erase => self.erase_member(at),
            What::TooLate { member, product, store, expired } => self.too_late(member, product, store, expired, at),
            What::Office(matter) => self.office(matter, at),
        }
    }

    /// The catalog and the members of the first day.
    fn open_chain(&mut self) {
        let at = self.midnight(0);
        let days = (0..self.config.days as i32 + 60).map(|d| self.day_of(d)).collect::<Vec<_>>();
        for entry in catalog::opening(&self.world, days.into_iter(), self.cross_store) {
            self.put(entry, at, at);
        }
        self.opening_balances(at + 60);
        self.first_members(at + 600);
        self.chunks.flush();
        self.opening_events = self.chunks.total();
    }
}

/// At most this many closed entitlements are handed out at once.
const CLOSED_AT_ONCE: usize = 4096;

impl Iterator for Chain {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(chunk) = self.chunks.pop() {
                return Some(Step::Events(chunk));
            }
            if self.closed.len() >= CLOSED_AT_ONCE || (self.done && !self.closed.is_empty()) {
                return Some(Step::Closed(std::mem::take(&mut self.closed)));
            }
            if self.done {
                return None;
            }
            if self.day < 0 {
                self.open_chain();
                self.begin_day();
                continue;
            }
            while !self.chunks.any_ready() && self.closed.len() < CLOSED_AT_ONCE {
                match self.next_entry() {
                    Some(entry) => self.play(entry),
                    None if self.day + 1 < self.config.days as i32 => self.begin_day(),
                    None => {
                        self.chunks.flush();
                        self.done = true;
                        break;
                    }
                }
            }
        }
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("config", &self.config).field("day", &self.day).field("events", &self.events()).finish()
    }
}

/// First second of a business day, counted from 1970 (R20).
pub(crate) fn starts(day: i32) -> i64 {
    i64::from(day) * DAY - i64::from(OFFSET_MIN) * 60 + i64::from(DEFAULT_DAY_START_HOUR) * 3600
}

/// Where something was sold or redeemed from.
pub(crate) const CHANNELS: [&str; 3] = ["till", "mini_app", "online"];

pub(crate) fn phone_hash(phone: u64) -> String {
    format!("{phone:016x}")
}

/// A Poisson draw: by products of uniforms where the mean is small, by the normal where it is not.
pub(crate) fn poisson(rng: &mut Rng, mean: f64) -> u32 {
    if mean <= 0.0 {
        return 0;
    }
    if mean > 50.0 {
        let deviate = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
        return (mean + deviate * mean.sqrt()).round().max(0.0) as u32;
    }
    let (limit, mut product, mut n) = ((-mean).exp(), rng.f64(), 0);
    while product > limit {
        product *= rng.f64();
        n += 1;
    }
    n
}
