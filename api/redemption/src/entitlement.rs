//! What one order line gave a member.

use std::sync::Arc;

use event::Instant;
use serde::{Deserialize, Serialize};

use crate::{EntitlementId, MemberId, OrderId, Payment, StoreId, Terms, Units, Window};

/// What one order line gave a member (权益), as the ledger knows it at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Entitlement {
    /// Its id.
    pub id: EntitlementId,
    /// The order.
    pub order_id: OrderId,
    /// Who bought it; `None` for anonymous sales.
    pub member_id: Option<MemberId>,
    /// What was sold.
    pub terms: Arc<Terms>,
    /// The store that sold it.
    pub sold_store: StoreId,
    /// When it was sold.
    pub sold_at: Instant,
    /// The catalog's sequence number at the sale: changes with a greater one came later (R3).
    pub catalog_seq: i64,
    /// When it is valid (R5).
    pub window: Window,
    /// Its units.
    pub units: Units,
    /// Bookings that hold some of them (R4).
    pub holds: Vec<Hold>,
    /// Whether a refund is requested for any unit of the same order (R6).
    pub refund_open: bool,
    /// What was paid for it.
    pub payment: Payment,
}

/// A booking's claim on one unit (R4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The unit.
    pub unit_ordinal: i32,
    /// The one store where it may be redeemed (R3).
    pub booked_store: StoreId,
    /// The booking.
    pub booking_id: event::Id,
    /// When the service starts.
    pub start_at: Option<Instant>,
}
