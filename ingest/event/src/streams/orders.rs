//! `orders`: what was sold, and what became of it besides redemption.

use crate::record::{need, record};
use crate::{Fault, Stream};

record! {
    /// A sale of one order line (`sold`), or a later change to what it sold: `refund_requested`, `refund_withdrawn`,
    /// `refunded`, `expired`, `transferred`, `opening_balance`.
    Order, OrderRows {
        /// The order.
        order_id: Id,
        /// What this line gave the member.
        entitlement_id: Id,
        /// The store that sold it; the acting store.
        sold_store_id: Text,
        /// The product.
        product_id: Text,
        /// The product's version that was sold.
        product_version: Int,
        /// booking, card, punch_card, service, goods or stored_value (R3).
        product_type: Text,
        /// What is sold for accounting: card, stored_value, service or goods.
        kind: Text,
        /// Units sold.
        units: Int,
        /// Money paid for the line, in fen.
        paid_fen: Fen,
        /// Part of the payment drawn from the principal of stored value, in fen.
        principal_fen: Fen,
        /// Part drawn from its bonus, in fen; on a sale of stored value the bonus given.
        bonus_fen: Fen,
        /// Part paid with points, in fen.
        points_fen: Fen,
        /// Part covered by a coupon, in fen.
        coupon_fen: Fen,
        /// List price of the line at sale, in fen.
        list_price_fen: Fen,
        /// VAT rate in basis points (600 = 6 %).
        vat_rate_bp: Int,
        /// Who sold it.
        seller_id: Text,
        /// Who bought it; null for anonymous sales.
        member_id: Id,
        /// Who served it, for services sold and served at once.
        technician_id: Text,
        /// Clerk at the till.
        clerk_id: Text,
        /// Start of a service sold and served at once.
        service_start_at: Instant,
        /// Its length in minutes.
        service_minutes: Int,
        /// First instant of validity (R5).
        valid_from: Instant,
        /// End of validity, exclusive; null for permanent (R5).
        valid_until: Instant,
        /// Applicable stores, snapshotted at sale (R3).
        applicable_store_ids: Texts,
        /// till, mini_app, online or import.
        channel: Text,
        /// Ordinals of the units concerned, from 1 (refunds, expiry, transfer).
        unit_ordinals: Ints,
        /// Carrying value of those units, in fen (R12).
        carrying_fen: Fen,
        /// Cash paid out or in, in fen.
        cash_fen: Fen,
        /// Legal entity that bears a difference.
        bearing_entity_id: Text,
        /// Member it is transferred from.
        from_member_id: Id,
        /// Member it is transferred to.
        to_member_id: Id,
        /// Store whose liability it was.
        from_store_id: Text,
        /// Store whose liability it becomes.
        to_store_id: Text,
        /// Why, in words.
        reason: Text,
        /// Whether head office created the product (R3).
        head_office_product: Flag,
        /// Blackout windows of the version sold, as `YYYY-MM-DD/YYYY-MM-DD`, both inclusive (R5).
        blackouts: Texts,
    }
}

impl Order<'_> {
    pub(crate) fn check_type(&self) -> Result<(), Fault> {
        if let Some(units) = self.units.filter(|n| *n < 1) {
            return Err(Fault::OutOfRange { field: "units", value: units.into(), allowed: "1 and more" });
        }
        match self.r#type.as_str() {
            "sold" => need!(self; order_id, entitlement_id, sold_store_id, product_id, units, paid_fen),
            "refund_requested" | "refund_withdrawn" => need!(self; order_id, entitlement_id, sold_store_id, unit_ordinals),
            "refunded" => need!(self; order_id, entitlement_id, sold_store_id, unit_ordinals, carrying_fen, cash_fen),
            "expired" => need!(self; order_id, entitlement_id, sold_store_id, product_id, unit_ordinals, carrying_fen),
            "transferred" => need!(self; order_id, entitlement_id, sold_store_id, carrying_fen),
            "opening_balance" => need!(self; sold_store_id, product_id, units, carrying_fen),
            found => Err(Fault::UnknownType { stream: Stream::Orders, found: found.to_owned() }),
        }
    }

    pub(crate) fn log_key(&self) -> String {
        super::key_of(
            [("entitlement", self.entitlement_id), ("order", self.order_id)],
            format!("store:{}", self.sold_store_id.as_deref().unwrap_or_default()),
        )
    }
}
