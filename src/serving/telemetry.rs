//! Counts predictions and served versions.

use super::{CandidatePrediction, ModelChange, Predictions};
use crate::error::Result;
use crate::models::{QualityPrediction, Status, SuccessPrediction, TemplateRanking, UnseenValue, targets};
use crate::telemetry::{ANSWERS, MODEL_VERSION, PREDICT_ERRORS, PREDICT_SECONDS, UNSEEN};
use metrics::{Key, Label, Level, Metadata, counter, gauge, histogram};
use std::sync::LazyLock;
use std::time::Instant;

/// A kind of prediction, as a label.
#[derive(Debug, Clone, Copy)]
pub(super) enum Call {
    Success,
    All,
    Candidates,
    Custom,
    Code,
    Templates,
}

/// Names a metric with a label known when compiled: making its key then allocates nothing, so that
/// predictions stay as they are where no recorder is installed.
macro_rules! by_call {
    ($metric:ident, $name:expr, $call:expr) => {
        match $call {
            Call::Success => $metric!($name, "call" => "success"),
            Call::All => $metric!($name, "call" => "all"),
            Call::Candidates => $metric!($name, "call" => "candidates"),
            Call::Custom => $metric!($name, "call" => "custom"),
            Call::Code => $metric!($name, "call" => "code"),
            Call::Templates => $metric!($name, "call" => "templates"),
        }
    };
}

/// Counts a prediction of a model. The keys of the served models are made once, so that counting allocates
/// nothing.
pub(super) fn count(model: &'static str, status: Status) {
    static KEYS: LazyLock<Vec<[Key; STATUSES.len()]>> =
        LazyLock::new(|| targets::SERVED.iter().map(|served| keys(served.target.name())).collect());
    let served = targets::SERVED.iter().position(|served| served.target.name() == model);
    let at = STATUSES.iter().position(|(one, _)| *one == status).unwrap_or_default();
    let increment = |key: &Key| {
        metrics::with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(1));
    };
    match served {
        Some(served) => increment(&KEYS[served][at]),
        None => increment(&keys(model)[at]),
    }
}

/// Counts values that are unlike all of a model's training; where there are none it does nothing.
pub(super) fn count_unseen(model: &'static str, unseen: &[UnseenValue]) {
    let missing = unseen.iter().filter(|one| one.value.is_nan()).count();
    for (kind, n) in [("missing", missing), ("clipped", unseen.len() - missing)] {
        if n > 0 {
            counter!(UNSEEN, "model" => model, "kind" => kind).increment(n as u64);
        }
    }
}

const STATUSES: [(Status, &str); 3] = [
    (Status::Calibrated, "calibrated"),
    (Status::ColdStart, "cold_start"),
    (Status::InsufficientEvidence, "insufficient_evidence"),
];

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

fn keys(model: &'static str) -> [Key; STATUSES.len()] {
    STATUSES.map(|(_, status)| {
        let labels = [("model", model), ("status", status)];
        Key::from_parts(ANSWERS, labels.map(|(name, value)| Label::from_static_parts(name, value)).to_vec())
    })
}

/// A prediction that is counted by its status.
pub(super) trait Answer {
    fn count(&self);
}

impl Answer for SuccessPrediction {
    fn count(&self) {
        count("success", self.status);
        count_unseen("success", &self.unseen.0);
    }
}

/// The predictions of further models are counted where they are made, by names that live as long as the program.
impl Answer for Predictions {
    fn count(&self) {
        self.success.count();
        count("complexity", self.complexity.estimate.status);
        count_unseen("complexity", &self.complexity.estimate.unseen.0);
        count("time", self.time.estimate.status);
        count_unseen("time", &self.time.estimate.unseen.0);
        self.quality.count();
    }
}

impl Answer for CandidatePrediction {
    fn count(&self) {
        self.success.count();
        count("time", self.time.estimate.status);
        count_unseen("time", &self.time.estimate.unseen.0);
    }
}

impl<T: Answer> Answer for Vec<T> {
    fn count(&self) {
        self.iter().for_each(Answer::count);
    }
}

impl Answer for QualityPrediction {
    fn count(&self) {
        count("quality", self.estimate.status);
        count_unseen("quality", &self.estimate.unseen.0);
    }
}

impl Answer for TemplateRanking {
    fn count(&self) {
        count("template", self.status);
    }
}

/// A prediction of a further model, or none.
#[derive(Debug)]
pub(super) struct Of<T>(pub(super) &'static str, pub(super) Status, pub(super) T);

impl<T> Answer for Of<T> {
    fn count(&self) {
        count(self.0, self.1);
    }
}

/// Makes a prediction within its span, and counts it.
pub(super) fn predicted<T: Answer>(call: Call, predict: impl FnOnce() -> Result<T>) -> Result<T> {
    let _span = tracing::debug_span!("predict", ?call).entered();
    let begun = Instant::now();
    let answer = predict();
    by_call!(histogram, PREDICT_SECONDS, call).record(begun.elapsed());
    match &answer {
        Ok(answer) => answer.count(),
        Err(_) => by_call!(counter, PREDICT_ERRORS, call).increment(1),
    }
    answer
}

pub(super) fn serves(change: &ModelChange) {
    let labels = vec![Label::from_static_parts("model", change.model)];
    gauge!(MODEL_VERSION, labels).set(change.now.unwrap_or(0) as f64);
}
