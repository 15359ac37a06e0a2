//! What is written by hand here beside what `linfa` has: equal answers, and what they cost.
//!
//! `benches/compare_with_linfa.sh` counts the instructions of each; without it these are tests of agreement.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use super::calibration::{Isotonic, Platt};
use super::metrics::roc_auc;
use super::{Linear, LinearLoss, LinearParams, LinearRow, LinearTarget};
use crate::stats::sigmoid;
use linfa::ParamGuard;
use linfa::composing::platt_scaling::{Platt as LinfaPlatt, platt_newton_method};
use linfa::dataset::Pr;
use linfa::metrics::BinaryClassification;
use linfa::prelude::*;
use linfa_linear::IsotonicRegression;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::hint::black_box;

/// Rows that a logistic model fits, with the log-odds of another that is not calibrated.
struct World {
    rows: Array2<f64>,
    labels: Vec<bool>,
    margins: Vec<f64>,
}

const ROWS: usize = 5_000;
const WIDTH: usize = 30;
const PENALTY: f64 = 1.0;

impl World {
    fn new() -> Self {
        let mut random = Pcg64::seed_from_u64(7);
        let mut uniform = || random.random::<f64>() * 2.0 - 1.0;
        let weights: Vec<_> = (0..WIDTH).map(|_| uniform()).collect();
        // Exact in single precision, in which our rows are.
        let rows = Array2::from_shape_fn((ROWS, WIDTH), |_| f64::from(uniform() as f32));
        let truth = rows.dot(&Array1::from(weights)) + 0.5;
        let labels = truth.iter().map(|margin| uniform() < 2.0 * sigmoid(*margin) - 1.0).collect();
        let margins = truth.iter().map(|margin| 2.0 * margin - 0.7).collect();
        Self { rows, labels, margins }
    }

    fn numbers(&self) -> Vec<f64> {
        self.labels.iter().map(|label| f64::from(u8::from(*label))).collect()
    }

    fn logistic_here(&self) -> Vec<f64> {
        let dense: Vec<f32> = self.rows.iter().map(|value| *value as f32).collect();
        let rows: Vec<_> =
            dense.chunks(WIDTH).map(|dense| LinearRow { dense, indices: &[], values: &[] }).collect();
        let (labels, ones, zeros) = (self.numbers(), vec![1.0; ROWS], vec![0.0; ROWS]);
        let loss = LinearLoss::Logistic;
        let target = LinearTarget { labels: &labels, weights: &ones, offsets: &zeros, loss };
        let params = LinearParams { dense_l2: PENALTY, sparse_l2: 1.0, max_steps: 50 };
        let model = Linear::fit(&params, &rows, target, 0).unwrap();
        rows.iter().map(|row| sigmoid(model.margin(*row))).collect()
    }

    fn logistic_of_linfa(&self) -> Vec<f64> {
        self.logistic_to(1e-4) // its default
    }

    fn logistic_to(&self, tolerance: f64) -> Vec<f64> {
        let labels: Array1<bool> = self.labels.iter().copied().collect();
        let params = LogisticRegression::default().alpha(PENALTY).gradient_tolerance(tolerance);
        let model = params.fit(&Dataset::new(self.rows.clone(), labels)).unwrap();
        model.predict_probabilities(&self.rows).to_vec()
    }

    fn isotonic_here(&self) -> Vec<f64> {
        let fitted = Isotonic::fit(&self.margins, &self.labels, &vec![1.0; ROWS]).unwrap();
        self.margins.iter().map(|margin| fitted.probability(*margin)).collect()
    }

