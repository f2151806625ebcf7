//! `decisions`: what people decided about periods, recommendations and schedules.

use crate::record::{need, record};
use crate::{Fault, Stream};

record! {
    /// A period's state (`period_drafted`, `period_confirmed`, `period_disputed`, `period_locked`), a recommendation
    /// `recommendation_accepted` or `recommendation_rejected`, or a `schedule_run`.
    Decision, DecisionRows {
        /// What it is about, such as `settlement/2026-05/E01` or a recommendation's id.
        subject: Text,
        /// Who decided: a clerk, or the name of a key.
        decided_by: Text,
        /// Why, in words.
        reason: Text,
        /// First business day of the period concerned.
        period_from: Day,
        /// Last business day of the period concerned, inclusive.
        period_to: Day,
        /// Store concerned.
        store_id: Text,
        /// Legal entity concerned.
        entity_id: Text,
        /// Product concerned.
        product_id: Text,
        /// Report concerned.
        report: Text,
        /// What came of it, such as `delivered`.
        outcome: Text,
    }
}

impl Decision<'_> {
    pub(crate) fn check_type(&self) -> Result<(), Fault> {
        match self.r#type.as_str() {
            "period_drafted" | "period_confirmed" | "period_disputed" | "period_locked" => {
                need!(self; subject, decided_by, period_from, period_to)
            }
            "recommendation_accepted" | "recommendation_rejected" => need!(self; subject, decided_by),
            "schedule_run" => need!(self; subject, outcome),
            found => Err(Fault::UnknownType { stream: Stream::Decisions, found: found.to_owned() }),
        }
    }

    pub(crate) fn log_key(&self) -> String {
        format!("subject:{}", self.subject.as_deref().unwrap_or_default())
    }
}
