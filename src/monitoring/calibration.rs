//! Whether what was said to happen 7 times in 10 did, and whether intervals held as often as they were
//! to.

use super::aggregates::{Cell, SuccessCell};
use super::analytics::Rate;
use super::days::Days;
use crate::dataset::Target;
use crate::training::CalibrationBin;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Calibration of the predicted probabilities of success and coverage of the prediction intervals.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Calibration {
    /// Predictions in ten equally wide bins with what became of them; empty bins are left out.
    pub(crate) bins: Vec<CalibrationBin>,
    /// Calibration by week, the oldest first.
    pub(crate) weeks: Vec<CalibrationWeek>,
    /// How often shown intervals of numbers held, by week.
    pub(crate) coverage: Vec<CoverageWeek>,
}

/// How well calibrated a week's predictions were.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct CalibrationWeek {
    /// Its Monday.
    pub(crate) week: NaiveDate,
    /// Predictions that met their outcome.
    pub(crate) n: u64,
    /// Expected calibration error over ten equally wide bins. Of few predictions it is large by chance:
    /// with 100, near .09 though all is well.
    pub(crate) ece: f64,
    /// Mean prediction.
    pub(crate) predicted: f64,
    /// Share of successes.
    pub(crate) actual: Rate,
}

/// How often the intervals of a week's predictions held.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct CoverageWeek {
    /// Its Monday.
    pub(crate) week: NaiveDate,
    /// Of what.
    pub(crate) target: Target,
    /// Intervals that were to hold 80 %.
    pub(crate) held_80: Rate,
    /// Intervals that were to hold 90 %.
    pub(crate) held_90: Rate,
}

/// The calibration of all days, and of each week up to the day `until`.
pub(super) fn calibration(days: &Days, until: i32, total: Option<&SuccessCell>) -> Calibration {
    let mut weeks: BTreeMap<i32, Cell> = BTreeMap::new();
    for (day, sums) in days.past(until) {
        let monday = day - (day + 3).rem_euclid(7);
        weeks.entry(monday).or_default().merge(&sums.all);
    }
    let mut calibration = Calibration { bins: total.map(bins).unwrap_or_default(), ..Calibration::default() };
    for (monday, cell) in &weeks {
        let Some(week) = NaiveDate::from_epoch_days(*monday) else { continue };
        if let Some(success) = cell.success.as_deref().filter(|success| success.brier.n > 0) {
            calibration.weeks.push(CalibrationWeek {
                week,
                n: success.brier.n as u64,
                ece: success.ece(),
                predicted: success.predicted(),
                actual: success.actual(),
            });
        }
        for scores in cell.number_scores() {
            let (target, held_80, held_90) = (scores.target, scores.held_80, scores.held_90);
            if held_80.n + held_90.n > 0 {
                calibration.coverage.push(CoverageWeek { week, target, held_80, held_90 });
            }
        }
    }
    calibration
}

fn bins(cell: &SuccessCell) -> Vec<CalibrationBin> {
    let bins = cell.tenths().into_iter().filter(|bin| bin.n > 0);
    bins.map(|bin| {
        let actual = bin.successes as f64 / bin.n as f64;
        CalibrationBin::new(bin.n as usize, bin.predicted(), actual)
    })
    .collect()
}
