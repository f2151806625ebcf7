//! The fields of each stream, one file per stream.
//!
//! A field is declared once, in the order of the lake's columns. Adding an optional one at the end is compatible; a new
//! meaning is a new `schema_version`.

mod bookings;
mod catalog;
mod decisions;
mod members;
mod orders;
mod redemptions;
mod refusals;

pub use bookings::Booking;
pub use catalog::CatalogEntry;
pub use decisions::Decision;
pub use members::Member;
pub use orders::Order;
pub use redemptions::Redemption;
pub use refusals::Refusal;

pub(crate) use bookings::BookingRows;
pub(crate) use catalog::CatalogRows;
pub(crate) use decisions::DecisionRows;
pub(crate) use members::MemberRows;
pub(crate) use orders::OrderRows;
pub(crate) use redemptions::RedemptionRows;
pub(crate) use refusals::RefusalRows;

#[cfg(test)]
mod tests;
