//! The chain itself: stores, their people, hours and surroundings, and the products. Drawn once from the seed.

use event::Day;
use fastrand::Rng;

use super::ChainConfig;
use super::calendar::{Format, Special, special};
use super::cities::{CITIES, City, ESTATE_ENDINGS, ESTATES, GIVEN_NAMES, STREETS, SURNAMES, distance_km, moved};
use super::products::{Product, SKILLS, TEMPLATES, Type, Validity};

/// Head office is store number 0.
pub(crate) const HEAD_OFFICE: u16 = 0;

/// A person who serves.
#[derive(Debug)]
pub(crate) struct Technician {
    pub id: String,
    pub name: String,
    /// Bit per skill.
    pub skills: u8,
    /// Minutes of the shift on each weekday, Monday first.
    pub shifts: [Option<(u32, u32)>; 7],
}

/// A neighbourhood (小区) near a store.
#[derive(Debug)]
pub(crate) struct Neighbourhood {
    pub name: String,
    pub at: (f64, f64),
}

#[derive(Debug)]
pub(crate) struct Store {
    pub id: String,
    pub name: String,
    pub city: &'static City,
    pub at: (f64, f64),
    pub format: Format,
    pub entity: String,
    pub franchise: bool,
    /// Bit per skill.
    pub skills: u8,
    /// First day of business, in days of the history.
    pub opens_on: i32,
    pub open_minute: u32,
    pub close_minute: u32,
    /// Weekday on which it is closed, Monday 0.
    pub closed_weekday: Option<usize>,
    /// How busy it is against the others.
    pub weight: f64,
    pub weekdays: [f64; 7],
    /// Share of the day's visits up to the end of each opening hour.
    pub by_hour: Vec<f64>,
    /// Whether head office forgot it when it drew up most applicable stores: the chain's coverage gap.
    pub left_out: bool,
    pub clerks: Vec<(String, String)>,
    pub technicians: Vec<Technician>,
    /// Technicians of each weekday and skill.
    pub on_duty: [[Vec<u8>; SKILLS.len()]; 7],
    /// Bookings a slot takes, per skill.
    pub capacity: [u8; SKILLS.len()],
    pub neighbourhoods: Vec<Neighbourhood>,
    /// Stores of the same city, nearest first.
    pub neighbours: Vec<u16>,
    /// Of a visitor from elsewhere: how likely up to each of `neighbours`, by distance.
    pub from_elsewhere: Vec<f64>,
    /// Prepaid products it sells, and how likely up to each.
    pub prepaid: Vec<(u16, f64)>,
    /// The same for what is used up at the till.
    pub at_once: Vec<(u16, f64)>,
}

impl Store {
    /// Whether it does business on `day`, the history's `index`th.
    pub(crate) fn open_on(&self, day: Day, index: i32) -> bool {
        index >= self.opens_on
            && self.closed_weekday != Some(day.iso_weekday() as usize - 1)
            && special(day) != Some(Special::Closed)
    }

    /// A moment of the business day, as seconds after midnight.
    pub(crate) fn time_of_day(&self, rng: &mut Rng) -> u32 {
        let u = rng.f64();
        let hour = self.by_hour.iter().position(|upto| u < *upto).unwrap_or(0) as u32;
        // The last half hour is for closing.
        (self.open_minute * 60 + hour * 3600 + rng.u32(0..3600)).min(self.close_minute * 60 - 1800)
    }

    pub(crate) fn does(&self, skill: Option<u8>) -> bool {
        skill.is_none_or(|skill| self.skills & (1 << skill) != 0)
    }
}

#[derive(Debug)]
pub(crate) struct World {
    pub stores: Vec<Store>,
    pub products: Vec<Product>,
}

/// A whole draw: which of `upto` (rising, ending at 1) `u` falls into.
pub(crate) fn pick(upto: impl IntoIterator<Item = f64>, u: f64) -> usize {
    let mut last = 0;
    for (i, x) in upto.into_iter().enumerate() {
        last = i;
        if u < x {
            break;
        }
    }
    last
}

