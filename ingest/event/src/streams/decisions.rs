//! `decisions`: what people decided about periods, recommendations and schedules.

use crate::record::record;

record! {
    /// One decision.
    Decision, DecisionRows of Decisions {
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
    types {
        /// A settlement period was drafted.
        "period_drafted": subject, decided_by, period_from, period_to;
        /// A party confirmed the draft.
        "period_confirmed": subject, decided_by, period_from, period_to;
        /// A party disputed the draft.
        "period_disputed": subject, decided_by, period_from, period_to;
        /// The period was locked: what happened in it is only corrected by adjustments.
        "period_locked": subject, decided_by, period_from, period_to;
        /// A recommendation was taken.
        "recommendation_accepted": subject, decided_by;
        /// A recommendation was turned down.
        "recommendation_rejected": subject, decided_by;
        /// A scheduled report ran.
        "schedule_run": subject, outcome;
    }
    key { "subject": subject }
}
