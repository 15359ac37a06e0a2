//! How far two distributions are apart, and whether chance explains it.

use crate::monitoring::histogram::Histogram;
use crate::stats::distributions::chi_square_above;

/// Two samples of a number beside each other; unknown values count as one more, below all others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NumberDistance {
    pub(super) ks: f64,
    pub(super) p_value: f64,
    pub(super) psi: f64,
    /// In standard deviations of the first sample.
    pub(super) wasserstein: f64,
}

/// The distance of `now` from `before`; `None` where either is empty.
pub(super) fn of_numbers(before: &Histogram, now: &Histogram) -> Option<NumberDistance> {
    let total = |h: &Histogram| (h.n() + h.unknown()) as f64;
    let (n, m) = (total(before), total(now));
    if n == 0.0 || m == 0.0 {
        return None;
    }
    let (mut f, mut g) = (before.unknown() as f64 / n, now.unknown() as f64 / m);
    let (mut ks, mut moved, mut last) = ((f - g).abs(), 0.0, None);
    let mut tenths = vec![(f, g)];
    let (mut from, mut upto) = ((f, g), 0.1);
    let (known_f, known_g) = (before.n().max(1) as f64, now.n().max(1) as f64);
    let (mut cf, mut cg) = (0.0, 0.0);
    for (value, a, b) in before.beside(now) {
        moved += last.map_or(0.0, |last: f64| (cf / known_f - cg / known_g).abs() * (value - last));
        last = Some(value);
        (cf, cg) = (cf + a, cg + b);
        (f, g) = (f + a / n, g + b / m);
        ks = ks.max((f - g).abs());
        if cf / known_f >= upto - 1e-9 {
            tenths.push((f - from.0, g - from.1));
            from = (f, g);
            upto = ((cf / known_f) * 10.0).floor() / 10.0 + 0.1;
        }
    }
    tenths.push((f - from.0, g - from.1));
    let wasserstein = if before.n() > 0 && now.n() > 0 { moved / before.deviation().max(1e-9) } else { 0.0 };
    let wasserstein = wasserstein.min(1e6);
    Some(NumberDistance { ks, p_value: kolmogorov(ks, n, m), psi: psi(&tenths, n, m), wasserstein })
}

/// Two samples of categories beside each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CategoryDistance {
    /// In bits.
    pub(super) jensen_shannon: f64,
    pub(super) p_value: f64,
    pub(super) psi: f64,
}

/// The distance of the counts `now` from those `before`; `None` where either has none.
pub(super) fn of_categories(before: &[u32], now: &[u32]) -> Option<CategoryDistance> {
    let sum = |counts: &[u32]| counts.iter().map(|c| f64::from(*c)).sum::<f64>();
    let (n, m) = (sum(before), sum(now));
    if n == 0.0 || m == 0.0 {
        return None;
    }
    let at = |counts: &[u32], i: usize| counts.get(i).map_or(0.0, |c| f64::from(*c));
    // What is too rare to compare is put together.
    let (mut cells, mut rare) = (Vec::new(), (0.0, 0.0));
    for i in 0..before.len().max(now.len()) {
        let (a, b) = (at(before, i), at(now, i));
        if (a + b) * m.min(n) / (n + m) < 5.0 {
            rare = (rare.0 + a, rare.1 + b);
        } else {
            cells.push((a / n, b / m));
        }
    }
    cells.push((rare.0 / n, rare.1 / m));
    let term = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    let divergence = |w: f64| -> f64 {
        let of = |(p, q): &(f64, f64)| {
            let middle = (1.0 - w) * p + w * q;
            (1.0 - w) * term(*p, middle) + w * term(*q, middle)
        };
        cells.iter().map(of).sum()
    };
    // The likelihood ratio of the two samples is the divergence weighted by their sizes.
    let g = 2.0 * (n + m) * divergence(m / (n + m));
    let used = cells.iter().filter(|(p, q)| p + q > 0.0).count();
    Some(CategoryDistance {
        jensen_shannon: divergence(0.5) / std::f64::consts::LN_2,
        p_value: chi_square_above(g, used.saturating_sub(1) as f64),
        psi: psi(&cells, n, m),
    })
}

/// Population stability index of pairs of shares from samples of `n` and `m`; empty cells count as half
/// a row.
fn psi(cells: &[(f64, f64)], n: f64, m: f64) -> f64 {
    let of = |(p, q): &(f64, f64)| {
        if *p <= 1e-12 && *q <= 1e-12 {
            return 0.0;
        }
        let (p, q) = (p.max(0.5 / n), q.max(0.5 / m));
        (q - p) * (q / p).ln()
    };
    cells.iter().map(of).sum()
}

/// How likely samples of `n` and `m` of one distribution differ by `ks` or more (Kolmogorov 1933, with
/// the correction of Stephens 1970).
fn kolmogorov(ks: f64, n: f64, m: f64) -> f64 {
    let root = (n * m / (n + m)).sqrt();
    let x = (root + 0.12 + 0.11 / root) * ks;
    if x < 0.3 {
        return 1.0;
    }
    let term = |k: i32| f64::from(if k % 2 == 1 { 2 } else { -2 }) * (-2.0 * f64::from(k * k) * x * x).exp();
    (1..=50).map(term).sum::<f64>().clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kolmogorov_tail_is_the_table() {
        // The 5 % point of the Kolmogorov distribution is 1.358.
        assert!((kolmogorov(1.358 / (1e6_f64 / 2.0).sqrt(), 1e6, 1e6) - 0.05).abs() < 0.001);
    }

    #[test]
    fn what_is_the_same_is_near_and_what_moved_is_not() {
        let of = |shift: f64| {
            let mut h = Histogram::default();
            // Quantiles of a normal distribution of mean 10 and deviation 1.
            (1..1000).for_each(|i| {
                let p = f64::from(i) / 1000.0;
                h.add(10.0 + shift + (p / (1.0 - p)).ln() / 1.702);
            });
            h
        };
        let same = of_numbers(&of(0.0), &of(0.0)).unwrap();
        assert!(same.ks == 0.0 && same.psi.abs() < 1e-9 && same.p_value == 1.0, "{same:?}");
        let moved = of_numbers(&of(0.0), &of(0.5)).unwrap();
        // Half a deviation: PSI is 0.25 for the normal distribution, the largest difference 0.197.
        assert!((moved.psi - 0.25).abs() < 0.08 && (moved.ks - 0.2).abs() < 0.05, "{moved:?}");
        assert!((moved.wasserstein - 0.5).abs() < 0.08 && moved.p_value < 1e-10, "{moved:?}");
    }

    #[test]
    fn categories_apart_share_no_bit() {
        let apart = of_categories(&[500, 0], &[0, 500]).unwrap();
        assert!((apart.jensen_shannon - 1.0).abs() < 1e-9 && apart.p_value < 1e-20);
        let same = of_categories(&[300, 200, 7], &[300, 200, 7]).unwrap();
        assert!(same.jensen_shannon < 1e-9 && same.p_value > 0.99);
        assert!(of_categories(&[], &[5]).is_none());
    }
}
