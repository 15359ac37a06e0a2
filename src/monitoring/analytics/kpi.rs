//! The figures to steer by.

use super::{Average, Rate};
use crate::monitoring::aggregates::Cell;
use crate::monitoring::histogram::Histogram;
use crate::monitoring::moments::Z_90;
use crate::monitoring::{Monitor, day_of};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A figure to steer by, over the last [`MonitorOptions::kpi_days`](crate::monitoring::MonitorOptions) days.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Kpi {
    /// Which.
    pub name: KpiName,
    /// Its value; `None` where nothing tells.
    pub value: Option<f64>,
    /// Its 90 % interval, where it has one.
    pub interval: Option<(f64, f64)>,
    /// From how many generations it comes.
    pub n: u64,
    /// What it should reach.
    pub target: Option<f64>,
    /// Whether it does; `None` where there is no target or nothing tells.
    pub met: Option<bool>,
    /// What it was in as many days before; `None` where nothing tells.
    pub before: Option<f64>,
    /// What comes without any model: of the accuracy, that of always saying what happens more often.
    #[serde(default)]
    pub baseline: Option<f64>,
}

/// Which figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KpiName {
    /// Outcomes on the predicted side of one half, a share; 0.80 is aimed at.
    PredictionAccuracy,
    /// Approved without modification, a share of what was judged; 0.85 is aimed at.
    SuccessRate,
    /// Mean final quality, 0 to 10; 8.5 is aimed at.
    Quality,
    /// Change of quality in points a week: the slope of a line through the days' means.
    QualityTrend,
    /// Tries that were not needed: what the first days' rate of regenerations would have come to, less
    /// those that there were.
    RegenerationsSaved,
    /// US dollars a generation.
    Cost,
    /// US dollars for each success.
    CostPerSuccess,
    /// Points of quality for each US dollar.
    QualityPerDollar,
    /// Median seconds from the start to the approval.
    TimeToApproval,
    /// Recorded, of the generations that the host says it started; 1 is aimed at.
    RecordedShare,
    /// The 99th percentile of milliseconds that a prediction took, as the host tells; below 100 is aimed
    /// at.
    PredictionLatency,
}

/// What each figure should reach, where it should; the last says whether it is a limit from above.
fn target(name: KpiName) -> Option<(f64, bool)> {
    match name {
        KpiName::PredictionAccuracy => Some((0.80, false)),
        KpiName::SuccessRate => Some((0.85, false)),
        KpiName::Quality => Some((8.5, false)),
        KpiName::RecordedShare => Some((1.0, false)),
        KpiName::PredictionLatency => Some((100.0, true)),
        _ => None,
    }
}

/// The figures over the last days, beside those of as many days before.
pub(super) fn kpis(monitor: &Monitor, now: DateTime<Utc>) -> Vec<Kpi> {
    let last = day_of(now.timestamp_micros());
    let days = monitor.options.kpi_days as i32;
    let span = |until: i32| Span::of(monitor, until - days + 1, until);
    let (recent, before) = (span(last), span(last - days));
    let names = [
        KpiName::PredictionAccuracy,
        KpiName::SuccessRate,
        KpiName::Quality,
        KpiName::QualityTrend,
        KpiName::RegenerationsSaved,
        KpiName::Cost,
        KpiName::CostPerSuccess,
        KpiName::QualityPerDollar,
        KpiName::TimeToApproval,
        KpiName::RecordedShare,
        KpiName::PredictionLatency,
    ];
    let of = |name| {
        let (found, target) = (recent.figure(name), target(name));
        let met = found.value.zip(target).map(
            |(value, (target, from_above))| {
                if from_above { value < target } else { value >= target }
            },
        );
        Kpi {
            name,
            value: found.value,
            interval: found.interval,
            n: found.n,
            target: target.map(|(target, _)| target),
            met,
            before: before.figure(name).value,
            baseline: recent.baseline(name),
        }
    };
    names.map(of).into()
}

/// Recorded, of the generations that the host says it started, on days on which it says so.
pub(super) fn recorded_share(monitor: &Monitor, from: i32, until: i32) -> Option<Rate> {
    let told = monitor.days.between(from, until).filter(|(_, day)| day.host_started > 0);
    let (recorded, started) = told.fold((0, 0_u64), |(recorded, started), (_, day)| {
        let n = day.all.generations.max(0) as u64;
        (recorded + n.min(day.host_started), started.saturating_add(day.host_started))
    });
    (started > 0).then(|| Rate::of(recorded, started))
}

