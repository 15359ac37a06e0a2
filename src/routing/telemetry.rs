//! Counts the choices of routers.

use super::Choice;
use crate::error::Result;
use crate::telemetry::{DECIDE_SECONDS, DECISIONS, error_label};
use metrics::{Label, counter, histogram};
use std::time::Instant;

/// Makes a router's choice within its span, and counts it.
pub(super) fn decided(choose: impl FnOnce() -> Result<Choice>) -> Result<Choice> {
    let _span = tracing::debug_span!("decide").entered();
    let begun = Instant::now();
    let choice = choose();
    histogram!(DECIDE_SECONDS).record(begun.elapsed());
    let outcome = match &choice {
        Ok(choice) if choice.abstained.is_some() => "abstained",
        Ok(_) => "chosen",
        Err(error) => error_label(error),
    };
    counter!(DECISIONS, vec![Label::from_static_parts("outcome", outcome)]).increment(1);
    choice
}
