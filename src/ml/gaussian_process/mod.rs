//! Gaussian process regression on several likenesses of rows, with predictive uncertainty.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

mod kernel;
mod likelihood;
#[cfg(test)]
mod tests;

pub(crate) use kernel::GpRow;
use kernel::{Hyperparameters, Kernel};

/// Gaussian process regression (Rasmussen and Williams 2006, chapter 2) with a variance of its own for every
/// observation.
///
/// The covariance of two rows is a sum of parts: the cosine of their texts, 1 for each group that they share, the
/// product of their columns, and a squared exponential of the distance of their shapes. The amplitudes of the parts,
/// the length scale and the noise are those under which the observations are most likely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Observed", into = "Observed")]
pub(crate) struct GaussianProcess {
    observed: Observed,
    kernel: Kernel,
    /// The mean to which guesses return where nothing is similar.
    mean: f64,
    /// A⁻¹(y − mean).
    weights: Vec<f64>,
    /// The lower triangle of A's Cholesky factor, row by row.
    factor: Vec<f64>,
}

/// All that the rest follows from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Observed {
    rows: Vec<GpRow>,
    values: Vec<f64>,
    variances: Vec<f64>,
    hyperparameters: Hyperparameters,
}

/// An earlier stored form, of texts alone.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TextsObserved {
    rows: Vec<kernel::SparseRow>,
    values: Vec<f64>,
    variances: Vec<f64>,
    amplitude: f64,
    noise: f64,
}

/// A guess.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GpPrediction {
    /// The expected value.
    pub(crate) mean: f64,
    /// How far it may be off, squared.
    pub(crate) variance: f64,
}

/// Rows beyond this would cost more than they tell: fitting is cubic in them, guessing square.
pub(crate) const MOST_OBSERVATIONS: usize = 2_000;

/// Rows, the first ones, on which the hyperparameters are chosen: each of some 40 steps is cubic in them.
const MOST_TO_TUNE_ON: usize = 250;

impl GaussianProcess {
    /// Fits to rows, their values and the variance of each value. Where there are many, the hyperparameters are
    /// chosen on the first ones: put those first that are known best.
    ///
    /// # Errors
    /// `InvalidInput` where the numbers differ, are over [`MOST_OBSERVATIONS`] or are not sound; `Cancelled`.
    pub(crate) fn fit(rows: Vec<GpRow>, values: &[f64], variances: &[f64]) -> Result<Self> {
        let hyperparameters = Hyperparameters::prior(rows.first());
        let mut observed =
            Observed { rows, values: values.to_vec(), variances: variances.to_vec(), hyperparameters };
        if !observed.is_sound() {
            return Err(Error::invalid(format!(
                "Gaussian process: give 1 to {MOST_OBSERVATIONS} rows, each with a finite value and a variance \
                 above 0"
            )));
        }
        observed.hyperparameters = {
            let n = observed.rows.len().min(MOST_TO_TUNE_ON);
            likelihood::most_likely(&observed.rows[..n], &values[..n], &variances[..n])?
        };
        Ok(Self::of(observed))
    }

    /// Returns the posterior prediction for a row.
    pub(crate) fn guess(&self, row: &GpRow) -> GpPrediction {
        let mut similar = self.kernel.with_all(row, &self.observed.rows);
        let mean = self.mean + dot(&similar, &self.weights);
        solve_lower(&self.factor, &mut similar);
        let known = dot(&similar, &similar);
        let noise = self.observed.hyperparameters.noise;
        GpPrediction { mean, variance: (self.kernel.with_itself(row) - known).max(0.0) + noise }
    }

    /// Returns the mean of the posterior alone, which takes no solving.
    pub(crate) fn expect(&self, row: &GpRow) -> f64 {
        self.mean + dot(&self.kernel.with_all(row, &self.observed.rows), &self.weights)
    }

    /// Returns the part of the mean that each column of `row` adds, then each category: all else of it is the same for any.
    pub(crate) fn of_columns(&self, row: &GpRow) -> Vec<f64> {
        let count = row.columns.len() + row.categories.len();
        let amplitude = self.observed.hyperparameters.columns / count.max(1) as f64;
        let known = || self.observed.rows.iter().zip(&self.weights);
        let of_column = |(c, value): (usize, &f32)| {
            let products = known().map(|(other, weight)| {
                weight * f64::from(*value) * f64::from(other.columns.get(c).copied().unwrap_or(0.0))
            });
            amplitude * products.sum::<f64>()
        };
        let of_category = |(c, code): (usize, &Option<u32>)| {
            amplitude
                * known()
                    .map(|(other, weight)| {
                        weight * kernel::same(*code, other.categories.get(c).copied().flatten())
                    })
                    .sum::<f64>()
        };
        let columns = row.columns.iter().enumerate().map(of_column);
        columns.chain(row.categories.iter().enumerate().map(of_category)).collect()
    }

    /// Returns the leave-one-out prediction of each row (Rasmussen and Williams 2006, equation 5.12), with the
    /// mean function unchanged.
    pub(crate) fn left_out(&self) -> Vec<GpPrediction> {
        let n = self.weights.len();
        let noise = self.observed.hyperparameters.noise;
        let left_out = |i: usize| {
            // The diagonal of A⁻¹: A = LL', so it is the squared length of a column of L⁻¹.
            let column = inverse_column(&self.factor, i, n);
            let precision = dot(&column, &column);
            let variance = 1.0 / precision - self.observed.variances[i];
            GpPrediction {
                mean: self.observed.values[i] - self.weights[i] / precision,
                variance: variance.max(noise),
            }
        };
        (0..n).map(left_out).collect()
    }

