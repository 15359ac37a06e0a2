//! Drift, the estimate without labels, and subgroups.

use super::plot::missing;
use super::{drift, drift_size, show};
use crate::monitoring::{Analytics, CbpeEstimate, Finding, Severity, Subgroup};
use maud::{Markup, html};

/// Findings and patterns that are shown.
const MOST: usize = 12;

pub(super) fn section(analytics: &Analytics) -> Markup {
    html! {
        section aria-labelledby="changes" {
            h2 #changes { "Drift and subgroups" }
            p.lead { "Significant changes, corrected for the number of tests." }
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
                        h3 { "Subgroups" }
                        @if analytics.subgroups.is_empty() { p.soft { "None confirmed." } }
                        ol.list { @for pattern in analytics.subgroups.iter().take(MOST) { (confirmed(pattern)) } }
                    }
                    @match &analytics.label_free {
                        Some(estimate) => (label_free(estimate)),
                        None => (missing("No estimate of unlabelled predictions: there are too few earlier ones to calibrate it.")),
                    }
                }
            }
        }
    }
}

fn finding(found: &Finding) -> Markup {
    let kind = found.kind.label();
    html! {
        li data-drift=(kind) {
            (severity(found.severity)) span.tag { (kind) }
            p { bdi { (found.text) } }
            p.soft { bdi { (found.advice) } }
            p.soft {
                "Since " (show::moment(found.since)) ", found " (show::moment(found.found_at)) " after "
                (show::count(found.events)) " events; " (show::significant(found.before)) " before, "
                (show::significant(found.after)) " since."
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
                "Observed " (show::percent(pattern.actual)) " vs expected " (show::percent(pattern.expected)) " over "
                (show::count(pattern.n)) " generations; confirmed " (show::moment(pattern.confirmed_at)) "."
            }
        }
    }
}

fn label_free(estimate: &CbpeEstimate) -> Markup {
    html! {
        div.card {
            h3 { "Estimated performance without labels (CBPE)" }
            p {
                "Of " (show::count(estimate.predictions)) " predictions from " (show::days(estimate.from, estimate.until))
                ", " (show::percent(estimate.accuracy)) " are expected to be correct, with a ROC AUC of "
                (show::number(estimate.auc, 3)) " and a success rate of " (show::percent(estimate.success_rate)) "."
            }
            p.soft {
                (show::count(estimate.labelled)) " of them are labelled so far, with a ROC AUC of " (show::number(estimate.auc_of_labelled, 3)) ". "
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
