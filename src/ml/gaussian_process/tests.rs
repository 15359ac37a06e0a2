use super::kernel::{Hyperparameters, product_of_columns, same, square_distance};
use super::*;

fn text(angle: f32) -> GpRow {
    GpRow { text: (vec![0, 1], vec![angle.cos(), angle.sin()]), ..GpRow::default() }
}

/// A row with something of everything.
fn row(i: usize) -> GpRow {
    let angle = i as f32 * 0.13;
    GpRow {
        groups: vec![Some(i as u32 % 3), (!i.is_multiple_of(4)).then_some(i as u32 % 2)],
        columns: vec![(i % 5) as f32 - 2.0, angle.sin()],
        categories: vec![Some(i as u32 / 4)],
        shape: vec![angle, (i % 7) as f32 * 0.3],
        ..text(angle)
    }
}

fn process() -> GaussianProcess {
    let values: Vec<_> = (0..12).map(|i| 3.0 - f64::from(i) * 0.4 + f64::from(i % 3)).collect();
    GaussianProcess::fit((0..12).map(row).collect(), &values, &[0.05; 12]).unwrap()
}

fn cosine(a: &GpRow, b: &GpRow) -> f64 {
    let both = a.text.0.iter().zip(&a.text.1);
    let of_b = |index: &u32| b.text.0.iter().position(|i| i == index).map_or(0.0, |at| b.text.1[at]);
    both.map(|(index, value)| f64::from(value * of_b(index))).sum()
}

/// The covariance as it is defined.
fn covariance(of: &Hyperparameters, a: &GpRow, b: &GpRow) -> f64 {
    let groups = a.groups.iter().zip(&b.groups).zip(&of.groups);
    of.text * cosine(a, b)
        + groups.map(|((x, y), amplitude)| amplitude * same(*x, *y)).sum::<f64>()
        + of.columns * product_of_columns(a, b)
        + of.shape * (-square_distance(a, b) / (2.0 * of.length * of.length)).exp()
}