    /// Checks whether rows of so many groups, columns, categories and measures of shape can be guessed.
    pub(crate) fn takes(&self, lengths: [usize; 4]) -> bool {
        self.observed.rows.first().is_some_and(|row| row.lengths() == lengths)
    }

    /// The mean to which guesses return where nothing is similar.
    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    fn of(observed: Observed) -> Self {
        let kernel = Kernel::new(observed.hyperparameters.clone(), &observed.rows);
        let mut factor = kernel.lower_triangle(&observed.rows);
        for (i, variance) in observed.variances.iter().enumerate() {
            factor[at(i, i)] += variance + observed.hyperparameters.noise;
        }
        let n = observed.rows.len();
        cholesky(&mut factor, n);
        let (mut ones, mut weights) = (vec![1.0; n], observed.values.clone());
        solve_lower(&factor, &mut ones);
        solve_lower(&factor, &mut weights);
        let mean = dot(&ones, &weights) / dot(&ones, &ones);
        weights.iter_mut().zip(&ones).for_each(|(w, one)| *w -= mean * one);
        solve_upper(&factor, &mut weights);
        Self { observed, kernel, mean, weights, factor }
    }
}

impl TryFrom<Observed> for GaussianProcess {
    type Error = Error;

    fn try_from(observed: Observed) -> Result<Self> {
        if !observed.is_sound() {
            return Err(Error::corrupt("Gaussian process: what it observed is out of range"));
        }
        Ok(Self::of(observed))
    }
}

impl From<GaussianProcess> for Observed {
    fn from(process: GaussianProcess) -> Self {
        process.observed
    }
}

impl TryFrom<TextsObserved> for GaussianProcess {
    type Error = Error;

    fn try_from(texts: TextsObserved) -> Result<Self> {
        let TextsObserved { rows, values, variances, amplitude, noise } = texts;
        let rows = rows.into_iter().map(|text| GpRow { text, ..GpRow::default() }).collect();
        let hyperparameters = Hyperparameters::of_texts(amplitude, noise);
        Self::try_from(Observed { rows, values, variances, hyperparameters })
    }
}

impl Observed {
    fn is_sound(&self) -> bool {
        let n = self.rows.len();
        (1..=MOST_OBSERVATIONS).contains(&n)
            && [self.values.len(), self.variances.len()] == [n; 2]
            && self.rows.iter().all(|row| row.is_sound() && row.is_shaped_like(&self.rows[0]))
            && self.values.iter().all(|v| v.abs() <= 1e6)
            && self.variances.iter().all(|v| (1e-6..=1e6).contains(v))
            && self.hyperparameters.are_sound(&self.rows[0])
    }
}

/// Where the lower triangle has row `i`, column `j`.
fn at(i: usize, j: usize) -> usize {
    i * (i + 1) / 2 + j
}

/// A = LL' in place. The diagonal of A is at least its noise above that of a positive
/// semi-definite matrix; what rounding takes off is given back.
fn cholesky(a: &mut [f64], n: usize) {
    for i in 0..n {
        let (above, row) = a.split_at_mut(at(i, 0));
        for j in 0..i {
            let other = &above[at(j, 0)..=at(j, j)];
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        row[i] = (row[i] - dot(&row[..i], &row[..i])).max(1e-9).sqrt();
    }
}

/// x with Lx = b, in place of b.
fn solve_lower(factor: &[f64], b: &mut [f64]) {
    for i in 0..b.len() {
        let row = &factor[at(i, 0)..=at(i, i)];
        b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
    }
}

/// Column `j` of L⁻¹, from its diagonal on: it is 0 before.
fn inverse_column(factor: &[f64], j: usize, n: usize) -> Vec<f64> {
    let mut column = vec![0.0; n - j];
    column[0] = 1.0 / factor[at(j, j)];
    for k in j + 1..n {
        let row = &factor[at(k, j)..=at(k, k)];
        column[k - j] = -dot(&row[..k - j], &column[..k - j]) / row[k - j];
    }
    column
}

/// x with L'x = b, in place of b.
fn solve_upper(factor: &[f64], b: &mut [f64]) {
    for i in (0..b.len()).rev() {
        let row = &factor[at(i, 0)..=at(i, i)];
        b[i] /= row[i];
        let x = b[i];
        b[..i].iter_mut().zip(row).for_each(|(b, l)| *b -= l * x);
    }
}

/// The sum of products; both must be as long.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    debug_assert_eq!(a.len(), b.len());
    // Four sums side by side: one alone waits for itself.
    let (chunks_a, chunks_b) = (a.chunks_exact(4), b.chunks_exact(4));
    let tail: f64 = chunks_a.remainder().iter().zip(chunks_b.remainder()).map(|(x, y)| x * y).sum();
    let mut sums = [0.0; 4];
    for (x, y) in chunks_a.zip(chunks_b) {
        (0..4).for_each(|k| sums[k] += x[k] * y[k]);
    }
    sums.iter().sum::<f64>() + tail
}
