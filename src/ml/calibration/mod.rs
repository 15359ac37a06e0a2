//! Turning a model's log-odds into probabilities that hold.

mod beta;
mod choose;
#[cfg(test)]
mod golden;
mod influence;
mod isotonic;
mod newton;
mod platt;
mod reliability;
mod temperature;
mod venn_abers;

pub(crate) use beta::Beta;
pub(crate) use choose::choose_calibrator;
pub(crate) use choose::{Calibrator, Method};
pub(crate) use influence::Influence;
pub(crate) use isotonic::Isotonic;
pub(crate) use newton::posterior_mode;
pub(crate) use platt::Platt;
pub(crate) use reliability::{Reliability, wilson};
pub(crate) use temperature::Scaling;
pub(crate) use venn_abers::VennAbers;

use crate::error::{Error, Result};

/// Log-odds beyond this are no model's.
const LARGEST_MARGIN: f64 = 1e4;

/// Rows to calibrate on: finite log-odds, one label and weight (from 0) each, not all weighing
/// nothing.
fn check(margins: &[f64], labels: &[bool], weights: &[f64]) -> Result<()> {
    if [labels.len(), weights.len()] != [margins.len(); 2] {
        return Err(Error::invalid("calibration: give as many log-odds, labels and weights"));
    }
    // Written so that NaN fails.
    if !margins.iter().all(|m| m.abs() <= LARGEST_MARGIN) {
        return Err(Error::invalid(format!("calibration: log-odds must lie within ±{LARGEST_MARGIN}")));
    }
    if !weights.iter().all(|w| (0.0..=1e9).contains(w)) || weights.iter().all(|w| *w == 0.0) {
        return Err(Error::invalid("calibration: weights must be 0 to 1e9, and one above 0"));
    }
    Ok(())
}

/// What to fit instead of 0 and 1, so that rows that can be told apart do not ask for certainty:
/// (n₊ + 1) / (n₊ + 2) and 1 / (n₋ + 2) (Platt 1999).
fn smoothed_targets(labels: &[bool], weights: &[f64]) -> Vec<f64> {
    let weight_of = |wanted: bool| -> f64 {
        labels.iter().zip(weights).filter(|(y, _)| **y == wanted).map(|(_, w)| w).sum()
    };
    let (yes, no) = (weight_of(true), weight_of(false));
    let target = |y: &bool| if *y { (yes + 1.0) / (yes + 2.0) } else { 1.0 / (no + 2.0) };
    labels.iter().map(target).collect()
}
