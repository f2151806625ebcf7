//! `members`: who holds the cards. The only stream with personal fields; erasure rewrites its table.

use crate::record::record;

record! {
    /// One change of one member. The only stream with personal fields.
    Member, MemberRows of Members {
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
    types {
        /// Somebody became a member.
        "joined": member_id;
        /// The whole record, as it is now.
        "changed": member_id;
        /// The member was merged into another.
        "merged": member_id, merged_into_member_id;
        /// The member asked to be forgotten; personal fields go.
        "erased": member_id;
    }
    key { "member": member_id }
}