/// Weights as shares up to each one.
fn rising(weights: &[f64]) -> Vec<f64> {
    let total: f64 = weights.iter().sum();
    let mut sum = 0.0;
    weights
        .iter()
        .map(|w| {
            sum += w / total;
            sum
        })
        .collect()
}

fn one_of<'a>(rng: &mut Rng, list: &[&'a str]) -> &'a str {
    list[rng.usize(..list.len())]
}

fn person(rng: &mut Rng) -> String {
    format!("{}{}", one_of(rng, &SURNAMES), one_of(rng, &GIVEN_NAMES))
}

/// A normal deviate, by the sum of twelve.
fn normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0
}

impl World {
    pub(crate) fn draw(config: &ChainConfig, rng: &mut Rng) -> World {
        let count = config.stores.clamp(2, 9_999) as usize;
        let cities = (count / 8).clamp(1, CITIES.len());
        // A chain has more stores in the cities it entered first.
        let shares = rising(&(0..cities).map(|i| 1.0 / (1.0 + i as f64).sqrt()).collect::<Vec<_>>());
        let mut stores = vec![head_office(rng)];
        for n in 1..=count {
            let at = (n as f64 - 0.5) / count as f64;
            let city = shares.iter().position(|upto| at < *upto).unwrap_or(0);
            let store = draw_store(config, rng, n, &CITIES[city], &stores);
            stores.push(store);
        }
        for s in 1..stores.len() {
            let mut near: Vec<(f64, u16)> = (1..stores.len())
                .filter(|o| *o != s && std::ptr::eq(stores[*o].city, stores[s].city))
                .map(|o| (distance_km(stores[s].at, stores[o].at), o as u16))
                .collect();
            near.sort_by(|a, b| a.0.total_cmp(&b.0));
            let weights: Vec<f64> = near.iter().map(|(km, _)| (-km / 2.5).exp()).collect();
            stores[s].from_elsewhere = rising(&weights);
            stores[s].neighbours = near.into_iter().map(|(_, o)| o).collect();
        }
        let products = draw_products(config, rng, &stores);
        let mut world = World { stores, products };
        world.arrange_shelves();
        world
    }

    /// Works out what each store sells.
    pub(crate) fn arrange_shelves(&mut self) {
        for (s, store) in self.stores.iter_mut().enumerate() {
            let sold = |at_once: bool| {
                let here: Vec<(u16, f64)> = self
                    .products
                    .iter()
                    .enumerate()
                    // Head office sells online what redeems across stores; a store sells what may be redeemed there.
                    .filter(|(_, p)| p.at_once() == at_once && if s == 0 { p.crosses() } else { p.reaches[s] })
                    .map(|(i, p)| (i as u16, p.template.popularity))
                    .collect();
                let upto = rising(&here.iter().map(|(_, weight)| *weight).collect::<Vec<_>>());
                here.into_iter().zip(upto).map(|((product, _), upto)| (product, upto)).collect::<Vec<_>>()
            };
            (store.prepaid, store.at_once) = (sold(false), sold(true));
        }
    }
}

fn head_office(rng: &mut Rng) -> Store {
    let city = &CITIES[0];
    Store {
        id: "HQ".into(),
        name: "总部".into(),
        city,
        at: moved((city.lat, city.lon), 1.3, -2.1),
        format: Format::Flagship,
        entity: "E00".into(),
        franchise: false,
        skills: 0,
        opens_on: 0,
        open_minute: 9 * 60,
        close_minute: 22 * 60,
        closed_weekday: None,
        weight: 0.0,
        weekdays: [1.0; 7],
        by_hour: rising(&[1.0; 13]),
        left_out: false,
        clerks: (1..=2).map(|n| (format!("HQ-C{n}"), person(rng))).collect(),
        technicians: Vec::new(),
        on_duty: Default::default(),
        capacity: [0; SKILLS.len()],
        neighbourhoods: Vec::new(),
        neighbours: Vec::new(),
        from_elsewhere: Vec::new(),
        prepaid: Vec::new(),
        at_once: Vec::new(),
    }
}