/// Some days put together.
struct Span {
    cell: Cell,
    latency: Histogram,
    approval: Histogram,
    recorded: Option<Rate>,
    /// Each day's mean quality, with its day and how many.
    quality: Vec<(f64, f64, f64)>,
    /// Regenerations that the first days' rate would have come to; `None` of those days themselves.
    expected: Option<f64>,
}

/// A figure without its target.
#[derive(Default)]
struct Figure {
    value: Option<f64>,
    interval: Option<(f64, f64)>,
    n: u64,
}

impl Span {
    fn of(monitor: &Monitor, from: i32, until: i32) -> Self {
        let cell = monitor.days.sum(from, until);
        let (mut latency, mut approval) = (Histogram::default(), Histogram::default());
        let mut quality = Vec::new();
        for (day, sums) in monitor.days.between(from, until) {
            latency.merge(&sums.latency);
            approval.merge(&sums.approval);
            if let Some(mean) = sums.all.quality.mean() {
                quality.push((f64::from(day), mean, sums.all.quality.n as f64));
            }
        }
        let expected = monitor.days.baseline().filter(|(_, over)| until > *over).map(|(rate, over)| {
            let counted = monitor.days.sum(from.max(over + 1), until);
            rate * counted.tries().0 as f64 - counted.tries().1 as f64
        });
        Self { cell, latency, approval, recorded: recorded_share(monitor, from, until), quality, expected }
    }

    fn figure(&self, name: KpiName) -> Figure {
        let figures = self.cell.figures();
        let rate =
            |rate: Rate| Figure { value: rate.value, interval: rate.value.map(|_| rate.interval), n: rate.n };
        let mean = |mean: Average| Figure { value: mean.value, interval: mean.interval, n: mean.n };
        let plain = |value: Option<f64>, n: u64| Figure { value, interval: None, n };
        let cost = figures.cost_usd;
        match name {
            KpiName::PredictionAccuracy => {
                self.cell.success_scores().map_or_else(Figure::default, |scores| rate(scores.accuracy))
            }
            KpiName::SuccessRate => rate(figures.success),
            KpiName::Quality => mean(figures.quality),
            KpiName::QualityTrend => slope(&self.quality),
            KpiName::RegenerationsSaved => plain(self.expected, figures.generations),
            KpiName::Cost => mean(cost),
            KpiName::CostPerSuccess => plain(figures.cost_per_success_usd, cost.n),
            KpiName::QualityPerDollar => {
                let per = figures.quality.value.zip(cost.value.filter(|cost| *cost > 0.0));
                plain(per.map(|(quality, cost)| quality / cost), figures.quality.n.min(cost.n))
            }
            KpiName::TimeToApproval => plain(self.approval.quantile(0.5), self.approval.n()),
            KpiName::RecordedShare => self.recorded.map_or_else(Figure::default, rate),
            KpiName::PredictionLatency => plain(self.latency.quantile(0.99), self.latency.n()),
        }
    }

    fn baseline(&self, name: KpiName) -> Option<f64> {
        let scores = self.cell.success_scores().filter(|_| name == KpiName::PredictionAccuracy)?;
        scores.actual.value.map(|rate| rate.max(1.0 - rate))
    }
}

/// The slope of a weighted line through (day, mean, weight), a week, with its interval.
fn slope(days: &[(f64, f64, f64)]) -> Figure {
    let weight: f64 = days.iter().map(|(_, _, w)| w).sum();
    if days.len() < 3 || weight <= 0.0 {
        return Figure::default();
    }
    let mean = |of: &dyn Fn(&(f64, f64, f64)) -> f64| days.iter().map(|d| of(d) * d.2).sum::<f64>() / weight;
    let (x, y) = (mean(&|d| d.0), mean(&|d| d.1));
    let (sxx, sxy) = (mean(&|d| (d.0 - x).powi(2)), mean(&|d| (d.0 - x) * (d.1 - y)));
    let slope = sxy / sxx;
    let left = mean(&|d| (d.1 - y - slope * (d.0 - x)).powi(2));
    let error = (left / sxx / (days.len() as f64 - 2.0)).sqrt();
    let (value, half) = (7.0 * slope, 7.0 * Z_90 * error);
    Figure { value: Some(value), interval: Some((value - half, value + half)), n: weight as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_is_that_of_a_line() {
        let days: Vec<_> = (0..14).map(|day| (f64::from(day), 7.0 + 0.1 * f64::from(day), 5.0)).collect();
        let found = slope(&days);
        assert!((found.value.unwrap() - 0.7).abs() < 1e-9 && found.n == 70);
        assert!(slope(&days[..2]).value.is_none());
    }
}
