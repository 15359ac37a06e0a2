//! Bayesian logistic regression, learned online: one outcome at a time.
//!
//! Its weights have a joint Gaussian posterior. An outcome tells of one direction only, that of its
//! row, so the posterior along it is Laplace's exactly and the rest follows by conditioning (`MacKay`
//! 1992; Chapelle and Li 2011 keep the diagonal only, which forgets that candidates for one task share
//! what is not known of the task). Weights drift a little with every outcome, and much where outcomes
//! keep surprising, so the world may change.

use super::{Arm, Objective, Posterior};
use crate::error::{Error, Result};
use crate::ml::posterior_mode;
use crate::stats::sigmoid;
use crate::verify::Verify;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Parameters of the online logistic regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct OnlineParams {
    /// Variance that each weight gains with every outcome, up to its prior's (1), 0 to 1: how fast the
    /// world is believed to change.
    pub drift: f64,
    /// Standard deviations by which the outcomes of a feature must run against what was believed
    /// before its weight is taken to have jumped, above 0.
    pub surprise: f64,
    /// Weights at most, 16 to 4096: what comes later is not looked at. Learning takes their square.
    pub most_weights: usize,
}

impl Default for OnlineParams {
    fn default() -> Self {
        Self { drift: 2e-7, surprise: 6.0, most_weights: 1024 }
    }
}

impl OnlineParams {
    /// Checks every number's range.
    pub(super) fn verify(&self) -> Result<()> {
        let Self { drift, surprise, most_weights } = self;
        if (0.0..=1.0).contains(drift) && *surprise > 0.0 && (16..=4096).contains(most_weights) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "online: drift is {drift}, expected 0 to 1; surprise is {surprise}, expected above 0; \
             most_weights is {most_weights}, expected 16 to 4096"
        )))
    }
}

/// Bayesian logistic regression. Every weight's prior is a standard normal; features carry their scale.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LogisticRegression {
    params: OnlineParams,
    places: BTreeMap<u64, u32>,
    mean: Vec<f64>,
    /// Row after row.
    covariance: Vec<Vec<f64>>,
    /// Decayed means of standardised residuals.
    residual: Vec<f64>,
    outcomes: u64,
}

/// Log-odds of success of several arms: a joint Gaussian.
#[derive(Debug, Clone)]
pub(super) struct Margins {
    pub(super) mean: Vec<f64>,
    pub(super) covariance: Vec<Vec<f64>>,
}

/// Share of a new residual in the decayed mean.
const NEW_RESIDUAL: f64 = 0.02;
/// Variance that a weight which has jumped gains, at most up to its prior's.
const JUMP: f64 = 0.3;
/// A row beyond this is no row of features.
pub(super) const MOST_VARIANCE: f64 = 1e9;

impl LogisticRegression {
    pub(super) fn new(params: OnlineParams) -> Self {
        Self { params, ..Self::default() }
    }

    /// How many outcomes it has learned.
    pub(super) fn outcomes(&self) -> u64 {
        self.outcomes
    }

    /// Returns the mean of each weight, by index.
    pub(super) fn means(&self) -> &[f64] {
        &self.mean
    }

    pub(super) fn means_mut(&mut self) -> &mut [f64] {
        &mut self.mean
    }

    /// Returns the log-odds that `weights`, by index, give an arm.
    pub(super) fn project(&self, weights: &[f64], arm: &Arm) -> f64 {
        let weight = |name| self.places.get(name).and_then(|at| weights.get(*at as usize));
        arm.features.iter().filter_map(|(name, x)| Some(weight(name)? * x)).sum()
    }

    /// Returns mean and variance of an arm's log-odds, without its offset.
    pub(super) fn marginal(&self, arm: &Arm) -> (f64, f64) {
        let (mut known, mut unknown) = (Vec::with_capacity(arm.features.len()), 0.0);
        for (name, x) in &arm.features {
            match self.places.get(name) {
                Some(at) => known.push((*at as usize, *x)),
                None => unknown += x * x,
            }
        }
        let mean = known.iter().map(|(at, x)| self.mean[*at] * x).sum();
        let row = |(a, x): &(usize, f64)| {
            let row = &self.covariance[*a];
            x * known.iter().map(|(b, y)| row[*b] * y).sum::<f64>()
        };
        (mean, unknown + known.iter().map(row).sum::<f64>())
    }

