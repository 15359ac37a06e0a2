//! The hyperparameters under which observations are most likely.

use super::kernel::{GpRow, Hyperparameters, Postings, alike, product_of_columns, same, square_distance};
use super::{at, cholesky, dot, inverse_column, solve_lower, solve_upper};
use crate::error::Result;
use crate::execution;

/// Deviation of the logarithm of each hyperparameter in its prior.
const PRIOR_DEVIATION: f64 = 1.5;

/// Steps of the search, and its shortest, first and longest one, in logarithms.
const STEPS: usize = 40;
const SHORTEST: f64 = 0.01;
const FIRST: f64 = 0.4;
const LONGEST: f64 = 1.0;

/// How far the logarithm of a hyperparameter may be from its prior's.
const FARTHEST: f64 = 6.0;

/// Gain in log marginal likelihood below which a host's columns are taken to tell nothing. Chosen on six splits by task of some
/// 38 tasks, where it is hardest: fifteen ratings of the task gained .22 and more on each of the folds, two columns of noise at
/// most .09. To tune it again, print the gain in a backtest with columns that tell and with noise.
const LEAST_GAIN_OF_COLUMNS: f64 = 0.15;

/// Returns the hyperparameters with the highest posterior density: the marginal likelihood of the values (Rasmussen and
/// Williams 2006, equation 5.9) with log-normal priors. Columns that make the values hardly more likely get no amplitude:
/// its prior would keep some of it, so columns of noise would tell few rows apart.
pub(super) fn most_likely(rows: &[GpRow], values: &[f64], variances: &[f64]) -> Result<Hyperparameters> {
    let prior = Hyperparameters::prior(rows.first());
    let mut parts = Parts::of(rows);
    let (with_columns, mut likeliest) = climb(&parts, &prior, values, variances)?;
    if rows.iter().any(GpRow::has_columns) {
        parts.columns.fill(0.0);
        let (without, others) = climb(&parts, &prior, values, variances)?;
        if with_columns - without < LEAST_GAIN_OF_COLUMNS {
            likeliest = Hyperparameters { columns: 0.0, ..others };
        }
    }
    Ok(likeliest)
}

/// Returns the log marginal likelihood and the hyperparameters at the highest density found. The climb adapts a step for each
/// of them by the sign of the gradient alone (Rprop; Igel and Hüsken 2003) and keeps the best point.
fn climb(
    parts: &Parts,
    prior: &Hyperparameters,
    values: &[f64],
    variances: &[f64],
) -> Result<(f64, Hyperparameters)> {
    let center = logarithms(prior);
    let mut point = center.clone();
    let mut steps = vec![FIRST; point.len()];
    let mut before = vec![0.0; point.len()];
    let mut best = (f64::NEG_INFINITY, f64::NEG_INFINITY, point.clone());
    for _ in 0..STEPS {
        execution::check()?;
        let (likelihood, gradient) = parts.likelihood(&point, values, variances);
        let off = point.iter().zip(&center).map(|(x, c)| (x - c) / PRIOR_DEVIATION);
        let density = likelihood - 0.5 * off.clone().map(|o| o * o).sum::<f64>();
        if density > best.0 {
            best = (density, likelihood, point.clone());
        }
        let gradient: Vec<_> = gradient.iter().zip(off).map(|(g, o)| g - o / PRIOR_DEVIATION).collect();
        for (k, slope) in gradient.into_iter().enumerate() {
            let turned = slope * before[k];
            if turned != 0.0 {
                steps[k] = (steps[k] * if turned > 0.0 { 1.2 } else { 0.5 }).clamp(SHORTEST, LONGEST);
            }
            before[k] = slope;
            let next = point[k] + steps[k] * if slope == 0.0 { 0.0 } else { slope.signum() };
            point[k] = next.clamp(center[k] - FARTHEST, center[k] + FARTHEST);
        }
    }
    Ok((best.1, from_logarithms(&best.2)))
}

/// Text, columns, shape, length, noise, then the groups.
fn logarithms(of: &Hyperparameters) -> Vec<f64> {
    let fixed = [of.text, of.columns, of.shape, of.length, of.noise];
    fixed.iter().chain(&of.groups).map(|v| v.ln()).collect()
}

fn from_logarithms(point: &[f64]) -> Hyperparameters {
    let at = |k: usize| point[k].exp();
    Hyperparameters {
        text: at(TEXT),
        columns: at(COLUMNS),
        shape: at(SHAPE),
        length: at(LENGTH),
        noise: at(NOISE),
        groups: (GROUPS..point.len()).map(at).collect(),
    }
}

const TEXT: usize = 0;
const COLUMNS: usize = 1;
const SHAPE: usize = 2;
const LENGTH: usize = 3;
const NOISE: usize = 4;
const GROUPS: usize = 5;

/// The lower triangles of the parts of the covariance, each without its amplitude; the squared distances of shapes.
struct Parts {
    n: usize,
    text: Vec<f64>,
    columns: Vec<f64>,
    /// `None` without shapes.
    distances: Option<Vec<f64>>,
    groups: Vec<Vec<f64>>,
}

impl Parts {
    fn of(rows: &[GpRow]) -> Self {
        let n = rows.len();
        let postings = Postings::of(rows);
        let text = rows.iter().enumerate().flat_map(|(i, row)| postings.products(row, i + 1)).collect();
        let of_pairs = |value: &dyn Fn(&GpRow, &GpRow) -> f64| -> Vec<f64> {
            (0..n)
                .flat_map(|i| (0..=i).map(move |j| (i, j)))
                .map(|(i, j)| value(&rows[i], &rows[j]))
                .collect()
        };
        let shaped = rows.first().is_some_and(|row| !row.shape.is_empty());
        let groups = rows.first().map_or(0, |row| row.groups.len());
        Self {
            n,
            text,
            columns: of_pairs(&product_of_columns),
            distances: shaped.then(|| of_pairs(&square_distance)),
            groups: (0..groups).map(|g| of_pairs(&|a, b| same(a.groups[g], b.groups[g]))).collect(),
        }
    }

