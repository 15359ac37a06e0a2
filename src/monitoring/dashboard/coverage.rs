//! Calibration over time: its error, and how often intervals held, week by week.

use super::plot::{Frame, area, figure, path, px, table, tenths, thinned};
use super::{show, weeks::ends};
use crate::monitoring::{Calibration, CalibrationWeek, CoverageWeek, Rate};
use chrono::NaiveDate;
use maud::{Markup, html};

/// A plot of the calibration error, and one of the intervals of each number that was predicted.
pub(super) fn section(calibration: &Calibration) -> Markup {
    let mut targets: Vec<_> = calibration.coverage.iter().map(|week| week.target).collect();
    targets.sort_unstable();
    targets.dedup();
    html! {
        (error(&calibration.weeks))
        @for target in targets {
            @let weeks: Vec<_> = calibration.coverage.iter().filter(|w| w.target == target).collect();
            (held(target.name(), &weeks))
        }
    }
}

/// The calibration error, above what comes of chance alone.
fn error(weeks: &[CalibrationWeek]) -> Markup {
    if weeks.len() < 2 {
        return html! {};
    }
    let most = weeks.iter().flat_map(|week| [week.ece, by_chance(week)]).fold(0.1, f64::max);
    let frame = Frame::new(ends(weeks.len()), (0.0, (most * 10.0).ceil() / 10.0));
    let line = |of: fn(&CalibrationWeek) -> f64| -> Vec<_> {
        let points = weeks.iter().enumerate();
        points.map(|(i, week)| (frame.at_x(i as f64), frame.at_y(of(week)))).collect()
    };
    let (errors, chance) = (line(|week| week.ece), line(by_chance));
    let ticks: Vec<_> = (0..=4)
        .map(|i| f64::from(i) / 4.0 * frame.y.1)
        .map(|error| (error, show::number(error, if frame.y.1 > 0.15 { 2 } else { 3 })))
        .collect();
    let plot = html! {
        (frame.grid_y(&ticks, "calibration error"))
        (frame.labels_x(&week_labels(weeks.iter().map(|week| week.week)), "week from"))
        path.chance d=(area(&line(|_| 0.0), &chance)) {}
        path.came d=(path(&errors)) {}
        @for (x, y) in &errors { circle.dot cx=(px(*x)) cy=(px(*y)) r="3.5" {} }
    };
    let rows: Vec<_> = weeks
        .iter()
        .map(|week| {
            let (error, chance) = (show::number(week.ece, 3), show::number(by_chance(week), 3));
            vec![show::day(week.week), error, chance, show::count(week.n)]
        })
        .collect();
    let told = rows.iter().map(|row| format!("week from {}: {}, by chance up to {}", row[0], row[1], row[2]));
    let told = format!("Calibration error by week. {}.", told.collect::<Vec<_>>().join("; "));
    let key = html! {
        ul.key {
            li { svg viewBox="0 0 22 10" aria-hidden="true" { path.came d="M0 5H22" {} } "calibration error" }
            li { svg viewBox="0 0 22 10" aria-hidden="true" { rect.chance width="22" height="10" rx="2" {} } "as much may come of chance" }
        }
    };
    let says = "How far predicted and actual shares lie apart, over ten bins of predictions.";
    let drawn = frame.draw("plot", "Calibration error by week", &told, &plot);
    let table = table(&["Week from", "Calibration error", "By chance up to", "Predictions"], &rows);
    figure("Calibration by week", says, &drawn, &key, &table)
}

/// The calibration error over ten bins that is to be expected of so many calibrated predictions, at most:
/// each bin's share errs by `√(2/π · pq/n)` on average (normal approximation), and spread evenly over the
/// bins the predictions err most.
fn by_chance(week: &CalibrationWeek) -> f64 {
    let spread = week.predicted * (1.0 - week.predicted);
    (std::f64::consts::FRAC_2_PI * 10.0 * spread / week.n.max(1) as f64).sqrt().min(0.5)
}

