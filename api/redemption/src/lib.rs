//! The rules of redemption, pure: facts in, decision out.
//!
//! Owns who may redeem where (R3), when (R5), which units and what they are worth (R1, R9), what a code is and who has
//! tried too often (R10), and every refusal with what would be allowed instead. It reads no database, no clock and no
//! network; the one thing it asks the system for is random digits.

mod code;
mod decide;
mod entitlement;
mod ids;
mod lockout;
mod qr;
mod refusal;
mod stores;
mod terms;
mod units;
mod validity;
mod value;
mod zone;

pub use code::{BadCode, Code, CodeHash, Secret};
pub use decide::{Serving, Taken, check_redeemable, redeem};
pub use entitlement::{Entitlement, Hold};
pub use ids::{BadId, ClerkId, EntitlementId, MemberId, OrderId, ProductId, RedemptionId, StoreId, TechnicianId, TerminalId};
pub use lockout::LockoutPolicy;
pub use qr::{QR_STEP_SECS, QrFault, QrToken, qr_read, qr_token};
pub use refusal::{Allowed, Refusal};
pub use stores::{Chain, NarrowReason, ScopeChange, ScopeReason, Usable, where_usable};
pub use terms::{Channel, DrawOrder, ProductType, SaleKind, Terms};
pub use units::{Counts, UnitState, Units};
pub use validity::{Blackout, Validity, Window};
pub use value::{BadPayment, Payment, split_package, split_pro_rata};
pub use zone::Zone;