    fn isotonic_of_linfa(&self) -> Vec<f64> {
        // Of rows that are not sorted linfa-linear 0.8.1 makes another function: findings/linfa_isotonic_no_least_squares.sh.
        let mut order: Vec<_> = (0..ROWS).collect();
        order.sort_by(|i, j| self.margins[*i].total_cmp(&self.margins[*j]));
        let numbers = self.numbers();
        let sorted = Array2::from_shape_fn((ROWS, 1), |(i, _)| self.margins[order[i]]);
        let rows = Dataset::new(sorted, order.iter().map(|i| numbers[*i]).collect::<Array1<f64>>());
        let fitted = IsotonicRegression::default().fit(&rows).unwrap();
        fitted.predict(&Array2::from_shape_vec((ROWS, 1), self.margins.clone()).unwrap()).to_vec()
    }

    fn platt_here(&self) -> Vec<f64> {
        let fitted = Platt::fit(&self.margins, &self.labels, &vec![1.0; ROWS]).unwrap();
        self.margins.iter().map(|margin| sigmoid(fitted.apply(*margin))).collect()
    }

    fn platt_of_linfa(&self) -> Vec<f64> {
        let params = LinfaPlatt::<f64, ()>::params().check().unwrap();
        let (margins, labels) = (Array1::from(self.margins.clone()), Array1::from(self.labels.clone()));
        let (a, b) = platt_newton_method(margins.view(), labels.view(), &params).unwrap();
        self.margins.iter().map(|margin| sigmoid(-(a * margin + b))).collect()
    }

    fn auc_here(&self) -> Vec<f64> {
        vec![roc_auc(&self.margins, &self.labels).unwrap()]
    }

    fn auc_of_linfa(&self) -> Vec<f64> {
        let probabilities: Vec<_> = self.margins.iter().map(|m| Pr::new(sigmoid(*m) as f32)).collect();
        let curve = probabilities.as_slice().roc(&self.labels).unwrap();
        vec![f64::from(curve.area_under_curve())]
    }
}

type Run = fn(&World) -> Vec<f64>;

/// The pairs: a name, the two, and how far apart their answers may lie.
const COMPARED: [(&str, Run, Run, f64); 4] = [
    ("logistic regression", World::logistic_here, World::logistic_of_linfa, 1e-3),
    // No least squares there: between the ends of two steps it draws a line.
    ("isotonic regression", World::isotonic_here, World::isotonic_of_linfa, 1.0),
    ("Platt scaling", World::platt_here, World::platt_of_linfa, 1e-4),
    ("area under the ROC curve", World::auc_here, World::auc_of_linfa, 1e-5),
];

fn apart(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn answers_agree() {
    let world = World::new();
    let exact = world.logistic_to(1e-10);
    for (name, run) in [("here", World::logistic_here as Run), ("of linfa", World::logistic_of_linfa)] {
        println!(
            "logistic regression {name}: at most {:.1e} apart from the minimum",
            apart(&run(&world), &exact)
        );
    }
    for (name, here, linfa, most) in COMPARED {
        let difference = apart(&here(&world), &linfa(&world));
        println!("{name}: at most {difference:.1e} apart");
        assert!(difference <= most, "{name}: {difference}");
    }
}

#[test]
fn the_steps_here_fit_better() {
    let world = World::new();
    let labels = world.numbers();
    let squares =
        |points: Vec<f64>| -> f64 { points.iter().zip(&labels).map(|(p, y)| (p - y).powi(2)).sum() };
    let (here, linfa) = (squares(world.isotonic_here()), squares(world.isotonic_of_linfa()));
    println!("isotonic regression: sum of squares {here:.0} here, {linfa:.0} of linfa");
    assert!(here < linfa);
}

/// Runs one of them, for the script that counts instructions: `DEVMATRIX_COMPARED=0..7`, an even number for what is here.
#[test]
fn one_of_them_alone() {
    let chosen = std::env::var("DEVMATRIX_COMPARED").ok().and_then(|n| n.parse::<usize>().ok());
    let world = World::new();
    if let Some(run) = chosen.map(|n| if n % 2 == 0 { COMPARED[n / 2].1 } else { COMPARED[n / 2].2 }) {
        black_box(run(&world));
    }
    assert_eq!(world.labels.len(), ROWS);
}
