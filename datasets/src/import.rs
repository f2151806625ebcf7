//! Files of other systems, as events: a map in TOML says which column becomes which field.
//!
//! Owns maps, the readers of CSV, NDJSON and Parquet, and the translation of rows. It makes chunks; it neither knows the log
//! nor whether an event is there already: ids are hashes of the key that the map names, so a second import makes the same
//! events, and the log drops them.
//!
//! A row becomes all of its events or none. One that cannot be mapped becomes a message that decoding turns into a dead
//! letter, with an id hashed from the file's content and the row's number.

mod bind;
mod cell;
mod error;
mod map;
mod money;
mod read;
mod run;
mod time;
mod value;

#[cfg(test)]
mod tests;

pub use error::ImportError;
pub use map::Map;
pub use run::{Import, Phase, Progress, Summary};