    /// Returns the joint posterior of the arms' log-odds, including their offsets.
    pub(super) fn margins(&self, arms: &[Arm], offset: impl Fn(&Arm) -> f64) -> Margins {
        // The weights that any arm looks at, each once: a few dozen of all.
        let mut names: Vec<u64> =
            arms.iter().flat_map(|arm| arm.features.iter().map(|(name, _)| *name)).collect();
        names.sort_unstable();
        names.dedup();
        let places: Vec<Option<usize>> =
            names.iter().map(|name| self.places.get(name).map(|at| *at as usize)).collect();
        let row = |arm: &Arm| -> Vec<(usize, f64)> {
            let found =
                arm.features.iter().filter_map(|(name, x)| Some((names.binary_search(name).ok()?, *x)));
            found.collect()
        };
        let rows: Vec<_> = arms.iter().map(row).collect();
        let weights = self.covariance_of(&places);
        let mut projected = vec![0.0; names.len()];
        let mut covariance = vec![vec![0.0; arms.len()]; arms.len()];
        for (a, row) in rows.iter().enumerate() {
            projected.fill(0.0);
            row.iter().for_each(|(at, x)| add_scaled(&mut projected, &weights[*at], *x));
            for (b, other) in rows.iter().enumerate().take(a + 1) {
                let product: f64 = other.iter().map(|(at, x)| projected[*at] * x).sum();
                (covariance[a][b], covariance[b][a]) = (product, product);
            }
        }
        let mean = arms.iter().zip(&rows).map(|(arm, row)| {
            let known = row.iter().filter_map(|(at, x)| places[*at].map(|at| self.mean[at] * x));
            offset(arm) + known.sum::<f64>()
        });
        Margins { mean: mean.collect(), covariance }
    }

    /// The covariance of some weights; one that was never seen has its prior.
    fn covariance_of(&self, places: &[Option<usize>]) -> Vec<Vec<f64>> {
        let between = |a: usize, b: usize| match (places[a], places[b]) {
            (Some(x), Some(y)) => self.covariance[x][y],
            _ => f64::from(u8::from(a == b)),
        };
        (0..places.len()).map(|a| (0..places.len()).map(|b| between(a, b)).collect()).collect()
    }

    /// Learns an outcome of an arm whose log-odds start from `offset`.
    pub(super) fn learn(&mut self, arm: &Arm, offset: f64, success: bool) {
        self.drift();
        self.outcomes = self.outcomes.saturating_add(1);
        let row: Vec<(usize, f64)> =
            arm.features.iter().filter_map(|(name, x)| Some((self.place(*name)?, *x))).collect();
        let mut gain = vec![0.0; self.mean.len()];
        row.iter().for_each(|(at, x)| add_scaled(&mut gain, &self.covariance[*at], *x));
        let variance: f64 = row.iter().map(|(at, x)| gain[*at] * x).sum();
        let margin = offset + row.iter().map(|(at, x)| self.mean[*at] * x).sum::<f64>();
        if !(variance > 0.0 && variance < MOST_VARIANCE && margin.is_finite()) {
            return;
        }
        let y = f64::from(u8::from(success));
        let after = posterior_mode(margin, variance, y);
        let p = sigmoid(after);
        let weight = p * (1.0 - p);
        let step = (after - margin) / variance;
        self.mean.iter_mut().zip(&gain).for_each(|(mean, gain)| *mean += gain * step);
        let shrink = weight / (1.0 + weight * variance);
        for (row, g) in self.covariance.iter_mut().zip(&gain).filter(|(_, g)| **g != 0.0) {
            add_scaled(row, &gain, -shrink * g);
        }
        self.watch(&row, moderated(margin, variance), y);
    }

    fn drift(&mut self) {
        let drift = self.params.drift;
        for (at, row) in self.covariance.iter_mut().enumerate() {
            if row[at] < 1.0 {
                row[at] += drift;
            }
        }
    }

