//! Ids for producers that have none of their own.

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
    use super::hash63;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(hash63(["ab", "c"]), hash63(["a", "bc"]));
        assert_eq!(hash63(["ab", "c"]), hash63(["ab", "c"]));
        assert!((0..1000u32).all(|i| hash63([i.to_le_bytes()]) >= 0));
    }
}
