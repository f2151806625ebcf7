//! Refusals as events: every attempt that was turned down, with its reason (R10); unmet demand is counted from them (R15).

use event::{Event, Id, Instant, Text};
use redemption::{Channel, ClerkId, EntitlementId, MemberId, OrderId, ProductId, Refusal, StoreId, TerminalId};

use crate::error::Result;
use crate::writer::Work;

/// What was attempted, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) store_id: &'a StoreId,
    pub(crate) product_id: Option<&'a ProductId>,
    pub(crate) member_id: Option<MemberId>,
    pub(crate) order_id: Option<OrderId>,
    pub(crate) entitlement_id: Option<EntitlementId>,
    pub(crate) service_start_at: Option<Instant>,
    pub(crate) service_minutes: Option<i32>,
    pub(crate) clerk_id: Option<&'a ClerkId>,
    pub(crate) terminal_id: Option<&'a TerminalId>,
    pub(crate) units: Option<u32>,
    pub(crate) channel: Option<Channel>,
}

impl<'a> Attempt<'a> {
    /// An attempt at a store, nothing else known.
    pub(crate) fn at(store_id: &'a StoreId) -> Self {
        Attempt {
            store_id,
            product_id: None,
            member_id: None,
            order_id: None,
            entitlement_id: None,
            service_start_at: None,
            service_minutes: None,
            clerk_id: None,
            terminal_id: None,
            units: None,
            channel: None,
        }
    }
}

/// Writes the refusal into the log.
pub(crate) fn emit(work: &mut Work<'_>, attempt: &Attempt<'_>, refusal: &Refusal) -> Result<()> {
    let zone = work.state.catalog.zone(attempt.store_id, work.now);
    let (source, event_id) = (work.source(), work.next_id());
    let event = event::Refusal {
        day_start_hour: Some(zone.day_start_hour()).filter(|hour| *hour != event::DEFAULT_DAY_START_HOUR),
        store_id: Some(attempt.store_id.as_str().into()),
        product_id: attempt.product_id.map(|p| p.as_str().into()),
        member_id: attempt.member_id.map(Id::from),
        order_id: attempt.order_id.map(Id::from),
        entitlement_id: attempt.entitlement_id.map(Id::from),
        reason: Some(refusal.code().into()),
        rule: refusal.rule().map(Text::from),
        wished_start_at: attempt.service_start_at,
        service_minutes: attempt.service_minutes,
        clerk_id: attempt.clerk_id.map(|c| c.as_str().into()),
        terminal_id: attempt.terminal_id.map(|t| t.as_str().into()),
        units: attempt.units.map(|n| n.min(i32::MAX as u32) as i32),
        channel: Some(attempt.channel.unwrap_or(Channel::Till).as_str().into()),
        ..event::Refusal::new(source.as_str(), event_id, "refused", zone.moment(work.now))
    };
    work.emit(&Event::Refusal(event))
}
