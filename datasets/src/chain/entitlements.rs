//! Live entitlements: a slab of small records, units as bits. Only what still can change is kept.

use redemption::Payment;

/// Nobody; no entitlement.
pub(crate) const NONE: u32 = u32::MAX;

/// For ever.
pub(crate) const PERMANENT: i64 = i64::MAX;

/// One order line's units. Bit `n` of a mask is ordinal `n + 1`.
#[derive(Clone, Debug)]
pub(crate) struct Entitlement {
    pub id: i64,
    pub order: i64,
    pub sold_at: i64,
    /// First second after validity; [`PERMANENT`].
    pub valid_until: i64,
    pub paid_fen: i64,
    pub list_price_fen: i64,
    /// Parts of what was paid; of stored value, the bonus given.
    pub principal_fen: i64,
    pub bonus_fen: i64,
    pub points_fen: i32,
    pub coupon_fen: i32,
    /// Stored value spent, principal and bonus together.
    pub spent_fen: i64,
    pub member: u32,
    pub redeemed: u32,
    pub held: u32,
    pub refund_open: u32,
    pub refunded: u32,
    pub expired: u32,
    /// Goes up whenever the slot is used again, so that what was scheduled for another is known as stale.
    pub generation: u32,
    /// The member's next one.
    pub next: u32,
    pub product: u16,
    pub version: u16,
    pub sold_store: u16,
    pub valid_from_day: i32,
    pub units: u8,
    /// Technician of the selling store who sold it; 255: nobody, it was online.
    pub seller: u8,
    pub clerk: u8,
    pub channel: u8,
    /// Scheduled reversals that still need it.
    pub pins: u8,
    pub live: bool,
}

impl Entitlement {
    pub(crate) fn all(&self) -> u32 {
        (1u64 << self.units).wrapping_sub(1) as u32
    }

    /// Units that may be taken, held or refunded.
    pub(crate) fn available(&self) -> u32 {
        self.all() & !(self.redeemed | self.held | self.refund_open | self.refunded | self.expired)
    }

    /// Units that are neither redeemed, refunded nor expired; held ones are among them.
    pub(crate) fn remaining(&self) -> i32 {
        (self.all() & !(self.redeemed | self.refunded | self.expired)).count_ones() as i32
    }

    /// The lowest available ordinal.
    pub(crate) fn next_unit(&self) -> Option<u8> {
        let available = self.available();
        (available != 0).then(|| available.trailing_zeros() as u8 + 1)
    }

    /// What was paid, in parts.
    pub(crate) fn payment(&self) -> Payment {
        Payment {
            paid_fen: self.paid_fen,
            principal_fen: self.principal_fen,
            bonus_fen: self.bonus_fen,
            points_fen: self.points_fen.into(),
            coupon_fen: self.coupon_fen.into(),
        }
    }

    /// What one unit is worth, in parts (R9).
    pub(crate) fn value(&self, ordinal: u8) -> Payment {
        self.payment().of_unit(ordinal.into(), self.units.into())
    }

    /// Carrying value of a set of units.
    pub(crate) fn carrying_fen(&self, units: u32) -> i64 {
        ordinals(units).map(|o| self.value(o).paid_fen).sum()
    }
}

/// The ordinals of a mask, rising.
pub(crate) fn ordinals(mask: u32) -> impl Iterator<Item = u8> {
    (0..32u8).filter(move |n| mask & (1 << n) != 0).map(|n| n + 1)
}

#[derive(Debug, Default)]
pub(crate) struct Slab {
    slots: Vec<Entitlement>,
    free: Vec<u32>,
}

impl Slab {
    pub(crate) fn insert(&mut self, mut entitlement: Entitlement) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                entitlement.generation = self.slots[slot as usize].generation + 1;
                self.slots[slot as usize] = entitlement;
                slot
            }
            None => {
                self.slots.push(entitlement);
                (self.slots.len() - 1) as u32
            }
        }
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        self.slots[slot as usize].live = false;
        self.free.push(slot);
    }

    /// The entitlement in `slot`, if it is still the one of `generation`.
    pub(crate) fn current(&self, slot: u32, generation: u32) -> Option<&Entitlement> {
        let found = &self.slots[slot as usize];
        (found.live && found.generation == generation).then_some(found)
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = (u32, &Entitlement)> {
        self.slots.iter().enumerate().filter(|(_, e)| e.live).map(|(slot, e)| (slot as u32, e))
    }
}

impl std::ops::Index<u32> for Slab {
    type Output = Entitlement;
    fn index(&self, slot: u32) -> &Entitlement {
        &self.slots[slot as usize]
    }
}

impl std::ops::IndexMut<u32> for Slab {
    fn index_mut(&mut self, slot: u32) -> &mut Entitlement {
        &mut self.slots[slot as usize]
    }
}
