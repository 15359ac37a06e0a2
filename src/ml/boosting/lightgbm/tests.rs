use super::super::ranges::TrainingRanges;
use super::super::request::Stopping;
use super::super::{BoostingLibrary, Matrix, Trees};
use super::*;
use crate::error::ErrorKind;
use crate::execution::{CancellationToken, ExecutionContext};
use hessboost::tree::RegTree;

const OBJECTIVES: [Objective; 5] = [
    Objective::Logistic,
    Objective::SquaredError,
    Objective::AbsoluteError,
    Objective::Quantile(0.9),
    Objective::LambdaRank { top: 10 },
];

const WIDTH: usize = 6;
const CATEGORIES: [usize; 2] = [4, 5];

/// Numbers that look drawn from [0, 1).
fn noise(i: usize, salt: u64) -> f64 {
    let mixed = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(salt << 17);
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// Four numbers and two categories of 10 and of 2,000 values, a tenth of all missing; what is beyond
/// `learned` rows has categories that those have not.
fn values(rows: usize, learned: usize) -> Vec<f32> {
    let value = |i: usize, feature: u64| -> f32 {
        let u = noise(i, feature + 1);
        let more = if i < learned { 1.0 } else { 1.3 };
        match feature {
            _ if noise(i, feature + 50) < 0.1 => f32::NAN,
            0 => u as f32,
            1 => (u * 1e6) as f32,
            2 => ((u - 0.5) * 1e-6) as f32,
            3 => (u * 20.0).floor() as f32,
            4 => (u * 10.0 * more).floor() as f32,
            _ => (u * 2000.0 * more).floor() as f32,
        }
    };
    (0..rows).flat_map(|i| (0..WIDTH as u64).map(move |f| value(i, f))).collect()
}

fn or_zero(v: f32) -> f64 {
    if v.is_nan() { 0.0 } else { f64::from(v) }
}

/// Returns labels in [0, 1] that depend on numbers, categories and noise.
fn labels(values: &[f32], objective: Objective) -> Vec<f64> {
    let label = |(i, row): (usize, &[f32])| {
        let group = if or_zero(row[4]) as i32 % 3 == 1 { 0.3 } else { 0.0 };
        let rare = if or_zero(row[5]) as i32 % 2 == 0 { 0.2 } else { 0.0 };
        let y = (0.4 * or_zero(row[0]) + group + rare + 0.1 * noise(i, 99)).clamp(0.0, 1.0);
        match objective {
            Objective::LambdaRank { .. } => (4.0 * y).floor(),
            _ => y,
        }
    };
    values.chunks(WIDTH).enumerate().map(label).collect()
}

fn params(objective: Objective) -> BoostParams {
    let usual = match objective {
        Objective::LambdaRank { .. } => BoostParams::ranking(),
        _ => BoostParams::regression(),
    };
    BoostParams { library: BoostingLibrary::Lightgbm, ..usual }
}

/// Rows in groups of ten, of one weight each.
struct Data {
    x: Vec<f32>,
    y: Vec<f64>,
    weights: Vec<f64>,
    groups: Vec<usize>,
}

impl Data {
    fn new(rows: usize, objective: Objective) -> Self {
        let x = values(rows, rows);
        let weights = (0..rows).map(|i| 0.5 + ((i / 10) % 3) as f64).collect();
        Self { y: labels(&x, objective), x, weights, groups: vec![10; rows / 10] }
    }

    fn sample(&self, objective: Objective) -> Sample<'_> {
        let sample = Sample::new(Matrix { values: &self.x, width: WIDTH }, &self.y).weighted(&self.weights);
        match objective {
            Objective::LambdaRank { .. } => sample.grouped(&self.groups),
            _ => sample,
        }
    }
}

