//! The decision itself: may these units be redeemed here and now, and which are they (R1, R3, R5, R6, R9).

use std::num::NonZeroU32;

use event::{Id, Instant};

use crate::{
    Blackout, Chain, Entitlement, Payment, ProductType, Refusal, ScopeReason, StoreId, UnitState, Units, Window, Zone,
    where_usable,
};

/// Where and when a redemption is tried.
#[derive(Clone, Copy, Debug)]
pub struct Serving<'a> {
    /// The store.
    pub store: &'a StoreId,
    /// The instant.
    pub at: Instant,
    /// The serving store's own time: blackout days are its business days.
    pub zone: Zone,
    /// The selling store's own time: validity is counted in its days.
    pub sold_zone: Zone,
}

/// What a redemption takes, and what it leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// The units, in the order they are taken.
    pub units: Vec<TakenUnit>,
    /// The states afterwards.
    pub after: Units,
    /// The validity afterwards: the first use may have started it (R5).
    pub window: Window,
}

/// One unit taken.
#[derive(Clone, Debug, PartialEq)]
pub struct TakenUnit {
    /// Which, from 1.
    pub ordinal: i32,
    /// Where it was booked and by which booking, if it was; the hold is consumed (R4).
    pub booked: Option<(StoreId, Id)>,
    /// Units left before it was taken.
    pub remaining_before: i32,
    /// Units left afterwards.
    pub remaining_after: i32,
    /// What it is worth (R9).
    pub value: Payment,
}

/// Takes `wanted` units of `card`, all or none (R8).
pub fn redeem(card: &Entitlement, chain: Chain<'_>, serving: Serving<'_>, wanted: NonZeroU32) -> Result<Taken, Refusal> {
    let ordinals = check_redeemable(card, chain, serving, wanted)?;
    let total = card.units.counts().total;
    let mut after = card.units.clone();
    let mut remaining = card.units.counts().remaining();
    let units = ordinals
        .into_iter()
        .map(|ordinal| {
            let hold = card.holds.iter().find(|h| h.unit_ordinal == ordinal && after.state(ordinal) == Some(UnitState::Held));
            after.set(ordinal, UnitState::Redeemed);
            remaining -= 1;
            TakenUnit {
                ordinal,
                booked: hold.map(|h| (h.booked_store.clone(), h.booking_id)),
                remaining_before: remaining + 1,
                remaining_after: remaining,
                value: card.payment.of_unit(ordinal, total),
            }
        })
        .collect();
    let window = card.terms.validity.after_first_use(card.window, serving.at, serving.sold_zone);
    Ok(Taken { units, after, window })
}

/// The ordinals that a redemption of `wanted` units would take: first those booked at this store, then free ones, the
/// lowest first.
pub fn check_redeemable(
    card: &Entitlement,
    chain: Chain<'_>,
    serving: Serving<'_>,
    wanted: NonZeroU32,
) -> Result<Vec<i32>, Refusal> {
    if card.terms.product_type == ProductType::StoredValue {
        return Err(Refusal::NotRedeemable);
    }
    let held_at = |ours: bool| {
        let is_held = |ordinal| card.units.state(ordinal) == Some(UnitState::Held);
        card.holds.iter().filter(move |h| is_held(h.unit_ordinal) && (h.booked_store == *serving.store) == ours)
    };
    let usable = where_usable(card, chain, serving.at);
    let covered = usable.stores.contains(serving.store);
    if !covered && held_at(true).next().is_none() {
        return Err(match usable.because {
            ScopeReason::ApplicableStores => {
                Refusal::StoreNotApplicable { store: serving.store.clone(), usable_at: usable.stores.into_iter().collect() }
            }
            because => Refusal::SoldStoreOnly {
                store: serving.store.clone(),
                sold_store: card.sold_store.clone(),
                cross_store_off: because == ScopeReason::CrossStoreOff,
            },
        });
    }
    check_valid(card, serving)?;
    if card.refund_open {
        return Err(Refusal::RefundOpen);
    }
    let mut ordinals: Vec<i32> = held_at(true).map(|h| h.unit_ordinal).collect();
    ordinals.sort_unstable();
    if covered {
        ordinals.extend(card.units.ordinals(UnitState::Available));
    }
    let available = ordinals.len() as u32;
    if available < wanted.get() {
        return Err(match held_at(false).map(|h| h.booked_store.clone()).collect::<std::collections::BTreeSet<_>>() {
            stores if available == 0 && !stores.is_empty() => Refusal::HeldElsewhere { booked_at: stores.into_iter().collect() },
            _ if available == 0 => Refusal::NoUnitsLeft,
            _ => Refusal::NotEnoughUnits { wanted: wanted.get(), available },
        });
    }
    ordinals.truncate(wanted.get() as usize);
    Ok(ordinals)
}

fn check_valid(card: &Entitlement, serving: Serving<'_>) -> Result<(), Refusal> {
    let Window { valid_from, valid_until } = card.window;
    if let Some(valid_until) = valid_until.filter(|until| *until <= serving.at) {
        return Err(Refusal::Expired { valid_until });
    }
    if serving.at < valid_from {
        return Err(Refusal::NotYetValid { valid_from });
    }
    let today = serving.zone.business_time(serving.at).day;
    if let Some((window, next)) = Blackout::blocking(&card.terms.blackouts, today) {
        let next_valid_at = Some(serving.zone.start_of(next)).filter(|at| valid_until.is_none_or(|until| *at < until));
        return Err(Refusal::BlackedOut { from_on: window.from_on, to_on: window.to_on, next_valid_at });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
