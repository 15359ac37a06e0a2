//! Analytics as one page: a self-contained HTML file that asks the network for nothing and runs no script.
//!
//! The plots are SVG whose colours are CSS variables, so that they follow light, dark and paper; each is
//! read out by its title and description, and stands beside a table of the same numbers. Whatever comes
//! from outside (names of agents, words of tasks) is escaped and kept from changing the text around it.
//! The exact figures are in `data-` attributes, for whoever wants to check the page against the store.
//!
//! ```
//! use devmatrix_ml::monitoring::{Analytics, dashboard};
//! let page = dashboard::render(&Analytics::default(), &[]);
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

/// Returns the page of `analytics` and of the analyses of experiments, if there are any.
pub fn render(analytics: &Analytics, experiments: &[ExperimentReport]) -> String {
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
                title { "Generation analytics" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (heading(analytics))
                main {
                    (alerts::section(analytics))
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
            h1 { "Generation analytics" }
            p data-generations=(total.generations) data-hits=(total.success.hits) data-judged=(total.success.n) data-cost=[show::finite(total.total_cost_usd)] {
                @match (analytics.from, analytics.until) {
                    (Some(from), Some(until)) => {
                        (show::days(from, until)) ": " (show::count(total.generations)) " generations, "
                        (show::count(total.success.n)) " labelled, " (show::percent(total.success.value)) " approved unmodified, "
                        (show::dollars(total.total_cost_usd)) " spent. As of " (show::moment(analytics.at)) "."
                    }
                    _ => { "Nothing was recorded yet." }
                }
            }
        }
    }
}

fn footing() -> Markup {
    html! {
        footer {
            p {
                "Intervals are of 90 %, those of rates by Wilson. A generation counts once, on the day of its start, with its "
                "latest feedback. " (env!("CARGO_PKG_NAME")) " " (env!("CARGO_PKG_VERSION"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitoring::{Calibration, CalibrationWeek, Finding, Rate};
    use crate::training::CalibrationBin;
    use chrono::{NaiveDate, TimeDelta};

    #[test]
    fn calibration_without_numbers_is_shown_without_numbers() {
        let week = |days| CalibrationWeek {
            week: NaiveDate::default() + TimeDelta::days(days),
            n: 10,
            ece: f64::NAN,
            predicted: f64::NAN,
            actual: Rate::of(5, 10),
        };
        let bins = vec![CalibrationBin::new(10, f64::NAN, 0.5)];
        let calibration = Calibration { bins, weeks: vec![week(0), week(7)], ..Calibration::default() };
        let page = render(&Analytics { calibration, ..Analytics::default() }, &[]);
        assert!(!page.contains("NaN") && page.contains("Reliability"));
    }

    #[test]
    fn an_infinite_cost_is_not_shown() {
        let mut seen = Analytics::default();
        (seen.total.generations, seen.total.total_cost_usd) = (100, f64::NEG_INFINITY);
        let page = render(&seen, &[]);
        assert!(!page.contains(">inf") && !page.contains("\"inf") && !page.contains("-inf"));
    }

    #[test]
    fn open_critical_drift_is_an_open_alert_until_the_slice_changes_again() {
        let finding = |before: f64, after: f64, severity: &str, text: &str| -> Finding {
            serde_json::from_value(serde_json::json!({ "kind": "outcome", "subject": "success",
                "slice": { "dimension": "agent", "value": "backend" }, "within": null,
                "since": "2025-01-14T08:00:00Z", "found_at": "2025-01-17T21:30:00Z", "events": 140, "before": before,
                "after": after, "size": {}, "severity": severity, "text": text, "advice": "Retrain." }))
            .unwrap()
        };
        let fell = finding(0.8, 0.5, "critical", "Success of agent backend fell.");
        let at = "2025-01-30T00:00:00Z".parse().unwrap();
        let page = |drift| render(&Analytics { at, drift, ..Analytics::default() }, &[]);
        assert!(page(vec![fell.clone()]).contains("1 open alert"));
        let rose = finding(0.5, 0.8, "info", "Success of agent backend rose.");
        assert!(page(vec![rose, fell]).contains("No open alerts"));
    }
}
