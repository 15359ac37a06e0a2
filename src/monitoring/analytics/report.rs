//! From the monitor's sums to what is shown.

use super::accuracy::{PredictionAccuracy, SliceAccuracy};
use super::distribution::{CategoryDistribution, CategoryShare, DataDistribution, NumberDistribution};
use super::models::{ModelFacts, ModelPerformance};
use super::{Analytics, Period, Recording, RoutingShare, SliceFigures, kpi};
use crate::dataset::Target;
use crate::monitoring::aggregates::{Bin, Cell, NUMBERS, SuccessCell};
use crate::monitoring::calibration::calibration;
use crate::monitoring::dimension::Dimension;
use crate::monitoring::drift::{
    CbpeEstimate, ColumnWatch, END_NUMBERS, RecentColumn, START_NUMBERS, estimate,
};
use crate::monitoring::histogram::Histogram;
use crate::monitoring::slices::worst_slices;
use crate::monitoring::{Monitor, day_of, hour_of};
use crate::registry::Stage;
use crate::zones::ZoneRules;
use chrono::{DateTime, NaiveDate, Utc};

/// Predictions that the label-free estimate is made from at least, if there are as many; where more wait for
/// feedback, it is made from those too, up to the second figure. The fewer, the more does the area that is
/// found later differ by chance alone: of 2,000 by .013 in a standard error, of 5,000 by .008.
const ESTIMATED: [i64; 2] = [2_000, 5_000];
/// Bars of a distribution.
const BARS: usize = 24;

/// All that there is to see.
pub(in crate::monitoring) fn report(monitor: &Monitor, now: DateTime<Utc>, models: &ModelFacts) -> Analytics {
    let days = &monitor.days;
    let until = day_of(monitor.horizon.past(now));
    let mut total = Cell::default();
    days.all().for_each(|(_, day)| total.merge(&day.all));
    let slices = slices(monitor);
    Analytics {
        at: now,
        from: days.first().and_then(date),
        until: days.last(until).and_then(date),
        options: monitor.options.clone(),
        kpis: kpi::kpis(monitor, now),
        total: total.figures(),
        periods: days.past(until).filter_map(|(day, sums)| period(day, &sums.all)).collect(),
        slices: slices
            .iter()
            .map(|(key, cell)| SliceFigures { slice: key.clone(), figures: cell.figures() })
            .collect(),
        model_performance: performance(monitor, models),
        prediction_accuracy: PredictionAccuracy {
            success: total.success_scores(),
            numbers: total.number_scores(),
            by_slice: slices
                .iter()
                .map(|(key, cell)| SliceAccuracy {
                    slice: key.clone(),
                    success: cell.success_scores(),
                    numbers: cell.number_scores(),
                })
                .filter(|scores| scores.success.is_some() || !scores.numbers.is_empty())
                .collect(),
        },
        feature_importance: models.importance.clone(),
        versions: models.versions.clone(),
        damaged_versions: models.damaged.clone(),
        data_distribution: distribution(monitor, &slices),
        calibration: calibration(days, until, total.success.as_deref()),
        worst_slices: worst_slices(&slices),
        drift: monitor.drift.findings().iter().rev().cloned().collect(),
        label_free: label_free(monitor, until),
        subgroups: monitor.subgroups.confirmed().to_vec(),
        routing: routing(monitor, until),
        recording: recording(monitor, now),
        zones: ZoneRules::in_use(),
        alerts: Vec::new(),
    }
}

/// A day by its number since 1970.
pub(in crate::monitoring) fn date(day: i32) -> Option<NaiveDate> {
    NaiveDate::from_epoch_days(day)
}

type Slices = Vec<(crate::monitoring::SliceKey, Cell)>;

/// By dimension, the largest first.
fn slices(monitor: &Monitor) -> Slices {
    let mut found = Vec::new();
    for dimension in Dimension::ALL {
        let cells = monitor.days.slices(dimension);
        let mut named: Vec<_> = cells
            .into_iter()
            .enumerate()
            .filter(|(_, cell)| cell.generations > 0)
            .filter_map(|(value, cell)| Some((monitor.names.key(dimension, value as u16)?, cell)))
            .collect();
        named.sort_by(|a, b| b.1.generations.cmp(&a.1.generations).then_with(|| a.0.cmp(&b.0)));
        found.extend(named);
    }
    found
}

