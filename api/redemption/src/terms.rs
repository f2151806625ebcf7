//! What was sold: the product's facts as they stood at the sale.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Blackout, ProductId, StoreId, Validity};

macro_rules! word_enum {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $vdoc:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[doc = $vdoc])+ $variant,)+
        }

        impl $name {
            /// Every one.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// Its word in events and JSON.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                $name::ALL.iter().copied().find(|v| v.as_str() == text).ok_or_else(|| {
                    format!("`{text}` is none of {}", $name::ALL.iter().map(|v| v.as_str()).collect::<Vec<_>>().join(", "))
                })
            }
        }
    };
}

word_enum!(
    /// The type of a product: it decides where units may be redeemed (R3).
    ProductType {
        /// 预约: a service that is booked.
        Booking = "booking",
        /// 卡项: a card.
        Card = "card",
        /// 次卡: a card of counted uses.
        PunchCard = "punch_card",
        /// A single service.
        Service = "service",
        /// Goods handed over.
        Goods = "goods",
        /// Stored value: spent in yuan, not redeemed by unit.
        StoredValue = "stored_value",
    }
);

impl ProductType {
    /// Whether head office's products of this type may be redeemed away from the store that sold them (R3).
    pub fn crosses_stores(self) -> bool {
        matches!(self, ProductType::Booking | ProductType::Card | ProductType::PunchCard)
    }

    /// What it is for accounting, where the product does not say.
    pub fn sale_kind(self) -> SaleKind {
        match self {
            ProductType::Booking | ProductType::Service => SaleKind::Service,
            ProductType::Card | ProductType::PunchCard => SaleKind::Card,
            ProductType::Goods => SaleKind::Goods,
            ProductType::StoredValue => SaleKind::StoredValue,
        }
    }
}

word_enum!(
    /// What a sale is for accounting (R18).
    SaleKind {
        /// A card: paid now, used later.
        Card = "card",
        /// Stored value.
        StoredValue = "stored_value",
        /// A service.
        Service = "service",
        /// Goods.
        Goods = "goods",
    }
);

word_enum!(
    /// Which part of stored value is drawn first (R11).
    DrawOrder {
        /// Principal, then bonus.
        PrincipalFirst = "principal_first",
        /// Bonus, then principal.
        BonusFirst = "bonus_first",
        /// Both in proportion.
        ProRata = "pro_rata",
    }
);

word_enum!(
    /// Where a sale or a redemption came in.
    Channel {
        /// At the till.
        Till = "till",
        /// In the member's mini-app.
        MiniApp = "mini_app",
        /// Online.
        Online = "online",
        /// Loaded from another system.
        Import = "import",
    }
);

/// The product's facts as they stood at the sale. What is changed in the catalog later does not change them (R3, R5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// The product.
    pub product_id: ProductId,
    /// The version of it that was sold.
    pub product_version: i32,
    /// Its type.
    pub product_type: ProductType,
    /// What the sale is for accounting.
    pub sale_kind: SaleKind,
    /// Whether head office created the product (R3).
    pub head_office_product: bool,
    /// Units that one piece of the product gives.
    pub units: i32,
    /// The product's applicable stores at the sale (R3), sorted.
    pub applicable_stores: Vec<StoreId>,
    /// VAT rate in basis points.
    pub vat_rate_bp: Option<i32>,
    /// Skill the service asks for.
    pub skill: Option<String>,
    /// Minutes the service takes.
    pub service_minutes: Option<i32>,
    /// How long it is valid (R5).
    pub validity: Validity,
    /// When it is not valid in between (R5).
    pub blackouts: Vec<Blackout>,
}
