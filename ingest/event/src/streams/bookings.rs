//! `bookings`: a unit and a slot locked at one store (R4).

use crate::record::{need, record};
use crate::{Fault, Stream};

record! {
    /// A hold taken (`booked`), moved (`switched`), or freed (`cancelled`, `no_show`).
    Booking, BookingRows {
        /// The booking.
        booking_id: Id,
        /// The order whose unit is held.
        order_id: Id,
        /// The entitlement whose unit is held.
        entitlement_id: Id,
        /// Which unit, from 1.
        unit_ordinal: Int,
        /// Store of the slot; the acting store.
        booked_store_id: Text,
        /// Store that sold the unit.
        sold_store_id: Text,
        /// The product.
        product_id: Text,
        /// Skill the service asks of a technician.
        skill: Text,
        /// The member.
        member_id: Id,
        /// Start of the slot.
        start_at: Instant,
        /// Its length in minutes.
        service_minutes: Int,
        /// Technician of the slot.
        technician_id: Text,
        /// Bay or chair of the slot.
        bay: Text,
        /// Store before a switch.
        from_store_id: Text,
        /// Start before a switch.
        from_start_at: Instant,
        /// Clerk who took it.
        clerk_id: Text,
        /// till, mini_app, online or import.
        channel: Text,
        /// Why, in words.
        reason: Text,
    }
}

impl Booking<'_> {
    pub(crate) fn check_type(&self) -> Result<(), Fault> {
        match self.r#type.as_str() {
            "booked" => need!(self; booking_id, booked_store_id, product_id, start_at),
            "switched" => need!(self; booking_id, booked_store_id, start_at),
            "cancelled" | "no_show" => need!(self; booking_id, booked_store_id),
            found => Err(Fault::UnknownType { stream: Stream::Bookings, found: found.to_owned() }),
        }
    }

    pub(crate) fn log_key(&self) -> String {
        super::key_of(
            [("entitlement", self.entitlement_id), ("order", self.order_id)],
            format!("booking:{}", self.booking_id.unwrap_or_default()),
        )
    }
}