fn period(day: i32, cell: &Cell) -> Option<Period> {
    (cell.generations > 0).then_some(())?;
    let (success, numbers) = (cell.success_scores(), cell.number_scores());
    Some(Period { day: date(day)?, figures: cell.figures(), success, numbers })
}

/// Versions that have predicted or are in production, by model and number.
fn performance(monitor: &Monitor, models: &ModelFacts) -> Vec<ModelPerformance> {
    let blank = |model: &str, version: u64| {
        let known = models.versions.iter().find(|known| known.model == model && known.version == version);
        ModelPerformance {
            model: model.to_owned(),
            version,
            in_production: known.is_some_and(|known| known.stage == Stage::Production),
            created_at: known.map(|known| known.created_at),
            training: known.map(|known| known.metrics.clone()).unwrap_or_default(),
            success: None,
            number: None,
        }
    };
    let mut found: Vec<_> = monitor
        .success_versions
        .iter()
        .map(|(version, cell)| ModelPerformance {
            success: cell.scores(),
            ..blank(Target::Success.name(), *version)
        })
        .collect();
    for (versions, target) in monitor.number_versions.iter().zip(NUMBERS) {
        found.extend(versions.iter().map(|(version, cell)| ModelPerformance {
            number: cell.scores(*target),
            ..blank(target.name(), *version)
        }));
    }
    found.retain(|model| model.success.is_some() || model.number.is_some());
    for known in models.versions.iter().filter(|known| known.stage == Stage::Production) {
        if !found.iter().any(|model| model.model == known.model && model.version == known.version) {
            found.push(blank(&known.model, known.version));
        }
    }
    found
}

fn distribution(monitor: &Monitor, slices: &Slices) -> DataDistribution {
    let categories = Dimension::ALL.into_iter().map(|dimension| {
        let named = slices.iter().filter(|(key, _)| key.dimension == dimension);
        let n: u64 = named.clone().map(|(_, cell)| cell.generations as u64).sum();
        let unknown = monitor.days.slices(dimension).first().map_or(0, |cell| cell.generations.max(0) as u64);
        let share = |cell: &Cell| cell.generations as f64 / n.max(1) as f64;
        CategoryDistribution {
            name: dimension.name().to_owned(),
            n: n + unknown,
            unknown,
            values: named
                .map(|(key, cell)| CategoryShare {
                    value: key.value.clone(),
                    n: cell.generations as u64,
                    share: share(cell),
                })
                .collect(),
        }
    });
    let named = |names: &[&str], totals: Vec<Histogram>| -> Vec<NumberDistribution> {
        names.iter().zip(totals).map(|(name, sums)| numbers(name, &sums)).collect()
    };
    let mut all = named(&START_NUMBERS, monitor.starts.totals());
    all.extend(named(&END_NUMBERS, monitor.ends.totals()));
    let mut categories: Vec<_> = categories.collect();
    for (name, recent) in monitor.columns.iter().flat_map(ColumnWatch::recent) {
        let name = format!("columns.{name}");
        match recent {
            RecentColumn::Numbers(sums) => all.push(numbers(&name, &sums)),
            RecentColumn::Names(unknown, values) => categories.push(column(name, unknown, values)),
        }
    }
    DataDistribution { categories, numbers: all }
}

/// The recent values of a column of the host's own.
fn column(name: String, unknown: u64, mut values: Vec<(&str, u64)>) -> CategoryDistribution {
    values.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let known: u64 = values.iter().map(|(_, n)| n).sum();
    let share = |n: u64| n as f64 / known.max(1) as f64;
    let values =
        values.into_iter().map(|(value, n)| CategoryShare { value: value.to_owned(), n, share: share(n) });
    CategoryDistribution { name, n: known + unknown, unknown, values: values.collect() }
}

fn numbers(name: &str, sums: &Histogram) -> NumberDistribution {
    let quantiles = [0.05, 0.25, 0.5, 0.75, 0.95].map(|share| sums.quantile(share).unwrap_or_default());
    NumberDistribution {
        name: name.to_owned(),
        n: sums.n(),
        unknown: sums.unknown(),
        quantiles: (sums.n() > 0).then_some(quantiles),
        bins: sums.bars(BARS),
    }
}

