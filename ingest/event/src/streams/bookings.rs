//! `bookings`: a unit and a slot locked at one store (R4).

use crate::record::record;

record! {
    /// One change of one booking.
    Booking, BookingRows of Bookings {
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
    types {
        /// A unit and a slot are held.
        "booked": booking_id, booked_store_id, product_id, start_at;
        /// The slot was moved, perhaps to another store.
        "switched": booking_id, booked_store_id, start_at;
        /// Unit and slot were freed.
        "cancelled": booking_id, booked_store_id;
        /// Nobody came; the unit was freed.
        "no_show": booking_id, booked_store_id;
    }
    key { "entitlement": entitlement_id, "order": order_id, "booking": booking_id }
}
