//! Signals of alert rules.

use super::alert::{Alert, AlertState};
use super::rule::{AlertRule, Signal};
use crate::dataset::Target;
use crate::monitoring::analytics::{Analytics, DamagedVersion, Kpi, KpiName};
use crate::monitoring::drift::{Finding, Severity};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// Facts that only the host knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostFacts {
    /// When the last training ended, whether or not it promoted; `None` where the host does not say.
    pub last_training: Option<DateTime<Utc>>,
}

/// Value of a rule's signal for one subject.
pub(super) struct Reading {
    pub(super) subject: String,
    pub(super) value: Option<f64>,
    /// The figure that must have crossed the limit: the favourable end of its interval.
    certain: Option<f64>,
    severity: Option<Severity>,
    text: String,
    advice: String,
}

impl Reading {
    fn new(subject: impl Into<String>, value: f64, text: String, advice: &str) -> Self {
        let (subject, advice) = (subject.into(), advice.to_owned());
        Self { subject, value: Some(value), certain: Some(value), severity: None, text, advice }
    }

    /// Of something that is not to be seen any more.
    pub(super) fn gone(subject: &str) -> Self {
        let (text, advice) = (String::new(), String::new());
        Self { subject: subject.to_owned(), value: None, certain: None, severity: None, text, advice }
    }

    /// Returns true if the value is beyond the rule's limit; for an event, if it is recent and severe enough.
    pub(super) fn crosses(&self, rule: &AlertRule) -> bool {
        let beyond = |value: f64| if rule.signal.is_low() { value < rule.limit } else { value > rule.limit };
        if rule.signal.is_event() {
            return self.value.is_some_and(|age| age <= rule.limit)
                && self.severity.is_none_or(|severity| severity >= rule.severity);
        }
        self.certain.is_some_and(beyond)
    }

    /// Whether what was open has passed. Of a figure that cannot be told now nothing is said.
    pub(super) fn has_passed(&self, rule: &AlertRule) -> bool {
        let back = |value: f64| if rule.signal.is_low() { value >= rule.clear } else { value <= rule.clear };
        match self.value {
            Some(age) if rule.signal.is_event() => age > rule.clear,
            Some(value) => back(value),
            None => {
                rule.signal.is_event() || matches!(rule.signal, Signal::WorstSlice | Signal::DamagedVersions)
            }
        }
    }

    pub(super) fn alert(&self, rule: &AlertRule, now: DateTime<Utc>) -> Alert {
        Alert {
            rule: rule.name.clone(),
            subject: self.subject.clone(),
            severity: self.severity.unwrap_or(rule.severity),
            state: AlertState::Open,
            since: now,
            at: now,
            value: self.value,
            limit: (!rule.signal.is_event()).then_some(rule.limit),
            text: self.text.clone(),
            advice: self.advice.clone(),
        }
    }
}

/// Returns the values of a rule's signal, one for each subject.
pub(super) fn readings(
    rule: &AlertRule,
    seen: &Analytics,
    host: &HostFacts,
    now: DateTime<Utc>,
) -> Vec<Reading> {
    let hours = |since: DateTime<Utc>| (now - since).num_minutes() as f64 / 60.0;
    match rule.signal {
        Signal::KpiBelow(name) | Signal::KpiAbove(name) => {
            seen.kpi(name).and_then(|kpi| figure(rule, kpi)).into_iter().collect()
        }
        Signal::Drift(kind) => {
            let of_kind = seen.drift.iter().filter(|finding| finding.kind == kind);
            of_kind.map(|finding| drift(finding, hours(finding.found_at))).collect()
        }
        Signal::Subgroup => subgroups(seen, &hours),
        Signal::WorstSlice => worst(rule, seen),
        Signal::CalibrationError => calibration(rule, seen).into_iter().collect(),
        Signal::CoverageBelow(target) => coverage(rule, seen, target).into_iter().collect(),
        Signal::ExpectedAucBelow => expected(rule, seen).into_iter().collect(),
        Signal::HoursSinceTraining => {
            let since = host.last_training.map(hours);
            let text = |hours: f64| format!("The last training was {hours:.0} hours ago.");
            let advice =
                "Check whether the host's scheduler ran and what `TrainingSchedule::claim` returned.";
            since.map(|hours| Reading::new("training", hours, text(hours), advice)).into_iter().collect()
        }
        Signal::HoursWithoutFeedback => stalled(rule, seen, &hours).into_iter().collect(),
        Signal::RecordRateBelow => slow(rule, seen).into_iter().collect(),
        Signal::DamagedVersions => damaged(seen),
        Signal::WrongClock => vec![wrong_clock(seen)],
        Signal::ZoneRulesAge => zone_rules(seen, now).into_iter().collect(),
    }
}

fn figure(rule: &AlertRule, kpi: &Kpi) -> Option<Reading> {
    let value = kpi.value.filter(|_| kpi.n >= rule.least)?;
    let (low, high) = kpi.interval.unwrap_or((value, value));
    let name = name_of(kpi.name);
    let side = if rule.signal.is_low() { "below" } else { "above" };
    let text = format!("{name} is {value:.3}, {side} {}.", rule.limit);
    let advice = "See which slices and since when, on the dashboard.";
    let certain = Some(if rule.signal.is_low() { high } else { low });
    Some(Reading { certain, ..Reading::new(name, value, text, advice) })
}

