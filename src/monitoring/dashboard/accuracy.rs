//! Whether predictions come true: reliability, weeks, slices, numbers.

use super::plot::{Frame, area, figure, missing, path, px, share_ticks, table, tenths, thinned};
use super::{coverage, show, weeks::ends};
use crate::models::targets::{self, NumberUnit};
use crate::monitoring::{Analytics, CalibrationWeek, NumberScores, SliceAccuracy, SuccessScores};
use crate::training::CalibrationBin;
use maud::{Markup, html};

pub(super) fn section(analytics: &Analytics) -> Markup {
    let accuracy = &analytics.prediction_accuracy;
    html! {
        section aria-labelledby="accuracy" {
            h2 #accuracy { "Prediction quality" }
            p.lead { "Predictions made before the start of a generation, compared with its label." }
            @if let Some(scores) = &accuracy.success { (summary(scores)) }
            div.wide {
                (reliability(analytics))
                (weekly(&analytics.calibration.weeks))
                (coverage::section(&analytics.calibration))
            }
            @if !accuracy.numbers.is_empty() { (numbers(&accuracy.numbers)) }
        }
    }
}

fn summary(scores: &SuccessScores) -> Markup {
    html! {
        p.lead data-scores="success" data-n=(scores.n) data-brier=[show::finite(scores.brier)] data-auc=[show::finite(scores.auc)] data-logloss=[show::finite(scores.logloss)] {
            (show::count(scores.n)) " labelled predictions: accuracy "
            (show::percent(scores.accuracy.value)) ", ROC AUC "
            (show::number(scores.auc, 3)) ", Brier score " (show::number(scores.brier, 3)) ", log loss "
            (show::number(scores.logloss, 3)) ", calibration error " (show::number(scores.ece, 3)) "."
        }
    }
}

/// How often what was said to happen so often did.
fn reliability(analytics: &Analytics) -> Markup {
    let bins = &analytics.calibration.bins;
    if bins.is_empty() {
        return missing("No reliability diagram: no prediction of success is labelled yet.");
    }
    let square = Frame::new((0.0, 1.0), (0.0, 1.0));
    let frame = Frame { room: (44.0, 12.0, 26.0, 66.0), ..square };
    let most = bins.iter().map(|bin| bin.rows).max().unwrap_or(1).max(1) as f64;
    let plot = html! {
        (frame.grid_y(&share_ticks(), "observed"))
        (frame.labels_x(&share_ticks(), "predicted"))
        line.ideal x1=(px(frame.left())) y1=(px(frame.bottom())) x2=(px(frame.right())) y2=(px(frame.top())) {}
        @for bin in bins {
            @let (x, tall) = (frame.at_x(bin.predicted), bin.rows as f64 / most * 22.0);
            rect.hist x=(px(x - 9.0)) y=(px(frame.height - 20.0 - tall)) width="18" height=(px(tall)) {}
            line.whisker x1=(px(x)) x2=(px(x)) y1=(px(frame.at_y(bin.interval.0))) y2=(px(frame.at_y(bin.interval.1))) {}
            circle.dot data-bin=(number(bin)) data-n=(bin.rows) data-predicted=[show::finite(bin.predicted)] data-actual=[show::finite(bin.actual)] cx=(px(x)) cy=(px(frame.at_y(bin.actual))) r="5" {}
        }
    };
    let rows: Vec<_> = bins
        .iter()
        .map(|bin| {
            let (said, came) = (show::percent(bin.predicted), show::percent(bin.actual));
            vec![said, came, show::percents(bin.interval), show::count(bin.rows as u64)]
        })
        .collect();
    let told = rows.iter().map(|row| format!("predicted {}, observed {} of {}", row[0], row[1], row[3]));
    let told = format!("Reliability diagram. {}.", told.collect::<Vec<_>>().join("; "));
    let says = "Calibrated predictions lie on the dotted line. Bars: number of predictions.";
    let drawn = frame.draw("plot", "Predicted vs observed, by predicted probability", &told, &plot);
    let table = table(&["Predicted", "Observed", "90 % interval", "Predictions"], &rows);
    figure("Reliability", says, &drawn, &html! {}, &table)
}

/// Which of ten equally wide bins it is.
fn number(bin: &CalibrationBin) -> usize {
    ((bin.predicted * 10.0) as usize).min(9)
}

/// The mean prediction and the share of successes, week by week.
fn weekly(weeks: &[CalibrationWeek]) -> Markup {
    let weeks: Vec<_> = weeks.iter().filter(|week| week.n > 0).collect();
    if weeks.len() < 2 {
        return missing("Predicted vs observed by week: two weeks with labels are needed.");
    }
    let frame = Frame::new(ends(weeks.len()), range(&weeks));
    let line = |of: fn(&CalibrationWeek) -> f64| -> Vec<_> {
        let points = weeks.iter().enumerate();
        points.map(|(i, week)| (frame.at_x(i as f64), frame.at_y(of(week)))).collect()
    };
    let came = line(|week| week.actual.value.unwrap_or(0.0));
    let (low, high) = (line(|week| week.actual.interval.0), line(|week| week.actual.interval.1));
    let labels: Vec<_> =
        weeks.iter().enumerate().map(|(i, week)| (i as f64, show::short_day(week.week))).collect();
    let plot = html! {
        (frame.grid_y(&tenths(frame.y), "approved"))
        (frame.labels_x(&thinned(&labels, 5), "week from"))
        path.band d=(area(&low, &high)) {}
        path.came d=(path(&came)) {}
        path.said d=(path(&line(|week| week.predicted))) {}
        @for (x, y) in &came { circle.dot cx=(px(*x)) cy=(px(*y)) r="3.5" {} }
    };
    let rows: Vec<_> = weeks
        .iter()
        .map(|week| {
            let (said, came) = (show::percent(week.predicted), show::percent(week.actual.value));
            let held = show::percents(week.actual.interval);
            vec![show::day(week.week), said, came, held, show::number(week.ece, 3), show::count(week.n)]
        })
        .collect();
    let told =
        rows.iter().map(|row| format!("week from {}: predicted {}, observed {}", row[0], row[1], row[2]));
    let told = format!("Success by week. {}.", told.collect::<Vec<_>>().join("; "));
    let key = html! {
        ul.key {
            li { svg viewBox="0 0 22 10" aria-hidden="true" { path.said d="M0 5H22" {} } "predicted before" }
            li { svg viewBox="0 0 22 10" aria-hidden="true" { path.came d="M0 5H22" {} } "observed, with its 90 % interval" }
        }
    };
    let drawn = frame.draw("plot", "Predicted and actual success by week", &told, &plot);
    let heads = ["Week from", "Predicted", "Observed", "90 % interval", "Calibration error", "Predictions"];
    figure(
        "Predicted vs observed",
        "Mean prediction and share approved unmodified, by week.",
        &drawn,
        &key,
        &table(&heads, &rows),
    )
}