/// How often the intervals of a number held, beside how often they were to.
fn held(target: &str, weeks: &[&CoverageWeek]) -> Markup {
    let known = weeks.iter().flat_map(|week| [week.held_80, week.held_90]).filter(|rate| rate.n > 0);
    let lowest = known.map(|rate| rate.interval.0).fold(0.7, f64::min);
    let low = ((lowest * 10.0).floor() / 10.0).clamp(0.0, 0.7);
    let frame = Frame::new(ends(weeks.len()), (low, 1.0));
    let plot = html! {
        (frame.grid_y(&tenths(frame.y), "held"))
        (frame.labels_x(&week_labels(weeks.iter().map(|week| week.week)), "week from"))
        (series(&frame, target, weeks, 80, -2.5, |week| week.held_80))
        (series(&frame, target, weeks, 90, 2.5, |week| week.held_90))
    };
    let rows: Vec<_> = weeks
        .iter()
        .map(|week| {
            let both = [week.held_80, week.held_90];
            let [first, second] = both.map(|rate| show::percent(rate.value));
            let [around_first, around_second] = both.map(|rate| show::percents(rate.interval));
            let n = show::count(week.held_80.n.max(week.held_90.n));
            vec![show::day(week.week), first, around_first, second, around_second, n]
        })
        .collect();
    let told = rows.iter().map(|row| {
        format!("week from {}: of 80 % intervals {} held, of 90 % intervals {}", row[0], row[1], row[3])
    });
    let told = format!("Intervals of {target} by week. {}.", told.collect::<Vec<_>>().join("; "));
    let key = html! {
        ul.key {
            li { svg viewBox="0 0 22 10" aria-hidden="true" { path.line.first d="M0 5H22" {} } "intervals of 80 %" }
            li { svg viewBox="0 0 22 10" aria-hidden="true" { path.line.second d="M0 5H22" {} } "of 90 %" }
            li { svg viewBox="0 0 22 10" aria-hidden="true" { path.goal d="M0 5H22" {} } "what they are to hold" }
        }
    };
    let title = format!("Intervals of {target}");
    let says = "How often what happened lay within what was said, by week, with 90 % intervals.";
    let drawn = frame.draw("plot", &format!("How often intervals of {target} held, by week"), &told, &plot);
    let heads = ["Week from", "Of 80 % held", "90 % interval", "Of 90 % held", "90 % interval", "Intervals"];
    figure(&title, says, &drawn, &key, &table(&heads, &rows))
}

/// A line through the weeks in which there were intervals, with what they were to hold; the points stand a
/// little `beside` their weeks, so that the two series do not hide each other.
fn series(
    frame: &Frame,
    target: &str,
    weeks: &[&CoverageWeek],
    level: u8,
    beside: f64,
    of: fn(&CoverageWeek) -> Rate,
) -> Markup {
    let goal = frame.at_y(f64::from(level) / 100.0);
    let known = weeks.iter().enumerate().filter(|(_, week)| of(week).n > 0);
    let points: Vec<_> = known
        .map(|(i, week)| {
            let rate = of(week);
            (frame.at_x(i as f64) + beside, frame.at_y(rate.value.unwrap_or(0.0)), week.week, rate)
        })
        .collect();
    let line: Vec<_> = points.iter().map(|(x, y, ..)| (*x, *y)).collect();
    html! {
        g class=(if level == 80 { "first" } else { "second" }) {
            path.goal d=(path(&[(frame.left(), goal), (frame.right(), goal)])) {}
            @for (x, _, _, Rate { interval: (low, high), .. }) in &points {
                path.reach d=(path(&[(*x, frame.at_y(*low)), (*x, frame.at_y(*high))])) {}
            }
            path.line d=(path(&line)) {}
            @for (x, y, week, rate) in &points {
                circle.point data-target=(target) data-level=(level) data-week=(week) data-hits=(rate.hits) data-n=(rate.n) cx=(px(*x)) cy=(px(*y)) r="3.5" {}
            }
        }
    }
}

fn week_labels(weeks: impl Iterator<Item = NaiveDate>) -> Vec<(f64, String)> {
    let labels: Vec<_> = weeks.enumerate().map(|(i, week)| (i as f64, show::short_day(week))).collect();
    thinned(&labels, 5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    #[test]
    fn chance_explains_the_error_of_calibrated_predictions() {
        let mut random = Pcg64::seed_from_u64(3);
        let mean = (0..500).map(|_| {
            let mut bins = [(0.0, 0.0); 10];
            for _ in 0..200 {
                let p: f64 = random.random_range(0.0..1.0);
                let bin = &mut bins[(p * 10.0) as usize];
                *bin = (bin.0 + p, bin.1 + f64::from(u8::from(random.random_bool(p))));
            }
            bins.iter().map(|(said, came)| (said - came).abs() / 200.0).sum::<f64>()
        });
        let mean = mean.sum::<f64>() / 500.0;
        let actual = Rate::of(100, 200);
        let week = CalibrationWeek { week: NaiveDate::default(), n: 200, ece: mean, predicted: 0.5, actual };
        assert!(mean < by_chance(&week) && mean > by_chance(&week) / 2.0, "{mean}, {}", by_chance(&week));
    }
}