fn damaged(seen: &Analytics) -> Vec<Reading> {
    let mut models = BTreeMap::<&str, Vec<&DamagedVersion>>::new();
    seen.damaged_versions.iter().for_each(|found| models.entry(&found.model).or_default().push(found));
    let reading = |(model, found): (&str, Vec<&DamagedVersion>)| {
        let (n, first) = (found.len(), found[0]);
        let text =
            format!("{n} versions of model {model} are damaged; version {}: {}.", first.version, first.error);
        Reading::new(model, n as f64, text, "Restore them from a copy, or remove their folders.")
    };
    models.into_iter().map(reading).collect()
}

fn name_of(kpi: KpiName) -> String {
    let name = serde_json::to_value(kpi).ok();
    name.and_then(|name| name.as_str().map(|name| name.replace('_', " "))).unwrap_or_default()
}

fn drift(finding: &Finding, age: f64) -> Reading {
    let place = finding.slice.as_ref().map_or_else(|| "all".to_owned(), ToString::to_string);
    let subject = format!("{} of {place} since {}", finding.subject, finding.since.date_naive());
    let reading = Reading::new(subject, age, finding.text.clone(), &finding.advice);
    Reading { severity: Some(finding.severity), ..reading }
}

fn subgroups(seen: &Analytics, hours: &dyn Fn(DateTime<Utc>) -> f64) -> Vec<Reading> {
    let advice = "Look at what these tasks need: a template, another agent, examples.";
    let reading = |pattern: &crate::monitoring::Subgroup| {
        let parts: Vec<_> = pattern.conditions.iter().map(ToString::to_string).collect();
        Reading::new(parts.join(" and "), hours(pattern.confirmed_at), pattern.text.clone(), advice)
    };
    seen.subgroups.iter().map(reading).collect()
}

fn worst(rule: &AlertRule, seen: &Analytics) -> Vec<Reading> {
    let significant = seen.worst_slices.iter().filter(|slice| slice.significant && slice.n >= rule.least);
    let advice = "Do not rely on its predictions; check whether its tasks are recorded as others are.";
    significant
        .map(|slice| Reading::new(slice.slice.to_string(), slice.gap.abs(), slice.text.clone(), advice))
        .collect()
}

fn calibration(rule: &AlertRule, seen: &Analytics) -> Option<Reading> {
    let week = seen.calibration.weeks.iter().rev().find(|week| week.n >= rule.least)?;
    let text = format!(
        "In the week of {}: observed {:.0} % vs predicted {:.0} %, calibration error {:.3}.",
        week.week,
        week.actual.value.unwrap_or(0.0) * 100.0,
        week.predicted * 100.0,
        week.ece
    );
    Some(Reading::new("calibration", week.ece, text, "Retrain: training calibrates on the newest outcomes."))
}

fn coverage(rule: &AlertRule, seen: &Analytics, target: Target) -> Option<Reading> {
    let of_target = seen.calibration.coverage.iter().rev().filter(|week| week.target == target);
    let week = of_target.into_iter().find(|week| week.held_90.n >= rule.least)?;
    let share = week.held_90.value?;
    let text = format!(
        "The empirical coverage of the 90 % intervals of {target} is {:.0} % in the week of {}.",
        share * 100.0,
        week.week
    );
    let advice = "Call `PredictionService::observe` with what happened, or retrain.";
    let reading = Reading::new(target.name(), share, text, advice);
    Some(Reading { certain: Some(week.held_90.interval.1), ..reading })
}

fn expected(rule: &AlertRule, seen: &Analytics) -> Option<Reading> {
    let estimate = seen.label_free.as_ref().filter(|estimate| estimate.predictions >= rule.least)?;
    let auc = estimate.auc?;
    let text = format!(
        "The estimated ROC AUC of predictions since {} is {auc:.3}. {}",
        estimate.from, estimate.caveat
    );
    Some(Reading::new("expected AUC", auc, text, "See which features have changed, and retrain."))
}

fn stalled(rule: &AlertRule, seen: &Analytics, hours: &dyn Fn(DateTime<Utc>) -> f64) -> Option<Reading> {
    let last = seen.recording.last_outcome?;
    let enough = seen.recording.ended_since_outcome >= rule.least;
    let age = if enough { hours(last) } else { 0.0 };
    let text = format!(
        "No feedback for {age:.0} hours, while {} generations ended.",
        seen.recording.ended_since_outcome
    );
    Some(Reading::new("feedback", age, text, "Check whether the host still passes feedback on."))
}

fn slow(rule: &AlertRule, seen: &Analytics) -> Option<Reading> {
    let usual = seen.recording.usual_day.filter(|usual| *usual >= rule.least as f64)?;
    let rate = seen.recording.rate()?;
    let text = format!(
        "{} generations were recorded in the last 24 hours; {usual:.0} are usual on this weekday.",
        seen.recording.last_day
    );
    Some(Reading::new("records", rate, text, "Check whether the host records every generation."))
}

fn wrong_clock(seen: &Analytics) -> Reading {
    let (ahead, doubted) = (seen.recording.ahead, seen.recording.clock_doubted);
    let text = format!(
        "{ahead} generations are stamped ahead of their time; since yesterday {doubted} starts and ends were recorded while \
         their host's clock was not believed."
    );
    let advice = "Set the clocks of all hosts; what is marked `clock_doubted` in its metadata says which clock it was.";
    Reading::new("clocks", (ahead + doubted) as f64, text, advice)
}

fn zone_rules(seen: &Analytics, now: DateTime<Utc>) -> Option<Reading> {
    let (days, rules) = (seen.zones.age_days(now)?, &seen.zones);
    let text = format!(
        "The rules of time zones in use are IANA's {} ({}), released some {days} days ago.",
        rules.version, rules.source
    );
    let advice = "Update the system's tzdata, or devmatrix-ml: local times may be an hour off.";
    Some(Reading::new("time zones", days as f64, text, advice))
}
