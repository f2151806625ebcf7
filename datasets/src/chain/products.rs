//! What the chain sells: templates that each group of stores gets its own product of.

use event::Day;

/// A product type of R3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Booking,
    Card,
    PunchCard,
    Service,
    Goods,
    StoredValue,
}

impl Type {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Type::Booking => "booking",
            Type::Card => "card",
            Type::PunchCard => "punch_card",
            Type::Service => "service",
            Type::Goods => "goods",
            Type::StoredValue => "stored_value",
        }
    }

    /// Whether head office's products of this type redeem across stores (R3).
    pub(crate) fn crosses(self) -> bool {
        matches!(self, Type::Booking | Type::Card | Type::PunchCard)
    }
}

/// How long a product lasts (R5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    Permanent,
    FromPurchase(u16),
    FromFirstUse(u16),
    /// The calendar year of the sale.
    Year,
}

impl Validity {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Validity::Permanent => "permanent",
            Validity::FromPurchase(_) => "days_from_purchase",
            Validity::FromFirstUse(_) => "days_from_first_use",
            Validity::Year => "fixed",
        }
    }
}

/// Skills, by number.
pub(crate) const SKILLS: [&str; 4] = ["nail", "facial", "hair", "massage"];

/// A product as head office designs it.
#[derive(Debug)]
pub(crate) struct Template {
    pub name: &'static str,
    pub kind: Type,
    /// For accounting.
    pub sale_kind: &'static str,
    pub category: &'static str,
    pub skill: Option<u8>,
    pub minutes: u16,
    pub units: u8,
    pub price_fen: i64,
    /// Bonus given on a sale of stored value.
    pub bonus_fen: i64,
    pub validity: Validity,
    /// Share of the stores with the skill that are applicable.
    pub reach: f64,
    /// How often it is bought, against the others.
    pub popularity: f64,
    /// Whether the store that sells it is its creator, too.
    pub own: bool,
    /// Whether it is redeemed by the sale itself: a single service, goods over the counter.
    pub at_once: bool,
}

#[expect(clippy::too_many_arguments, reason = "a row of the table below")]
const fn card(
    name: &'static str,
    kind: Type,
    category: &'static str,
    skill: u8,
    minutes: u16,
    units: u8,
    price_fen: i64,
    validity: Validity,
    reach: f64,
    popularity: f64,
) -> Template {
    let (skill, bonus_fen, own, at_once) = (Some(skill), 0, false, false);
    let sale_kind = match kind {
        Type::Booking | Type::Service => "service",
        Type::Goods => "goods",
        Type::StoredValue => "stored_value",
        Type::Card | Type::PunchCard => "card",
    };
    Template {
        name,
        kind,
        sale_kind,
        category,
        skill,
        minutes,
        units,
        price_fen,
        bonus_fen,
        validity,
        reach,
        popularity,
        own,
        at_once,
    }
}

/// Every template. Prices are those of a capital city.
pub(crate) const TEMPLATES: [Template; 17] = {
    use Type::*;
    use Validity::*;
    [
        card("精致美甲次卡10次", PunchCard, "美甲", 0, 60, 10, 98_000, FromPurchase(365), 1.0, 3.0),
        card("水光针次卡6次", PunchCard, "水光", 1, 60, 6, 268_800, FromPurchase(365), 0.55, 1.4),
        card("面部护理卡12次", Card, "面护", 1, 90, 12, 238_000, FromFirstUse(270), 0.8, 2.0),
        card("养发卡15次", Card, "养发", 2, 60, 15, 149_900, Permanent, 0.85, 1.6),
        card("肩颈舒缓次卡8次", PunchCard, "肩颈", 3, 45, 8, 88_800, FromPurchase(180), 0.7, 1.8),
        card("年度美丽卡5次", Card, "面护", 1, 90, 5, 99_900, Year, 0.9, 0.7),
        card("美甲预约", Booking, "美甲", 0, 90, 1, 16_800, FromPurchase(60), 1.0, 0.9),
        card("肩颈预约", Booking, "肩颈", 3, 60, 1, 19_800, FromPurchase(60), 0.8, 0.6),
        // Only where it was sold, whatever the switch says (R3).
        Template {
            own: true, ..card("门店专享美甲卡6次", PunchCard, "美甲", 0, 60, 6, 59_900, FromPurchase(180), 1.0, 0.8)
        },
        card("到店面护套餐3次", Service, "面护", 1, 75, 3, 49_900, FromPurchase(120), 1.0, 0.5),
        Template { skill: None, ..card("护理礼盒自提", Goods, "零售", 0, 0, 1, 29_900, FromPurchase(90), 1.0, 0.25) },
        // Spent in yuan at the till, not redeemed by unit.
        Template {
            skill: None,
            bonus_fen: 100_000,
            ..card("储值3000送1000", StoredValue, "储值", 0, 0, 1, 300_000, Permanent, 1.0, 0.3)
        },
        Template { at_once: true, ..card("单次美甲", Service, "美甲", 0, 60, 1, 16_800, Permanent, 1.0, 3.0) },
        Template { at_once: true, ..card("单次面护", Service, "面护", 1, 75, 1, 29_800, Permanent, 1.0, 1.5) },
        Template { at_once: true, ..card("洗剪吹", Service, "美发", 2, 45, 1, 9_800, Permanent, 1.0, 2.0) },
        Template { at_once: true, skill: None, ..card("护手霜", Goods, "零售", 0, 0, 1, 5_900, Permanent, 1.0, 2.0) },
        Template { at_once: true, skill: None, ..card("修护面膜", Goods, "零售", 0, 0, 1, 12_800, Permanent, 1.0, 1.0) },
    ]
};

/// A template as one group of stores, or one store, sells it.
#[derive(Debug)]
pub(crate) struct Product {
    pub id: String,
    pub template: &'static Template,
    /// Head office (0) or the store that made it.
    pub creator: u16,
    /// The group of stores it is made for.
    pub group: usize,
    /// Stores where it may be redeemed, for the types that cross stores; for the others, where it is sold.
    pub stores: Vec<u16>,
    pub reaches: Vec<bool>,
    pub version: u16,
    pub price_fen: i64,
    /// First and last day of closed windows (R5).
    pub blackouts: Vec<(Day, Day)>,
}

impl Product {
    /// Whether the sale itself redeems it.
    pub(crate) fn at_once(&self) -> bool {
        self.template.at_once
    }

    pub(crate) fn stored_value(&self) -> bool {
        self.template.kind == Type::StoredValue
    }

    /// Whether units may be redeemed away from the selling store while the switch is on (R3).
    pub(crate) fn crosses(&self) -> bool {
        self.creator == 0 && self.template.kind.crosses()
    }

    /// Whether `day` lies in a blackout window.
    pub(crate) fn blacked_out(&self, day: Day) -> bool {
        self.blackouts.iter().any(|(from, to)| (*from..=*to).contains(&day))
    }

    /// What one unit costs by itself at price level `level`, in whole yuan: a fifth more than in the card.
    pub(crate) fn unit_list_price_fen(&self, level: f64) -> i64 {
        let single = if self.template.units > 1 { 1.2 } else { 1.0 };
        (self.price_fen as f64 / f64::from(self.template.units) * single * level / 100.0).round() as i64 * 100
    }

    /// What the whole costs at price level `level`, in whole yuan.
    pub(crate) fn list_price_fen(&self, level: f64) -> i64 {
        (self.price_fen as f64 * level / 100.0).round() as i64 * 100
    }
}
