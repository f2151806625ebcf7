//! `orders`: what was sold, and what became of it besides redemption.

use crate::record::record;

record! {
    /// One order line sold, or one later change to the units that a line sold.
    Order, OrderRows of Orders {
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
        units: Int from 1,
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
    types {
        /// One line of an order was sold: what the member got, for how much, and where it may be redeemed.
        "sold": order_id, entitlement_id, sold_store_id, product_id, units, paid_fen;
        /// A refund of units was asked for; they can't be redeemed meanwhile.
        "refund_requested": order_id, entitlement_id, sold_store_id, unit_ordinals;
        /// That request was taken back; the units can be redeemed again.
        "refund_withdrawn": order_id, entitlement_id, sold_store_id, unit_ordinals;
        /// Units were refunded.
        "refunded": order_id, entitlement_id, sold_store_id, unit_ordinals, carrying_fen, cash_fen;
        /// Units expired unused.
        "expired": order_id, entitlement_id, sold_store_id, product_id, unit_ordinals, carrying_fen;
        /// Units went to another member or another store's liability.
        "transferred": order_id, entitlement_id, sold_store_id, carrying_fen;
        /// What a former system still owed: a sum per store, not redeemed unit by unit.
        "opening_balance": sold_store_id, product_id, units, carrying_fen;
    }
    key { "entitlement": entitlement_id, "order": order_id, "store": sold_store_id }
}
