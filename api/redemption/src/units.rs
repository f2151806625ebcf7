//! The units of an entitlement: one state per ordinal, counters derived from them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What became of one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitState {
    /// May be redeemed.
    Available,
    /// Held by a booking (R4).
    Held,
    /// Redeemed (R1).
    Redeemed,
    /// In an open refund request (R6).
    RefundOpen,
    /// Refunded (R6).
    Refunded,
    /// Expired (R5).
    Expired,
}

impl UnitState {
    /// Every state.
    pub const ALL: [UnitState; 6] = [
        UnitState::Available,
        UnitState::Held,
        UnitState::Redeemed,
        UnitState::RefundOpen,
        UnitState::Refunded,
        UnitState::Expired,
    ];

    /// Its letter in [`Units`]'s text.
    pub fn letter(self) -> u8 {
        match self {
            UnitState::Available => b'a',
            UnitState::Held => b'h',
            UnitState::Redeemed => b'r',
            UnitState::RefundOpen => b'q',
            UnitState::Refunded => b'f',
            UnitState::Expired => b'x',
        }
    }

    fn from_letter(letter: u8) -> Option<Self> {
        UnitState::ALL.into_iter().find(|state| state.letter() == letter)
    }
}

/// How many units are in which state. `total` is their sum, so `available` is never negative (R4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Units sold.
    pub total: i32,
    /// Free to be redeemed.
    pub available: i32,
    /// Held by bookings.
    pub held: i32,
    /// Redeemed.
    pub redeemed: i32,
    /// In an open refund request.
    pub refund_open: i32,
    /// Refunded.
    pub refunded: i32,
    /// Expired.
    pub expired: i32,
}

impl Counts {
    /// Units left: neither redeemed nor refunded nor expired. Held ones and those in a refund request are still there.
    pub fn remaining(&self) -> i32 {
        self.available + self.held + self.refund_open
    }
}

/// One state per unit, by ordinal from 1. As text one letter per unit: `rrah` is two redeemed, one available, one held.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Units(Vec<u8>);

impl Units {
    /// `total` units, all available.
    pub fn new(total: usize) -> Self {
        Units(vec![UnitState::Available.letter(); total])
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        text.bytes().all(|b| UnitState::from_letter(b).is_some()).then(|| Units(text.as_bytes().to_vec()))
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The state of a unit; `None` if there is no such ordinal.
    pub fn state(&self, ordinal: i32) -> Option<UnitState> {
        self.0.get(usize::try_from(ordinal).ok()?.checked_sub(1)?).and_then(|b| UnitState::from_letter(*b))
    }

    /// Puts a unit into a state; nothing if there is no such ordinal.
    pub fn set(&mut self, ordinal: i32, state: UnitState) {
        let at = usize::try_from(ordinal).ok().and_then(|o| o.checked_sub(1));
        if let Some(unit) = at.and_then(|at| self.0.get_mut(at)) {
            *unit = state.letter();
        }
    }

    /// The ordinals in a state, ascending.
    pub fn ordinals(&self, state: UnitState) -> impl Iterator<Item = i32> + '_ {
        let letter = state.letter();
        self.0.iter().enumerate().filter(move |(_, b)| **b == letter).map(|(i, _)| i as i32 + 1)
    }

    /// How many are in which state.
    pub fn counts(&self) -> Counts {
        let count = |state: UnitState| self.0.iter().filter(|b| **b == state.letter()).count() as i32;
        Counts {
            total: self.0.len() as i32,
            available: count(UnitState::Available),
            held: count(UnitState::Held),
            redeemed: count(UnitState::Redeemed),
            refund_open: count(UnitState::RefundOpen),
            refunded: count(UnitState::Refunded),
            expired: count(UnitState::Expired),
        }
    }
}

impl fmt::Debug for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Units> for String {
    fn from(units: Units) -> String {
        units.as_str().to_owned()
    }
}

impl TryFrom<String> for Units {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Units::parse(&text).ok_or_else(|| format!("`{text}` holds letters that are no unit states"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r4_counts_come_from_the_states() {
        let mut units = Units::parse("rrahqfx").unwrap();
        let counts = units.counts();
        assert_eq!((counts.total, counts.available, counts.held, counts.redeemed), (7, 1, 1, 2));
        assert_eq!((counts.refund_open, counts.refunded, counts.expired, counts.remaining()), (1, 1, 1, 3));
        assert_eq!(units.ordinals(UnitState::Redeemed).collect::<Vec<_>>(), [1, 2]);
        units.set(3, UnitState::Redeemed);
        units.set(0, UnitState::Expired);
        units.set(8, UnitState::Expired);
        assert_eq!(units.as_str(), "rrrhqfx");
        assert_eq!((units.state(0), units.state(4), units.state(8)), (None, Some(UnitState::Held), None));
        assert_eq!(Units::parse("rz"), None);
    }
}
