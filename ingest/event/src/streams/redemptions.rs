//! `redemptions`: units taken, given back, corrected. One row per unit.

use crate::record::record;

record! {
    /// One unit redeemed, given back or corrected; those of one call share `redemption_id`. A row stands alone, without a join.
    Redemption, RedemptionRows of Redemptions {
        /// The call; its units share it.
        redemption_id: Id,
        /// The order that sold the unit.
        order_id: Id,
        /// The entitlement it belongs to.
        entitlement_id: Id,
        /// Which unit of the entitlement, from 1.
        unit_ordinal: Int,
        /// Store that sold it.
        sold_store_id: Text,
        /// Store it was booked at, if it was.
        booked_store_id: Text,
        /// Store that served it; the acting store.
        redeemed_store_id: Text,
        /// The product.
        product_id: Text,
        /// The product's version that was sold.
        product_version: Int,
        /// booking, card, punch_card, service, goods or stored_value.
        product_type: Text,
        /// Skill the service asks of a technician.
        skill: Text,
        /// The member; null where nobody is known.
        member_id: Id,
        /// Clerk who redeemed it.
        clerk_id: Text,
        /// Who sold it.
        seller_id: Text,
        /// Technician who served it.
        technician_id: Text,
        /// Units left before this one was taken.
        remaining_before: Int,
        /// Units left afterwards.
        remaining_after: Int,
        /// End of validity afterwards, exclusive; null for permanent.
        valid_until: Instant,
        /// Value of the unit, in fen, positive also on a reversal (R9); signed on an adjustment.
        value_fen: Fen,
        /// Part of the value that is principal of stored value, in fen.
        principal_fen: Fen,
        /// Part that is bonus, in fen.
        bonus_fen: Fen,
        /// Part paid with points, in fen.
        points_fen: Fen,
        /// Part covered by a coupon, in fen.
        coupon_fen: Fen,
        /// VAT rate in basis points.
        vat_rate_bp: Int,
        /// List price at the serving store, in fen.
        list_price_fen: Fen,
        /// When the unit was sold.
        sold_at: Instant,
        /// Start of the service.
        service_start_at: Instant,
        /// Its length in minutes.
        service_minutes: Int,
        /// till, mini_app, online or import.
        channel: Text,
        /// The redemption a reversal or adjustment names, of the same source.
        original_event_id: Id,
        /// When that redemption happened.
        original_redeemed_at: Instant,
        /// Legal entity that bears an adjustment.
        bearing_entity_id: Text,
        /// Why, in words.
        reason: Text,
    }
    types {
        /// A unit was redeemed.
        "redeemed": redeemed_store_id, product_id, value_fen;
        /// A redeemed unit was given back; it names its original, and amounts stay positive.
        "reversed": redeemed_store_id, product_id, value_fen, original_event_id, original_redeemed_at;
        /// A redemption's value was corrected after its period was locked; amounts are signed (R7).
        "adjusted": redeemed_store_id, value_fen, original_event_id;
    }
    key { "entitlement": entitlement_id, "order": order_id, "store": redeemed_store_id }
}
