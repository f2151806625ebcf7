//! Who has tried too many wrong codes (R10).

use event::Instant;

/// How many wrong codes in what time lock a terminal or a store out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockoutPolicy {
    /// So many wrong codes …
    pub failures: u32,
    /// … within so many seconds.
    pub window_secs: i64,
}

impl Default for LockoutPolicy {
    /// 5 in 10 minutes (R10): a clerk who mistypes gets there rarely, a guesser makes 720 guesses a day.
    fn default() -> Self {
        LockoutPolicy { failures: 5, window_secs: 600 }
    }
}

impl LockoutPolicy {
    /// Until when somebody with these wrong codes, in any order, is locked out at `now`; `None` if not. Attempts made while
    /// locked out are not looked at and not counted, so the lock ends when the oldest of the last few leaves the window.
    pub fn locked_until(&self, failures: &[Instant], now: Instant) -> Option<Instant> {
        let nth = (self.failures.max(1) - 1) as usize;
        let mut newest_first = failures.to_vec();
        newest_first.sort_unstable_by(|a, b| b.cmp(a));
        let until = Instant(newest_first.get(nth)?.0.saturating_add(self.window_secs * 1_000_000));
        (until > now).then_some(until)
    }

    /// Failures before this instant no longer matter at `now`.
    pub fn horizon(&self, now: Instant) -> Instant {
        Instant(now.0.saturating_sub(self.window_secs * 1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r10_five_in_ten_minutes_lock_out() {
        let policy = LockoutPolicy::default();
        let check = |failures: &[i64], now: i64, expected: Option<i64>| {
            let failures: Vec<Instant> = failures.iter().map(|s| Instant::from_secs(*s)).collect();
            assert_eq!(
                policy.locked_until(&failures, Instant::from_secs(now)),
                expected.map(Instant::from_secs),
                "{failures:?} at {now}"
            );
        };
        check(&[], 0, None);
        check(&[1, 2, 3, 4], 5, None);
        check(&[1, 2, 3, 4, 5], 5, Some(601));
        check(&[5, 1, 4, 2, 3], 600, Some(601));
        check(&[1, 2, 3, 4, 5], 601, None);
        check(&[1, 2, 3, 4, 5, 601], 601, Some(602));
    }
}