fn draw_store(config: &ChainConfig, rng: &mut Rng, n: usize, city: &'static City, others: &[Store]) -> Store {
    let first_in_city = !others.iter().skip(1).any(|o| std::ptr::eq(o.city, city));
    let format = match (first_in_city, rng.f64()) {
        (true, _) => Format::Flagship,
        (_, u) if u < 0.45 => Format::Mall,
        _ => Format::Community,
    };
    // Evenly over a disc of 14 km, at least 1.5 km from the others while there is room.
    let mut at = (city.lat, city.lon);
    for _ in 0..30 {
        let (angle, radius) = (rng.f64() * std::f64::consts::TAU, 14.0 * rng.f64().sqrt());
        at = moved((city.lat, city.lon), radius * angle.sin(), radius * angle.cos());
        if others.iter().all(|o| distance_km(o.at, at) >= 1.5) {
            break;
        }
    }
    let width = (config.stores.max(1).ilog10() as usize + 1).max(3);
    let id = format!("S{n:0width$}");
    let (open_minute, close_minute) = format.hours();
    let skills = if format == Format::Flagship {
        0b1111
    } else {
        (1..4).fold(1, |skills, skill| if rng.f64() < 0.8 { skills | 1 << skill } else { skills })
    };
    let franchise = rng.f64() < 0.25;
    let technicians: Vec<Technician> = (1..=rng.u32(3..=6))
        .map(|t| {
            let own = (0..4).fold(0, |own, skill| if rng.f64() < 0.5 { own | 1 << skill } else { own }) & skills;
            let (off, late) = (rng.usize(..7), rng.bool());
            Technician {
                id: format!("{id}-T{t}"),
                name: person(rng),
                // Everyone can do something; the first two can do all.
                skills: if t <= 2 || own == 0 { skills } else { own },
                shifts: std::array::from_fn(|weekday| {
                    let shift = if late { (open_minute + 180, close_minute) } else { (open_minute, close_minute - 180) };
                    (weekday != off && weekday != (off + 3) % 7).then_some(shift)
                }),
            }
        })
        .collect();
    let on_duty = std::array::from_fn(|weekday| {
        std::array::from_fn(|skill| {
            let able = |t: &&(usize, &Technician)| t.1.skills & (1 << skill) != 0;
            let all: Vec<_> = technicians.iter().enumerate().collect();
            let rostered: Vec<u8> =
                all.iter().filter(able).filter(|t| t.1.shifts[weekday].is_some()).map(|t| t.0 as u8).collect();
            // Somebody comes in on a day off rather than nobody.
            if rostered.is_empty() { all.iter().filter(able).take(1).map(|t| t.0 as u8).collect() } else { rostered }
        })
    });
    let hours: Vec<f64> = (open_minute / 60..close_minute / 60).map(|hour| format.hour(hour)).collect();
    let size = match format {
        Format::Flagship => 1.6,
        Format::Mall => 1.2,
        Format::Community => 0.8,
    };
    let opens_late = n > 2 && rng.f64() < 0.1;
    let weight = size * (0.3 * normal(rng)).exp();
    Store {
        name: format!("{}{}店", city.name, STREETS[n % STREETS.len()]),
        city,
        at,
        format,
        entity: if franchise { format!("E{n:0width$}") } else { format!("E-{}", city.region) },
        franchise,
        skills,
        opens_on: if opens_late { (f64::from(config.days) * (0.2 + 0.4 * rng.f64())) as i32 } else { 0 },
        open_minute,
        close_minute,
        closed_weekday: (format == Format::Community && rng.f64() < 0.35).then_some(1),
        weight,
        weekdays: format.weekdays(),
        by_hour: rising(&hours),
        left_out: n % 12 == 5,
        clerks: (1..=2).map(|c| (format!("{id}-C{c}"), person(rng))).collect(),
        technicians,
        on_duty,
        capacity: std::array::from_fn(|skill| if skills & (1 << skill) != 0 { rng.u8(1..=2) } else { 0 }),
        neighbourhoods: (0..5)
            .map(|_| {
                let (angle, radius) = (rng.f64() * std::f64::consts::TAU, 0.3 + 3.2 * rng.f64());
                let name = format!("{}{}", one_of(rng, &ESTATES), one_of(rng, &ESTATE_ENDINGS));
                Neighbourhood { name: format!("{}{name}", city.name), at: moved(at, radius * angle.sin(), radius * angle.cos()) }
            })
            .collect(),
        neighbours: Vec::new(),
        from_elsewhere: Vec::new(),
        prepaid: Vec::new(),
        at_once: Vec::new(),
        id,
    }
}