/// The prediction by the definition, solved by elimination on the whole matrix.
fn by_hand(observed: &Observed, query: &GpRow) -> (f64, f64) {
    let n = observed.rows.len();
    let of = &observed.hyperparameters;
    let entry = |i: usize, j: usize| {
        let same = if i == j { observed.variances[i] + of.noise } else { 0.0 };
        covariance(of, &observed.rows[i], &observed.rows[j]) + same
    };
    let a: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect();
    let k: Vec<_> = observed.rows.iter().map(|r| covariance(of, r, query)).collect();
    let (ones, values) = (eliminate(&a, &vec![1.0; n]), eliminate(&a, &observed.values));
    let mean = values.iter().sum::<f64>() / ones.iter().sum::<f64>();
    let centred: Vec<_> = observed.values.iter().map(|v| v - mean).collect();
    let known = dot(&k, &eliminate(&a, &k));
    (mean + dot(&k, &eliminate(&a, &centred)), covariance(of, query, query) - known + of.noise)
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
    let unlike = GpRow { groups: vec![None, Some(9)], ..row(5) };
    for query in [row(1), row(20), unlike] {
        let found = process.guess(&query);
        let (mean, variance) = by_hand(&process.observed, &query);
        let off = (found.mean - mean).abs().max((found.variance - variance).abs());
        assert!(off < 1e-5, "{found:?} {mean} {variance}");
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
    let again = GaussianProcess::of(fewer).guess(&query);
    assert!((left_out.variance - again.variance).abs() < 1e-4, "{left_out:?} {again:?}");
    // The mean to return to is that of all rows here and of the others there.
    assert!((left_out.mean - again.mean).abs() < 0.2, "{left_out:?} {again:?}");
}

#[test]
fn rows_that_tell_nothing_are_not_believed() {
    let rows = (0..60).map(|i| GpRow { text: (vec![i], vec![1.0]), ..GpRow::default() }).collect();
    let values: Vec<_> = (0..60).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let process = GaussianProcess::fit(rows, &values, &[0.1; 60]).unwrap();
    let unknown = process.guess(&GpRow { text: (vec![99], vec![1.0]), ..GpRow::default() });
    assert!(unknown.mean.abs() < 0.01 && unknown.variance >= 0.5, "{unknown:?}");
}

#[test]
fn a_column_that_tells_the_value_is_believed_more_than_a_text_that_does_not() {
    let row = |i: u32| GpRow {
        text: (vec![i * 7 % 64], vec![1.0]),
        columns: vec![(f64::from(i) / 29.5 - 1.0) as f32],
        ..GpRow::default()
    };
    let values: Vec<_> = (0..60).map(|i| f64::from(i) / 10.0).collect();
    let process = GaussianProcess::fit((0..60).map(row).collect(), &values, &[0.1; 60]).unwrap();
    let of = &process.observed.hyperparameters;
    assert!(of.columns > 10.0 * of.text, "{of:?}");
    assert!((process.guess(&row(45)).mean - 4.5).abs() < 0.2);
}

#[test]
fn columns_that_tell_nothing_change_nothing() {
    // Bits of a multiplicative hash: as good as noise beside what the groups tell.
    let noise = |i: u32| (f64::from(i.wrapping_mul(2_654_435_761) >> 16) / 32768.0 - 1.0) as f32;
    let row = |i: u32| GpRow { groups: vec![Some(i % 3)], ..text(i as f32 * 0.07) };
    let noisy = |i: u32| GpRow { columns: vec![noise(i), noise(i + 1000)], ..row(i) };
    let values: Vec<_> = (0..40).map(|i| f64::from(i % 3) + 0.3 * f64::from(noise(i + 5000))).collect();
    let fit = |row: &dyn Fn(u32) -> GpRow| {
        GaussianProcess::fit((0..40).map(row).collect(), &values, &[0.1; 40]).unwrap()
    };
    let (plain, noisy_fit) = (fit(&row), fit(&noisy));
    assert_eq!(noisy_fit.observed.hyperparameters.columns, 0.0);
    assert_eq!(noisy_fit.guess(&noisy(50)), plain.guess(&row(50)));
    assert!(noisy_fit.of_columns(&noisy(50)).iter().all(|part| *part == 0.0));
}

#[test]
fn parts_of_columns_are_what_the_mean_loses_without_them() {
    let values: Vec<_> = (0..12).map(|i| f64::from(row(i).columns[0]) + f64::from(i as u32 / 4)).collect();
    let process = GaussianProcess::fit((0..12).map(row).collect(), &values, &[0.05; 12]).unwrap();
    let query = row(20);
    let parts = process.of_columns(&query);
    assert_eq!(parts.len(), 3);
    assert!(parts.iter().any(|part| part.abs() > 1e-3), "{parts:?}");
    let mean = process.guess(&query).mean;
    let without = |change: &dyn Fn(&mut GpRow)| {
        let mut query = query.clone();
        change(&mut query);
        mean - process.guess(&query).mean
    };
    let lost = [
        without(&|row| row.columns[0] = 0.0),
        without(&|row| row.columns[1] = 0.0),
        without(&|row| row.categories[0] = None),
    ];
    parts.iter().zip(lost).for_each(|(part, lost)| assert!((part - lost).abs() < 1e-9, "{parts:?} {lost}"));
}

#[test]
fn a_row_of_other_parts_is_told_apart_and_does_no_harm() {
    let process = process();
    assert!(process.takes([2, 2, 1, 2]) && !process.takes([2, 3, 1, 2]));
    let query = GpRow { columns: vec![1.0; 5], categories: vec![Some(1); 3], ..row(3) };
    assert_eq!(process.of_columns(&query).len(), 8);
    let rows = vec![GpRow { columns: vec![0.0; 257], ..GpRow::default() }];
    assert!(GaussianProcess::fit(rows, &[1.0], &[1.0]).is_err(), "more columns than there can be");
}

#[test]
fn what_is_not_sound_is_refused_and_what_is_written_is_read_back() {
    assert!(GaussianProcess::fit(vec![], &[], &[]).is_err());
    assert!(GaussianProcess::fit(vec![text(0.0)], &[f64::NAN], &[1.0]).is_err());
    assert!(GaussianProcess::fit(vec![text(0.0)], &[1.0], &[0.0]).is_err());
    assert!(GaussianProcess::fit(vec![text(0.0), row(1)], &[1.0; 2], &[1.0; 2]).is_err(), "of two kinds");
    let process = process();
    let bytes = postcard::to_stdvec(&process).unwrap();
    assert_eq!(postcard::from_bytes::<GaussianProcess>(&bytes).unwrap(), process);
}

#[test]
fn what_was_written_of_texts_alone_is_read() {
    let rows: Vec<_> = (0..4).map(|i| text(i as f32 * 0.3).text).collect();
    let bytes = postcard::to_stdvec(&(rows, vec![1.0, 2.0, 3.0, 4.0], vec![0.1; 4], 2.0, 0.5)).unwrap();
    let read = GaussianProcess::try_from(postcard::from_bytes::<TextsObserved>(&bytes).unwrap()).unwrap();
    let query = GpRow { groups: vec![Some(1)], columns: vec![2.0], shape: vec![1.0], ..text(0.4) };
    let (mean, variance) = by_hand(&read.observed, &text(0.4));
    let found = read.guess(&query);
    assert!((found.mean - mean).abs() < 1e-6 && (found.variance - variance).abs() < 1e-6, "{found:?}");
}
