//! The ledger's limits, each with its reason.

use redemption::LockoutPolicy;

/// Limits and choices of a ledger.
#[derive(Clone, Debug)]
pub struct Config {
    /// Commands that may wait for the writer. At 5,000 a second, 4,096 are less than a second: whoever comes then waits
    /// for a place, instead of memory filling up.
    pub queue_limit: usize,
    /// Commands in one commit. An fsync costs 1–5 ms and a redemption 0.1 ms: at 256 the fsync no longer matters, and the
    /// first of them still is answered within 30 ms.
    pub group_limit: usize,
    /// Connections that read at once. Look-ups take under a millisecond; more only compete for the cores.
    pub readers: usize,
    /// Lines of one order: more than any till prints.
    pub lines_limit: usize,
    /// Units of one order line. Their states are one text of that length, rewritten by every redemption.
    pub units_limit: i32,
    /// Entitlements one call may redeem from (R8).
    pub takes_limit: usize,
    /// How long a key's outcome is kept (R2).
    pub idempotency_days: i64,
    /// Wrong codes that lock a terminal out (R10).
    pub terminal_lockout: LockoutPolicy,
    /// Wrong codes that lock a store out (R10).
    pub store_lockout: LockoutPolicy,
    /// The zone of what belongs to no store, such as the cross-store switch: the chain's home.
    pub home_zone: String,
    /// Entitlements one sweep expires: at 0.1 ms each, clerks wait behind it for 50 ms at most.
    pub sweep_limit: usize,
    /// The chain's secret (R10). `None`: the file `<ledger>.secret` beside the ledger, made on first use.
    pub secret: Option<[u8; 32]>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            queue_limit: 4_096,
            group_limit: 256,
            readers: 4,
            lines_limit: 100,
            units_limit: 10_000,
            takes_limit: 50,
            idempotency_days: 7,
            terminal_lockout: LockoutPolicy::default(),
            store_lockout: LockoutPolicy::default(),
            home_zone: "Asia/Shanghai".to_owned(),
            sweep_limit: 500,
            secret: None,
        }
    }
}