/// The largest difference between LightGBM's own margins and those of the trees read from its text.
fn farthest(objective: Objective, unseen: &[f32]) -> f64 {
    let data = Data::new(3000, objective);
    let request = FitRequest::new(objective, data.sample(objective)).with_categories(&CATEGORIES);
    let (theirs, text) = grow(&params(objective), &request, |booster, n| {
        Ok((booster.margins(unseen, WIDTH)?, booster.to_text(n)?))
    })
    .unwrap();
    let trees = Trees::new(read(&text).unwrap(), true, TrainingRanges::default());
    let stored = Trees::from_bytes(&trees.to_bytes().unwrap()).unwrap();
    assert!(stored.model.trees().iter().any(RegTree::has_categorical_splits), "{objective:?}");
    assert!(trees.len() > 50, "{objective:?}: {}", trees.len());
    let ours = unseen.chunks(WIDTH).map(|row| {
        let margin = stored.margin(row).unwrap();
        assert_eq!(margin, trees.margin(row).unwrap());
        margin
    });
    ours.zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn trees_answer_as_lightgbm_does_with_missing_values_and_categories_it_never_saw() {
    let rows = std::env::var("DEVMATRIX_EXACT_ROWS").map_or(10_000, |rows| rows.parse().unwrap());
    let unseen = values(3000 + rows, 3000).split_off(3000 * WIDTH);
    for objective in OBJECTIVES {
        let farthest = farthest(objective, &unseen);
        println!("{objective:?}: {rows} rows, farthest off by {farthest:e}");
        assert!(farthest <= 1e-6, "{objective:?}: {farthest:e}");
    }
}

#[test]
fn the_number_of_threads_changes_no_byte_and_the_seed_does() {
    for objective in OBJECTIVES {
        let data = Data::new(2000, objective);
        let request = FitRequest::new(objective, data.sample(objective)).with_categories(&CATEGORIES);
        let bytes = |threads, seed| {
            let params = BoostParams { threads, seed, rounds: 30, ..params(objective) };
            Trees::fit(&params, &request).unwrap().to_bytes().unwrap()
        };
        assert_eq!(bytes(1, 1), bytes(3, 1), "{objective:?}");
        assert_ne!(bytes(1, 1), bytes(1, 2), "{objective:?}");
    }
}

#[test]
fn offsets_are_where_it_starts_and_not_in_the_margin() {
    let data = Data::new(1000, Objective::SquaredError);
    for objective in [Objective::SquaredError, Objective::AbsoluteError, Objective::Quantile(0.5)] {
        let request = FitRequest::new(objective, data.sample(objective).starting_from(&data.y));
        let trees = Trees::fit(&params(objective), &request).unwrap();
        assert!(trees.margin(&data.x[..WIDTH]).unwrap().abs() < 1e-6, "{objective:?}");
    }
    // Nothing to split by: the start alone.
    let x = vec![1.0_f32; 100];
    let y: Vec<_> = (0..100).map(|i| f64::from(i % 2)).collect();
    let weights: Vec<_> = y.iter().map(|y| 1.0 + 2.0 * y).collect();
    let sample = Sample::new(Matrix { values: &x, width: 1 }, &y).weighted(&weights);
    let margin = |objective| {
        let trees = Trees::fit(&params(objective), &FitRequest::new(objective, sample)).unwrap();
        trees.margin(&[1.0]).unwrap()
    };
    assert!((margin(Objective::SquaredError) - 0.75).abs() < 1e-6);
    assert!((margin(Objective::Logistic) - 3.0_f64.ln()).abs() < 1e-6);
}

#[test]
fn growing_stops_when_held_out_rows_gain_nothing() {
    for objective in OBJECTIVES {
        let data = Data::new(1000, objective);
        let held_out = Data::new(1000, objective);
        let shuffled: Vec<_> = (0..1000).map(|i| held_out.y[(i * 7919) % 1000]).collect();
        let count = |labels: &[f64]| {
            let held_out = Sample { labels, ..held_out.sample(objective) };
            let stopping = Some(Stopping { held_out, patience: 10 });
            let request = FitRequest { stopping, ..FitRequest::new(objective, data.sample(objective)) };
            Trees::fit(&params(objective), &request).unwrap().len()
        };
        let (useful, useless) = (count(&held_out.y), count(&shuffled));
        assert!(useless < useful && useful > 20, "{objective:?}: {useless} {useful}");
    }
}

#[test]
fn what_it_refuses_is_an_error_and_cancelling_ends_it() {
    let data = Data::new(100, Objective::SquaredError);
    let objective = Objective::SquaredError;
    let none = vec![0.0; 100];
    let request = FitRequest::new(Objective::Logistic, data.sample(Objective::Logistic).weighted(&none));
    let error = Trees::fit(&params(Objective::Logistic), &request).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("LightGBM"), "{error}");
    let request = FitRequest::new(objective, data.sample(objective)).with_categories(&[1]);
    assert!(Trees::fit(&params(objective), &request).unwrap_err().to_string().contains("is no category"));
    let cancel = CancellationToken::new();
    cancel.cancel();
    let request = FitRequest::new(objective, data.sample(objective));
    let error = ExecutionContext::new()
        .with_cancel(&cancel)
        .run(|| Trees::fit(&params(objective), &request))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}
