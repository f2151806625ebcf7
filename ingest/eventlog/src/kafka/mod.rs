//! The log on Kafka: one topic per stream, read by explicit offsets.
//!
//! Owns the connection's settings, creating topics, reading them as a [`crate::Source`], sharing their partitions among
//! processes, and what is needed to know a topic again. How far the lake is stands in the lake: nothing here commits offsets to Kafka.

mod config;
mod describe;
mod first;
mod group;
mod reading;
mod source;
mod topics;

#[cfg(test)]
pub(crate) mod broker;
#[cfg(test)]
mod tests;

pub use config::{KafkaConfig, Sasl, SaslMechanism, Secret, Security, Tls};
pub use first::first_recorded;
pub use group::{GroupConfig, Membership, Share};
pub use source::KafkaSource;
pub use topics::{Difference, Retention, Topic, TopicSettings, create_topics};

pub(crate) use source::failed;
