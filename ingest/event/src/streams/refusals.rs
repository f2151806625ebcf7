//! `refusals`: what was asked for and not given. Unmet demand is counted from them (R15).

use crate::record::record;

record! {
    /// One attempt that was turned down.
    Refusal, RefusalRows of Refusals {
        /// Store where it was tried; the acting store.
        store_id: Text,
        /// The product, where it is known.
        product_id: Text,
        /// The member, where known.
        member_id: Id,
        /// The order, where known.
        order_id: Id,
        /// The entitlement, where known.
        entitlement_id: Id,
        /// Stable code of the reason, such as `store_not_applicable`.
        reason: Text,
        /// The rule that refused, such as `R3`.
        rule: Text,
        /// Start that was wished for.
        wished_start_at: Instant,
        /// Minutes the service would have taken.
        service_minutes: Int,
        /// Clerk who tried.
        clerk_id: Text,
        /// Terminal it was tried at.
        terminal_id: Text,
        /// Units asked for.
        units: Int,
        /// till, mini_app, online or import.
        channel: Text,
    }
    types {
        /// A rule refused it.
        "refused": store_id, reason;
        /// No slot was free.
        "slot_full": store_id, product_id;
    }
    key { "entitlement": entitlement_id, "order": order_id, "terminal": terminal_id, "terminal": store_id }
}
