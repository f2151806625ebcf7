//! What the history leaves behind, in the form that the ledger can be loaded with.

use std::sync::Arc;

use event::{CatalogEntry, Day, Instant};
use redemption::{Payment, UnitState};

/// A booking that still holds a unit at the end.
#[derive(Clone, Debug, PartialEq)]
pub struct HoldState {
    /// The booking.
    pub booking_id: i64,
    /// The unit it holds, from 1.
    pub unit_ordinal: i32,
    /// Store of the slot.
    pub store_id: Arc<str>,
    /// Start of the slot.
    pub start_at: Instant,
    /// Its length.
    pub service_minutes: i32,
    /// Its technician.
    pub technician_id: Option<Arc<str>>,
}

/// An entitlement as the events leave it.
#[derive(Clone, Debug, PartialEq)]
pub struct EntitlementState {
    /// The entitlement.
    pub entitlement_id: i64,
    /// The order that sold it.
    pub order_id: i64,
    /// Who holds it now; `None` for anonymous sales.
    pub member_id: Option<i64>,
    /// The product.
    pub product_id: Arc<str>,
    /// The version that was sold.
    pub product_version: i32,
    /// Product type of R3.
    pub product_type: &'static str,
    /// card, stored_value, service or goods.
    pub kind: &'static str,
    /// Whether head office created the product (R3).
    pub head_office_product: bool,
    /// Skill of the service.
    pub skill: Option<&'static str>,
    /// Minutes of the service.
    pub service_minutes: Option<i32>,
    /// Store that sold it.
    pub sold_store_id: Arc<str>,
    /// When.
    pub sold_at: Instant,
    /// till, mini_app or online.
    pub channel: &'static str,
    /// Who sold it.
    pub seller_id: Option<Arc<str>>,
    /// Clerk at the till.
    pub clerk_id: Option<Arc<str>>,
    /// The units by ordinal: `units[0]` is ordinal 1.
    pub units: Vec<UnitState>,
    /// Money paid for the line and its parts, in fen; for stored value `bonus_fen` is the bonus given.
    pub payment: Payment,
    /// Stored value spent so far, principal and bonus together, in fen.
    pub spent_fen: i64,
    /// List price of the line at sale, in fen.
    pub list_price_fen: i64,
    /// VAT rate in basis points.
    pub vat_rate_bp: i32,
    /// First instant of validity (R5).
    pub valid_from: Instant,
    /// End of validity, exclusive; `None` for permanent, and before the first use where that starts it.
    pub valid_until: Option<Instant>,
    /// Days that the first use will start, where it has not happened yet (R5).
    pub days_from_first_use: Option<i32>,
    /// Applicable stores now: the snapshot of the sale and what was added since (R3).
    pub applicable_store_ids: Arc<[Arc<str>]>,
    /// Closed windows (R5), first and last day.
    pub blackouts: Vec<(Day, Day)>,
    /// Open bookings.
    pub holds: Vec<HoldState>,
}

impl EntitlementState {
    /// How many units are in `state`.
    pub fn count(&self, state: UnitState) -> usize {
        self.units.iter().filter(|u| **u == state).count()
    }
}

/// A member as the events leave them. Merged and erased members are not among them.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberState {
    /// The member.
    pub member_id: i64,
    /// Business day of joining.
    pub joined_on: Day,
    /// Store of joining.
    pub joined_store_id: Arc<str>,
    /// Home, degrees north and east; `None` where it is not known.
    pub home: Option<(f64, f64)>,
    /// Neighbourhood (小区) of the home.
    pub neighbourhood: Option<Arc<str>>,
    /// Tier.
    pub tier: &'static str,
    /// Keyed hash of the phone number.
    pub phone_hash: String,
}

/// What a whole history leaves behind.
#[derive(Clone, Debug)]
pub struct FinalState {
    /// Entitlements with something left, by id.
    pub open: Vec<EntitlementState>,
    /// Members, by id.
    pub members: Vec<MemberState>,
    /// Catalog entries in force or to come, as they were last put.
    pub catalog: Vec<CatalogEntry<'static>>,
}
