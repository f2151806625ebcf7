//! Refusals: an answer with its rule, and what would be allowed instead.

use event::{Day, Instant};
use serde::{Deserialize, Serialize};

use crate::{BadCode, EntitlementId, ProductId, StoreId};

/// Why something is refused. Its text is for the clerk; [`Refusal::code`] is stable and goes into events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Refusal {
    /// The store is none of the product's applicable stores (R3).
    #[error("not applicable at store {store}{}", only_at(usable_at))]
    StoreNotApplicable {
        /// Where it was tried.
        store: StoreId,
        /// Where it may be redeemed.
        usable_at: Vec<StoreId>,
    },
    /// Only the selling store may redeem it (R3).
    #[error("redeems only at {sold_store}, where it was sold: {}", if *cross_store_off { "the cross-store switch is off" } else { "the product does not cross stores" })]
    SoldStoreOnly {
        /// Where it was tried.
        store: StoreId,
        /// Where it was sold.
        sold_store: StoreId,
        /// Whether the switch is the reason, rather than the product.
        cross_store_off: bool,
    },
    /// The units left are held by bookings at other stores (R3, R4).
    #[error("the units left are booked{}", only_at(booked_at))]
    HeldElsewhere {
        /// Where.
        booked_at: Vec<StoreId>,
    },
    /// Its time has not come (R5).
    #[error("valid only from {valid_from} on")]
    NotYetValid {
        /// First instant of validity.
        valid_from: Instant,
    },
    /// Its time is over (R5).
    #[error("expired at {valid_until}")]
    Expired {
        /// End of validity.
        valid_until: Instant,
    },
    /// Not on these days (R5).
    #[error("not valid from {from_on} to {to_on}{}", next_valid_at.map_or(String::new(), |t| format!("; again from {t} on")))]
    BlackedOut {
        /// First day of the window.
        from_on: Day,
        /// Last day of the window.
        to_on: Day,
        /// When it is valid next; `None` if it expires before.
        next_valid_at: Option<Instant>,
    },
    /// A refund is requested on the same order (R6).
    #[error("a refund is requested for this order")]
    RefundOpen,
    /// Nothing is left (R1).
    #[error("no units left")]
    NoUnitsLeft,
    /// Less is left than asked for (R1).
    #[error("{wanted} units wanted, {available} available")]
    NotEnoughUnits {
        /// Units asked for.
        wanted: u32,
        /// Units that may be redeemed here and now.
        available: u32,
    },
    /// Stored value is spent in yuan, not by unit (R9).
    #[error("stored value is not redeemed by unit")]
    NotRedeemable,
    /// No such code (R10).
    #[error("unknown redemption code")]
    UnknownCode,
    /// Mistyped (R10).
    #[error("{why}")]
    MalformedCode {
        /// What is wrong with it.
        why: String,
    },
    /// Too many wrong codes at this terminal or store (R10).
    #[error("too many wrong codes; codes are taken again from {until} on")]
    LockedOut {
        /// When codes are taken again.
        until: Instant,
    },
    /// A QR token that was not made here (R10).
    #[error("not a QR code of this chain")]
    QrForged,
    /// A QR token of another time (R10).
    #[error("the QR code is out of date; the member's screen shows a new one every 30 seconds")]
    QrStale,
    /// A QR token that was redeemed already (R10).
    #[error("the QR code was used already; the next one shows in 30 seconds")]
    QrUsed,
    /// No such order or entitlement.
    #[error("no such order or entitlement")]
    UnknownEntitlement,
    /// The code stands for several products and none was named.
    #[error("the order holds several products that may be redeemed here; name one")]
    WhichEntitlement {
        /// Those that could be taken.
        entitlements: Vec<EntitlementId>,
    },
    /// The catalog has no such product, or it is not on sale.
    #[error("product {product} is not on sale")]
    ProductNotOnSale {
        /// The product.
        product: ProductId,
    },
    /// A store's own product is sold by that store only (R3).
    #[error("product {product} is sold only at {creator}")]
    ProductNotSoldHere {
        /// The product.
        product: ProductId,
        /// The store that created it.
        creator: StoreId,
    },
    /// The store has closed for good.
    #[error("store {store} closed on {closed_on}")]
    StoreClosed {
        /// The store.
        store: StoreId,
        /// Its last business day.
        closed_on: Day,
    },
    /// No such member.
    #[error("no such member")]
    UnknownMember,
}

fn only_at(stores: &[StoreId]) -> String {
    match stores {
        [] => String::new(),
        [store] => format!("; may be redeemed at {store}"),
        _ => format!("; may be redeemed at {}", stores.iter().map(StoreId::as_str).collect::<Vec<_>>().join(", ")),
    }
}

