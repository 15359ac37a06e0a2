//! When things changed: each finding from when it began until it was found, below the success of all.

use super::plot::{Frame, area, figure, path, px, table, tenths, thinned};
use super::{show, weeks};
use crate::monitoring::{Analytics, DriftKind, Finding, Rate, Severity};
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use maud::{Markup, html};

/// Findings that are drawn: the newest.
pub(super) const MOST: usize = 8;
/// From one finding's row to the next.
pub(super) const ROW: f64 = 38.0;

/// The success of all by week, and below it a bar for each finding.
pub(super) fn when(analytics: &Analytics) -> Markup {
    let weeks = weeks::success(&analytics.periods);
    let (Some(first), Some(last)) = (weeks.first(), analytics.until) else { return html! {} };
    let drift = &analytics.drift[..analytics.drift.len().min(MOST)];
    let room = 34.0 + ROW * drift.len() as f64;
    let x = (number(first.0), (number(last) + 1.0).max(number(first.0) + 7.0));
    let frame =
        Frame { height: 186.0 + room, room: (44.0, 12.0, 26.0, room), ..Frame::new(x, range(&weeks)) };
    let labels: Vec<_> =
        weeks.iter().map(|(week, _)| (number(*week) + 3.5, show::short_day(*week))).collect();
    let plot = html! {
        (frame.grid_y(&tenths(frame.y), "approved, all generations"))
        @for (row, found) in drift.iter().enumerate() { (bar(&frame, row, found)) }
        (success(&frame, &weeks))
        (frame.ticks_x(&thinned(&labels, 5)))
    };
    let rows: Vec<_> = weeks
        .iter()
        .map(|(week, rate)| {
            let (share, held) = (show::percent(rate.value), show::percents(rate.interval));
            vec![show::day(*week), share, held, show::count(rate.n)]
        })
        .collect();
    let by_week = rows.iter().map(|row| format!("week from {}: {}", row[0], row[1])).collect::<Vec<_>>();
    let changes = drift.iter().map(|found| {
        format!("{} from {} to {}", name(found), show::moment(found.since), show::moment(found.found_at))
    });
    let changes = changes.collect::<Vec<_>>().join("; ");
    let changes = if drift.is_empty() { "none was found" } else { &changes };
    let told = format!("Success by week. {}. Changes: {changes}.", by_week.join("; "));
    let says = if drift.is_empty() {
        "Share approved unmodified by week. No change was found."
    } else {
        "Share approved unmodified by week; each bar lasts from when a change began until it was found."
    };
    let drawn = frame.draw("plot", "Success by week, and when changes began and were found", &told, &plot);
    let table = table(&["Week from", "Approved", "90 % interval", "Labelled"], &rows);
    figure("When", says, &drawn, &html! {}, &table)
}

/// A line through the middles of the weeks, in its interval.
fn success(frame: &Frame, weeks: &[(NaiveDate, Rate)]) -> Markup {
    let line = |of: fn(&Rate) -> f64| -> Vec<_> {
        let middle = |week: NaiveDate| (number(week) + 3.5).min(frame.x.1);
        weeks.iter().map(|(week, rate)| (frame.at_x(middle(*week)), frame.at_y(of(rate)))).collect()
    };
    let came = line(|rate| rate.value.unwrap_or(0.0));
    let rates = weeks.iter().zip(&came);
    html! {
        path.band d=(area(&line(|rate| rate.interval.0), &line(|rate| rate.interval.1))) {}
        path.came d=(path(&came)) {}
        @for ((week, rate), (x, y)) in rates {
            circle.dot data-success=(week) data-hits=(rate.hits) data-n=(rate.n) cx=(px(*x)) cy=(px(*y)) r="3.5" {}
        }
    }
}

/// A finding's row below the plot.
fn bar(frame: &Frame, row: usize, found: &Finding) -> Markup {
    let y = frame.bottom() + 46.0 + ROW * row as f64;
    let (from, to) = (frame.at_x(days(found.since)), frame.at_x(days(found.found_at)));
    html! {
        text x=(px(frame.left())) y=(px(y)) { (show::cut(&name(found), 44)) }
        rect.track x=(px(frame.left())) y=(px(y + 8.0)) width=(px(frame.right() - frame.left())) height="8" rx="2" {}
        rect class=(class(found.severity)) x=(px(from)) y=(px(y + 8.0)) width=(px((to - from).max(4.0))) height="8" rx="2" {
            title { (show::moment(found.since)) " to " (show::moment(found.found_at)) }
        }
    }
}

/// What changed, in a few words.
pub(super) fn name(found: &Finding) -> String {
    let whose = found.slice.as_ref().map(ToString::to_string);
    match found.kind {
        DriftKind::Outcome => {
            let within = found.within.as_ref().map(|within| format!(", {within}")).unwrap_or_default();
            format!("success, {}{within}", whose.as_deref().unwrap_or("all generations"))
        }
        DriftKind::Concept => format!("loss, {}", whose.as_deref().unwrap_or("all predictions")),
        DriftKind::NewCategory => format!("new {}", whose.as_deref().unwrap_or(&found.subject)),
        _ => found.subject.replace('_', " "),
    }
}

/// The colour of a bar.
pub(super) fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "mild",
        Severity::Warning => "grave",
        Severity::Critical => "worst",
    }
}

/// A day as a number, and a moment as one between two days.
fn number(day: NaiveDate) -> f64 {
    f64::from(day.num_days_from_ce())
}

fn days(at: DateTime<Utc>) -> f64 {
    let seconds = at.timestamp().rem_euclid(86_400);
    number(at.date_naive()) + seconds as f64 / 86_400.0
}

/// From the lowest to the highest of the intervals, rounded outwards to tenths.
fn range(weeks: &[(NaiveDate, Rate)]) -> (f64, f64) {
    let low = weeks.iter().map(|(_, rate)| rate.interval.0).fold(1.0, f64::min);
    let high = weeks.iter().map(|(_, rate)| rate.interval.1).fold(0.0, f64::max);
    (((low * 10.0).floor() / 10.0).clamp(0.0, 0.9), ((high * 10.0).ceil() / 10.0).clamp(0.1, 1.0))
}
