use super::scores::Scores;
use super::*;
use crate::error::ErrorKind;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

const LEVELS: [f64; 2] = [0.8, 0.9];

fn uniform(rng: &mut Pcg64Mcg) -> f64 {
    rng.random_range(0.0..1.0)
}

/// Noise of a scale that grows with `x`.
fn label(rng: &mut Pcg64Mcg, x: f64) -> f64 {
    10.0 * x + (0.2 + x) * (2.0 * uniform(rng) - 1.0)
}

/// Bands too narrow, where 80 % and 90 % of the labels lie within 0.8 and 0.9 scales.
fn bands(x: f64) -> [Interval; 2] {
    let at = |a: f64, b: f64| Interval::between(10.0 * x + a * (0.2 + x), 10.0 * x + b * (0.2 + x));
    [at(-0.4, 0.5), at(-0.5, 0.6)]
}

fn draw(rng: &mut Pcg64Mcg, n: usize) -> (Vec<f64>, Vec<f64>) {
    (0..n)
        .map(|_| {
            let x = uniform(rng);
            (x, label(rng, x))
        })
        .unzip()
}

fn fit_bands(x: &[f64], y: &[f64]) -> Result<QuantileConformal> {
    let rows: Vec<_> = x.iter().map(|x| bands(*x)).collect();
    let by_level: Vec<Vec<_>> = (0..2).map(|l| rows.iter().map(|row| row[l]).collect()).collect();
    QuantileConformal::fit(&LEVELS, &[&by_level[0], &by_level[1]], y, &vec![1.0; y.len()])
}

fn fit_residuals(x: &[f64], y: &[f64]) -> Result<ResidualConformal> {
    let predictions: Vec<_> = x.iter().map(|x| 10.0 * x).collect();
    let scales: Vec<_> = x.iter().map(|x| 0.2 + x).collect();
    ResidualConformal::fit(&LEVELS, &predictions, &scales, y, &vec![1.0; y.len()])
}

/// The quantile with its finite-sample correction is the ⌈(n + 1) · level⌉-th score, as in the paper
/// (theorem 1); weights of 1/2 for everything twice say the same.
#[test]
fn the_quantile_is_the_corrected_one() {
    let scores: Vec<f64> = (1..=19).map(f64::from).collect();
    let found = Scores::new(&scores, &[1.0; 19]).unwrap();
    assert_eq!(found.quantile(0.8), Some(16.0));
    assert_eq!(found.quantile(0.9), Some(18.0));
    assert_eq!(found.quantile(0.95), Some(19.0));
    assert_eq!(found.quantile(0.96), None);
    assert_eq!(found.reach(0.9), 18.0);
    assert!(found.reach(0.96) > 19.0 && found.reach(2.0) > found.reach(1.0));
    let twice: Vec<_> = scores.iter().chain(&scores).copied().collect();
    let halves = Scores::new(&twice, &[0.5; 38]).unwrap();
    for level in [0.1, 0.5, 0.8, 0.9, 0.95, 0.96] {
        assert_eq!(halves.quantile(level), found.quantile(level), "{level}");
    }
}

#[test]
fn coverage_is_within_binomial_error_of_the_level() {
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let (splits, held_out, fresh) = (300, 99, 40);
    let mut hits = [[0.0; 2]; 2];
    for _ in 0..splits {
        let (x, y) = draw(&mut rng, held_out);
        let (quantiles, residuals) = (fit_bands(&x, &y).unwrap(), fit_residuals(&x, &y).unwrap());
        let (x, y) = draw(&mut rng, fresh);
        for (x, y) in x.iter().zip(&y) {
            let found = [quantiles.intervals(&bands(*x)).unwrap(), residuals.intervals(10.0 * x, 0.2 + x)];
            for (hits, intervals) in hits.iter_mut().zip(found) {
                hits.iter_mut().zip(intervals).for_each(|(h, i)| *h += f64::from(u8::from(i.contains(*y))));
            }
        }
    }
    let n = (splits * fresh) as f64;
    for (method, hits) in hits.iter().enumerate() {
        for (level, hits) in LEVELS.iter().zip(hits) {
            // Rows of one split share its quantile: its own spread comes on top of theirs.
            let error = (level * (1.0 - level) * (1.0 / n + 1.0 / ((splits * held_out) as f64))).sqrt();
            let off = hits / n - level;
            assert!(off.abs() < 3.5 * error + 0.001, "{method} {level}: {off} of {error}");
        }
    }
}

