//! KPIs with target, change and weekly plot.

use super::plot::{missing, path};
use super::show;
use super::weeks;
use crate::monitoring::{Analytics, Kpi, KpiName};
use chrono::NaiveDate;
use maud::{Markup, html};

pub(super) fn section(analytics: &Analytics) -> Markup {
    html! {
        section aria-labelledby="kpis" {
            h2 #kpis { "KPIs" }
            p.lead {
                "Over the last " (analytics.options.kpi_days) " days, with the target, the change from as many days before, and the weekly values."
            }
            @if analytics.kpis.is_empty() {
                (missing("No figures yet: give the monitor the records of some generations."))
            } @else {
                dl.cards { @for kpi in &analytics.kpis { (card(kpi, analytics)) } }
            }
        }
    }
}

fn card(kpi: &Kpi, analytics: &Analytics) -> Markup {
    let trend = weeks::means(&analytics.periods, kpi.name.row().of_day);
    html! {
        div.kpi {
            dt { (kpi.name.row().title) }
            dd.value data-kpi=(key(kpi.name)) data-value=[show::finite(kpi.value)] data-n=(kpi.n) {
                (show::in_unit(kpi.name.row().unit, kpi.value))
            }
            dd.more { (goal(kpi)) }
            @if kpi.baseline.is_some() {
                dd.more data-baseline=[show::finite(kpi.baseline)] {
                    "majority-class baseline: " (show::in_unit(kpi.name.row().unit, kpi.baseline))
                }
            }
            @if let Some((text, good)) = show::kpi_change(kpi) {
                @let class = if !text.contains(|c| ('1'..='9').contains(&c)) { "" } else if good { "good" } else { "bad" };
                dd.more { span class=(class) { (text) } " vs the days before" }
            }
            @if trend.len() > 1 { dd { (spark(kpi.name, &trend)) } }
            @if kpi.value.is_none() { dd.more { (kpi.name.row().missing) } }
        }
    }
}

/// The target, and whether it is met.
fn goal(kpi: &Kpi) -> Markup {
    let target = kpi.target.map(|target| show::in_unit(kpi.name.row().unit, Some(target)));
    html! {
        @match (target, kpi.met) {
            (Some(target), Some(true)) => { span.good { "✓ target " (target) } }
            (Some(target), Some(false)) => { span.bad { "✗ target " (target) } }
            (Some(target), None) => { "target " (target) }
            (None, _) => { (show::count(kpi.n)) " generations" }
        }
    }
}

fn spark(name: KpiName, trend: &[(NaiveDate, f64)]) -> Markup {
    let (low, high) =
        trend.iter().fold((f64::MAX, f64::MIN), |(low, high), (_, v)| (low.min(*v), high.max(*v)));
    let (last, width) = ((trend.len() - 1) as f64, if high > low { high - low } else { 1.0 });
    let points = trend.iter().enumerate();
    let points: Vec<_> =
        points.map(|(i, (_, v))| (i as f64 / last * 200.0, 31.0 - (v - low) / width * 28.0)).collect();
    let value = |(week, value): &(NaiveDate, f64)| {
        format!("{} {}", show::short_day(*week), show::in_unit(name.row().unit, Some(*value)))
    };
    let told = trend.iter().map(value).collect::<Vec<_>>().join("; ");
    html! {
        svg role="img" viewBox="0 0 200 34" preserveAspectRatio="none" { title { "By week: " (told) } path.spark d=(path(&points)) {} }
    }
}

/// Returns the name in attributes, as in JSON.
fn key(name: KpiName) -> String {
    serde_json::to_value(name).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
