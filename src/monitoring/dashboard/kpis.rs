//! The figures to steer by, each with its target, its change and its way there.

use super::plot::{missing, path};
use super::show;
use super::weeks;
use crate::monitoring::{Analytics, Kpi, KpiName};
use chrono::NaiveDate;
use maud::{Markup, html};

pub(super) fn section(analytics: &Analytics) -> Markup {
    html! {
        section aria-labelledby="kpis" {
            h2 #kpis { "Where it stands" }
            p.lead {
                "Each figure over " (analytics.options.kpi_days) " days, beside what it is to reach, its change since as many days before, and its weeks."
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
    let trend = trend(kpi.name, analytics);
    html! {
        div.kpi {
            dt { (show::kpi_name(kpi.name)) }
            dd.value data-kpi=(key(kpi.name)) data-value=[show::finite(kpi.value)] data-n=(kpi.n) {
                (show::kpi_value(kpi.name, kpi.value))
            }
            dd.more { (goal(kpi)) }
            @if kpi.baseline.is_some() {
                dd.more data-baseline=[show::finite(kpi.baseline)] {
                    "the likelier outcome every time: " (show::kpi_value(kpi.name, kpi.baseline))
                }
            }
            @if let Some((text, good)) = show::kpi_change(kpi) {
                @let class = if !text.contains(|c| ('1'..='9').contains(&c)) { "" } else if good { "good" } else { "bad" };
                dd.more { span class=(class) { (text) } " since before" }
            }
            @if trend.len() > 1 { dd { (spark(kpi.name, &trend)) } }
        }
    }
}

/// What it is to reach, and whether it does.
fn goal(kpi: &Kpi) -> Markup {
    let target = kpi.target.map(|target| show::kpi_value(kpi.name, Some(target)));
    html! {
        @match (target, kpi.met) {
            (Some(target), Some(true)) => { span.good { "✓ reaches " (target) } }
            (Some(target), Some(false)) => { span.bad { "✗ aims at " (target) } }
            (Some(target), None) => { "aims at " (target) }
            (None, _) => { "from " (show::count(kpi.n)) }
        }
    }
}

/// The weekly values of what a figure sums up; empty where days do not tell them.
fn trend(name: KpiName, analytics: &Analytics) -> Vec<(NaiveDate, f64)> {
    weeks::means(&analytics.periods, |day| match name {
        KpiName::PredictionAccuracy => day.success.as_ref().and_then(|s| weeks::rate(&s.accuracy)),
        KpiName::SuccessRate => weeks::rate(&day.figures.success),
        KpiName::Quality => weeks::average(&day.figures.quality),
        KpiName::Cost => weeks::average(&day.figures.cost_usd),
        KpiName::CostPerSuccess => {
            day.figures.cost_per_success_usd.map(|cost| (cost, day.figures.success.hits as f64))
        }
        KpiName::QualityPerDollar => {
            let (quality, cost) = (&day.figures.quality, &day.figures.cost_usd);
            let cost = cost.value.filter(|cost| *cost > 0.0)?;
            quality.value.map(|value| (value / cost, cost * quality.n as f64))
        }
        _ => None,
    })
}

fn spark(name: KpiName, trend: &[(NaiveDate, f64)]) -> Markup {
    let (low, high) =
        trend.iter().fold((f64::MAX, f64::MIN), |(low, high), (_, v)| (low.min(*v), high.max(*v)));
    let (last, width) = ((trend.len() - 1) as f64, if high > low { high - low } else { 1.0 });
    let points = trend.iter().enumerate();
    let points: Vec<_> =
        points.map(|(i, (_, v))| (i as f64 / last * 200.0, 31.0 - (v - low) / width * 28.0)).collect();
    let value = |(week, value): &(NaiveDate, f64)| {
        format!("{} {}", show::short_day(*week), show::kpi_value(name, Some(*value)))
    };
    let told = trend.iter().map(value).collect::<Vec<_>>().join("; ");
    html! {
        svg role="img" viewBox="0 0 200 34" preserveAspectRatio="none" { title { "By week: " (told) } path.spark d=(path(&points)) {} }
    }
}

/// How a figure is named in attributes, as in JSON.
fn key(name: KpiName) -> String {
    serde_json::to_value(name).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
