//! Alerts that are open.

use super::{changes, show};
use crate::monitoring::{Alert, AlertState};
use maud::{Markup, html};

/// Alerts that are shown at once, the most severe; the others are unfolded.
const MOST: usize = 3;

pub(super) fn section(alerts: &[Alert]) -> Markup {
    let open: Vec<_> = alerts.iter().filter(|alert| alert.state == AlertState::Open).collect();
    html! {
        section aria-labelledby="alerts" {
            div.card.alerts.calm[open.is_empty()] data-alerts=(open.len()) {
                h2 #alerts {
                    @match open.len() {
                        0 => { "No open alerts" }
                        1 => { "1 open alert" }
                        n => { (n) " open alerts" }
                    }
                }
                ol.list { @for alert in open.iter().take(MOST) { (of_rule(alert)) } }
                @if open.len() > MOST {
                    details {
                        summary { (open.len() - MOST) " more" }
                        ol.list { @for alert in open.iter().skip(MOST) { (of_rule(alert)) } }
                    }
                }
            }
        }
    }
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
