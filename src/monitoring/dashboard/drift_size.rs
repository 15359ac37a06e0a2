//! How large each change is, in the measure of its kind, beside what is looked for.

use super::drift::{MOST, ROW, class, name};
use super::plot::{Frame, figure, path, px, share_ticks, table};
use super::show;
use crate::monitoring::{Analytics, DriftKind, Finding, MonitorOptions};
use maud::{Markup, html};

/// From this population stability index on a distribution has moved far.
const FAR: f64 = 0.25;

/// A plot for each measure in which something was found.
pub(super) fn how_large(analytics: &Analytics) -> Markup {
    let (drift, options) = (&analytics.drift[..analytics.drift.len().min(MOST)], &analytics.options);
    if drift.is_empty() {
        return html! {};
    }
    let of = |kinds: &[DriftKind]| -> Vec<_> { drift.iter().filter(|f| kinds.contains(&f.kind)).collect() };
    let (rates, losses) = (of(&[DriftKind::Outcome, DriftKind::NewCategory]), of(&[DriftKind::Concept]));
    let features = of(&[DriftKind::Feature]);
    let plots = html! {
        @if !rates.is_empty() { (shares(&rates, options)) }
        @if !features.is_empty() { (distances(&features, options)) }
        @if !losses.is_empty() { (excesses(&losses)) }
    };
    let key = html! {
        ul.key {
            @if !rates.is_empty() || !losses.is_empty() {
                li { svg viewBox="0 0 22 10" aria-hidden="true" { circle.hollow cx="11" cy="5" r="4" {} } "before" }
                li { svg viewBox="0 0 22 10" aria-hidden="true" { circle.dot cx="11" cy="5" r="5" {} } "since" }
            }
            li { svg viewBox="0 0 22 10" aria-hidden="true" { path.goal d="M11 0V10" {} } "what is looked for" }
        }
    };
    let rows: Vec<_> = drift
        .iter()
        .map(|found| {
            let (before, after) = (value(found, found.before), value(found, found.after));
            vec![name(found), before, after, size(found), looked_for(found, options)]
        })
        .collect();
    let table = table(&["What", "Before", "Since", "Size", "Looked for"], &rows);
    figure("How large", "Each change beside what is looked for.", &plots, &key, &table)
}

/// Shares before and since, and where the fall or the rise that is looked for would lie.
fn shares(found: &[&Finding], options: &MonitorOptions) -> Markup {
    let frame = rows((0.0, 1.0), found.len());
    let inside = html! {
        @for (row, found) in found.iter().enumerate() {
            @if found.kind == DriftKind::Outcome {
                @let sought = found.before + options.success_fall.copysign(found.after - found.before);
                (goal(&frame, row, sought))
            }
            (moved(&frame, row, found))
        }
        (frame.labels_x(&share_ticks(), "share of successes, or of tasks"))
    };
    draw(&frame, "Shares before and since", found, &inside)
}

/// How far distributions have moved, on a scale that ends at 1.
fn distances(found: &[&Finding], options: &MonitorOptions) -> Markup {
    let most = if found.iter().any(|found| found.size.psi.is_some_and(|psi| psi > 0.5)) { 1.0 } else { 0.5 };
    let frame = rows((0.0, most), found.len());
    let ticks = [0.0, FAR, 0.5, 0.75, 1.0].into_iter().filter(|psi| *psi <= most);
    let ticks: Vec<_> = ticks.map(|psi| (psi, show::number(psi, 2))).collect();
    let inside = html! {
        @for (row, found) in found.iter().enumerate() {
            @let wide = frame.at_x(found.size.psi.unwrap_or(0.0)) - frame.left();
            rect class=(class(found.severity)) x=(px(frame.left())) y=(px(line_of(&frame, row) - 4.0)) width=(px(wide)) height="8" rx="2" {}
            (goal(&frame, row, options.least_psi))
        }
        (frame.labels_x(&ticks, "population stability index: far from 0.25 on"))
    };
    draw(&frame, "How far features have moved", found, &inside)
}

