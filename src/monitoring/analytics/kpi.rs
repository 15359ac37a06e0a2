//! KPIs.

use super::{Average, Figures, Period, Rate};
use crate::monitoring::aggregates::Cell;
use crate::monitoring::histogram::Histogram;
use crate::monitoring::moments::Z_90;
use crate::monitoring::{Monitor, day_of};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A KPI over the last [`MonitorOptions::kpi_days`](crate::monitoring::MonitorOptions) days.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Kpi {
    /// Which.
    pub name: KpiName,
    /// Its value; `None` without data.
    pub value: Option<f64>,
    /// Its 90 % interval, where it has one.
    pub interval: Option<(f64, f64)>,
    /// The number of generations.
    pub n: u64,
    /// The target, if any.
    pub target: Option<f64>,
    /// True if the target is met; `None` without target or data.
    pub(crate) met: Option<bool>,
    /// Its value in as many days before; `None` without data.
    pub before: Option<f64>,
    /// The baseline without a model: for accuracy, that of always predicting the majority class.
    #[serde(default)]
    pub baseline: Option<f64>,
}

/// The name of a KPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KpiName {
    /// Outcomes on the predicted side of one half, a share; the target is 0.80.
    PredictionAccuracy,
    /// Approved without modification, a share of the labelled generations; the target is 0.85.
    SuccessRate,
    /// Mean final quality, 0 to 10; the target is 8.5.
    Quality,
    /// Change of quality in points a week: the slope of a line through the days' means.
    QualityTrend,
    /// Regenerations saved: expected by the rate of the first days minus actual.
    RegenerationsSaved,
    /// US dollars a generation.
    Cost,
    /// US dollars for each success.
    CostPerSuccess,
    /// Points of quality for each US dollar.
    QualityPerDollar,
    /// Median seconds from the start to the approval.
    TimeToApproval,
    /// Share recorded of the generations that the host started; the target is 1.
    RecordedShare,
    /// The 99th percentile of milliseconds that a prediction took, as the host
    /// measured; the target is below 100.
    PredictionLatency,
}

/// The row of a KPI: its value, its target and what the dashboard shows of it. A further KPI is a variant of [`KpiName`]
/// and a row of [`KPIS`].
#[cfg_attr(not(feature = "dashboard"), allow(dead_code, reason = "partly read by the dashboard alone"))]
pub(crate) struct KpiRow {
    name: KpiName,
    pub(crate) title: &'static str,
    pub(crate) unit: Unit,
    target: Option<f64>,
    pub(crate) less_is_better: bool,
    value: fn(&Span) -> Figure,
    /// The value of a day with its weight, for the weekly plot; `None` where days have none.
    pub(crate) of_day: fn(&Period) -> Option<(f64, f64)>,
    /// The reason why it has no value, where it has none.
    pub(crate) missing: &'static str,
}

/// The unit of a KPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "dashboard"), allow(dead_code, reason = "read by the dashboard"))]
pub(crate) enum Unit {
    /// A share of 1.
    Share,
    /// A number with so many decimals.
    Number(usize),
    /// A signed number with so many decimals.
    Signed(usize),
    Dollars,
    Seconds,
    Milliseconds,
}

/// The KPIs in the order of [`KpiName`] and of the dashboard. The targets are those of the original design.
static KPIS: &[KpiRow] = &[
    KpiRow {
        target: Some(0.80),
        of_day: |day| rate_of(&day.success.as_ref()?.accuracy),
        missing: "no prediction has met its outcome",
        ..row(KpiName::PredictionAccuracy, "Prediction accuracy", Unit::Share, |s| {
            s.cell.success_scores().map_or_else(Figure::default, |scores| Figure::rate(&scores.accuracy))
        })
    },
    KpiRow {
        target: Some(0.85),
        of_day: |day| rate_of(&day.figures.success),
        ..row(KpiName::SuccessRate, "Approved unmodified", Unit::Share, |s| Figure::rate(&s.figures.success))
    },
    KpiRow {
        target: Some(8.5),
        of_day: |day| average_of(&day.figures.quality),
        ..row(KpiName::Quality, "Quality, of 10", Unit::Number(2), |s| Figure::mean(&s.figures.quality))
    },
    row(KpiName::QualityTrend, "Quality trend a week", Unit::Signed(3), |s| slope(&s.quality)),
    KpiRow {
        missing: "the baseline days are not over",
        ..row(KpiName::RegenerationsSaved, "Regenerations saved", Unit::Number(0), |s| {
            Figure::plain(s.expected, s.figures.generations)
        })
    },
    KpiRow {
        less_is_better: true,
        of_day: |day| average_of(&day.figures.cost_usd),
        ..row(KpiName::Cost, "Cost a generation", Unit::Dollars, |s| Figure::mean(&s.figures.cost_usd))
    },
    KpiRow {
        less_is_better: true,
        of_day: |day| day.figures.cost_per_success_usd.map(|cost| (cost, day.figures.success.hits as f64)),
        ..row(KpiName::CostPerSuccess, "Cost a success", Unit::Dollars, |s| {
            Figure::plain(s.figures.cost_per_success_usd, s.figures.cost_usd.n)
        })
    },
    KpiRow {
        of_day: |day| {
            let (quality, cost) = (&day.figures.quality, &day.figures.cost_usd);
            let cost = cost.value.filter(|cost| *cost > 0.0)?;
            quality.value.map(|value| (value / cost, cost * quality.n as f64))
        },
        ..row(KpiName::QualityPerDollar, "Quality a dollar", Unit::Number(1), |s| {
            let (quality, cost) = (&s.figures.quality, &s.figures.cost_usd);
            let per = quality.value.zip(cost.value.filter(|cost| *cost > 0.0));
            Figure::plain(per.map(|(quality, cost)| quality / cost), quality.n.min(cost.n))
        })
    },
    KpiRow {
        less_is_better: true,
        ..row(KpiName::TimeToApproval, "Median to approval", Unit::Seconds, |s| {
            Figure::plain(s.approval.quantile(0.5), s.approval.n())
        })
    },
    KpiRow {
        target: Some(1.0),
        missing: "the host has not reported how many generations it started",
        ..row(KpiName::RecordedShare, "Recorded", Unit::Share, |s| {
            s.recorded.as_ref().map_or_else(Figure::default, Figure::rate)
        })
    },
    KpiRow {
        target: Some(100.0),
        less_is_better: true,
        missing: "the host has not reported latencies",
        ..row(KpiName::PredictionLatency, "Prediction latency, p99", Unit::Milliseconds, |s| {
            Figure::plain(s.latency.quantile(0.99), s.latency.n())
        })
    },
];

