//! Drift of success rates: a Bernoulli CUSUM for all generations and for each slice.

use super::bernoulli_cusum::{BernoulliCusum, RateChange};
use super::detector::{Context, DriftDetector, Times};
use super::finding::{ChangeSize, DriftKind, Finding, Severity};
use super::since_words;
use super::slice_attribution::{self, Place};
use crate::dataset::Target;
use crate::monitoring::dimension::{DIMENSIONS, Dimension, FIRST, SliceKey};
use crate::monitoring::options::MonitorOptions;
use crate::monitoring::recent::{Evaluated, Recent};
use serde::{Deserialize, Serialize};

/// Split of the false-alarm budget among all generations and the slices; rises add a tenth.
const ALL_SHARE: f64 = 0.05;
const SHARES: [f64; DIMENSIONS] = [0.7, 0.1, 0.03, 0.03, 0.03, 0.03, 0.03];
/// Rises matter less: one false alarm of a rise for so many of a fall.
const RISES: f64 = 10.0;

/// CUSUMs of all generations and of each slice, with the changes reported lately.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct RateDetector {
    all: BernoulliCusum,
    slices: [Vec<BernoulliCusum>; DIMENSIONS],
    reported: Vec<Reported>,
}

/// A change that was reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Reported {
    place: Place,
    fall: bool,
    /// Numbers of the outcomes at which it began and was found.
    since: u64,
    found: u64,
}

/// A change of a slice's rate, and the number of the outcome at which it began.
struct Change {
    place: Place,
    began: u64,
    by: f64,
}

impl Reported {
    /// Returns whether `change` is this one, seen in another slice: then the rest of its slice has hardly changed, or, if it
    /// is a part of this one, the generations around it have changed too.
    fn explains(&self, change: &Change, recent: &Recent) -> bool {
        if self.place == change.place {
            return change.began <= self.found;
        }
        let rest = |place, without| {
            slice_attribution::rates(recent, place, without, change.began.min(self.since), change.began)
                .change()
        };
        match self.place {
            None => rest(None, change.place).abs() > change.by.abs() / 2.0,
            Some(_) => rest(change.place, self.place).abs() < change.by.abs() / 2.0,
        }
    }
}

impl DriftDetector for RateDetector {
    fn update(&mut self, outcome: &Evaluated, context: &Context<'_>) -> Vec<Finding> {
        let options = context.options;
        let run = |share: f64| {
            let fall = 10_000.0 / (options.false_alarms * share);
            [fall, fall * RISES]
        };
        let (least, fall) = (options.least_outcomes, options.success_fall);
        let mut found = Vec::new();
        if let Some(change) = self.all.observe(outcome.success, least, fall, run(ALL_SHARE)) {
            found.extend(self.changed(None, &change, context));
        }
        for dimension in Dimension::ALL {
            let value = outcome.values[dimension as usize];
            let Some(at) = value.checked_sub(FIRST).map(usize::from) else { continue };
            let slices = &mut self.slices[dimension as usize];
            if slices.len() <= at {
                slices.resize_with(at + 1, BernoulliCusum::default);
            }
            let change = slices[at].observe(outcome.success, least, fall, run(SHARES[dimension as usize]));
            if let Some(change) = change {
                found.extend(self.changed(Some((dimension, value)), &change, context));
            }
        }
        found
    }
}

impl RateDetector {
    /// Attributes a change to a slice and returns it, unless it was reported.
    fn changed(&mut self, place: Place, change: &RateChange, context: &Context<'_>) -> Option<Finding> {
        let Context { recent, names, options } = *context;
        let fall = change.after < change.before;
        let began = slice_attribution::began(recent, place, change.outcomes);
        self.reported.retain(|reported| reported.found >= recent.first());
        let known = Change { place, began, by: change.after - change.before };
        if self.reported.iter().any(|reported| reported.fall == fall && reported.explains(&known, recent)) {
            return None;
        }
        let named = slice_attribution::best(recent, place, began, fall);
        if named != place
            && let Some((dimension, value)) = named
            && let Some(watched) = self.slices[dimension as usize].get_mut(usize::from(value - FIRST))
        {
            watched.hold(fall);
        }
        let found = recent.taken();
        self.reported.push(Reported { place: named, fall, since: began, found });
        let rates = slice_attribution::rates(recent, named, None, began, began);
        let within = slice_attribution::within(recent, named, began, fall);
        let key = |place: Place| place.and_then(|(dimension, value)| names.key(dimension, value));
        let rates = if named == place { rates.with_before(change.before) } else { rates };
        let times = Times::between(recent, began, found - 1);
        Some(finding(key(named), key(within), &rates, &times, change, options))
    }
}

fn finding(
    slice: Option<SliceKey>,
    within: Option<SliceKey>,
    rates: &slice_attribution::Rates,
    times: &Times,
    change: &RateChange,
    options: &MonitorOptions,
) -> Finding {
    let (before, after) = (rates.before(), rates.after());
    let fall = after < before;
    let whose = slice.as_ref().map_or_else(|| "all generations".to_owned(), ToString::to_string);
    let inside = within.as_ref().map(|within| format!(", {within}")).unwrap_or_default();
    let text = format!(
        "Success of {whose}{inside} {} from {:.0} % to {:.0} % since {} ({} outcomes).",
        if fall { "fell" } else { "rose" },
        before * 100.0,
        after * 100.0,
        since_words(times.since),
        rates.outcomes()
    );
    let severity = match before - after {
        by if by >= 2.0 * options.success_fall || (fall && slice.is_none()) => Severity::Critical,
        by if by > 0.0 => Severity::Warning,
        _ => Severity::Info,
    };
    let advice = if fall {
        format!("Look at what changed for {whose} then (version, prompt, tasks), and retrain.")
    } else {
        "Nothing need be done; retraining lets predictions follow.".to_owned()
    };
    Finding {
        kind: DriftKind::Outcome,
        subject: Target::Success.name().into(),
        slice,
        within,
        since: times.since,
        found_at: times.now,
        events: rates.outcomes(),
        before,
        after,
        size: ChangeSize { evidence: Some(change.evidence), ..ChangeSize::default() },
        severity,
        text,
        advice,
    }
}
