//! Counts predictions and served versions.

use super::{CandidatePrediction, ModelChange, Predictions};
use crate::error::Result;
use crate::models::{QualityPrediction, Status, SuccessPrediction, TemplateRanking};
use crate::telemetry::{ANSWERS, MODEL_VERSION, PREDICT_ERRORS, PREDICT_SECONDS};
use metrics::{Label, counter, gauge, histogram};
use std::time::Instant;

/// A kind of prediction, as a label.
#[derive(Debug, Clone, Copy)]
pub(super) enum Call {
    Success,
    All,
    WhatIf,
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
            Call::WhatIf => $metric!($name, "call" => "what_if"),
            Call::Code => $metric!($name, "call" => "code"),
            Call::Templates => $metric!($name, "call" => "templates"),
        }
    };
}

macro_rules! answered {
    ($model:literal, $status:expr) => {
        match $status {
            Status::Calibrated => counter!(ANSWERS, "model" => $model, "status" => "calibrated"),
            Status::ColdStart => counter!(ANSWERS, "model" => $model, "status" => "cold_start"),
            Status::InsufficientEvidence => {
                counter!(ANSWERS, "model" => $model, "status" => "insufficient_evidence")
            }
        }
        .increment(1)
    };
}

/// A prediction that is counted by its status.
pub(super) trait Answer {
    fn count(&self);
}

impl Answer for SuccessPrediction {
    fn count(&self) {
        answered!("success", self.status);
    }
}

impl Answer for Predictions {
    fn count(&self) {
        self.success.count();
        answered!("complexity", self.complexity.estimate.status);
        answered!("time", self.time.estimate.status);
        self.quality.count();
    }
}

impl Answer for CandidatePrediction {
    fn count(&self) {
        self.success.count();
        answered!("time", self.time.estimate.status);
    }
}

impl<T: Answer> Answer for Vec<T> {
    fn count(&self) {
        self.iter().for_each(Answer::count);
    }
}

impl Answer for QualityPrediction {
    fn count(&self) {
        answered!("quality", self.estimate.status);
    }
}

impl Answer for TemplateRanking {
    fn count(&self) {}
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