/// Returns a row without target and weekly plot, whose larger values are better.
const fn row(name: KpiName, title: &'static str, unit: Unit, value: fn(&Span) -> Figure) -> KpiRow {
    let missing = "no data in these days";
    KpiRow { name, title, unit, target: None, less_is_better: false, value, of_day: |_| None, missing }
}

impl KpiName {
    /// Returns the row of the KPI.
    #[cfg_attr(not(feature = "dashboard"), allow(dead_code, reason = "read by the dashboard"))]
    pub(crate) fn row(self) -> &'static KpiRow {
        &KPIS[self as usize]
    }
}

fn rate_of(rate: &Rate) -> Option<(f64, f64)> {
    rate.value.map(|value| (value, rate.n as f64))
}

fn average_of(average: &Average) -> Option<(f64, f64)> {
    average.value.map(|value| (value, average.n as f64))
}

/// Returns the KPIs of the last days, with those of as many days before.
pub(super) fn kpis(monitor: &Monitor, now: DateTime<Utc>) -> Vec<Kpi> {
    let last = day_of(now.timestamp_micros());
    let days = monitor.options.kpi_days as i32;
    let span = |until: i32| Span::of(monitor, until - days + 1, until);
    let (recent, before) = (span(last), span(last - days));
    let of = |row: &KpiRow| {
        let found = (row.value)(&recent);
        let met = found
            .value
            .zip(row.target)
            .map(|(value, target)| if row.less_is_better { value < target } else { value >= target });
        Kpi {
            name: row.name,
            value: found.value,
            interval: found.interval,
            n: found.n,
            target: row.target,
            met,
            before: (row.value)(&before).value,
            baseline: recent.baseline(row.name),
        }
    };
    KPIS.iter().map(of).collect()
}

/// Returns the share recorded of the generations that the host started, on days with such a count.
pub(super) fn recorded_share(monitor: &Monitor, from: i32, until: i32) -> Option<Rate> {
    let counted = monitor.days.between(from, until).filter(|(_, day)| day.host_started > 0);
    let (recorded, started) = counted.fold((0, 0_u64), |(recorded, started), (_, day)| {
        let n = day.all.generations.max(0) as u64;
        (recorded + n.min(day.host_started), started.saturating_add(day.host_started))
    });
    (started > 0).then(|| Rate::of(recorded, started))
}

/// Sums over some days.
pub(crate) struct Span {
    cell: Cell,
    figures: Figures,
    latency: Histogram,
    approval: Histogram,
    recorded: Option<Rate>,
    /// Each day's mean quality, with its day and how many.
    quality: Vec<(f64, f64, f64)>,
    /// Regenerations saved against the rate of the first days; `None` in those days.
    expected: Option<f64>,
}

/// A value with its interval and number of generations.
#[derive(Debug, Default)]
pub(crate) struct Figure {
    value: Option<f64>,
    interval: Option<(f64, f64)>,
    n: u64,
}

impl Figure {
    fn rate(rate: &Rate) -> Self {
        Self { value: rate.value, interval: rate.value.map(|_| rate.interval), n: rate.n }
    }

    fn mean(mean: &Average) -> Self {
        Self { value: mean.value, interval: mean.interval, n: mean.n }
    }

    fn plain(value: Option<f64>, n: u64) -> Self {
        Self { value, interval: None, n }
    }
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
        let expected = monitor
            .days
            .baseline(monitor.options.baseline_days, until)
            .filter(|(_, over)| until > *over)
            .map(|(rate, over)| {
                let counted = monitor.days.sum(from.max(over + 1), until);
                rate * counted.tries().0 as f64 - counted.tries().1 as f64
            });
        let (figures, recorded) = (cell.figures(), recorded_share(monitor, from, until));
        Self { cell, figures, latency, approval, recorded, quality, expected }
    }

    fn baseline(&self, name: KpiName) -> Option<f64> {
        let scores = self.cell.success_scores().filter(|_| name == KpiName::PredictionAccuracy)?;
        scores.actual.value.map(|rate| rate.max(1.0 - rate))
    }
}

/// Returns the slope of a weighted line through (day, mean, weight), a week, with its interval.
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
    fn rows_are_in_order_and_a_trend_is_a_slope() {
        assert!(KPIS.iter().enumerate().all(|(at, row)| row.name as usize == at));
        let days: Vec<_> = (0..14).map(|day| (f64::from(day), 7.0 + 0.1 * f64::from(day), 5.0)).collect();
        let found = slope(&days);
        assert!((found.value.unwrap() - 0.7).abs() < 1e-9 && found.n == 70);
        assert!(slope(&days[..2]).value.is_none());
    }
}
