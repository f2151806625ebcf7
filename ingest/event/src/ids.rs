//! How producers make ids: ordered in time where they produce live, hashed from keys where they import.

use crate::Instant;

/// 2020-01-01T00:00:00Z in milliseconds.
const EPOCH_MS: i64 = 1_577_836_800_000;

/// 2^21 ids per millisecond, and 2^42 milliseconds, 139 years, in 63 bits.
const SEQUENCE_BITS: u32 = 21;

/// The lowest id that a live producer gives at `at`; the next ones within the millisecond count on from it.
pub fn first_id_at(at: Instant) -> i64 {
    (at.0.div_euclid(1000) - EPOCH_MS).clamp(-(1 << 41), 1 << 41) << SEQUENCE_BITS
}

/// A 63-bit, non-negative hash of `parts`, for importers and for whatever needs an id that a second run finds again.
///
/// Each part is length-prefixed, so that ("ab", "c") and ("a", "bc") differ. At 10^7 ids the chance of any collision is
/// n²/2^64 = 10^14 / 1.8·10^19, about 5 in a million.
pub fn hash63<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> i64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        let part = part.as_ref();
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut head = [0u8; 8];
    head.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    (u64::from_le_bytes(head) >> 1) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_time_within_63_bits() {
        let at = |secs| first_id_at(Instant::from_secs(secs));
        assert!(at(1_780_000_000) < at(1_780_000_001) && at(1_780_000_000) > 0);
        assert!(at(1_500_000_000) < 0 && first_id_at(Instant(i64::MAX)) > 0 && first_id_at(Instant(i64::MIN)) < 0);
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(hash63(["ab", "c"]), hash63(["a", "bc"]));
        assert_eq!(hash63(["ab", "c"]), hash63(["ab", "c"]));
        assert!((0..1000u32).all(|i| hash63([i.to_le_bytes()]) >= 0));
    }
}
