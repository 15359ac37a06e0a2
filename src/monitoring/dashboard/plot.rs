//! What plots share: a frame with scales and ticks, and a figure with its numbers as a table.

use super::show::finite;
use maud::{Markup, html};

/// A rectangle into which numbers are drawn; all lengths in the plot's own pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) width: f64,
    pub(super) height: f64,
    /// Room for what stands left, right, above and below.
    pub(super) room: (f64, f64, f64, f64),
    /// The data values at the left and the right edge.
    pub(super) x: (f64, f64),
    /// The data values at the lower and the upper edge.
    pub(super) y: (f64, f64),
}

impl Frame {
    /// A frame of the usual size.
    pub(super) fn new(x: (f64, f64), y: (f64, f64)) -> Self {
        Self { width: 420.0, height: 300.0, room: (44.0, 12.0, 26.0, 40.0), x, y }
    }

    pub(super) fn left(&self) -> f64 {
        self.room.0
    }

    pub(super) fn right(&self) -> f64 {
        self.width - self.room.1
    }

    pub(super) fn top(&self) -> f64 {
        self.room.2
    }

    pub(super) fn bottom(&self) -> f64 {
        self.height - self.room.3
    }

    /// Where `value` lies from left to right.
    pub(super) fn at_x(&self, value: f64) -> f64 {
        self.left() + share(value, self.x) * (self.right() - self.left())
    }

    /// Where `value` lies from above.
    pub(super) fn at_y(&self, value: f64) -> f64 {
        self.bottom() - share(value, self.y) * (self.bottom() - self.top())
    }

    /// The drawing with its title and description, which a screen reader reads in its place.
    pub(super) fn draw(&self, class: &str, title: &str, description: &str, inside: &Markup) -> Markup {
        html! {
            svg class=(class) role="img" viewBox=(format!("0 0 {} {}", self.width, self.height)) {
                title { (title) }
                desc { (description) }
                (inside)
            }
        }
    }

    /// Horizontal lines at `ticks` with their labels, and above them the name of what they measure.
    pub(super) fn grid_y(&self, ticks: &[(f64, String)], name: &str) -> Markup {
        html! {
            text x="0" y="12" { (name) }
            @for (value, label) in ticks {
                line class="grid" x1=(px(self.left())) x2=(px(self.right())) y1=(px(self.at_y(*value))) y2=(px(self.at_y(*value))) {}
                text class="end" x=(px(self.left() - 7.0)) y=(px(self.at_y(*value) + 4.5)) { (label) }
            }
        }
    }

    /// The lower edge with labels under it.
    pub(super) fn ticks_x(&self, ticks: &[(f64, String)]) -> Markup {
        html! {
            line class="axis" x1=(px(self.left())) x2=(px(self.right())) y1=(px(self.bottom())) y2=(px(self.bottom())) {}
            @for (value, label) in ticks {
                text class="middle" x=(px(self.at_x(*value))) y=(px(self.bottom() + 18.0)) { (label) }
            }
        }
    }

    /// The same, and below the labels the name of what they count.
    pub(super) fn labels_x(&self, ticks: &[(f64, String)], name: &str) -> Markup {
        html! {
            (self.ticks_x(ticks))
            text class="middle" x=(px(f64::midpoint(self.left(), self.right()))) y=(px(self.height - 4.0)) { (name) }
        }
    }
}

/// The ticks of a share: 0 to 100 %.
pub(super) fn share_ticks() -> Vec<(f64, String)> {
    (0..=4).map(|i| (f64::from(i) * 0.25, format!("{}%", i * 25))).collect()
}

/// The ticks of a part of that: at tenths, or fifths where there would be many.
pub(super) fn tenths((low, high): (f64, f64)) -> Vec<(f64, String)> {
    let step = if high - low > 0.45 { 20 } else { 10 };
    let (from, to) = ((low * 100.0).round() as u32, (high * 100.0).round() as u32);
    (from..=to).filter(|p| p % step == 0).map(|p| (f64::from(p) / 100.0, format!("{p}%"))).collect()
}

/// Of many ticks at most `most`, evenly.
pub(super) fn thinned<T: Clone>(ticks: &[T], most: usize) -> Vec<T> {
    let step = ticks.len().div_ceil(most.max(1)).max(1);
    ticks.iter().step_by(step).cloned().collect()
}

/// A length for an attribute; what is no number lies at 0 rather than breaking the plot.
pub(super) fn px(length: f64) -> String {
    format!("{:.1}", finite(length).unwrap_or(0.0))
}

/// A line through points.
pub(super) fn path(points: &[(f64, f64)]) -> String {
    let steps = points.iter().enumerate();
    steps.map(|(i, (x, y))| format!("{}{} {}", if i == 0 { "M" } else { "L" }, px(*x), px(*y))).collect()
}

/// The area between two lines over the same places.
pub(super) fn area(low: &[(f64, f64)], high: &[(f64, f64)]) -> String {
    let around: Vec<_> = low.iter().copied().chain(high.iter().rev().copied()).collect();
    if around.is_empty() { String::new() } else { format!("{}Z", path(&around)) }
}

/// A plot under its caption, with the same numbers as a table for whoever cannot see it.
pub(super) fn figure(title: &str, says: &str, plot: &Markup, key: &Markup, table: &Markup) -> Markup {
    html! {
        figure.card {
            figcaption { h3 { (title) } p { (says) } }
            (plot)
            (key)
            details { summary { "The same as a table" } div.scroll { (table) } }
        }
    }
}

/// A table of texts: the first column to the left, the others to the right.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        table {
            thead { tr { @for (i, head) in heads.iter().enumerate() { th.n[i > 0] scope="col" { (head) } } } }
            tbody {
                @for row in rows {
                    tr { @for (i, cell) in row.iter().enumerate() { td.n[i > 0] { bdi { (cell) } } } }
                }
            }
        }
    }
}

/// A bar in a table's cell: its length is a share of the widest.
pub(super) fn bar(share: f64) -> Markup {
    let width = finite(share).unwrap_or(0.0).clamp(0.0, 1.0) * 100.0;
    html! {
        svg viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true" {
            rect.back x="0" y="2" width="100" height="8" {}
            rect.fill x="0" y="2" width=(px(width)) height="8" {}
        }
    }
}

/// An interval of a share with the share itself, in a table's cell.
pub(super) fn reach(value: Option<f64>, (low, high): (f64, f64)) -> Markup {
    let place = |v: f64| finite(v).unwrap_or(0.0).clamp(0.0, 1.0) * 100.0;
    html! {
        svg viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true" {
            rect.back x="0" y="5" width="100" height="2" {}
            @if let Some(value) = finite(value) {
                rect.reach x=(px(place(low))) y="2" width=(px((place(high) - place(low)).max(0.5))) height="8" {}
                rect.at x=(px(place(value) - 0.75)) y="1" width="1.5" height="10" {}
            }
        }
    }
}

/// A text in place of what cannot be shown.
pub(super) fn missing(why: &str) -> Markup {
    html! { p.missing { (why) } }
}

fn share(value: f64, (from, to): (f64, f64)) -> f64 {
    let width = to - from;
    let share = if width > 0.0 { (value - from) / width } else { 0.5 };
    finite(share).unwrap_or(0.0).clamp(0.0, 1.0)
}
