//! What tasks and generations are like, and how much reaches the monitor.

use super::plot::{bar, missing, table};
use super::show;
use crate::monitoring::{Analytics, CategoryDistribution, DataDistribution, Recording};
use maud::{Markup, html};

/// Values of an attribute that are shown.
const MOST: usize = 6;

pub(super) fn section(analytics: &Analytics) -> Markup {
    let DataDistribution { categories, numbers } = &analytics.data_distribution;
    let rows: Vec<_> = numbers
        .iter()
        .map(|number| {
            let quantile = |i: usize| show::significant(number.quantiles.map(|q| q[i]));
            let unknown = number.unknown as f64 / number.n.saturating_add(number.unknown).max(1) as f64;
            let name = number.name.replace('_', " ");
            vec![name, quantile(0), quantile(2), quantile(4), show::percent(unknown)]
        })
        .collect();
    html! {
        section aria-labelledby="data" {
            h2 #data { "Data and ingestion" }
            p.lead { (recording(&analytics.recording)) }
            @if categories.is_empty() && numbers.is_empty() {
                (missing("No generations were recorded."))
            } @else {
                div.wide {
                    @for category in categories.iter().filter(|c| c.n > c.unknown) { (shares(category)) }
                }
                @if !rows.is_empty() {
                    div.card style="margin-top:.9rem" {
                        h3 { "Numbers" }
                        div.scroll { (table(&["Number", "5th percentile", "Median", "95th percentile", "Unknown"], &rows)) }
                    }
                }
            }
        }
    }
}

fn recording(recording: &Recording) -> Markup {
    html! {
        (show::count(recording.records)) " records were read, " (show::count(recording.last_day)) " starts in the last 24 hours"
        @if let Some(usual) = recording.usual_day { " (usually " (show::number(usual, 0)) ")" }
        "; the last outcome became known "
        @match recording.last_outcome { Some(at) => (show::moment(at)), None => "never" }
        "."
        @if recording.without_start > 0 { " " (show::count(recording.without_start)) " completions or feedbacks have no start." }
    }
}

fn shares(category: &CategoryDistribution) -> Markup {
    let most = category.values.first().map_or(1.0, |value| value.share).max(f64::MIN_POSITIVE);
    html! {
        div.card {
            h3 { (category.name.replace('_', " ")) }
            div.scroll { table { tbody {
                @for value in category.values.iter().take(MOST) {
                    tr data-category=(category.name) data-value=(value.value) data-n=(value.n) {
                        td { bdi { (value.value) } }
                        td.bar { (bar(value.share / most)) }
                        td.n { (show::percent(value.share)) }
                    }
                }
            } } }
            @if category.values.len() > MOST { p.note { "and " (category.values.len() - MOST) " more" } }
            @if category.unknown > 0 { p.note { (show::count(category.unknown)) " unknown" } }
        }
    }
}
