//! Alerts are sent once, not repeatedly, and again when they resolve.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

mod common;

use chrono::{DateTime, TimeDelta, Utc};
use common::monitored::Stream;
use devmatrix_ml::clock::{Clock, ManualClock};
use devmatrix_ml::monitoring::{
    Alert, AlertRule, AlertSink, AlertState, Alerts, Analytics, HostFacts, KpiName, ModelFacts, Monitor,
    MonitorOptions, Severity, Signal,
};
use devmatrix_ml::registry::{DiskRegistry, ModelRegistry, NewVersion};
use futures_executor::block_on;
use std::sync::{Arc, Mutex};

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<Alert>>);

impl AlertSink for Heard {
    fn send(&self, alert: &Alert) {
        self.0.lock().unwrap().push(alert.clone());
    }
}

struct Office {
    clock: ManualClock,
    heard: Arc<Heard>,
    alerts: Alerts,
}

fn office(rules: Vec<AlertRule>) -> Office {
    let clock = ManualClock::at("2025-03-03T10:00:00Z".parse().unwrap());
    let heard = Arc::new(Heard::default());
    let alerts = Alerts::new(rules, Arc::new(clock.clone()), [heard.clone() as Arc<dyn AlertSink>]).unwrap();
    Office { clock, heard, alerts }
}

impl Office {
    /// Checks an hour after the previous check, with `hours` since the last training.
    fn check(&mut self, hours: i64) -> Vec<AlertState> {
        self.clock.advance(TimeDelta::hours(1));
        let mut host = HostFacts::default();
        host.last_training = Some(self.clock.now() - TimeDelta::hours(hours));
        let sent = self.alerts.check(&mut Analytics::default(), &host);
        sent.iter().map(|alert| alert.state).collect()
    }
}

fn training(checks: u32, cool_down_minutes: u32) -> AlertRule {
    let mut rule = AlertRule::new("training", Signal::HoursSinceTraining, 26.0, 20.0);
    (rule.checks, rule.cool_down_minutes, rule.severity) = (checks, cool_down_minutes, Severity::Critical);
    rule
}

#[test]
fn an_alert_opens_once_and_resolves_below_its_clear_threshold() {
    use AlertState::{Open, Passed};
    let mut office = office(vec![training(2, 0)]);
    let sent: Vec<_> = [27, 10, 27, 27, 30, 24, 21, 19, 25].map(|hours| office.check(hours)).into();
    let wanted: [&[AlertState]; 9] = [&[], &[], &[], &[Open], &[], &[], &[], &[Passed], &[]];
    assert_eq!(sent, wanted);
    let heard = office.heard.0.lock().unwrap();
    assert_eq!(heard.len(), 2);
    assert_eq!(
        heard[0].to_string(),
        "critical: The last training was 27 hours ago. Check whether the host's scheduler ran and what `TrainingSchedule::claim` returned."
    );
    assert_eq!((heard[0].value, heard[0].limit, heard[1].since), (Some(27.0), Some(26.0), heard[0].since));
}

#[test]
fn a_flapping_alert_is_sent_once_per_cooldown() {
    use AlertState::{Open, Passed};
    let mut office = office(vec![training(1, 5 * 60)]);
    let sent: Vec<_> = [30, 10, 30, 10, 30, 30, 30].map(|hours| office.check(hours)).into();
    let wanted: [&[AlertState]; 7] = [&[Open], &[Passed], &[], &[], &[], &[Open], &[]];
    assert_eq!(sent, wanted);
    let mut rule = training(1, 2 * 60);
    rule.repeat = true;
    let mut office = self::office(vec![rule]);
    let sent: Vec<_> = [30, 31, 32, 33, 34].map(|hours| office.check(hours).len()).into();
    assert_eq!(sent, [1, 0, 1, 0, 1], "an open alert is repeated where that is configured");
}

#[test]
fn open_alerts_are_in_the_report_by_severity() {
    let mut mild = training(1, 0);
    (mild.name, mild.severity) = ("mild".into(), Severity::Info);
    let mut office = office(vec![mild, training(1, 0)]);
    let mut seen = Analytics::default();
    let mut host = HostFacts::default();
    host.last_training = Some(office.clock.now() - TimeDelta::hours(40));
    office.alerts.check(&mut seen, &host);
    let names: Vec<_> = seen.alerts.iter().map(|alert| alert.rule.as_str()).collect();
    assert_eq!(names, ["training", "mild"]);
    assert_eq!(office.alerts.open(), seen.alerts);
}

/// Simulates `days` days of 400 generations each.
fn lived(days: u32) -> (Monitor, DateTime<Utc>) {
    let mut stream = Stream::new(8);
    let mut monitor = Monitor::new(MonitorOptions::default()).unwrap();
    (0..400 * days).for_each(|_| {
        stream.observe_next(&mut monitor);
    });
    (monitor, stream.now())
}

