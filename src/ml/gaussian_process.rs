//! Gaussian process regression on text similarity, with predictive uncertainty.

use crate::error::{Error, Result};
use crate::execution;
use serde::{Deserialize, Serialize};

/// Gaussian process regression over sparse rows of unit length (Rasmussen and Williams 2006,
/// chapter 2), with the cosine as kernel and a variance of its own for every observation.
///
/// The amplitude of what rows tell, and the noise that they do not, are those under which the
/// observations are most likely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Observed", into = "Observed")]
pub(crate) struct GaussianProcess {
    observed: Observed,
    /// The mean to which guesses return where nothing is similar.
    mean: f64,
    /// A⁻¹(y − mean).
    weights: Vec<f64>,
    /// The lower triangle of A's Cholesky factor, row by row.
    factor: Vec<f64>,
    /// By index the rows that have it.
    postings: Vec<(u32, u32, f32)>,
}

/// A row as indices and values.
type SparseRow = (Vec<u32>, Vec<f32>);

/// All that the rest follows from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Observed {
    rows: Vec<SparseRow>,
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
pub(crate) const MOST_OBSERVATIONS: usize = 400;

/// Variances tried for what rows tell, and for what they do not.
const AMPLITUDES: [f64; 7] = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];
const NOISES: [f64; 4] = [0.1, 0.5, 1.0, 2.0];

impl GaussianProcess {
    /// Fits to rows (ascending indices with values of unit length together), their values and the
    /// variance of each value.
    ///
    /// # Errors
    /// `InvalidInput` where the numbers differ, are over [`MOST_OBSERVATIONS`] or are not sound.
    pub(crate) fn fit(rows: Vec<SparseRow>, values: &[f64], variances: &[f64]) -> Result<Self> {
        let observed = Observed {
            rows,
            values: values.to_vec(),
            variances: variances.to_vec(),
            amplitude: 0.0,
            noise: NOISES[0],
        };
        if !observed.is_sound() {
            return Err(Error::invalid(format!(
                "Gaussian process: give 1 to {MOST_OBSERVATIONS} rows, each with a finite value and a variance \
                 above 0"
            )));
        }
        let kernel = observed.kernel();
        let mut best = (f64::NEG_INFINITY, observed.clone());
        for amplitude in AMPLITUDES {
            for noise in NOISES {
                execution::check()?;
                let tried = Observed { amplitude, noise, ..observed.clone() };
                let likelihood = tried.solve(&kernel).likelihood;
                if likelihood > best.0 {
                    best = (likelihood, tried);
                }
            }
        }
        Ok(Self::of(best.1, &kernel))
    }

    /// Returns the posterior prediction for a row.
    pub(crate) fn guess(&self, indices: &[u32], values: &[f32]) -> GpPrediction {
        let Observed { amplitude, noise, .. } = self.observed;
        let mut similar = vec![0.0; self.weights.len()];
        for (index, value) in indices.iter().zip(values) {
            let from = self.postings.partition_point(|(i, ..)| i < index);
            let same = self.postings[from..].iter().take_while(|(i, ..)| i == index);
            same.for_each(|(_, row, weight)| similar[*row as usize] += f64::from(value * weight));
        }
        similar.iter_mut().for_each(|k| *k *= amplitude);
        let mean = self.mean + dot(&similar, &self.weights);
        solve_lower(&self.factor, &mut similar);
        let length: f32 = values.iter().map(|v| v * v).sum();
        let known = dot(&similar, &similar);
        GpPrediction { mean, variance: (amplitude * f64::from(length) - known).max(0.0) + noise }
    }

    /// Returns the leave-one-out prediction of each row (Rasmussen and Williams 2006, equation 5.12), with the
    /// mean function unchanged.
    pub(crate) fn left_out(&self) -> Vec<GpPrediction> {
        let n = self.weights.len();
        let noise = self.observed.noise;
        let left_out = |i: usize| {
            let mut unit = vec![0.0; n];
            unit[i] = 1.0;
            solve_lower(&self.factor, &mut unit);
            // The diagonal of A⁻¹: A = LL', so it is the squared length of L⁻¹e.
            let precision = dot(&unit, &unit);
            let variance = 1.0 / precision - self.observed.variances[i];
            GpPrediction {
                mean: self.observed.values[i] - self.weights[i] / precision,
                variance: variance.max(noise),
            }
        };
        (0..n).map(left_out).collect()
    }

