//! Alerts: rules on the analytics, sent once when they open and once when they are resolved.

mod alert;
mod rule;
mod signals;

pub use alert::{Alert, AlertState};
pub use rule::{AlertRule, Signal};
pub use signals::HostFacts;

use super::analytics::Analytics;
use crate::clock::Clock;
use crate::error::{Error, Result};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use signals::{Reading, readings};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

/// Alerts that are remembered at most; of more, those resolved longest ago are dropped.
const REMEMBERED: usize = 1_000;

/// A channel of the host for alerts: a chat, a pager, a mail.
pub trait AlertSink: Send + Sync + Debug {
    /// Takes an alert that has opened, is repeated, or is resolved. It must not block for long; retries are up to the sink.
    fn send(&self, alert: &Alert);
}

/// The default: alerts become `tracing` events of the target `devmatrix_ml::alerts`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LogSink;

impl AlertSink for LogSink {
    fn send(&self, alert: &Alert) {
        let (rule, subject, text) = (&alert.rule, &alert.subject, alert.to_string());
        match (alert.state, alert.severity) {
            (AlertState::Passed, _) | (_, super::Severity::Info) => {
                tracing::info!(target: "devmatrix_ml::alerts", rule, subject, "{text}");
            }
            (_, super::Severity::Warning) => {
                tracing::warn!(target: "devmatrix_ml::alerts", rule, subject, "{text}");
            }
            (_, super::Severity::Critical) => {
                tracing::error!(target: "devmatrix_ml::alerts", rule, subject, "{text}");
            }
        }
    }
}

/// Alert rules with their open alerts.
///
/// ```
/// use devmatrix_ml::clock::ManualClock;
/// use devmatrix_ml::monitoring::{AlertRule, Alerts, Analytics, HostFacts};
/// use std::sync::Arc;
/// let clock = ManualClock::at("2025-03-05T09:00:00Z".parse()?);
/// let mut alerts = Alerts::new(AlertRule::defaults(), Arc::new(clock), [])?;
/// let mut host = HostFacts::default();
/// host.last_training = Some("2025-03-03T02:00:00Z".parse()?); // two days ago
/// let opened = alerts.check(&mut Analytics::default(), &host);
/// assert_eq!(opened[0].rule, "training missed");
/// assert!(alerts.check(&mut Analytics::default(), &host).is_empty()); // sent once
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Alerts {
    rules: Vec<AlertRule>,
    clock: Arc<dyn Clock>,
    sinks: Vec<Arc<dyn AlertSink>>,
    states: BTreeMap<(String, String), State>,
}

/// The state of a rule for one subject.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct State {
    /// Checks in a row at which the limit was crossed.
    crossed: u32,
    open: Option<Alert>,
    /// When it was last sent.
    sent: Option<DateTime<Utc>>,
}

impl Alerts {
    /// Creates alerts by `rules`, sent to the log and to `sinks`.
    ///
    /// # Errors
    /// `InvalidInput` naming the rule and what is wrong with it.
    pub fn new(
        rules: Vec<AlertRule>,
        clock: Arc<dyn Clock>,
        sinks: impl IntoIterator<Item = Arc<dyn AlertSink>>,
    ) -> Result<Self> {
        rules.iter().try_for_each(AlertRule::validate)?;
        for (i, rule) in rules.iter().enumerate() {
            if rules[..i].iter().any(|other| other.name == rule.name) {
                return Err(Error::invalid(format!("two alert rules are named {:?}", rule.name)));
            }
        }
        let log: Arc<dyn AlertSink> = Arc::new(LogSink);
        let sinks = std::iter::once(log).chain(sinks).collect();
        Ok(Self { rules, clock, sinks, states: BTreeMap::new() })
    }

    /// Evaluates the rules on `analytics`: alerts that opened, are repeated or are resolved are sent and returned; all open
    /// ones are put into `analytics`.
    pub fn check(&mut self, analytics: &mut Analytics, host: &HostFacts) -> Vec<Alert> {
        let now = self.clock.now();
        let mut sent = Vec::new();
        for rule in &self.rules {
            let found = readings(rule, analytics, host, now);
            let gone: Vec<_> = (self.states.iter())
                .filter(|((name, subject), state)| {
                    *name == rule.name && state.open.is_some() && !found.iter().any(|r| r.subject == *subject)
                })
                .map(|((_, subject), _)| Reading::gone(subject))
                .collect();
            for reading in found.into_iter().chain(gone) {
                let key = (rule.name.clone(), reading.subject.clone());
                let state = self.states.entry(key).or_default();
                sent.extend(state.take_in(rule, &reading, now));
            }
        }
        self.states.retain(|_, state| state.open.is_some() || state.crossed > 0 || state.sent.is_some());
        self.bound();
        sent.iter().for_each(|alert| self.sinks.iter().for_each(|sink| sink.send(alert)));
        analytics.alerts = self.open();
        sent
    }

    /// Returns the open alerts, the most severe first.
    pub fn open(&self) -> Vec<Alert> {
        let mut open: Vec<_> = self.states.values().filter_map(|state| state.open.clone()).collect();
        open.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.since.cmp(&b.since)));
        open
    }

    fn bound(&mut self) {
        while self.states.len() > REMEMBERED {
            let oldest = self.states.iter().min_by_key(|(_, state)| (state.open.is_some(), state.sent));
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            self.states.remove(&key);
        }
    }
}

impl State {
    /// Opens, repeats or resolves the alert; returns the alert to send.
    fn take_in(&mut self, rule: &AlertRule, reading: &Reading, now: DateTime<Utc>) -> Option<Alert> {
        let cool_down = TimeDelta::minutes(i64::from(rule.cool_down_minutes));
        let cooled = self.sent.is_none_or(|sent| now - sent >= cool_down);
        if let Some(open) = &mut self.open {
            if reading.has_passed(rule) {
                let passed =
                    Alert { state: AlertState::Passed, at: now, value: reading.value, ..open.clone() };
                (self.open, self.crossed) = (None, 0);
                return Some(passed);
            }
            (open.value, open.at) = (reading.value, now);
            let again = rule.repeat && cooled;
            if again {
                self.sent = Some(now);
            }
            return again.then(|| open.clone());
        }
        self.crossed = if reading.crosses(rule) { self.crossed.saturating_add(1) } else { 0 };
        // Within the cool-down of the last time it stays silent: it flaps.
        if self.crossed < rule.checks || !cooled {
            return None;
        }
        let alert = reading.alert(rule, now);
        self.sent = Some(now);
        self.open = Some(alert.clone());
        Some(alert)
    }
}