/// Who is predicted how well: each slice at its mean prediction and its success rate.
pub(super) fn slices(slices: &[SliceAccuracy], is_bad: impl Fn(&SliceAccuracy) -> bool) -> Markup {
    let known: Vec<_> = slices.iter().filter_map(|s| Some((s, s.success.as_ref()?))).collect();
    if known.is_empty() {
        return missing("No slices: no prediction of success is labelled yet.");
    }
    let ends = known.iter().flat_map(|(_, s)| [s.predicted, s.actual.value.unwrap_or(s.predicted)]);
    let (low, high) = ends.fold((1.0_f64, 0.0_f64), |(low, high), share| (low.min(share), high.max(share)));
    let ends = (
        ((low * 10.0 - 0.2).floor() / 10.0).clamp(0.0, 0.9),
        ((high * 10.0 + 0.2).ceil() / 10.0).clamp(0.1, 1.0),
    );
    let frame = Frame::new(ends, ends);
    let most = known.iter().map(|(_, scores)| scores.n).max().unwrap_or(1).max(1) as f64;
    let plot = html! {
        (frame.grid_y(&tenths(frame.y), "observed"))
        (frame.labels_x(&tenths(frame.x), "predicted"))
        line.ideal x1=(px(frame.left())) y1=(px(frame.bottom())) x2=(px(frame.right())) y2=(px(frame.top())) {}
        @for (slice, scores) in &known {
            @let (x, y) = (frame.at_x(scores.predicted), frame.at_y(scores.actual.value.unwrap_or(0.0)));
            circle class=(if is_bad(slice) { "dot" } else { "dot plain" }) cx=(px(x)) cy=(px(y)) r=(px(3.0 + 9.0 * (scores.n as f64 / most).sqrt())) {
                title { (slice.slice.to_string()) ": predicted " (show::percent(scores.predicted)) ", observed " (show::percent(scores.actual.value)) " of " (show::count(scores.n)) }
            }
        }
    };
    let rows: Vec<_> = known
        .iter()
        .map(|(slice, scores)| {
            let (said, came) = (show::percent(scores.predicted), show::percent(scores.actual.value));
            vec![slice.slice.to_string(), said, came, show::number(scores.brier, 3), show::count(scores.n)]
        })
        .collect();
    let told = format!("{} slices, each at its mean prediction and its share of successes.", known.len());
    let says = "A dot for each agent, model, language and so on, as large as its number of outcomes; filled where the gap is significant.";
    let drawn = frame.draw("plot", "Predicted vs observed, by slice", &told, &plot);
    let table = table(&["Slice", "Predicted", "Observed", "Brier score", "Predictions"], &rows);
    figure("Slice by slice", says, &drawn, &html! {}, &table)
}

/// Predictions of numbers.
fn numbers(numbers: &[NumberScores]) -> Markup {
    let rows: Vec<_> = numbers
        .iter()
        .map(|scores| {
            let unit = targets::of(scores.target).map_or(NumberUnit::Plain, |model| model.unit);
            let shown = |value: f64| match unit {
                NumberUnit::Seconds => show::seconds(value),
                NumberUnit::Dollars => show::dollars(value),
                NumberUnit::Count => show::number(value, 0),
                NumberUnit::Plain => show::number(value, 2),
            };
            let bias = if scores.bias < 0.0 { "too low by" } else { "too high by" };
            vec![
                scores.target.to_string(),
                show::count(scores.n),
                shown(scores.mae),
                format!("{bias} {}", shown(scores.bias.abs())),
                show::percent(scores.held_80.value),
                show::percent(scores.held_90.value),
            ]
        })
        .collect();
    let heads = [
        "Predicted number",
        "Known",
        "Mean absolute error",
        "On average",
        "Coverage of 80 % intervals",
        "Of 90 %",
    ];
    html! { div.card style="margin-top:.9rem" { h3 { "Numbers" } div.scroll { (table(&heads, &rows)) } } }
}

/// From the lowest to the highest of what is drawn, rounded outwards to tenths.
fn range(weeks: &[&CalibrationWeek]) -> (f64, f64) {
    let values = weeks.iter().flat_map(|w| [w.predicted, w.actual.interval.0, w.actual.interval.1]);
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((1.0_f64, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
    (((low * 10.0).floor() / 10.0).clamp(0.0, 0.9), ((high * 10.0).ceil() / 10.0).clamp(0.1, 1.0))
}
