//! What has changed: outcomes, features, what the models make of them, values that are new.

mod bernoulli_cusum;
mod cbpe;
mod concept;
mod distance;
mod features;
mod finding;
mod slice_attribution;
mod slice_sums;

pub use bernoulli_cusum::{BernoulliCusum, RateChange};
pub(super) use cbpe::estimate;
pub(super) use distance::normal_above;
pub(super) use features::{END_NUMBERS, FeatureWatch, START_NUMBERS, at_end, at_start};
pub use finding::{CbpeEstimate, ChangeSize, DriftKind, Finding, Severity};

use super::dimension::{DIMENSIONS, Dimension, FIRST, Names, SliceKey};
use super::options::MonitorOptions;
use super::recent::{Evaluated, Recent};
use chrono::{DateTime, Utc};
use concept::Concept;
use serde::{Deserialize, Serialize};
use slice_attribution::Place;

/// Findings that are kept.
const KEPT: usize = 100;

/// How the false alarms of outcomes are spent: a tenth more is for rises.
const ALL_SHARE: f64 = 0.05;
const SHARES: [f64; DIMENSIONS] = [0.7, 0.1, 0.03, 0.03, 0.03, 0.03, 0.03];
/// Losses lean to one side: where the theory for the normal distribution says so many outcomes, alarms of
/// the loss come after one of them.
const LEANING: f64 = 4.0;
/// Rises matter less: one false alarm of a rise for so many of a fall.
const RISES: f64 = 10.0;

/// All that watches outcomes, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Drift {
    all: BernoulliCusum,
    slices: [Vec<BernoulliCusum>; DIMENSIONS],
    concept: Concept,
    /// The newest last.
    findings: Vec<Finding>,
    /// Changes of outcomes that were told of lately.
    told: Vec<Told>,
}

/// A change of outcomes that was told of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Told {
    place: Place,
    fall: bool,
    /// Numbers of the outcomes at which it began and was found.
    since: u64,
    found: u64,
}

/// A change of a place's rate, and the number of the outcome at which it began.
struct Change {
    place: Place,
    began: u64,
    by: f64,
}

impl Told {
    /// Whether `change` is only what was told of, seen elsewhere: then the rest of its place has hardly
    /// changed, or, if it is a part of what was told of, what lies around it has changed too.
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

impl Drift {
    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub(super) fn tell(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
        let surplus = self.findings.len().saturating_sub(KEPT);
        self.findings.drain(..surplus);
    }

    /// Takes in the newest of the recent outcomes.
    pub(super) fn observe(
        &mut self,
        row: &Evaluated,
        recent: &Recent,
        names: &Names,
        options: &MonitorOptions,
    ) {
        let run = |share: f64| {
            let fall = 10_000.0 / (options.false_alarms * share);
            [fall, fall * RISES]
        };
        let (least, fall) = (options.least_outcomes, options.success_fall);
        if let Some(change) = self.all.observe(row.success, least, fall, run(ALL_SHARE)) {
            self.changed(None, &change, recent, names, options);
        }
        for dimension in Dimension::ALL {
            let value = row.values[dimension as usize];
            let Some(at) = value.checked_sub(FIRST).map(usize::from) else { continue };
            let slices = &mut self.slices[dimension as usize];
            if slices.len() <= at {
                slices.resize_with(at + 1, BernoulliCusum::default);
            }
            let change = slices[at].observe(row.success, least, fall, run(SHARES[dimension as usize]));
            if let Some(change) = change {
                self.changed(Some((dimension, value)), &change, recent, names, options);
            }
        }
        if !row.predicted.is_nan() {
            let run = LEANING * 10_000.0 / options.false_alarms;
            if let Some(rise) = self.concept.observe(f64::from(row.predicted), row.success, run) {
                self.tell([concept_finding(&rise, recent, names)]);
            }
        }
    }

    /// A rate has changed: tells of it where it sits, unless what was told of explains it.
    fn changed(
        &mut self,
        place: Place,
        change: &RateChange,
        recent: &Recent,
        names: &Names,
        options: &MonitorOptions,
    ) {
        let fall = change.after < change.before;
        let began = slice_attribution::began(recent, place, change.outcomes);
        self.told.retain(|told| told.found >= recent.first());
        let known = Change { place, began, by: change.after - change.before };
        if self.told.iter().any(|told| told.fall == fall && told.explains(&known, recent)) {
            return;
        }
        let named = slice_attribution::best(recent, place, began, fall);
        if named != place
            && let Some((dimension, value)) = named
            && let Some(watched) = self.slices[dimension as usize].get_mut(usize::from(value - FIRST))
        {
            watched.hold(fall);
        }
        let found = recent.taken();
        self.told.push(Told { place: named, fall, since: began, found });
        let rates = slice_attribution::rates(recent, named, None, began, began);
        let within = slice_attribution::within(recent, named, began, fall);
        let key = |place: Place| place.and_then(|(dimension, value)| names.key(dimension, value));
        let rates = if named == place { rates.with_before(change.before) } else { rates };
        let times = Times { since: time_of(recent, began), now: time_of(recent, found - 1) };
        self.tell([outcome_finding(key(named), key(within), &rates, &times, change, options)]);
    }
}

struct Times {
    since: DateTime<Utc>,
    now: DateTime<Utc>,
}

fn time_of(recent: &Recent, number: u64) -> DateTime<Utc> {
    let row = recent.since(number).next();
    row.and_then(|row| DateTime::from_timestamp_micros(row.known_at)).unwrap_or_default()
}

fn outcome_finding(
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
        subject: "success".into(),
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

fn concept_finding(rise: &concept::LossRise, recent: &Recent, names: &Names) -> Finding {
    let taken = recent.taken();
    let began = taken.saturating_sub(rise.outcomes);
    let place = slice_attribution::most_excess(recent, began);
    let slice = place.and_then(|(dimension, value)| names.key(dimension, value));
    let times = Times { since: time_of(recent, began), now: time_of(recent, taken - 1) };
    let most = slice.as_ref().map(|slice| format!(", most of it with {slice}")).unwrap_or_default();
    Finding {
        kind: DriftKind::Concept,
        subject: "log loss".into(),
        within: None,
        since: times.since,
        found_at: times.now,
        events: rise.outcomes,
        before: rise.before,
        after: rise.after,
        size: ChangeSize { evidence: Some(rise.evidence), ..ChangeSize::default() },
        severity: Severity::Warning,
        text: format!(
            "Predictions of success are worse than they say since {}{most}: their log loss is {:+.3} above \
             what they let expect, {:+.3} before ({} outcomes).",
            since_words(times.since),
            rise.after,
            rise.before,
            rise.outcomes
        ),
        advice: "Retrain on the newest outcomes; until then take predictions with care.".into(),
        slice,
    }
}

/// A day in words.
pub(super) fn since_words(moment: DateTime<Utc>) -> String {
    moment.format("%A %-d %B %Y").to_string()
}
