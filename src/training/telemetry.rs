//! Counts trainings and rollbacks.

use super::TrainingReport;
use crate::error::Result;
use crate::telemetry::{ROLLBACKS, TRAIN_SECONDS, TRAININGS, error_label};
use metrics::{Label, counter, histogram};
use std::time::Instant;
use tracing::Instrument;

/// Trains within a span, and counts it.
pub(super) async fn trained(
    model: &'static str,
    train: impl Future<Output = Result<TrainingReport>>,
) -> Result<TrainingReport> {
    let begun = Instant::now();
    let done = train.instrument(tracing::info_span!("train", model)).await;
    let label = Label::from_static_parts("model", model);
    histogram!(TRAIN_SECONDS, vec![label.clone()]).record(begun.elapsed());
    let outcome = match &done {
        Ok(report) if report.promoted => "promoted",
        Ok(report) if report.on_trial => "on_trial",
        Ok(_) => "not_promoted",
        Err(error) => error_label(error),
    };
    counter!(TRAININGS, vec![label, Label::from_static_parts("outcome", outcome)]).increment(1);
    done
}

pub(super) fn rolled_back(model: &'static str) {
    counter!(ROLLBACKS, vec![Label::from_static_parts("model", model)]).increment(1);
}
