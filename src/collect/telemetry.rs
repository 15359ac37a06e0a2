//! Counts facts and feature vectors.

use crate::error::Result;
use crate::telemetry::{CLOCK_DOUBTS, COLLECT_SECONDS, COSTS, FEATURE_VECTORS, RECORDS, error_label};
use metrics::{Label, counter, histogram};
use std::time::Instant;
use tracing::Instrument;

/// Records a fact within its span, and counts it.
pub(super) async fn collected<T>(
    kind: &'static str,
    record: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    let begun = Instant::now();
    let done = record.instrument(tracing::debug_span!("collect", kind)).await;
    let kind = Label::from_static_parts("kind", kind);
    histogram!(COLLECT_SECONDS, vec![kind.clone()]).record(begun.elapsed());
    let outcome = done.as_ref().map_or_else(error_label, |_| "recorded");
    counter!(RECORDS, vec![kind, Label::from_static_parts("outcome", outcome)]).increment(1);
    done
}

pub(super) fn priced(from: &'static str) {
    counter!(COSTS, vec![Label::from_static_parts("from", from)]).increment(1);
}

pub(super) fn vectors_written(n: usize) {
    counter!(FEATURE_VECTORS).increment(n as u64);
}

pub(super) fn clock_doubted() {
    counter!(CLOCK_DOUBTS).increment(1);
}