    /// The mean to which guesses return where nothing is similar.
    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    fn of(observed: Observed, kernel: &[f64]) -> Self {
        let Solved { mean, weights, factor, .. } = observed.solve(kernel);
        let rows = observed.rows.iter().enumerate();
        let mut postings: Vec<_> = rows
            .flat_map(|(row, (indices, values))| {
                indices.iter().zip(values).map(move |(i, v)| (*i, row as u32, *v))
            })
            .collect();
        postings.sort_unstable_by_key(|(index, row, _)| (*index, *row));
        Self { observed, mean, weights, factor, postings }
    }
}

impl TryFrom<Observed> for GaussianProcess {
    type Error = Error;

    fn try_from(observed: Observed) -> Result<Self> {
        if !observed.is_sound() {
            return Err(Error::corrupt("Gaussian process: what it observed is out of range"));
        }
        let kernel = observed.kernel();
        Ok(Self::of(observed, &kernel))
    }
}

impl From<GaussianProcess> for Observed {
    fn from(process: GaussianProcess) -> Self {
        process.observed
    }
}

/// Posterior quantities under one amplitude and noise.
struct Solved {
    mean: f64,
    weights: Vec<f64>,
    factor: Vec<f64>,
    /// The logarithm of the observations' density, but for a constant.
    likelihood: f64,
}

impl Observed {
    fn is_sound(&self) -> bool {
        let n = self.rows.len();
        let row = |(indices, values): &SparseRow| {
            indices.len() == values.len()
                && indices.is_sorted_by(|a, b| a < b)
                && values.iter().map(|v| v * v).sum::<f32>() <= 1.01
        };
        (1..=MOST_OBSERVATIONS).contains(&n)
            && [self.values.len(), self.variances.len()] == [n; 2]
            && self.rows.iter().all(row)
            && self.values.iter().all(|v| v.abs() <= 1e6)
            && self.variances.iter().all(|v| (1e-6..=1e6).contains(v))
            && (0.0..=1e3).contains(&self.amplitude)
            && (1e-3..=1e3).contains(&self.noise)
    }

    /// The lower triangle of the rows' cosines.
    fn kernel(&self) -> Vec<f64> {
        let mut kernel = Vec::with_capacity(self.rows.len() * (self.rows.len() + 1) / 2);
        for (i, row) in self.rows.iter().enumerate() {
            kernel.extend(self.rows[..=i].iter().map(|other| cosine(row, other)));
        }
        kernel
    }

