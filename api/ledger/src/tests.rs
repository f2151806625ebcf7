//! The ledger from outside: commands in, answers, state and log out.

mod catalog;
mod chain;
mod durability;
mod expiry;
mod load;
mod race;
mod random;
mod redeem;
mod sell;
mod totals;