    /// Doubts the weights whose outcomes keep running against what was believed.
    fn watch(&mut self, row: &[(usize, f64)], p: f64, y: f64) {
        let surprise = (y - p) / (p * (1.0 - p)).max(1e-4).sqrt();
        let exploration_scale = (NEW_RESIDUAL / (2.0 - NEW_RESIDUAL)).sqrt();
        for (at, _) in row {
            let residual = &mut self.residual[*at];
            *residual += NEW_RESIDUAL * (surprise - *residual);
            if residual.abs() > self.params.surprise * exploration_scale {
                *residual = 0.0;
                let variance = &mut self.covariance[*at][*at];
                *variance += (1.0 - *variance).clamp(0.0, JUMP);
            }
        }
    }

    /// The place of a weight, made where it is new; `None` where there is no room.
    fn place(&mut self, name: u64) -> Option<usize> {
        if let Some(at) = self.places.get(&name) {
            return Some(*at as usize);
        }
        let at = self.mean.len();
        if at >= self.params.most_weights {
            return None;
        }
        self.places.insert(name, at as u32);
        self.mean.push(0.0);
        self.residual.push(0.0);
        self.covariance.iter_mut().for_each(|row| row.push(0.0));
        self.covariance.push(vec![0.0; at + 1]);
        self.covariance[at][at] = 1.0;
        Some(at)
    }

    /// Whether its parts fit together.
    fn is_whole(&self) -> bool {
        let n = self.mean.len();
        let finite = |all: &[f64]| all.iter().all(|v| v.abs() <= MOST_VARIANCE);
        self.places.len() == n
            && self.places.values().all(|at| (*at as usize) < n)
            && self.residual.len() == n
            && self.covariance.len() == n
            && self.covariance.iter().all(|row| row.len() == n && finite(row))
            && self.is_covariance()
            && finite(&self.mean)
            && finite(&self.residual)
    }
}

impl LogisticRegression {
    /// Returns true if the square matrix may be a covariance, but for rounding.
    fn is_covariance(&self) -> bool {
        const ROUNDING: f64 = 1e-6;
        let variance = |at: usize| self.covariance[at][at];
        self.covariance.iter().enumerate().all(|(a, row)| {
            variance(a) >= -ROUNDING
                && row.iter().enumerate().take(a).all(|(b, between)| {
                    let bound = (variance(a).max(0.0) * variance(b).max(0.0)).sqrt() * (1.0 + ROUNDING);
                    (between - self.covariance[b][a]).abs() <= ROUNDING * bound.max(1.0)
                        && between.abs() <= bound + ROUNDING
                })
        })
    }
}

impl Verify for LogisticRegression {
    fn verify(&self) -> Result<()> {
        self.params.verify()?;
        if self.is_whole() { Ok(()) } else { Err(Error::corrupt("the weights do not fit together")) }
    }
}

impl Margins {
    /// Multiplies the standard deviations by `exploration_scale`.
    pub(super) fn spread_by(mut self, exploration_scale: f64) -> Self {
        let scale = exploration_scale * exploration_scale;
        self.covariance.iter_mut().flatten().for_each(|value| *value *= scale);
        self
    }

    /// Each arm's probability of success with its 90 % interval.
    pub(super) fn posteriors(&self) -> Vec<Posterior> {
        let posterior = |(at, mean): (usize, &f64)| Posterior::normal(*mean, self.covariance[at][at]);
        self.mean.iter().enumerate().map(posterior).collect()
    }

    /// In which share of `count` draws from it each arm is the best.
    pub(super) fn shares_best(&self, arms: &[Arm], objective: &Objective, count: u32, seed: u64) -> Vec<f64> {
        let root = cholesky(&self.covariance);
        let mut rng = Pcg64Mcg::new(u128::from(seed) << 1 | 1);
        let mut normals = vec![0.0; self.mean.len()];
        let mut success = vec![0.0; self.mean.len()];
        let mut wins = vec![0_u32; self.mean.len()];
        for _ in 0..count {
            normals.fill_with(|| StandardNormal.sample(&mut rng));
            for (a, p) in success.iter_mut().enumerate() {
                let noise: f64 = root[a].iter().zip(&normals).map(|(l, z)| l * z).sum();
                *p = sigmoid(self.mean[a] + noise);
            }
            if let Some(wins) = wins.get_mut(objective.best(arms, &success)) {
                *wins += 1;
            }
        }
        wins.into_iter().map(|n| f64::from(n) / f64::from(count)).collect()
    }
}

