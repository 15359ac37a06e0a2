//! Slices: the worst predictions, and figures by dimension.

use super::plot::{missing, reach};
use super::{accuracy, show};
use crate::monitoring::{Analytics, Dimension, SliceFigures, WorstSlice};
use maud::{Markup, html};

/// Slices of a dimension that are shown.
const MOST: usize = 8;

/// Of the worst slices.
const WORST: usize = 5;

pub(super) fn section(analytics: &Analytics) -> Markup {
    let bad: Vec<_> = analytics.worst_slices.iter().filter(|w| w.significant).map(|w| &w.slice).collect();
    html! {
        section aria-labelledby="slices" {
            h2 #slices { "Worst slices" }
            p.lead { "By the gap between observed and predicted success, corrected for the number of slices (Bonferroni)." }
            div.wide {
                @if analytics.worst_slices.is_empty() {
                    (missing("No slice has enough labelled predictions."))
                } @else {
                    (worst(&analytics.worst_slices))
                }
                (accuracy::slices(&analytics.prediction_accuracy.by_slice, |slice| bad.contains(&&slice.slice)))
            }
            (figures(&analytics.slices))
        }
    }
}

fn worst(slices: &[WorstSlice]) -> Markup {
    html! {
        div.card {
            h3 { "Worst first" }
            ol.list {
                @for worst in slices.iter().take(WORST) {
                    li data-worst=(worst.slice.to_string()) data-n=(worst.n) data-brier=[show::finite(worst.brier)] {
                        @if worst.significant { span.tag.bad { "significant" } } @else { span.tag { "not significant" } }
                        strong { (worst.slice.dimension.name()) " " bdi { (worst.slice.value) } }
                        p { "Observed " (show::percent(worst.actual.value)) " vs predicted " (show::percent(worst.predicted)) " over " (show::count(worst.n)) " generations " (gap(worst)) "." }
                        p.soft { "Brier score " (show::number(worst.brier, 3)) "." }
                    }
                }
            }
        }
    }
}

/// The gap in percentage points.
fn gap(worst: &WorstSlice) -> String {
    let (low, high) = worst.gap_interval;
    let [gap, low, high] = [worst.gap, low, high].map(|share| show::signed(share * 100.0, 0));
    format!("({gap} pp, 90 % CI {low} to {high})")
}

/// Figures of each slice, by dimension.
fn figures(slices: &[SliceFigures]) -> Markup {
    html! {
        @if !slices.is_empty() {
            div.wide style="margin-top:.9rem" {
                @for dimension in Dimension::ALL {
                    @let own: Vec<_> = slices.iter().filter(|s| s.slice.dimension == dimension).collect();
                    @if !own.is_empty() { (of_dimension(dimension, &own)) }
                }
            }
        }
    }
}

fn of_dimension(dimension: Dimension, slices: &[&SliceFigures]) -> Markup {
    html! {
        div.card {
            h3 { "By " (dimension.name()) ": approved unmodified" }
            div.scroll {
                table {
                    thead { tr {
                        th scope="col" { "Value" } th.n scope="col" { "Starts" } th.n scope="col" { "Approved" }
                        th scope="col" { "90 % interval" }
                    } }
                    tbody {
                        @for slice in slices.iter().take(MOST) {
                            @let success = &slice.figures.success;
                            tr data-slice=(slice.slice.to_string()) data-generations=(slice.figures.generations) data-hits=(success.hits) data-n=(success.n) {
                                td { bdi { (slice.slice.value) } }
                                td.n { (show::count(slice.figures.generations)) }
                                td.n { (show::percent(success.value)) }
                                td.bar { (reach(success.value, success.interval)) }
                            }
                        }
                    }
                }
            }
            @if slices.len() > MOST { p.note { "and " (slices.len() - MOST) " more" } }
        }
    }
}
