//! How large a chain to make, over which days.

use event::Day;

/// What chain to make. Equal configs make equal histories, byte for byte.
#[derive(Clone, Debug, PartialEq)]
pub struct ChainConfig {
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// The events' `source`; `demo` gives the ledger's.
    pub source: String,
    /// Stores, beside head office.
    pub stores: u32,
    /// Members at the end.
    pub members: u32,
    /// Events aimed at, catalog and members included; met within a few percent.
    pub events: u64,
    /// Days of history.
    pub days: u32,
    /// The last of them.
    pub end_day: Day,
    /// Share of visits that lead to another store than the member's own.
    pub cross_store_share: f64,
    /// Days into the history on which head office turns the cross-store switch on (R3); 0: from the start.
    pub cross_store_after_days: u32,
    /// Whether entitlements with nothing left are handed out when they close. Without it memory is bounded by what is live.
    pub closed_entitlements: bool,
}

impl ChainConfig {
    /// The demo's chain: about a million events of 40 stores and 20,000 members in two years, roughly half of them
    /// redemptions.
    pub fn demo(end_day: Day) -> Self {
        ChainConfig {
            seed: 20_260_501,
            source: "demo".into(),
            stores: 40,
            members: 20_000,
            events: 1_000_000,
            days: 730,
            end_day,
            cross_store_share: 0.22,
            cross_store_after_days: 90,
            closed_entitlements: true,
        }
    }

    /// A chain of any size: stores and members grow with the events unless they are set afterwards.
    pub fn sized(events: u64, days: u32, end_day: Day) -> Self {
        ChainConfig {
            events,
            days,
            stores: (events / 25_000).clamp(6, 400) as u32,
            members: (events / 50).clamp(60, 2_000_000) as u32,
            cross_store_after_days: days / 8,
            closed_entitlements: false,
            source: "generate".into(),
            ..Self::demo(end_day)
        }
    }
}