fn fired(monitor: &Monitor, now: DateTime<Utc>) -> Vec<String> {
    let mut office = office(AlertRule::defaults());
    office.clock.set(now);
    let mut seen = monitor.analytics(now, &ModelFacts::default());
    let sent = office.alerts.check(&mut seen, &HostFacts::default());
    sent.into_iter()
        .map(|alert| alert.rule)
        .filter(|rule| ["feedback stalled", "fewer records"].contains(&rule.as_str()))
        .collect()
}

#[test]
fn a_stalled_feedback_stream_and_a_falling_record_rate_raise_alerts() {
    let (monitor, now) = lived(10);
    assert!(fired(&monitor, now).is_empty());
    assert_eq!(fired(&monitor, now + TimeDelta::hours(20)), ["fewer records"]);
    // Completions arrive, feedback does not.
    let (mut monitor, now) = lived(10);
    let mut silent = Stream::new(9);
    let shift = now - silent.now() + TimeDelta::minutes(5);
    for _ in 0..450 {
        let mut records = silent.step();
        records.truncate(2);
        for record in records {
            let (id, known_at, fact) = record.into_parts();
            let id = devmatrix_ml::event::EventId::new(format!("later {id}")).unwrap();
            monitor.observe(&devmatrix_ml::event::Record::new(id, known_at + shift, fact).unwrap());
        }
    }
    assert_eq!(fired(&monitor, silent.now() + shift), ["feedback stalled"]);
}

#[test]
fn metrics_with_an_interval_alert_only_when_significant() {
    let rule = AlertRule::new("low", Signal::KpiBelow(KpiName::SuccessRate), 0.66, 0.7);
    let open = |n: u32| {
        let mut stream = Stream::new(2);
        stream.base = 0.66;
        let mut monitor = Monitor::new(MonitorOptions::default()).unwrap();
        (0..n).for_each(|_| {
            stream.observe_next(&mut monitor);
        });
        let mut seen = monitor.analytics(stream.now(), &ModelFacts::default());
        assert!(seen.kpis.iter().find(|kpi| kpi.name == KpiName::SuccessRate).unwrap().value.unwrap() < 0.66);
        office(vec![rule.clone()]).alerts.check(&mut seen, &HostFacts::default()).len()
    };
    assert_eq!((open(60), open(6_000)), (0, 1));
}

#[test]
fn rules_are_read_from_json_and_validated() {
    let rules = AlertRule::defaults();
    let json = serde_json::to_string(&rules).unwrap();
    assert_eq!(serde_json::from_str::<Vec<AlertRule>>(&json).unwrap(), rules);
    let clock = Arc::new(ManualClock::at(DateTime::UNIX_EPOCH));
    let rejection = |rules: Vec<AlertRule>| Alerts::new(rules, clock.clone(), []).unwrap_err().to_string();
    let wrong_way = AlertRule::new("x", Signal::RecordRateBelow, 0.5, 0.4);
    assert!(rejection(vec![wrong_way]).contains("it would never be resolved"));
    assert!(rejection(vec![training(1, 0), training(1, 0)]).contains("two alert rules"));
    assert!(rejection(vec![training(0, 0)]).contains("checks is 0"));
    assert!(rejection(vec![AlertRule::new("x", Signal::Subgroup, f64::NAN, 1.0)]).contains("must be finite"));
}

#[test]
fn a_damaged_version_raises_an_alert_until_it_is_restored() {
    let folder = tempfile::tempdir().unwrap();
    let registry = DiskRegistry::open(folder.path()).unwrap();
    for bytes in [b"first", b"other"] {
        block_on(registry.register(NewVersion::new("success", bytes.to_vec()))).unwrap();
    }
    let monitor = Monitor::new(MonitorOptions::default()).unwrap();
    let mut office = office(AlertRule::defaults());
    let mut check = || {
        let models = block_on(ModelFacts::read(&registry)).unwrap();
        let mut seen = monitor.analytics(office.clock.now(), &models);
        office.alerts.check(&mut seen, &HostFacts::default())
    };
    assert!(check().is_empty());
    let path = folder.path().join("success/1/version.json");
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[100] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    let opened = check();
    assert_eq!((opened.len(), opened[0].rule.as_str()), (1, "model versions damaged"));
    assert!(opened[0].text.contains("success") && opened[0].text.contains("SHA-256"), "{}", opened[0].text);
    std::fs::write(&path, whole).unwrap();
    assert!(matches!(check().as_slice(), [passed] if passed.state == AlertState::Passed));
}
