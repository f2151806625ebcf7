//! `catalog`: what the chain is, as versions in time. One wide record serves every kind; a kind uses its own fields.

use crate::record::record;

record! {
    /// One version of one entry. Which fields an entry uses depends on its `kind`.
    CatalogEntry, CatalogRows of Catalog {
        /// What it describes: a store, a product, a price, and so on.
        kind: Text,
        /// Its id within the kind.
        id: Text,
        /// From when it holds.
        effective_from: Instant,
        /// Display name.
        name: Text,
        /// Whether it is on (cross_store: cards redeem across stores, R3).
        enabled: Flag,
        /// The store it is about.
        store_id: Text,
        /// Region of a store.
        region: Text,
        /// City of a store.
        city: Text,
        /// City tier of a store.
        city_tier: Text,
        /// Format of a store (flagship, community, mall …).
        format: Text,
        /// Legal entity of a store or an account.
        legal_entity_id: Text,
        /// Ownership of a store: own or franchise.
        ownership: Text,
        /// Skills a store or a person offers.
        skills: Texts,
        /// Latitude, degrees north.
        lat: Degrees,
        /// Longitude, degrees east.
        lon: Degrees,
        /// IANA time zone of a store.
        time_zone: Text,
        /// First business day of a store.
        opened_on: Day,
        /// Last business day of a store.
        closed_on: Day,
        /// Hour at which a store's business day starts.
        day_start: Int,
        /// Fewest technicians a store may run with.
        min_technicians: Int,
        /// Whether the store is head office.
        head_office: Flag,
        /// Who created a product: a store's id, head office's for chain-wide ones (R3).
        creator_store_id: Text,
        /// The product it is about.
        product_id: Text,
        /// Category of a product.
        category: Text,
        /// booking, card, punch_card, service, goods or stored_value.
        product_type: Text,
        /// Kind of a product for accounting: card, stored_value, service or goods.
        sale_kind: Text,
        /// Skill a product or a capacity asks for.
        skill: Text,
        /// Minutes a service takes.
        service_minutes: Int,
        /// Version of a product.
        product_version: Int,
        /// Units a product gives.
        units: Int,
        /// List price, in fen.
        list_price_fen: Fen,
        /// VAT rate in basis points.
        vat_rate_bp: Int,
        /// principal_first, bonus_first or pro_rata (R11).
        draw_order: Text,
        /// permanent, fixed, days_from_purchase or days_from_first_use (R5).
        validity: Text,
        /// First day of a fixed validity.
        valid_from_on: Day,
        /// Last day of a fixed validity, inclusive.
        valid_to_on: Day,
        /// Days of a validity counted in days.
        valid_days: Int,
        /// Blackout windows, as `YYYY-MM-DD/YYYY-MM-DD`, both inclusive (R5).
        blackouts: Texts,
        /// Applicable stores of a product (R3).
        store_ids: Texts,
        /// Whether a change applies to orders already sold (R3).
        applies_to_sold: Flag,
        /// Why a list was narrowed: closed or cannot_serve bind orders already sold (R3).
        reason: Text,
        /// The technician of a roster line.
        technician_id: Text,
        /// Weekday a roster, hours or capacity line repeats on, Monday 1 to Sunday 7.
        on_weekday: Int,
        /// Single day such a line is about; it goes before the weekday's.
        on_day: Day,
        /// Start, minutes after local midnight.
        from_minute: Int,
        /// End, minutes after local midnight, exclusive; beyond 1440 after midnight.
        to_minute: Int,
        /// Whether a day is closed.
        closed: Flag,
        /// holiday or makeup_workday (R14).
        holiday_kind: Text,
        /// Bookings a slot takes.
        capacity: Int,
        /// Selling store a rule is limited to.
        sold_store_id: Text,
        /// Serving store a rule is limited to.
        redeemed_store_id: Text,
        /// share, list_share or fixed (R11); for policies their own kinds.
        rule_kind: Text,
        /// Share in basis points.
        share_bp: Int,
        /// Amount per unit, in fen.
        amount_fen: Fen,
        /// What a share is of: with_vat or without_vat, and principal, bonus or both, joined by `+`.
        base: Text,
        /// Head office's fee in basis points of the transfer.
        fee_bp: Int,
        /// Credit of the selling store in basis points (R22).
        credit_sold_store_bp: Int,
        /// Credit of the serving store.
        credit_redeemed_store_bp: Int,
        /// Credit of the seller.
        credit_seller_bp: Int,
        /// Credit of the technician.
        credit_technician_bp: Int,
        /// Account number in the books.
        account: Text,
    }
    types {
        /// The entry was put: the whole of it, in force from `effective_from` on.
        "upserted": kind, id, effective_from;
        /// The entry was taken away.
        "removed": kind, id, effective_from;
    }
    cases "upserted" by kind as KINDS {
        "cross_store": enabled;
        "store": name, time_zone;
        "product": name, product_type, creator_store_id;
        "applicable_stores": store_ids;
        "price": store_id, product_id, list_price_fen;
        "capability": store_id, product_id, enabled;
        "clerk": name, store_id;
        "technician": name, store_id;
        "roster": store_id, technician_id, from_minute, to_minute;
        "opening_hours": store_id;
        "holiday": on_day, holiday_kind;
        "slot_capacity": store_id, capacity;
        "settlement_rule": rule_kind;
        "credit_rule": ;
        "breakage_policy": ;
        "expiry_policy": ;
        "account": ;
    }
    key { kind / id }
}