    fn solve(&self, kernel: &[f64]) -> Solved {
        let n = self.rows.len();
        let mut factor: Vec<_> = kernel.iter().map(|k| self.amplitude * k).collect();
        for (i, variance) in self.variances.iter().enumerate() {
            factor[at(i, i)] += variance + self.noise;
        }
        cholesky(&mut factor, n);
        let (mut ones, mut values) = (vec![1.0; n], self.values.clone());
        solve_lower(&factor, &mut ones);
        solve_lower(&factor, &mut values);
        let mean = dot(&ones, &values) / dot(&ones, &ones);
        let mut weights: Vec<_> = values.iter().zip(&ones).map(|(v, one)| v - mean * one).collect();
        let misfit = dot(&weights, &weights);
        let volume: f64 = (0..n).map(|i| factor[at(i, i)].ln()).sum();
        solve_upper(&factor, &mut weights);
        Solved { mean, weights, factor, likelihood: -0.5 * misfit - volume }
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

fn cosine((ours, a): &SparseRow, (theirs, b): &SparseRow) -> f64 {
    let (mut i, mut j, mut sum) = (0, 0, 0.0);
    while i < ours.len() && j < theirs.len() {
        match ours[i].cmp(&theirs[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                sum += f64::from(a[i] * b[j]);
                (i, j) = (i + 1, j + 1);
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(angle: f32) -> SparseRow {
        (vec![0, 1], vec![angle.cos(), angle.sin()])
    }

    fn process() -> GaussianProcess {
        let rows: Vec<_> = (0..12).map(|i| row(i as f32 * 0.13)).collect();
        let values: Vec<_> = (0..12).map(|i| 3.0 - f64::from(i) * 0.4).collect();
        GaussianProcess::fit(rows, &values, &[0.05; 12]).unwrap()
    }

    /// Checked against the definition, solved by elimination on the whole matrix.
    fn by_hand(observed: &Observed, query: &SparseRow) -> (f64, f64) {
        let n = observed.rows.len();
        let own = |i: usize| observed.variances[i] + observed.noise;
        let entry = |i: usize, j: usize| {
            let same = if i == j { own(i) } else { 0.0 };
            observed.amplitude * cosine(&observed.rows[i], &observed.rows[j]) + same
        };
        let a: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect();
        let k: Vec<_> = observed.rows.iter().map(|r| observed.amplitude * cosine(r, query)).collect();
        let (ones, values) = (eliminate(&a, &vec![1.0; n]), eliminate(&a, &observed.values));
        let mean = values.iter().sum::<f64>() / ones.iter().sum::<f64>();
        let centred: Vec<_> = observed.values.iter().map(|v| v - mean).collect();
        let known = dot(&k, &eliminate(&a, &k));
        let length = cosine(query, query);
        (mean + dot(&k, &eliminate(&a, &centred)), observed.amplitude * length - known + observed.noise)
    }

    fn eliminate(a: &[Vec<f64>], b: &[f64]) -> Vec<f64> {
        let n = b.len();
        let mut rows: Vec<Vec<f64>> = a.iter().zip(b).map(|(r, b)| [r.as_slice(), &[*b]].concat()).collect();
        for i in 0..n {
            for j in 0..n {
                if i != j {
                    let factor = rows[j][i] / rows[i][i];
                    let pivot = rows[i].clone();
                    rows[j].iter_mut().zip(pivot).skip(i).for_each(|(v, p)| *v -= factor * p);
                }
            }
        }
        (0..n).map(|i| rows[i][n] / rows[i][i]).collect()
    }

    #[test]
    fn guesses_are_those_of_the_definition() {
        let process = process();
        assert!(process.observed.amplitude > 0.0, "the rows tell something here");
        for angle in [0.1, 0.7, 2.0] {
            let query = row(angle);
            let found = process.guess(&query.0, &query.1);
            let (mean, variance) = by_hand(&process.observed, &query);
            assert!(
                (found.mean - mean).abs() < 1e-5 && (found.variance - variance).abs() < 1e-5,
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_row_left_out_is_guessed_as_if_it_had_not_been_there() {
        let process = process();
        let left_out = process.left_out()[5];
        let mut fewer = process.observed.clone();
        let query = fewer.rows.remove(5);
        fewer.values.remove(5);
        fewer.variances.remove(5);
        let again = GaussianProcess::of(fewer.clone(), &fewer.kernel()).guess(&query.0, &query.1);
        assert!((left_out.variance - again.variance).abs() < 1e-4, "{left_out:?} {again:?}");
        // The mean to return to is that of all rows here and of the others there.
        assert!((left_out.mean - again.mean).abs() < 0.1, "{left_out:?} {again:?}");
    }

    #[test]
    fn rows_that_tell_nothing_are_not_believed() {
        let rows: Vec<_> = (0..40).map(|i| (vec![i], vec![1.0])).collect();
        let values: Vec<_> = (0..40).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let process = GaussianProcess::fit(rows, &values, &[0.1; 40]).unwrap();
        let unknown = process.guess(&[99], &[1.0]);
        assert!(unknown.mean.abs() < 0.01 && unknown.variance >= 0.5, "{unknown:?}");
    }

    #[test]
    fn what_is_not_sound_is_refused_and_what_is_written_is_read_back() {
        assert!(GaussianProcess::fit(vec![], &[], &[]).is_err());
        assert!(GaussianProcess::fit(vec![row(0.0)], &[f64::NAN], &[1.0]).is_err());
        assert!(GaussianProcess::fit(vec![row(0.0)], &[1.0], &[0.0]).is_err());
        let process = process();
        let bytes = postcard::to_stdvec(&process).unwrap();
        assert_eq!(postcard::from_bytes::<GaussianProcess>(&bytes).unwrap(), process);
    }
}
