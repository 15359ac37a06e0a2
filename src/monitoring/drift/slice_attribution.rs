//! Where a change sits: which slice explains it best, and which part of that.

use super::concept::excess;
use crate::monitoring::dimension::{DIMENSIONS, Dimension, FIRST};
use crate::monitoring::recent::{Evaluated, Recent};

/// A slice by its number; `None` for all generations.
pub(super) type Place = Option<(Dimension, u16)>;

/// Fewer outcomes since the change than this say nothing of a slice.
const FEWEST: f64 = 20.0;

/// Success before a change and since.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rates {
    /// Outcomes and successes.
    old: (f64, f64),
    new: (f64, f64),
    /// The rate before, where more is known of it than what is kept.
    known: Option<f64>,
}

impl Rates {
    fn add(&mut self, success: bool, new: bool) {
        let sum = if new { &mut self.new } else { &mut self.old };
        *sum = (sum.0 + 1.0, sum.1 + f64::from(u8::from(success)));
    }

    pub(super) fn with_before(self, rate: f64) -> Self {
        Self { known: Some(rate), ..self }
    }

    pub(super) fn before(&self) -> f64 {
        self.known.unwrap_or((self.old.1 + 0.5) / (self.old.0 + 1.0))
    }

    pub(super) fn after(&self) -> f64 {
        if self.new.0 > 0.0 { self.new.1 / self.new.0 } else { self.before() }
    }

    pub(super) fn change(&self) -> f64 {
        self.after() - self.before()
    }

    /// Outcomes since.
    pub(super) fn outcomes(&self) -> u64 {
        self.new.0 as u64
    }

    /// The change in standard errors, unsigned; 0 where one side is empty.
    pub(super) fn z(&self) -> f64 {
        let (n, m) = (self.old.0, self.new.0);
        if n == 0.0 || m == 0.0 {
            return 0.0;
        }
        let rate = ((self.old.1 + self.new.1) / (n + m)).clamp(0.01, 0.99);
        self.change().abs() / (rate * (1.0 - rate) * (1.0 / n + 1.0 / m)).sqrt()
    }
}

fn is_in(row: &Evaluated, place: Place) -> bool {
    place.is_none_or(|(dimension, value)| row.values[dimension as usize] == value)
}

/// The number of the outcome with which the last `outcomes` of a place begin.
pub(super) fn began(recent: &Recent, place: Place, outcomes: u64) -> u64 {
    let (first, mut left) = (recent.first(), outcomes);
    let mut began = recent.taken();
    for (back, row) in recent.newest().enumerate() {
        if left == 0 {
            break;
        }
        if is_in(row, place) {
            left -= 1;
            began = recent.taken() - 1 - back as u64;
        }
    }
    began.max(first)
}

/// Success of a place, leaving out another, before outcome `until` and from `since` on.
pub(super) fn rates(recent: &Recent, place: Place, without: Place, until: u64, since: u64) -> Rates {
    let mut rates = Rates::default();
    for (number, row) in (recent.first()..).zip(recent.since(recent.first())) {
        let left_out = without.is_some() && is_in(row, without);
        if is_in(row, place) && !left_out && (number < until || number >= since) {
            rates.add(row.success, number >= since);
        }
    }
    rates
}

/// Rates of all slices of the rows in a place.
fn by_slice(recent: &Recent, place: Place, since: u64) -> [Vec<Rates>; DIMENSIONS] {
    let mut found: [Vec<Rates>; DIMENSIONS] = Default::default();
    for (number, row) in (recent.first()..).zip(recent.since(recent.first())) {
        if !is_in(row, place) {
            continue;
        }
        for (slices, value) in found.iter_mut().zip(row.values) {
            if slices.len() <= usize::from(value) {
                slices.resize(usize::from(value) + 1, Rates::default());
            }
            slices[usize::from(value)].add(row.success, number >= since);
        }
    }
    found
}

fn named(slices: &[Vec<Rates>; DIMENSIONS]) -> impl Iterator<Item = ((Dimension, u16), &Rates)> {
    Dimension::ALL.into_iter().zip(slices).flat_map(|(dimension, slices)| {
        let known = slices.iter().enumerate().skip(usize::from(FIRST));
        known.map(move |(value, rates)| ((dimension, value as u16), rates))
    })
}

/// The slice that explains a change found in `place` best: that in which it is clearest.
pub(super) fn best(recent: &Recent, place: Place, since: u64, fall: bool) -> Place {
    let slices = by_slice(recent, None, since);
    let own = rates(recent, place, None, since, since).z();
    let same = |rates: &Rates| rates.new.0 >= FEWEST && (rates.change() < 0.0) == fall;
    let clearest = named(&slices).filter(|(_, rates)| same(rates)).max_by(|a, b| a.1.z().total_cmp(&b.1.z()));
    match clearest {
        // Another must be clearer by more than chance: the alarm is evidence too.
        Some((other, rates)) if rates.z() > own + 1.0 => Some(other),
        _ => place,
    }
}

/// The part of `place` in which the change sits, where the rest has hardly changed.
pub(super) fn within(recent: &Recent, place: Place, since: u64, fall: bool) -> Place {
    let slices = by_slice(recent, place, since);
    let total = rates(recent, place, None, since, since);
    let holds = |rates: &Rates| {
        let minus = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0, a.1 - b.1);
        let rest = Rates { old: minus(total.old, rates.old), new: minus(total.new, rates.new), known: None };
        rates.new.0 >= FEWEST
            && (rates.change() < 0.0) == fall
            && rates.z() > 3.0
            && rest.new.0 >= FEWEST
            && rest.change().abs() < rates.change().abs() / 3.0
    };
    let own = place.map(|(dimension, _)| dimension);
    let found = named(&slices).filter(|((dimension, _), rates)| Some(*dimension) != own && holds(rates));
    found.max_by(|a, b| a.1.z().total_cmp(&b.1.z())).map(|(part, _)| part)
}

/// The slice to which most of the excess loss since an outcome belongs; `None` where it is everywhere.
pub(super) fn most_excess(recent: &Recent, since: u64) -> Place {
    let mut sums: [Vec<(f64, f64, f64)>; DIMENSIONS] = Default::default();
    let mut total = (0.0, 0.0);
    for row in recent.since(since).filter(|row| !row.predicted.is_nan()) {
        let x = excess(f64::from(row.predicted), row.success);
        total = (total.0 + 1.0, total.1 + x);
        for (slices, value) in sums.iter_mut().zip(row.values) {
            if slices.len() <= usize::from(value) {
                slices.resize(usize::from(value) + 1, (0.0, 0.0, 0.0));
            }
            let sum = &mut slices[usize::from(value)];
            *sum = (sum.0 + 1.0, sum.1 + x, sum.2 + x * x);
        }
    }
    let mut best: Option<((Dimension, u16), f64)> = None;
    for (dimension, slices) in Dimension::ALL.into_iter().zip(&sums) {
        for (value, (n, sum, squares)) in slices.iter().enumerate().skip(usize::from(FIRST)) {
            let t = sum / squares.max(1e-9).sqrt();
            let most = *sum > 0.6 * total.1 && *n < 0.8 * total.0;
            if *n >= FEWEST && most && t > 3.0 && best.is_none_or(|(_, clearest)| t > clearest) {
                best = Some(((dimension, value as u16), t));
            }
        }
    }
    best.map(|(place, _)| place)
}
