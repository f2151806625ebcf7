//! Ids. Whoever holds one knows that it is well formed; whether it exists is the ledger's question.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use event::Id;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// 64 bytes hold every id seen in tills and ERPs, a UUID with a prefix included, and keep keys of the log short.
const TEXT_ID_BYTES: usize = 64;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a {what} id: 1 to 64 bytes, no control characters, no blank at either end")]
pub struct BadId {
    what: &'static str,
    found: String,
}

macro_rules! text_id {
    ($(#[doc = $doc:literal])+ $name:ident, $what:literal) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the form: 1 to 64 bytes, no control characters, no blank at either end.
            pub fn new(text: &str) -> Result<Self, BadId> {
                let well_formed = !text.is_empty()
                    && text.len() <= TEXT_ID_BYTES
                    && text.trim() == text
                    && !text.chars().any(char::is_control);
                well_formed.then(|| $name(text.into())).ok_or_else(|| BadId {
                    what: $what,
                    found: text.chars().take(TEXT_ID_BYTES).collect(),
                })
            }

            /// The characters.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = event::Text::deserialize(d)?;
                Self::new(&text).map_err(de::Error::custom)
            }
        }
    };
}

macro_rules! number_id {
    ($(#[doc = $doc:literal])+ $name:ident) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map($name)
            }
        }

        impl From<$name> for Id {
            fn from(id: $name) -> Id {
                Id(id.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                Id(self.0).serialize(s)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Id::deserialize(d).map(|id| $name(id.0))
            }
        }
    };
}

text_id!(
    /// A store (门店); head office is one too.
    StoreId, "store"
);
text_id!(
    /// A product.
    ProductId, "product"
);
text_id!(
    /// A clerk (核销员), or whoever sold something.
    ClerkId, "clerk"
);
text_id!(
    /// A technician.
    TechnicianId, "technician"
);
text_id!(
    /// A terminal at a till.
    TerminalId, "terminal"
);
number_id!(
    /// An order. A string in JSON (R23).
    OrderId
);
number_id!(
    /// What one order line gave a member. A string in JSON (R23).
    EntitlementId
);
number_id!(
    /// A member. A string in JSON (R23).
    MemberId
);
number_id!(
    /// One call that redeemed units. A string in JSON (R23).
    RedemptionId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_well_formed_or_refused() {
        for good in ["S1", "静安店", "a b", &"x".repeat(64)] {
            assert!(StoreId::new(good).is_ok(), "{good}");
        }
        for bad in ["", " S1", "S1 ", "S\n1", &"x".repeat(65), &"店".repeat(22)] {
            assert!(StoreId::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            StoreId::new("").unwrap_err().to_string(),
            "`` is not a store id: 1 to 64 bytes, no control characters, no blank at either end"
        );
    }
}
