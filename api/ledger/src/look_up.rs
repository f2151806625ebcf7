//! Looking an order up by what the member shows, before anything is redeemed.
//!
//! Whoever may ask this may also guess, so wrong codes count, lock out and are recorded exactly as they are when redeeming
//! (R10).

use redemption::Refusal;

use crate::Ledger;
use crate::entitlements;
use crate::error::{Result, invalid_field};
use crate::orders::{OrderDetail, detail};
use crate::redeem::{Redeem, find_order};
use crate::refusals::{self, Attempt};
use crate::writer::{Work, Written};

impl Ledger {
    /// The order that the code, token or id of `command`'s one take stands for, at its store and terminal. Nothing is
    /// redeemed, and a QR token is not used up.
    pub async fn look_up(&self, command: Redeem) -> Result<Written<Result<OrderDetail, Refusal>>> {
        if command.takes.len() != 1 {
            return Err(invalid_field("takes", "one call looks up one order"));
        }
        self.write(move |work| look_up(work, &command)).await
    }
}

fn look_up(work: &mut Work<'_>, command: &Redeem) -> Result<Written<Result<OrderDetail, Refusal>>> {
    let catalog = work.state.catalog.clone();
    catalog.known_store(&command.store_id, work.now)?;
    let found = match find_order(work, command, &command.takes[0], &mut Vec::new())? {
        Ok(order_id) => entitlements::read_order(work.conn, &mut work.state.terms, order_id)?.ok_or(Refusal::UnknownEntitlement),
        Err(refusal) => Err(refusal),
    };
    if let Err(refusal) = &found {
        let attempt = Attempt {
            clerk_id: command.clerk_id.as_ref(),
            terminal_id: command.terminal_id.as_ref(),
            channel: command.channel,
            ..Attempt::at(&command.store_id)
        };
        refusals::emit(work, &attempt, refusal)?;
    }
    Ok(work.written(found.map(|(order, lines)| detail(&catalog, work.now, order, lines))))
}
