use super::*;

const OBJECTIVES: [Objective; 5] = [
    Objective::Logistic,
    Objective::SquaredError,
    Objective::AbsoluteError,
    Objective::Quantile(0.9),
    Objective::LambdaRank { top: 10 },
];

/// Numbers that look drawn from [0, 1).
fn noise(i: usize, salt: u64) -> f64 {
    let mixed = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(salt << 17);
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

const ROWS: usize = 600;
const GROUPS: [usize; 60] = [10; 60];

/// Three features, of which the first decides and the second is sometimes missing; labels 0 to 1.
fn data() -> (Vec<f32>, Vec<f64>) {
    let value = |i: usize, feature: u64| match noise(i, feature) {
        v if feature == 1 && v < 0.2 => f32::NAN,
        v => v as f32,
    };
    let x: Vec<f32> = (0..ROWS).flat_map(|i| (0..3).map(move |f| value(i, f))).collect();
    let y = x.chunks(3).enumerate().map(|(i, r)| 0.7 * f64::from(r[0]) + 0.3 * noise(i, 9)).collect();
    (x, y)
}

fn labels_for(objective: Objective, y: &[f64]) -> Vec<f64> {
    match objective {
        Objective::LambdaRank { .. } => y.iter().map(|y| (4.0 * y).floor()).collect(),
        _ => y.to_vec(),
    }
}

fn params_for(objective: Objective) -> BoostParams {
    match objective {
        Objective::LambdaRank { .. } => BoostParams::ranking(),
        _ => BoostParams::regression(),
    }
}

fn fit(objective: Objective, threads: usize) -> Trees {
    let (x, y) = data();
    let labels = labels_for(objective, &y);
    let mut sample = Sample::new(Matrix { values: &x, width: 3 }, &labels);
    let weights: Vec<_> = (0..ROWS).map(|i| 0.5 + ((i / 10) % 3) as f64).collect();
    sample = sample.weighted(&weights);
    if matches!(objective, Objective::LambdaRank { .. }) {
        sample = sample.grouped(&GROUPS);
    }
    let params = BoostParams { threads, ..params_for(objective) };
    Trees::fit(&params, &FitRequest::new(objective, sample)).unwrap()
}

fn check_explained(trees: &Trees, row: &[f32]) {
    let margin = trees.margin(row).unwrap();
    let parts: f32 = trees.contributions(row).unwrap().iter().sum();
    assert!((f64::from(parts) - margin).abs() < 1e-4 * margin.abs().max(1.0), "{parts} {margin}");
    let back = Trees::from_bytes(&trees.to_bytes().unwrap()).unwrap();
    assert_eq!(back.margin(row).unwrap(), margin);
    assert_eq!(back.len(), trees.len());
    assert_eq!(back.importance(), trees.importance());
}

#[test]
fn every_objective_learns_explains_and_comes_back_from_bytes() {
    for objective in OBJECTIVES {
        let trees = fit(objective, 1);
        assert!(
            trees.margin(&[0.9, 0.5, 0.5]).unwrap() > trees.margin(&[0.1, 0.5, 0.5]).unwrap() + 0.2,
            "{objective:?}"
        );
        for row in [[0.9, 0.5, 0.5], [0.1, f32::NAN, 0.2], [f32::NAN; 3]] {
            check_explained(&trees, &row);
        }
        assert!(trees.margin(&[f32::INFINITY, 1.0, 1.0]).is_err() && trees.margin(&[1.0]).is_err());
        let importance = trees.importance();
        assert!(importance.len() == 3 && importance[0] > importance[1] + importance[2], "{importance:?}");
    }
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    for objective in OBJECTIVES {
        let bytes = |threads| fit(objective, threads).to_bytes().unwrap();
        assert_eq!(bytes(1), bytes(3), "{objective:?}");
    }
    assert_eq!(grow_forest(1, 5).to_bytes().unwrap(), grow_forest(3, 5).to_bytes().unwrap());
}

#[test]
fn log_odds_of_part_labels_are_found() {
    let x: Vec<f32> = (0..400).map(|i| ((i * 37) % 101) as f32).collect();
    let y: Vec<_> = x.chunks(2).map(|r| if r[0] > r[1] { 1.0 } else { 0.25 }).collect();
    let matrix = Matrix { values: &x, width: 2 };
    let trees = Trees::fit(
        &BoostParams::default(),
        &FitRequest::new(
            Objective::Logistic,
            Sample::new(matrix, &y).weighted(&[1.0; 200]).starting_from(&[0.0; 200]),
        ),
    )
    .unwrap();
    assert!(trees.margin(&[90.0, 5.0]).unwrap() > 0.5);
    let low = trees.margin(&[5.0, 90.0]).unwrap();
    assert!((-1.4..-0.4).contains(&low), "a label of one quarter is log-odds of -1.1: {low}");
    check_explained(&trees, &[5.0, f32::NAN]);
}

#[test]
fn a_quantile_leaves_its_share_below_and_a_median_ignores_outliers() {
    let x: Vec<f32> = (0..2000).map(|i| (i % 4) as f32).collect();
    let y: Vec<f64> = (0..2000).map(|i| 10.0 * f64::from(x[i]) + noise(i, 3)).collect();
    let sample = Sample::new(Matrix { values: &x, width: 1 }, &y);
    let params = BoostParams { subsample: 1.0, ..BoostParams::regression() };
    for level in [0.1, 0.5, 0.9] {
        let trees = Trees::fit(&params, &FitRequest::new(Objective::Quantile(level), sample)).unwrap();
        for group in 0..4_u8 {
            let found = trees.margin(&[f32::from(group)]).unwrap();
            assert!((found - 10.0 * f64::from(group) - level).abs() < 0.06, "{level} {group} {found}");
        }
    }
    let wild: Vec<_> = y.iter().enumerate().map(|(i, y)| if i % 5 == 0 { 1e6 } else { *y }).collect();
    let sample = Sample::new(Matrix { values: &x, width: 1 }, &wild);
    let median = Trees::fit(&params, &FitRequest::new(Objective::AbsoluteError, sample)).unwrap();
    assert!((median.margin(&[2.0]).unwrap() - 20.6).abs() < 0.5, "{:?}", median.margin(&[2.0]));
}

#[test]
fn offsets_that_explain_all_leave_nothing_and_are_not_in_the_margin() {
    let (x, y) = data();
    let sample = Sample::new(Matrix { values: &x, width: 3 }, &y).starting_from(&y);
    for objective in [Objective::SquaredError, Objective::AbsoluteError, Objective::Quantile(0.5)] {
        let trees = Trees::fit(&BoostParams::regression(), &FitRequest::new(objective, sample)).unwrap();
        assert!(trees.margin(&x[..3]).unwrap().abs() < 1e-6, "{objective:?}");
    }
    let forest = Trees::fit_forest(
        &ForestParams { trees: 5, ..ForestParams::default() },
        Objective::SquaredError,
        &sample,
    )
    .unwrap();
    assert!(forest.margin(&x[..3]).unwrap().abs() < 1e-6);
}

#[test]
fn heavy_rows_decide() {
    let x = vec![1.0_f32; 100];
    let y: Vec<_> = (0..100).map(|i| f64::from(i % 2)).collect();
    let weights: Vec<_> = y.iter().map(|y| 1.0 + 2.0 * y).collect();
    let sample = Sample::new(Matrix { values: &x, width: 1 }, &y).weighted(&weights);
    let mean = |objective| {
        let trees = Trees::fit(&BoostParams::regression(), &FitRequest::new(objective, sample)).unwrap();
        trees.margin(&[1.0]).unwrap()
    };
    assert!((mean(Objective::SquaredError) - 0.75).abs() < 0.02);
    assert!((mean(Objective::Logistic) - 3.0_f64.ln()).abs() < 0.1);
    assert_eq!((mean(Objective::AbsoluteError), mean(Objective::Quantile(0.2))), (1.0, 0.0));
}

#[test]
fn growing_stops_when_held_out_rows_gain_nothing() {
    let (x, y) = data();
    let noise: Vec<_> = (0..ROWS).map(|i| noise(i, 5)).collect();
    let matrix = Matrix { values: &x, width: 3 };
    for (labels, few) in [(&y, false), (&noise, true)] {
        let sample = Sample::new(Matrix { values: &x[..900], width: 3 }, &labels[..300]);
        let held_out = Sample::new(Matrix { values: &x[900..], width: 3 }, &labels[300..]);
        let request = FitRequest::new(Objective::SquaredError, sample).stopping(held_out, 10);
        let trees = Trees::fit(&BoostParams::regression(), &request).unwrap();
        assert_eq!(trees.len() < 30, few, "{}", trees.len());
        check_explained(&trees, &x[..3]);
        let none = FitRequest::new(Objective::SquaredError, sample).stopping(held_out, 0);
        assert!(Trees::fit(&BoostParams::regression(), &none).is_err());
    }
    let narrow = Sample::new(Matrix { values: &x[..600], width: 1 }, &y);
    let request = FitRequest::new(Objective::SquaredError, Sample::new(matrix, &y)).stopping(narrow, 5);
    assert!(Trees::fit(&BoostParams::regression(), &request).is_err());
}

fn grow_forest(threads: usize, min_rows: usize) -> Trees {
    let (x, y) = data();
    let sample = Sample::new(Matrix { values: &x, width: 3 }, &y);
    let params = ForestParams { trees: 60, threads, min_rows, colsample: 0.7, ..ForestParams::default() };
    Trees::fit_forest(&params, Objective::SquaredError, &sample).unwrap()
}

#[test]
fn a_forest_averages_trees_of_leaves_that_are_not_too_small() {
    let forest = grow_forest(2, 5);
    assert_eq!(forest.len(), 60);
    for first in [0.2_f32, 0.5, 0.8] {
        let found = forest.margin(&[first, 0.5, 0.5]).unwrap();
        assert!((found - 0.7 * f64::from(first) - 0.15).abs() < 0.08, "{first} {found}");
    }
    check_explained(&forest, &[0.3, f32::NAN, 0.9]);
    let (_, y) = data();
    // No split of the 379 rows that a tree sees leaves 200 on both sides.
    let mean = y.iter().sum::<f64>() / ROWS as f64;
    assert!((grow_forest(2, 200).margin(&[0.9, 0.5, 0.5]).unwrap() - mean).abs() < 0.02);
}

#[test]
fn a_leaf_holds_the_fewest_rows_whatever_they_weigh() {
    let x: Vec<f32> = (0..40).map(|i| i as f32).collect();
    let y: Vec<_> = (0..40).map(|i| f64::from(u8::from(i >= 30))).collect();
    let weights = vec![100.0; 40];
    let sample = Sample::new(Matrix { values: &x, width: 1 }, &y).weighted(&weights);
    let splits = |min_rows| {
        let params = BoostParams { min_rows, subsample: 1.0, rounds: 1, ..BoostParams::regression() };
        let trees = Trees::fit(&params, &FitRequest::new(Objective::SquaredError, sample)).unwrap();
        trees.importance()[0] > 0.0
    };
    assert!(splits(10) && splits(20) && !splits(21));
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let (x, y) = data();
    let data = Matrix { values: &x, width: 3 };
    fn fit(objective: Objective, sample: Sample<'_>) -> Result<Trees> {
        Trees::fit(&params_for(objective), &FitRequest::new(objective, sample))
    }
    let sample = Sample::new(data, &y);
    let whole: Vec<_> = y.iter().map(|y| (4.0 * y).floor()).collect();
    let rank = Objective::LambdaRank { top: 10 };
    assert!(fit(rank, Sample::new(data, &whole)).is_err(), "ranking needs groups");
    assert!(fit(rank, sample.grouped(&GROUPS)).is_err(), "relevances are whole");
    assert!(fit(rank, Sample::new(data, &whole).grouped(&[10; 61])).is_err(), "too many rows in groups");
    assert!(fit(rank, Sample::new(data, &whole).grouped(&[ROWS, 0])).is_err(), "an empty group");
    assert!(fit(Objective::LambdaRank { top: 0 }, Sample::new(data, &whole).grouped(&GROUPS)).is_err());
    let uneven: Vec<_> = (0..ROWS).map(|i| 1.0 + i as f64).collect();
    assert!(fit(rank, Sample::new(data, &whole).grouped(&GROUPS).weighted(&uneven)).is_err());
    assert!(fit(Objective::SquaredError, sample.grouped(&GROUPS)).is_err(), "groups without ranking");
    for level in [0.0, 1.0, f64::NAN] {
        assert!(fit(Objective::Quantile(level), sample).is_err());
    }
    for bad in [f64::NAN, f64::INFINITY, 1e300] {
        let values = vec![bad; ROWS];
        assert!(fit(Objective::SquaredError, Sample::new(data, &values)).is_err());
        assert!(fit(Objective::SquaredError, sample.weighted(&values)).is_err());
        assert!(fit(Objective::SquaredError, sample.starting_from(&values)).is_err());
        assert!(
            Trees::fit_forest(&ForestParams::default(), Objective::SquaredError, &Sample::new(data, &values))
                .is_err()
        );
    }
    assert!(fit(Objective::SquaredError, sample.weighted(&vec![-1.0; ROWS])).is_err());
    assert!(fit(Objective::SquaredError, sample.weighted(&[1.0])).is_err());
    assert!(fit(Objective::Logistic, Sample::new(data, &vec![1.5; ROWS])).is_err());
    assert!(fit(Objective::SquaredError, Sample::new(Matrix { values: &x[1..], width: 3 }, &y)).is_err());
}

/// Numbers from 0 to 1 (times `scale`) or missing, and labels that are 20 where they are missing, else 0.
fn half_missing(scale: f32) -> (Vec<f32>, Vec<f64>) {
    let value = |i| if noise(i, 1) < 0.5 { f32::NAN } else { scale * noise(i, 2) as f32 };
    let x: Vec<_> = (0..2000).map(value).collect();
    let y = x.iter().map(|x| if x.is_nan() { 20.0 } else { 0.0 }).collect();
    (x, y)
}

/// Trees of every kind that parts missing rows from present ones.
fn parted(scale: f32) -> Vec<Trees> {
    let (x, y) = half_missing(scale);
    let yes: Vec<_> = y.iter().map(|y| y / 20.0).collect();
    let matrix = Matrix { values: &x, width: 1 };
    let boosted = |objective, labels: &[f64]| {
        let request = FitRequest::new(objective, Sample::new(matrix, labels));
        Trees::fit(&BoostParams::regression(), &request).unwrap()
    };
    let forest = ForestParams { trees: 20, ..ForestParams::default() };
    vec![
        boosted(Objective::SquaredError, &y),
        boosted(Objective::AbsoluteError, &y),
        boosted(Objective::Logistic, &yes),
        Trees::fit_forest(&forest, Objective::SquaredError, &Sample::new(matrix, &y)).unwrap(),
    ]
}

#[test]
fn values_beyond_those_of_training_count_as_the_nearest() {
    for scale in [1.0, 150.0, -1.0] {
        for trees in parted(scale) {
            let (present, missing) =
                (trees.margin(&[0.5 * scale]).unwrap(), trees.margin(&[f32::NAN]).unwrap());
            assert!(missing > present + 3.0, "{present} {missing}");
            let back = Trees::from_bytes(&trees.to_bytes().unwrap()).unwrap();
            for times in [1.9, 2.1, 300.0, -2.1, -300.0, 1e30] {
                let row = [times * scale];
                assert_eq!(trees.margin(&row).unwrap(), back.margin(&row).unwrap());
                let found = back.margin(&row).unwrap();
                assert!((found - present).abs() < 0.5, "{times} times {scale}: {found}, not {present}");
                check_explained(&trees, &row);
                let unseen: Vec<_> = back.unseen(&row).collect();
                assert!(
                    unseen.len() == 1 && unseen[0].feature == 0 && unseen[0].value == row[0],
                    "{unseen:?}"
                );
            }
            for known in [0.5 * scale, f32::NAN] {
                assert_eq!(back.unseen(&[known]).count(), 0);
            }
            for infinite in [f32::INFINITY, f32::NEG_INFINITY] {
                assert!(back.margin(&[infinite]).is_err() && back.contributions(&[infinite]).is_err());
            }
        }
    }
}

#[test]
fn trees_of_before_ranges_were_kept_are_read_and_clip_nothing() {
    let trees = parted(1.0).swap_remove(0);
    let older = Trees::from_bytes(&encoded(&trees.model).unwrap()).unwrap();
    for value in [0.5, 1.9, f32::NAN] {
        assert_eq!(older.margin(&[value]).unwrap(), trees.margin(&[value]).unwrap());
    }
    assert_eq!(older.margin(&[2.1]).unwrap(), trees.margin(&[f32::NAN]).unwrap());
    assert_eq!(older.unseen(&[2.1]).count(), 0);
    assert_eq!(Trees::from_bytes(&older.to_bytes().unwrap()).unwrap().ranges, older.ranges);
}

#[test]
fn ranges_that_do_not_fit_are_refused() {
    let whole = parted(1.0).swap_remove(0).to_bytes().unwrap();
    let json = parted(1.0).swap_remove(0).ranges.to_json().unwrap();
    for other in ["[[1,0.0,1.0,false]]", "[[0,1.0,0.0,false]]", "[[0,0.0,1.0,false],[0,0.0,1.0,false]]", "7"]
    {
        assert!(TrainingRanges::from_json(other, 1).is_err(), "{other}");
    }
    assert_eq!(TrainingRanges::from_json(&json, 1).unwrap().to_json().unwrap(), json);
    // As long, so that only what it says is wrong.
    let mut damaged = whole.clone();
    let at = whole.windows(json.len()).position(|window| window == json.as_bytes()).unwrap();
    damaged[at + 2] = b'9';
    assert_eq!(Trees::from_bytes(&damaged).unwrap_err().kind(), crate::ErrorKind::Corrupt);
}

#[test]
fn what_training_never_missed_follows_most_rows_where_it_is_missing() {
    let x: Vec<f32> = (0..2000).map(|i| noise(i, 7) as f32).collect();
    let matrix = Matrix { values: &x, width: 1 };
    for (cut, large) in [(0.3, true), (0.7, false)] {
        let y: Vec<_> = x.iter().map(|x| f64::from(u8::from(f64::from(*x) > cut))).collect();
        for objective in [Objective::SquaredError, Objective::Logistic, Objective::AbsoluteError] {
            let sample = Sample::new(matrix, &y);
            let forest = ForestParams { trees: 20, ..ForestParams::default() };
            let boosted =
                Trees::fit(&BoostParams::regression(), &FitRequest::new(objective, sample)).unwrap();
            let grown = match objective {
                Objective::AbsoluteError => vec![boosted],
                _ => vec![boosted, Trees::fit_forest(&forest, objective, &sample).unwrap()],
            };
            for trees in grown {
                let at = |value: f32| trees.margin(&[value]).unwrap();
                let (most, fewest) = if large { (at(0.99), at(0.01)) } else { (at(0.01), at(0.99)) };
                let missing = at(f32::NAN);
                assert!(
                    (missing - most).abs() < 0.1 * (most - fewest).abs(),
                    "{cut} {objective:?}: {missing}"
                );
                check_explained(&trees, &[f32::NAN]);
                let unseen: Vec<_> = trees.unseen(&[f32::NAN]).collect();
                assert!(unseen.len() == 1 && unseen[0].value.is_nan(), "{unseen:?}");
            }
        }
    }
}

#[test]
fn labels_of_one_class_give_margins_that_are_numbers() {
    let x: Vec<f32> = (0..100).map(|i| noise(i, 7) as f32).collect();
    for label in [0.0, 1.0, 1e-9, 1.0 - 1e-9] {
        let labels = vec![label; 100];
        let sample = Sample::new(Matrix { values: &x, width: 1 }, &labels);
        let trees =
            Trees::fit(&BoostParams::default(), &FitRequest::new(Objective::Logistic, sample)).unwrap();
        let forest = Trees::fit_forest(&ForestParams::default(), Objective::Logistic, &sample).unwrap();
        for trees in [trees, forest] {
            let margin = trees.margin(&[0.5]).unwrap();
            assert!(margin.abs() > 12.0 && (margin > 0.0) == (label > 0.5), "{label}: {margin}");
            check_explained(&trees, &[0.5]);
        }
    }
}
