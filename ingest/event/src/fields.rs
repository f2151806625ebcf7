//! Finding a record's fields by name, quickly.
//!
//! A message names about twenty of its record's forty fields, nearly always in the record's order, because our own encoder
//! wrote it or somebody followed the schema. So a name is looked for from the field after the last one on: one or two
//! comparisons instead of the twenty that a list searched from its start takes.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, Visitor};

/// The names of a record's fields, and where in the message we are.
pub(crate) struct Keys<F: 'static> {
    fields: &'static [(&'static str, F)],
    next: usize,
    seen: u128,
}

impl<F> Keys<F> {
    /// At the start of a message.
    pub(crate) fn new(fields: &'static [(&'static str, F)]) -> Self {
        assert!(fields.len() <= 128, "a bit for each field");
        Keys { fields, next: 0, seen: 0 }
    }

    /// Notes that a field came; `false` if it came before.
    pub(crate) fn note(&mut self, at: usize) -> bool {
        let new = self.seen & (1 << at) == 0;
        self.seen |= 1 << at;
        self.next = at + 1;
        new
    }

    /// The first of the leading `required` fields that did not come.
    pub(crate) fn first_missing(&self, required: usize) -> Option<usize> {
        let first = self.seen.trailing_ones() as usize;
        (first < required).then_some(first)
    }

    fn find(&self, name: &str) -> Option<usize> {
        let (before, after) = self.fields.split_at(self.next);
        match after.iter().position(|(field, _)| *field == name) {
            Some(at) => Some(self.next + at),
            None => before.iter().position(|(field, _)| *field == name),
        }
    }
}

/// The field a key names; `None` for one the record does not have.
impl<'de, F> DeserializeSeed<'de> for &mut Keys<F> {
    type Value = Option<usize>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<F> Visitor<'_> for &mut Keys<F> {
    type Value = Option<usize>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }
    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.find(name))
    }
}
