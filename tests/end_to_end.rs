//! Everything that needs the real binary: one test program, so that it links once.

mod chain;
mod chaos;
mod check;
mod contract;
mod crash;
mod dead_letters;
mod formats;
mod http;
mod journey;
mod kafka;
mod race;
mod readme;
mod reports;
mod stranger;
mod support;
