//! What has changed: drift, the label-free estimate, patterns.

use super::plot::missing;
use super::{drift, drift_size, show};
use crate::monitoring::{Analytics, CbpeEstimate, DriftKind, Finding, Severity, Subgroup};
use maud::{Markup, html};

/// Findings and patterns that are shown.
const MOST: usize = 12;

pub(super) fn section(analytics: &Analytics) -> Markup {
    html! {
        section aria-labelledby="changes" {
            h2 #changes { "What has changed?" }
            p.lead { "Changes that chance does not explain, however many things were looked at." }
            div.wide {
                (drift::when(analytics))
                (drift_size::how_large(analytics))
                div.card {
                    h3 { "Drift" }
                    @if analytics.drift.is_empty() { p.soft { "None found." } }
                    ol.list { @for found in analytics.drift.iter().take(MOST) { (finding(found)) } }
                    @if analytics.drift.len() > MOST { p.note { "and " (analytics.drift.len() - MOST) " older ones" } }
                }
                div.stack {
                    div.card {
                        h3 { "Patterns" }
                        @if analytics.subgroups.is_empty() { p.soft { "None confirmed." } }
                        ol.list { @for pattern in analytics.subgroups.iter().take(MOST) { (confirmed(pattern)) } }
                    }
                    @match &analytics.label_free {
                        Some(estimate) => (label_free(estimate)),
                        None => (missing("No estimate of the predictions whose feedback has not come: too few earlier ones to correct it by.")),
                    }
                }
            }
        }
    }
}

fn finding(found: &Finding) -> Markup {
    let kind = match found.kind {
        DriftKind::Outcome => "outcome",
        DriftKind::Feature => "feature",
        DriftKind::Concept => "concept",
        DriftKind::NewCategory => "new value",
    };
    html! {
        li data-drift=(kind) {
            (severity(found.severity)) span.tag { (kind) }
            p { bdi { (found.text) } }
            p.soft { bdi { (found.advice) } }
            p.soft {
                "Since " (show::moment(found.since)) ", found " (show::moment(found.found_at)) " after "
                (show::count(found.events)) " events; " (show::number(found.before, 3)) " before, "
                (show::number(found.after, 3)) " since."
            }
        }
    }
}

fn confirmed(pattern: &Subgroup) -> Markup {
    html! {
        li data-pattern=(show::number(pattern.lift, 2)) {
            @if pattern.emerging { span.tag.warn { "new" } }
            @if pattern.actual < pattern.expected { span.tag.bad { "worse" } } @else { span.tag.good { "better" } }
            p { bdi { (pattern.text) } }
            p.soft {
                (show::percent(pattern.actual)) " of " (show::count(pattern.n)) " against " (show::percent(pattern.expected))
                " expected; confirmed " (show::moment(pattern.confirmed_at)) "."
            }
        }
    }
}

fn label_free(estimate: &CbpeEstimate) -> Markup {
    html! {
        div.card {
            h3 { "Before the feedback comes" }
            p {
                "Of " (show::count(estimate.predictions)) " predictions from " (show::days(estimate.from, estimate.until))
                ", " (show::percent(estimate.accuracy)) " are likely to turn out on the right side of one half, with an area under the ROC curve of "
                (show::number(estimate.auc, 3)) " and a success rate of " (show::percent(estimate.success_rate)) "."
            }
            p.soft {
                (show::count(estimate.judged)) " of them have been judged so far, with an area of " (show::number(estimate.auc_of_judged, 3)) ". "
                bdi { (estimate.caveat) }
            }
        }
    }
}

/// How much something matters, as a tag.
pub(super) fn severity(severity: Severity) -> Markup {
    html! {
        @match severity {
            Severity::Info => { span.tag { "info" } }
            Severity::Warning => { span.tag.warn { "warning" } }
            Severity::Critical => { span.tag.bad { "critical" } }
        }
    }
}