    /// The logarithm of the values' density but for a constant, and its gradient by the logarithm of each hyperparameter
    /// (Rasmussen and Williams 2006, equation 5.9).
    fn likelihood(&self, point: &[f64], values: &[f64], variances: &[f64]) -> (f64, Vec<f64>) {
        let n = self.n;
        let shown = from_logarithms(point);
        let alikes: Option<Vec<f64>> =
            self.distances.as_ref().map(|d| d.iter().map(|d| alike(*d, shown.length)).collect());
        let mut factor: Vec<f64> =
            self.text.iter().zip(&self.columns).map(|(t, c)| shown.text * t + shown.columns * c).collect();
        for (amplitude, part) in shown.groups.iter().zip(&self.groups) {
            add(&mut factor, *amplitude, part);
        }
        if let Some(part) = &alikes {
            add(&mut factor, shown.shape, part);
        }
        for (i, variance) in variances.iter().enumerate() {
            factor[at(i, i)] += variance + shown.noise;
        }
        cholesky(&mut factor, n);
        let (mut ones, mut weights) = (vec![1.0; n], values.to_vec());
        solve_lower(&factor, &mut ones);
        solve_lower(&factor, &mut weights);
        let mean = dot(&ones, &weights) / dot(&ones, &ones);
        weights.iter_mut().zip(&ones).for_each(|(w, one)| *w -= mean * one);
        let misfit = dot(&weights, &weights);
        let volume: f64 = (0..n).map(|i| factor[at(i, i)].ln()).sum();
        solve_upper(&factor, &mut weights);
        // ½(αα' − A⁻¹), entries off the diagonal counted twice.
        let mut pull = inverse(&factor, n);
        for i in 0..n {
            for j in 0..=i {
                let twice = if i == j { 0.5 } else { 1.0 };
                let entry = &mut pull[at(i, j)];
                *entry = twice * (weights[i] * weights[j] - *entry);
            }
        }
        let mut gradient = vec![0.0; point.len()];
        gradient[TEXT] = shown.text * dot(&pull, &self.text);
        gradient[COLUMNS] = shown.columns * dot(&pull, &self.columns);
        if let (Some(alikes), Some(distances)) = (&alikes, &self.distances) {
            gradient[SHAPE] = shown.shape * dot(&pull, alikes);
            let lengths: Vec<_> = alikes.iter().zip(distances).map(|(k, d)| k * d).collect();
            gradient[LENGTH] = shown.shape * dot(&pull, &lengths) / (shown.length * shown.length);
        }
        gradient[NOISE] = shown.noise * (0..n).map(|i| pull[at(i, i)]).sum::<f64>();
        for (g, part) in self.groups.iter().enumerate() {
            gradient[GROUPS + g] = shown.groups[g] * dot(&pull, part);
        }
        (-0.5 * misfit - volume, gradient)
    }
}

fn add(sum: &mut [f64], amplitude: f64, part: &[f64]) {
    sum.iter_mut().zip(part).for_each(|(s, p)| *s += amplitude * p);
}

/// The lower triangle of A⁻¹ by A's factor: L⁻¹ column by column, then L⁻ᵀL⁻¹.
fn inverse(factor: &[f64], n: usize) -> Vec<f64> {
    let columns: Vec<_> = (0..n).map(|j| inverse_column(factor, j, n)).collect();
    (0..n)
        .flat_map(|i| (0..=i).map(move |j| (i, j)))
        .map(|(i, j)| dot(&columns[i], &columns[j][i - j..]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(i: usize) -> GpRow {
        let angle = i as f32 * 0.4;
        GpRow {
            text: (vec![0, 1], vec![angle.cos(), angle.sin()]),
            groups: vec![Some(i as u32 % 3)],
            columns: vec![(i % 5) as f32 - 2.0],
            categories: vec![],
            shape: vec![angle, 1.0 / (1.0 + angle)],
        }
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_likelihood() {
        let rows: Vec<_> = (0..14).map(row).collect();
        let values: Vec<_> = (0..14).map(|i| f64::from(i * i % 11) * 0.3).collect();
        let parts = Parts::of(&rows);
        let point = [-0.3, 0.2, -0.5, 0.4, -0.7, 0.1];
        let (_, gradient) = parts.likelihood(&point, &values, &[0.2; 14]);
        for k in 0..point.len() {
            let at = |step: f64| {
                let mut moved = point;
                moved[k] += step;
                parts.likelihood(&moved, &values, &[0.2; 14]).0
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((slope - gradient[k]).abs() < 1e-5 * (1.0 + slope.abs()), "{k}: {slope} {}", gradient[k]);
        }
    }

    #[test]
    fn the_inverse_is_one() {
        let a = [4.0, 1.0, 3.0, 0.5, -0.2, 2.0];
        let mut factor = a.to_vec();
        cholesky(&mut factor, 3);
        let inverse = inverse(&factor, 3);
        let whole = |m: &[f64], i: usize, j: usize| m[at(i.max(j), i.min(j))];
        for i in 0..3 {
            for j in 0..3 {
                let product: f64 = (0..3).map(|k| whole(&a, i, k) * whole(&inverse, k, j)).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-12, "{i} {j}: {product}");
            }
        }
    }
}