/// Tasks that are tried more often are easier: each try as a row of its own gives too little.
#[test]
fn tries_of_one_task_weigh_as_one() {
    let mut rng = Pcg64Mcg::seed_from_u64(2);
    let task = |rng: &mut Pcg64Mcg| {
        let hard = uniform(rng);
        let tries = if hard < 0.5 { 10 } else { 1 };
        (0..tries).map(|_| hard + 0.2 * uniform(rng)).collect::<Vec<_>>()
    };
    let (mut hits, mut naive, mut n) = (0.0, 0.0, 0.0);
    for _ in 0..200 {
        let tasks: Vec<_> = (0..50).map(|_| task(&mut rng)).collect();
        let weights: Vec<_> = tasks.iter().flat_map(|t| vec![1.0 / t.len() as f64; t.len()]).collect();
        let rows = tasks.concat();
        let weighted = Scores::new(&rows, &weights).unwrap().quantile(0.8).unwrap();
        let each = Scores::new(&rows, &vec![1.0; rows.len()]).unwrap().quantile(0.8).unwrap();
        for _ in 0..50 {
            let next = task(&mut rng)[0];
            hits += f64::from(u8::from(next <= weighted));
            naive += f64::from(u8::from(next <= each));
            n += 1.0;
        }
    }
    assert!((0.79..0.83).contains(&(hits / n)), "{}", hits / n);
    assert!(naive / n < 0.6, "{}", naive / n);
}

/// The noise triples, then shrinks to a tenth.
#[test]
fn adaptive_levels_keep_the_long_run_share_under_drift() {
    let mut rng = Pcg64Mcg::seed_from_u64(3);
    let scores: Vec<_> = (0..500).map(|_| uniform(&mut rng)).collect();
    let scores = Scores::new(&scores, &[1.0; 500]).unwrap();
    let mut levels = LEVELS.map(|target| AdaptiveLevel::new(target, 0.02).unwrap());
    let (mut hits, mut fixed) = ([0.0; 2], 0.0);
    let rounds = 9_000_u32;
    for round in 0..rounds {
        let scale = [1.0, 3.0, 0.1][(round / 3_000) as usize];
        let next = scale * uniform(&mut rng);
        for (level, hits) in levels.iter_mut().zip(&mut hits) {
            let hit = next <= scores.reach(level.level());
            *hits += f64::from(u8::from(hit));
            level.update(hit, 1.0);
            assert!(level.is_sound());
        }
        fixed += f64::from(u8::from(next <= scores.reach(0.9)));
    }
    let rounds = f64::from(rounds);
    for (level, hits) in levels.iter().zip(hits) {
        let bound = (2.0 + 0.02) / (0.02 * rounds);
        assert!((hits / rounds - level.target()).abs() < bound, "{} of {bound}", hits / rounds);
    }
    assert!((fixed / rounds - 0.9).abs() > 0.1, "the drift matters: {}", fixed / rounds);
}

#[test]
fn weights_and_levels_out_of_range_change_nothing_for_the_worse() {
    let mut level = AdaptiveLevel::new(0.9, 0.1).unwrap();
    level.update(false, f64::NAN);
    assert_eq!(level.level(), 0.9);
    (0..1000).for_each(|_| level.update(false, 1e9));
    assert_eq!(level.level(), 2.0);
    (0..10_000).for_each(|_| level.update(true, 1.0));
    assert_eq!(level.level(), 0.0);
    for (target, step) in
        [(f64::NAN, 0.01), (0.0, 0.01), (1.0, 0.01), (0.9, 0.0), (0.9, f64::NAN), (0.9, 0.2)]
    {
        assert!(AdaptiveLevel::new(target, step).is_err());
    }
}

