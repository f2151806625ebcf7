//! Lake and tail into answers.
//!
//! Owns what a query sees (a [`View`]: one Delta version per table plus the log's rows since), the relations and reports of
//! `sql/`, the limits of a statement, and the formats answers are written in. It never reads the ledger's tables and knows
//! nobody who asks: doors and grants are the api's.

mod answer;
mod asked;
mod beside;
mod engine;
mod error;
mod explain;
mod files;
mod follow;
mod guard;
mod lake;
mod library;
mod log_tail;
mod materialize;
pub mod output;
mod params;
mod period;
mod pool;
mod provider;
mod pushdown;
pub mod reader;
mod repeats;
mod schemas;
mod source;
mod system;
mod tail;
mod udf;
mod view;
mod views;

pub use answer::{About, Answer, Presentation, Rows};
pub use asked::GENERAL;
pub use engine::{Engine, EngineConfig, business_day};
pub use error::{Error, ErrorKind, Result};
pub use follow::{FollowConfig, FollowStatus, Follower};
pub use output::{Chart, Format, Language, Sheet};
pub use params::{Params, Type, Value};
pub use source::{Drill, Given, Parameter, Role, Source};
pub use view::{Freshness, View};
pub use views::Views;

#[cfg(test)]
mod tests;