/// A product's applicable stores travel with each order line: a chain of more stores than this gets its products per group
/// of cities, so that an order line stays below a kilobyte.
const GROUP_STORES: usize = 48;

fn draw_products(config: &ChainConfig, rng: &mut Rng, stores: &[Store]) -> Vec<Product> {
    let groups = (stores.len() - 1).div_ceil(GROUP_STORES);
    let mut products = Vec::new();
    let start = event::Day(config.end_day.0 - config.days as i32 + 1);
    for group in 0..groups {
        let members = (1..stores.len() as u16).filter(|s| group_of(*s, stores.len()) == group);
        for (t, template) in TEMPLATES.iter().enumerate() {
            let base = Product {
                id: if groups == 1 { format!("P{:02}", t + 1) } else { format!("P{:02}-{}", t + 1, group + 1) },
                template,
                creator: HEAD_OFFICE,
                group,
                stores: Vec::new(),
                reaches: vec![false; stores.len()],
                version: 1,
                price_fen: template.price_fen,
                blackouts: Vec::new(),
            };
            let can = |s: &u16| stores[*s as usize].does(template.skill);
            if template.own {
                // Every fourth store has its own card.
                for s in members.clone().filter(|s| s % 4 == 3).filter(can) {
                    let mut own = Product { id: format!("{}-{}", base.id, stores[s as usize].id), creator: s, ..copy(&base) };
                    own.put(s);
                    products.push(own);
                }
                continue;
            }
            let mut product = base;
            if template.validity == Validity::Year {
                let year = start.ymd().0;
                product.blackouts = (year..=config.end_day.ymd().0 + 1)
                    .filter_map(|year| Some((Day::from_ymd(year, 10, 1)?, Day::from_ymd(year, 10, 3)?)))
                    .collect();
            }
            for s in members.clone().filter(can) {
                let store = &stores[s as usize];
                let drawn = rng.f64() < template.reach;
                // A store that was left out still has what is sold and used up there, and the most popular card.
                let applicable = !template.kind.crosses() || (drawn && (!store.left_out || template.kind == Type::Booking));
                if applicable && store.opens_on == 0 {
                    product.put(s);
                }
            }
            products.push(product);
        }
    }
    products
}

/// The group of stores that a store's products are made for.
pub(crate) fn group_of(store: u16, stores: usize) -> usize {
    let count = stores - 1;
    let groups = count.div_ceil(GROUP_STORES);
    (store as usize - 1) * groups / count
}

fn copy(p: &Product) -> Product {
    let (id, stores, reaches) = (p.id.clone(), p.stores.clone(), p.reaches.clone());
    Product {
        id,
        template: p.template,
        creator: p.creator,
        group: p.group,
        stores,
        reaches,
        version: 1,
        price_fen: p.price_fen,
        blackouts: Vec::new(),
    }
}

impl Product {
    /// Adds a store to the applicable ones.
    pub(crate) fn put(&mut self, store: u16) {
        if !self.reaches[store as usize] {
            self.reaches[store as usize] = true;
            self.stores.push(store);
            self.stores.sort_unstable();
        }
    }
}