#[test]
fn too_few_rows_and_bad_ones_are_refused() {
    let mut rng = Pcg64Mcg::seed_from_u64(4);
    let (x, y) = draw(&mut rng, 8);
    let error = fit_bands(&x, &y).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotEnoughData { have: 8, need: 9 });
    assert_eq!(fit_residuals(&x, &y).unwrap_err().kind(), ErrorKind::NotEnoughData { have: 8, need: 9 });
    let (x, mut y) = draw(&mut rng, 9);
    let fitted = fit_bands(&x, &y).unwrap();
    assert!(fitted.intervals(&bands(0.5)[..1]).is_err());
    y[3] = f64::NAN;
    assert!(fit_bands(&x, &y).is_err() && fit_residuals(&x, &y).is_err());
    assert!(Scores::new(&[], &[]).is_err() && Scores::new(&[1.0], &[0.0]).is_err());
    assert!(Scores::new(&[1.0], &[f64::NAN]).is_err() && Scores::new(&[1.0], &[2.0]).is_err());
    for levels in [vec![], vec![0.9, 0.8], vec![0.0], vec![1.0], vec![f64::NAN]] {
        assert!(ResidualConformal::fit(&levels, &[1.0; 20], &[1.0; 20], &[1.0; 20], &[1.0; 20]).is_err());
    }
    assert!(ResidualConformal::fit(&LEVELS, &[1.0; 20], &[0.0; 20], &[1.0; 20], &[1.0; 20]).is_err());
}

#[test]
fn what_was_read_back_is_checked() {
    let mut rng = Pcg64Mcg::seed_from_u64(5);
    let (x, y) = draw(&mut rng, 30);
    let fitted = fit_bands(&x, &y).unwrap();
    let back: QuantileConformal = postcard::from_bytes(&postcard::to_stdvec(&fitted).unwrap()).unwrap();
    assert!(back == fitted && back.is_sound() && fit_residuals(&x, &y).unwrap().is_sound());
    let damaged: Scores = serde_json::from_str(r#"{"values":[2.0,1.0],"totals":[1.0,2.0]}"#).unwrap();
    assert!(!damaged.is_sound());
    let damaged: Scores = serde_json::from_str(r#"{"values":[],"totals":[]}"#).unwrap();
    assert!(!damaged.is_sound() && damaged.reach(0.5) == 0.0);
}

proptest! {
    #[test]
    fn intervals_are_ordered_and_nested_whatever_the_bands(
        rows in prop::collection::vec((-50.0..50.0_f64, -50.0..50.0_f64, -50.0..50.0_f64, -50.0..50.0_f64, -99.0..99.0_f64), 9..60),
        next in prop::array::uniform4(-99.0..99.0_f64),
        asked in prop::array::uniform2(0.0..2.0_f64),
    ) {
        let inner: Vec<_> = rows.iter().map(|r| Interval { lower: r.0, upper: r.1 }).collect();
        let outer: Vec<_> = rows.iter().map(|r| Interval { lower: r.2, upper: r.3 }).collect();
        let labels: Vec<_> = rows.iter().map(|r| r.4).collect();
        let weights = vec![1.0; rows.len()];
        let fitted = QuantileConformal::fit(&LEVELS, &[&inner, &outer], &labels, &weights).unwrap();
        let bands = [Interval { lower: next[0], upper: next[1] }, Interval { lower: next[2], upper: next[3] }];
        let around = ResidualConformal::fit(&LEVELS, &labels, &weights, &vec![0.0; rows.len()], &weights).unwrap();
        for found in [
            fitted.intervals(&bands).unwrap(),
            fitted.intervals_at(&bands, &asked).unwrap(),
            around.intervals(next[0], next[1]),
            around.intervals_at(next[0], next[1], &asked),
        ] {
            prop_assert!(found.iter().all(|i| i.lower <= i.upper));
            prop_assert!(found[1].lower <= found[0].lower && found[0].upper <= found[1].upper);
        }
        // Held-out rows themselves are covered at least as often as the level says.
        let hits = labels.iter().zip(inner.iter().zip(&outer)).filter(|(y, (a, b))| {
            fitted.intervals(&[**a, **b]).unwrap()[1].widened(1e-9).contains(**y)
        });
        prop_assert!(hits.count() as f64 >= 0.9 * rows.len() as f64 - 1e-9);
    }

    #[test]
    fn a_higher_level_never_reaches_less_far(scores in prop::collection::vec(-9.0..9.0_f64, 1..50), levels in prop::array::uniform2(0.0..2.0_f64)) {
        let found = Scores::new(&scores, &vec![1.0; scores.len()]).unwrap();
        let [a, b] = [levels[0].min(levels[1]), levels[0].max(levels[1])];
        prop_assert!(found.reach(a) <= found.reach(b));
    }
}