impl Posterior {
    /// Returns the probability whose log-odds are normal.
    pub(super) fn normal(mean: f64, variance: f64) -> Self {
        let sd = variance.max(0.0).sqrt();
        let interval = (sigmoid(mean - 1.645 * sd), sigmoid(mean + 1.645 * sd));
        Self::new(moderated(mean, sd * sd), interval)
    }
}

/// The mean probability over a Gaussian belief of log-odds (`MacKay` 1992).
fn moderated(mean: f64, variance: f64) -> f64 {
    sigmoid(mean / (1.0 + std::f64::consts::PI * variance.max(0.0) / 8.0).sqrt())
}

/// The lower triangular root of a covariance, row by row.
fn cholesky(of: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut root: Vec<Vec<f64>> = Vec::with_capacity(of.len());
    for (a, row) in of.iter().enumerate() {
        let mut new = Vec::with_capacity(a + 1);
        for (b, value) in row.iter().enumerate().take(a) {
            let sum: f64 = root[b].iter().zip(&new).map(|(x, y): (&f64, &f64)| x * y).sum();
            // Arms that are known to be alike leave nothing of their own.
            new.push(if root[b][b] > 1e-9 { (value - sum) / root[b][b] } else { 0.0 });
        }
        let own: f64 = row[a] - new.iter().map(|x| x * x).sum::<f64>();
        new.push(own.max(0.0).sqrt());
        root.push(new);
    }
    root
}

fn add_scaled(to: &mut [f64], from: &[f64], by: f64) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += by * from);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(features: &[(u64, f64)]) -> Arm {
        Arm { features: features.to_vec(), ..Arm::default() }
    }

    fn learned(rate: impl Fn(u64) -> bool, n: u64) -> LogisticRegression {
        let mut model = LogisticRegression::new(OnlineParams { drift: 0.0, ..OnlineParams::default() });
        (0..n).for_each(|i| model.learn(&arm(&[(1, 1.0)]), 0.0, rate(i)));
        model
    }

    #[test]
    fn it_finds_the_rate_and_grows_sure_as_theory_says() {
        let model = learned(|i| i % 4 != 0, 4000);
        let margins = model.margins(&[arm(&[(1, 1.0)])], |_| 0.0);
        assert!((margins.mean[0] - 3_f64.ln()).abs() < 0.01, "{margins:?}");
        // The inverse of prior precision and Fisher information.
        let expected = 1.0 / (1.0 + 4000.0 * 0.75 * 0.25);
        assert!((margins.covariance[0][0] / expected - 1.0).abs() < 0.05, "{margins:?}");
    }

    #[test]
    fn what_arms_share_and_nobody_knows_does_not_tell_them_apart() {
        let model = learned(|_| true, 5);
        let arms = [arm(&[(7, 1.0), (8, 1.0)]), arm(&[(7, 1.0)])];
        let margins = model.margins(&arms, |_| 0.0);
        let difference = margins.covariance[0][0] + margins.covariance[1][1] - 2.0 * margins.covariance[0][1];
        assert_eq!((margins.covariance[0][0], difference), (2.0, 1.0));
    }

    #[test]
    fn a_root_gives_its_covariance_back() {
        let of = vec![vec![4.0, 2.0, 2.0], vec![2.0, 5.0, 1.0], vec![2.0, 1.0, 1.0]];
        let root = cholesky(&of);
        for (a, row) in of.iter().enumerate() {
            for (b, value) in row.iter().enumerate() {
                let product: f64 = root[a].iter().zip(&root[b]).map(|(x, y)| x * y).sum();
                assert!((product - value).abs() < 1e-12, "{a} {b}");
            }
        }
    }

    #[test]
    fn a_jump_is_followed_sooner_where_surprises_are_heeded() {
        let follow = |surprise| {
            let params = OnlineParams { surprise, ..OnlineParams::default() };
            let mut model = LogisticRegression::new(params);
            let one = arm(&[(1, 1.0)]);
            (0..3000).for_each(|i| model.learn(&one, 0.0, i % 10 != 0));
            (0..100).for_each(|i| model.learn(&one, 0.0, i % 10 == 0));
            model.margins(&[one], |_| 0.0).mean[0]
        };
        assert!(follow(4.5) < follow(1e9) - 0.3, "{} {}", follow(4.5), follow(1e9));
    }
}