/// About the newest days that together have some hundred predictions, corrected by the days before.
fn label_free(monitor: &Monitor, until: i32) -> Option<CbpeEstimate> {
    let (first, until) = (monitor.days.first()?, monitor.days.last(until)?);
    let mut shown: Vec<Bin> = Vec::new();
    let mut judged = SuccessCell::default();
    let mut from = until;
    for (day, sums) in monitor.days.past(until).rev() {
        let predictions = |bins: &[Bin]| bins.iter().map(|bin| bin.n).sum::<i64>();
        let waits = 2 * sums.success().map_or(0, |cell| cell.brier.n) < predictions(&sums.shown);
        if predictions(&shown) >= ESTIMATED[usize::from(waits)] {
            break;
        }
        from = day;
        shown.resize(shown.len().max(sums.shown.len()), Bin::default());
        shown.iter_mut().zip(&sums.shown).for_each(|(sum, bin)| sum.merge(bin));
        sums.success().into_iter().for_each(|cell| judged.merge(cell));
    }
    let earlier = monitor.days.sum(first, from - 1);
    let earlier = earlier.success.as_deref().filter(|_| from > first);
    estimate((date(from)?, date(until)?), &shown, earlier, Some(&judged))
}

fn routing(monitor: &Monitor, until: i32) -> Vec<RoutingShare> {
    let mut found = Vec::new();
    for (day, sums) in monitor.days.past(until) {
        let Some(day) = date(day) else { continue };
        for ((policy, chosen), (n, propensity)) in &sums.choices {
            let of_policy = sums.choices.iter().filter(|((other, _), _)| other == policy);
            let all: u64 = of_policy.map(|(_, (n, _))| n).sum();
            found.push(RoutingShare {
                day,
                policy: policy.clone(),
                chosen: chosen.clone(),
                n: *n,
                share: *n as f64 / all.max(1) as f64,
                propensity: *propensity as f64 / 1e6 / (*n).max(1) as f64,
            });
        }
    }
    found
}

fn recording(monitor: &Monitor, now: DateTime<Utc>) -> Recording {
    let flow = &monitor.flow;
    let past = monitor.horizon.past(now);
    let at = |what| flow.last(past, what).and_then(DateTime::from_timestamp_micros);
    let last_outcome = flow.last(past, |seen| seen.outcome);
    let after = last_outcome.map_or(i64::MIN, |last| last.saturating_add(1));
    let ended = |from: i64, to: i64| flow.ends.range(from..=to.max(from)).map(|(_, n)| u64::from(*n)).sum();
    let ahead = monitor.days.all().filter(|(day, _)| *day > day_of(past));
    let open = monitor.generations.values().filter(|generation| generation.start().is_none()).count();
    let hour = hour_of(now.timestamp_micros());
    let first = flow.hours.front().map(|(hour, _)| *hour);
    let weeks = (1..=4).map(|week| hour - 7 * 24 * week);
    let mut usual: Vec<_> = weeks
        .filter(|hour| first.is_some_and(|first| first <= hour - 23))
        .map(|hour| flow.day_until(hour))
        .collect();
    usual.sort_unstable();
    let middle = |sorted: &[u64]| match sorted.len() {
        0 => None,
        n => Some(u64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]) as f64),
    };
    Recording {
        records: flow.records,
        share: kpi::recorded_share(
            monitor,
            monitor.days.first().unwrap_or(0),
            monitor.days.last(day_of(past)).unwrap_or(0),
        ),
        without_start: flow.lost + open as u64,
        remembered: monitor.generations.len() as u64,
        last_start: at(|seen| seen.start),
        last_completion: at(|seen| seen.end),
        last_outcome: last_outcome.and_then(DateTime::from_timestamp_micros),
        ended_since_outcome: if after <= past { ended(after, past) } else { 0 },
        ahead: ahead.map(|(_, day)| day.all.generations.max(0) as u64).sum(),
        clock_doubted: flow.seen.range(day_of(past) - 1..).map(|(_, seen)| seen.doubted).sum(),
        last_day: flow.day_until(hour),
        usual_day: middle(&usual),
    }
}
