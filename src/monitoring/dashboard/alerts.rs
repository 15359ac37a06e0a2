//! Open alerts and open critical drift.

use super::{changes, show};
use crate::monitoring::{Alert, AlertState, Analytics, Finding, Severity};
use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

/// Alerts that are shown at once, the most severe; the others are folded.
const MOST: usize = 3;

pub(super) fn section(analytics: &Analytics) -> Markup {
    let open = analytics.alerts.iter().filter(|alert| alert.state == AlertState::Open);
    let (critical, other): (Vec<_>, Vec<_>) = open.partition(|alert| alert.severity == Severity::Critical);
    let drift = open_drift(analytics);
    let items: Vec<_> = critical
        .into_iter()
        .map(of_rule)
        .chain(drift.into_iter().map(of_finding))
        .chain(other.into_iter().map(of_rule))
        .collect();
    html! {
        section aria-labelledby="alerts" {
            div.card.alerts.calm[items.is_empty()] data-alerts=(items.len()) {
                h2 #alerts {
                    @match items.len() {
                        0 => { "No open alerts" }
                        1 => { "1 open alert" }
                        n => { (n) " open alerts" }
                    }
                }
                ol.list { @for item in items.iter().take(MOST) { (item) } }
                @if items.len() > MOST {
                    details {
                        summary { (items.len() - MOST) " more" }
                        ol.list { @for item in items.iter().skip(MOST) { (item) } }
                    }
                }
            }
        }
    }
}

/// Critical drift of the days of the KPIs that no open alert is about, and after which the same slice has not changed
/// again: alerts of drift are resolved by their age, the change itself is not.
fn open_drift(analytics: &Analytics) -> Vec<&Finding> {
    let days = TimeDelta::days(i64::from(analytics.options.kpi_days));
    let oldest = analytics.at.checked_sub_signed(days).unwrap_or(DateTime::<Utc>::MIN_UTC);
    let is_open = |(at, found): &(usize, &Finding)| {
        let same = |other: &Finding| other.kind == found.kind && other.slice == found.slice;
        found.severity == Severity::Critical
            && found.found_at >= oldest
            && !analytics.drift[..*at].iter().any(same)
            && !analytics.alerts.iter().any(|alert| alert.text == found.text)
    };
    analytics.drift.iter().enumerate().filter(is_open).map(|(_, found)| found).collect()
}

fn of_rule(alert: &Alert) -> Markup {
    html! {
        li {
            (changes::severity(alert.severity))
            strong { bdi { (alert.text) } }
            p { bdi { (alert.advice) } }
            p.soft { "Rule " bdi { (alert.rule) } ", open since " (show::moment(alert.since)) "." }
        }
    }
}

fn of_finding(found: &Finding) -> Markup {
    html! {
        li {
            (changes::severity(found.severity))
            strong { bdi { (found.text) } }
            p { bdi { (found.advice) } }
            p.soft { "Drift since " (show::moment(found.since)) ", found " (show::moment(found.found_at)) "." }
        }
    }
}
