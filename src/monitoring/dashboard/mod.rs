//! Analytics as one page: a self-contained HTML file that asks the network for nothing and runs no script.
//!
//! The plots are SVG whose colours are CSS variables, so that they follow light, dark and paper; each is
//! read out by its title and description, and stands beside a table of the same numbers. Whatever comes
//! from outside (names of agents, words of tasks) is escaped and kept from changing the text around it.
//! The exact figures are in `data-` attributes, for whoever wants to check the page against the store.
//!
//! ```
//! use devmatrix_ml::monitoring::{Analytics, dashboard};
//! let page = dashboard::render(&Analytics::default());
//! assert!(page.starts_with("<!DOCTYPE html>") && page.contains("No figures yet"));
//! ```

mod accuracy;
mod alerts;
mod changes;
mod coverage;
mod data;
mod drift;
mod drift_size;
mod experiments;
mod kpis;
mod models;
mod plot;
mod routing;
mod show;
mod slices;
mod weeks;

use super::Analytics;
use crate::experimentation::ab_tests::ExperimentReport;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The page of `analytics`.
pub fn render(analytics: &Analytics) -> String {
    page(analytics, &[]).into_string()
}

/// The same with the state of experiments, which the analytics do not know.
pub fn render_with(analytics: &Analytics, experiments: &[ExperimentReport]) -> String {
    page(analytics, experiments).into_string()
}

const STYLE: &str = include_str!("page.css");

/// Nothing may be loaded or run, whatever stands in the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

fn page(analytics: &Analytics, experiments: &[ExperimentReport]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                link rel="icon" href="data:,";
                title { "What the generations teach" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (heading(analytics))
                main {
                    (alerts::section(&analytics.alerts))
                    (kpis::section(analytics))
                    (accuracy::section(analytics))
                    (slices::section(analytics))
                    (changes::section(analytics))
                    (routing::section(&analytics.routing))
                    (experiments::section(experiments))
                    (models::history(analytics))
                    (models::importance(analytics))
                    (data::section(analytics))
                }
                (footing())
            }
        }
    }
}

fn heading(analytics: &Analytics) -> Markup {
    let total = &analytics.total;
    html! {
        header {
            h1 { "What the generations teach" }
            p data-generations=(total.generations) data-hits=(total.success.hits) data-judged=(total.success.n) data-cost=[show::finite(total.total_cost_usd)] {
                @match (analytics.from, analytics.until) {
                    (Some(from), Some(until)) => {
                        (show::days(from, until)) ": " (show::count(total.generations)) " generations, "
                        (show::count(total.success.n)) " judged, " (show::percent(total.success.value)) " approved unmodified, "
                        (show::dollars(total.total_cost_usd)) " spent. As of " (show::moment(analytics.at)) "."
                    }
                    _ => { "Nothing was seen yet." }
                }
            }
        }
    }
}

fn footing() -> Markup {
    html! {
        footer {
            p {
                "Intervals are of 90 %, of shares by Wilson's score. A generation belongs to the day on which it "
                "started and is counted once, with what is known of it now. " (env!("CARGO_PKG_NAME")) " " (env!("CARGO_PKG_VERSION"))
            }
        }
    }
}
