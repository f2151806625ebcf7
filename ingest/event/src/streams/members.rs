//! `members`: who holds the cards. The only stream with personal fields; erasure rewrites its table.

use crate::record::{need, record};
use crate::{Fault, Stream};

record! {
    /// A member `joined`, `changed`, was `merged` into another, or `erased`.
    Member, MemberRows {
        /// The member.
        member_id: Id,
        /// Business day of joining.
        joined_on: Day,
        /// Store of joining.
        joined_store_id: Text,
        /// Latitude of the home, degrees north.
        home_lat: Degrees,
        /// Longitude of the home, degrees east.
        home_lon: Degrees,
        /// Neighbourhood (小区) of the home.
        neighbourhood: Text,
        /// Tier of membership.
        tier: Text,
        /// Keyed hash of the phone number.
        phone_hash: Text,
        /// Member this one is merged into.
        merged_into_member_id: Id,
    }
}

impl Member<'_> {
    pub(crate) fn check_type(&self) -> Result<(), Fault> {
        match self.r#type.as_str() {
            "joined" | "changed" | "erased" => need!(self; member_id),
            "merged" => need!(self; member_id, merged_into_member_id),
            found => Err(Fault::UnknownType { stream: Stream::Members, found: found.to_owned() }),
        }
    }

    pub(crate) fn log_key(&self) -> String {
        format!("member:{}", self.member_id.unwrap_or_default())
    }
}