/// The log loss beyond what predictions let expect: of calibrated ones it is nothing.
fn excesses(found: &[&Finding]) -> Markup {
    let ends = found.iter().flat_map(|found| [found.before.abs(), found.after.abs()]);
    let most = (ends.filter(|end| end.is_finite()).fold(0.05, f64::max) * 20.0).ceil() / 20.0;
    let frame = rows((-most, most), found.len());
    let inside = html! {
        @for (row, found) in found.iter().enumerate() {
            (goal(&frame, row, 0.0))
            (moved(&frame, row, found))
        }
        (frame.labels_x(&[-most, 0.0, most].map(|excess| (excess, show::signed(excess, 2))), "log loss beyond what is expected"))
    };
    draw(&frame, "Log loss before and since", found, &inside)
}

/// A frame with so many rows.
fn rows(x: (f64, f64), n: usize) -> Frame {
    Frame { height: 46.0 + ROW * n as f64, room: (12.0, 24.0, 4.0, 42.0), ..Frame::new(x, (0.0, 1.0)) }
}

/// Where a row's line lies, below its words.
fn line_of(frame: &Frame, row: usize) -> f64 {
    frame.top() + ROW * row as f64 + 25.0
}

/// The rows' words above `inside`, described.
fn draw(frame: &Frame, title: &str, found: &[&Finding], inside: &Markup) -> Markup {
    let words: Vec<_> = found.iter().map(|found| format!("{}: {}", name(found), change(found))).collect();
    let inside = html! {
        @for (row, words) in words.iter().enumerate() {
            text x=(px(frame.left())) y=(px(line_of(frame, row) - 11.0)) { (show::cut(words, 48)) }
        }
        (inside)
    };
    frame.draw("plot", title, &format!("{}.", words.join("; ")), &inside)
}

/// From before to since.
fn moved(frame: &Frame, row: usize, found: &Finding) -> Markup {
    let (y, from, to) = (line_of(frame, row), frame.at_x(found.before), frame.at_x(found.after));
    html! {
        line.grid x1=(px(frame.left())) x2=(px(frame.right())) y1=(px(y)) y2=(px(y)) {}
        line.whisker x1=(px(from)) x2=(px(to)) y1=(px(y)) y2=(px(y)) {}
        circle.hollow cx=(px(from)) cy=(px(y)) r="4" {}
        circle.dot cx=(px(to)) cy=(px(y)) r="5" {}
    }
}

/// A mark across a row's line.
fn goal(frame: &Frame, row: usize, at: f64) -> Markup {
    let (x, y) = (frame.at_x(at), line_of(frame, row));
    html! { path.goal d=(path(&[(x, y - 8.0), (x, y + 8.0)])) {} }
}

/// Formats a value of a finding, before or after the change, in its unit.
fn value(found: &Finding, value: f64) -> String {
    match found.kind {
        DriftKind::Concept => show::signed(value, 3),
        DriftKind::Feature if found.size.jensen_shannon.is_none() => show::number(value, 2),
        _ => show::percent(value),
    }
}

fn size(found: &Finding) -> String {
    let by = found.after - found.before;
    match found.kind {
        DriftKind::Feature => format!("PSI {}", show::number(found.size.psi, 2)),
        DriftKind::Concept => show::signed(by, 3),
        _ => format!("{} points", show::signed(by * 100.0, 1)),
    }
}

fn change(found: &Finding) -> String {
    match found.kind {
        DriftKind::Feature => size(found),
        _ => format!("{} to {}", value(found, found.before), value(found, found.after)),
    }
}

/// From which size on it is sought; of new values and of the loss any that chance does not explain.
fn looked_for(found: &Finding, options: &MonitorOptions) -> String {
    match found.kind {
        DriftKind::Outcome => format!("{} points", show::number(options.success_fall * 100.0, 0)),
        DriftKind::Feature => format!("PSI {}", show::number(options.least_psi, 2)),
        _ => "any".to_owned(),
    }
}
