//! A seeded chain and its history: stores, members and everything that happens between them, day by day.
//!
//! Owns the simulation behind `hexiao generate` and `hexiao demo`. Each day's visits are drawn, put in order of time, and
//! played against the live entitlements, so that every event is possible when it happens: nobody redeems what was not sold,
//! is not theirs, has ended, or is not applicable there (R3, R5). It writes messages; where they go is the caller's.

mod after;
mod booking;
mod calendar;
mod catalog;
mod cities;
mod config;
mod entitlements;
mod line;
mod office;
mod products;
mod sale;
mod sim;
mod state;
mod visit;
mod world;

#[cfg(test)]
mod tests;

pub use config::ChainConfig;
pub use sim::{Chain, Step};
pub use state::{EntitlementState, FinalState, HoldState, MemberState};