/// What would be allowed instead of what was refused. Empty where nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// Stores where it may be redeemed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stores: Vec<StoreId>,
    /// When it may be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Instant>,
    /// How many units may be redeemed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<u32>,
    /// Entitlements to choose from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entitlements: Vec<EntitlementId>,
}

impl Refusal {
    /// Its stable code, as in `refusals.reason`.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::StoreNotApplicable { .. } => "store_not_applicable",
            Refusal::SoldStoreOnly { .. } => "sold_store_only",
            Refusal::HeldElsewhere { .. } => "held_elsewhere",
            Refusal::NotYetValid { .. } => "not_yet_valid",
            Refusal::Expired { .. } => "expired",
            Refusal::BlackedOut { .. } => "blacked_out",
            Refusal::RefundOpen => "refund_open",
            Refusal::NoUnitsLeft => "no_units_left",
            Refusal::NotEnoughUnits { .. } => "not_enough_units",
            Refusal::NotRedeemable => "not_redeemable",
            Refusal::UnknownCode => "unknown_code",
            Refusal::MalformedCode { .. } => "malformed_code",
            Refusal::LockedOut { .. } => "locked_out",
            Refusal::QrForged => "qr_forged",
            Refusal::QrStale => "qr_stale",
            Refusal::QrUsed => "qr_used",
            Refusal::UnknownEntitlement => "unknown_entitlement",
            Refusal::WhichEntitlement { .. } => "which_entitlement",
            Refusal::ProductNotOnSale { .. } => "product_not_on_sale",
            Refusal::ProductNotSoldHere { .. } => "product_not_sold_here",
            Refusal::StoreClosed { .. } => "store_closed",
            Refusal::UnknownMember => "unknown_member",
        }
    }

    /// The rule of RULES.md that refuses; `None` where what was named does not exist.
    pub fn rule(&self) -> Option<&'static str> {
        Some(match self {
            Refusal::NoUnitsLeft | Refusal::NotEnoughUnits { .. } => "R1",
            Refusal::StoreNotApplicable { .. }
            | Refusal::SoldStoreOnly { .. }
            | Refusal::HeldElsewhere { .. }
            | Refusal::ProductNotSoldHere { .. } => "R3",
            Refusal::NotYetValid { .. } | Refusal::Expired { .. } | Refusal::BlackedOut { .. } => "R5",
            Refusal::RefundOpen => "R6",
            Refusal::WhichEntitlement { .. } => "R8",
            Refusal::NotRedeemable => "R9",
            Refusal::UnknownCode
            | Refusal::MalformedCode { .. }
            | Refusal::LockedOut { .. }
            | Refusal::QrForged
            | Refusal::QrStale
            | Refusal::QrUsed => "R10",
            Refusal::UnknownEntitlement
            | Refusal::ProductNotOnSale { .. }
            | Refusal::StoreClosed { .. }
            | Refusal::UnknownMember => return None,
        })
    }

    /// What would be allowed.
    pub fn allowed(&self) -> Allowed {
        let nothing = Allowed::default();
        match self {
            Refusal::StoreNotApplicable { usable_at, .. } => Allowed { stores: usable_at.clone(), ..nothing },
            Refusal::SoldStoreOnly { sold_store, .. } => Allowed { stores: vec![sold_store.clone()], ..nothing },
            Refusal::HeldElsewhere { booked_at } => Allowed { stores: booked_at.clone(), ..nothing },
            Refusal::ProductNotSoldHere { creator, .. } => Allowed { stores: vec![creator.clone()], ..nothing },
            Refusal::NotYetValid { valid_from } => Allowed { from: Some(*valid_from), ..nothing },
            Refusal::BlackedOut { next_valid_at, .. } => Allowed { from: *next_valid_at, ..nothing },
            Refusal::LockedOut { until } => Allowed { from: Some(*until), ..nothing },
            Refusal::NotEnoughUnits { available, .. } => Allowed { units: Some(*available), ..nothing },
            Refusal::WhichEntitlement { entitlements } => Allowed { entitlements: entitlements.clone(), ..nothing },
            _ => nothing,
        }
    }
}

impl From<BadCode> for Refusal {
    fn from(fault: BadCode) -> Self {
        Refusal::MalformedCode { why: fault.to_string() }
    }
}

impl From<crate::QrFault> for Refusal {
    fn from(fault: crate::QrFault) -> Self {
        match fault {
            crate::QrFault::Forged => Refusal::QrForged,
            crate::QrFault::Stale => Refusal::QrStale,
        }
    }
}
