//! `refusals`: what was asked for and not given. Unmet demand is counted from them (R15).

use crate::record::{need, record};
use crate::{Fault, Stream};

record! {
    /// An attempt that was turned down: `refused` by a rule, or `slot_full`.
    Refusal, RefusalRows {
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
}

impl Refusal<'_> {
    pub(crate) fn check_type(&self) -> Result<(), Fault> {
        match self.r#type.as_str() {
            "refused" => need!(self; store_id, reason),
            "slot_full" => need!(self; store_id, product_id),
            found => Err(Fault::UnknownType { stream: Stream::Refusals, found: found.to_owned() }),
        }
    }

    pub(crate) fn log_key(&self) -> String {
        let terminal = self.terminal_id.as_deref().or(self.store_id.as_deref()).unwrap_or_default();
        super::key_of([("entitlement", self.entitlement_id), ("order", self.order_id)], format!("terminal:{terminal}"))
    }
}
