//! The covariance of two rows, and what it depends on.

use super::at;
use serde::{Deserialize, Serialize};

/// A text as ascending indices and values of unit length together.
pub(super) type SparseRow = (Vec<u32>, Vec<f32>);

/// The inputs of the kernel for one row; all rows of a process have as many groups, columns, categories and measures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct GpRow {
    /// Its text's n-grams: ascending indices, values of unit length together.
    pub(crate) text: SparseRow,
    /// Groups that it may share with others, each by its code.
    pub(crate) groups: Vec<Option<u32>>,
    /// Standardized columns; 0, the mean, where missing.
    pub(crate) columns: Vec<f32>,
    /// Columns that are categories, each by its code.
    pub(crate) categories: Vec<Option<u32>>,
    /// Standardized measures of its shape.
    pub(crate) shape: Vec<f32>,
}

/// Hyperparameters of the covariance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Hyperparameters {
    /// Amplitudes (variances) of the texts, of each group, of the columns, of the shapes.
    pub(super) text: f64,
    pub(super) groups: Vec<f64>,
    pub(super) columns: f64,
    pub(super) shape: f64,
    /// Distance of shapes, in deviations, over which they stop being alike.
    pub(super) length: f64,
    /// Variance that no row tells.
    pub(super) noise: f64,
}

/// Medians of the log-normal priors. Chosen on folds by task of two sets of agents and tasks (245 and 41 tasks): the shape
/// of a text told little there, so it must show that it does.
const AMPLITUDE: f64 = 0.3;
const AMPLITUDE_OF_SHAPE: f64 = 0.03;
const LENGTH: f64 = 1.0;
const NOISE: f64 = 0.5;

/// More than a row ever has: a stored process that claims more is damaged.
const MOST_PARTS: usize = 256;
const MOST_NGRAMS: usize = 1 << 17;

impl GpRow {
    pub(super) fn is_sound(&self) -> bool {
        let (indices, values) = &self.text;
        self.lengths().iter().all(|length| *length <= MOST_PARTS)
            && indices.len() <= MOST_NGRAMS
            && indices.len() == values.len()
            && indices.is_sorted_by(|a, b| a < b)
            && values.iter().map(|v| v * v).sum::<f32>() <= 1.01
            && self.columns.iter().chain(&self.shape).all(|v| v.abs() <= 1e3)
    }

    pub(super) fn has_columns(&self) -> bool {
        !self.columns.is_empty() || !self.categories.is_empty()
    }

    pub(super) fn is_shaped_like(&self, other: &Self) -> bool {
        self.lengths() == other.lengths()
    }

    /// Numbers of groups, columns, categories and measures of shape.
    pub(super) fn lengths(&self) -> [usize; 4] {
        [self.groups.len(), self.columns.len(), self.categories.len(), self.shape.len()]
    }
}

impl Hyperparameters {
    /// The medians of the priors, for rows like this one.
    pub(super) fn prior(like: Option<&GpRow>) -> Self {
        let groups = like.map_or(0, |row| row.groups.len());
        Self {
            text: AMPLITUDE,
            groups: vec![AMPLITUDE; groups],
            columns: AMPLITUDE,
            shape: AMPLITUDE_OF_SHAPE,
            length: LENGTH,
            noise: NOISE,
        }
    }

    /// Those under which only texts count.
    pub(super) fn of_texts(amplitude: f64, noise: f64) -> Self {
        Self { text: amplitude, groups: vec![], columns: 0.0, shape: 0.0, length: LENGTH, noise }
    }

    pub(super) fn are_sound(&self, row: &GpRow) -> bool {
        let amplitudes = [self.text, self.columns, self.shape];
        self.groups.len() == row.groups.len()
            && amplitudes.iter().chain(&self.groups).all(|a| (0.0..=1e3).contains(a))
            && (1e-3..=1e3).contains(&self.length)
            && (1e-3..=1e3).contains(&self.noise)
    }
}

/// The covariance with observed rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kernel {
    hyperparameters: Hyperparameters,
    postings: Postings,
}

impl Kernel {
    pub(super) fn new(hyperparameters: Hyperparameters, rows: &[GpRow]) -> Self {
        Self { hyperparameters, postings: Postings::of(rows) }
    }

    /// The covariance of `row` with each of `rows`, which are the first of those that it was made of.
    pub(super) fn with_all(&self, row: &GpRow, rows: &[GpRow]) -> Vec<f64> {
        let Hyperparameters { text, groups, columns, shape, length, .. } = &self.hyperparameters;
        let mut found = self.postings.products(row, rows.len());
        found.iter_mut().for_each(|k| *k *= text);
        for (k, other) in found.iter_mut().zip(rows) {
            let shared = row.groups.iter().zip(&other.groups).zip(groups);
            *k += shared.map(|((a, b), amplitude)| amplitude * same(*a, *b)).sum::<f64>();
            *k += columns * product_of_columns(row, other);
            if *shape > 0.0 && !row.shape.is_empty() {
                *k += shape * alike(square_distance(row, other), *length);
            }
        }
        found
    }

    /// The covariance of a new `row` with itself, without noise.
    pub(super) fn with_itself(&self, row: &GpRow) -> f64 {
        let Hyperparameters { text, groups, columns, shape, .. } = &self.hyperparameters;
        let length: f32 = row.text.1.iter().map(|v| v * v).sum();
        let shared = row.groups.iter().zip(groups);
        text * f64::from(length)
            + shared.map(|(group, amplitude)| amplitude * same(*group, *group)).sum::<f64>()
            + columns * product_of_columns(row, row)
            + if row.shape.is_empty() { 0.0 } else { *shape }
    }

    /// The lower triangle of the rows' covariances.
    pub(super) fn lower_triangle(&self, rows: &[GpRow]) -> Vec<f64> {
        let mut found = Vec::with_capacity(at(rows.len(), 0));
        for (i, row) in rows.iter().enumerate() {
            found.extend(self.with_all(row, &rows[..=i]));
        }
        found
    }
}

/// By index the rows whose text has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Postings(Vec<(u32, u32, f32)>);

impl Postings {
    pub(super) fn of(rows: &[GpRow]) -> Self {
        let of_row = |(number, row): (usize, &GpRow)| {
            let (indices, values) = &row.text;
            indices.iter().zip(values).map(|(i, v)| (*i, number as u32, *v)).collect::<Vec<_>>()
        };
        let mut postings: Vec<_> = rows.iter().enumerate().flat_map(of_row).collect();
        postings.sort_unstable_by_key(|(index, row, _)| (*index, *row));
        Self(postings)
    }

    /// The cosines of the text of `row` with those of the first `n` rows.
    pub(super) fn products(&self, row: &GpRow, n: usize) -> Vec<f64> {
        let mut found = vec![0.0; n];
        for (index, value) in row.text.0.iter().zip(&row.text.1) {
            let from = self.0.partition_point(|(i, ..)| i < index);
            let holders = self.0[from..].iter().take_while(|(i, row, _)| i == index && (*row as usize) < n);
            holders.for_each(|(_, holder, weight)| found[*holder as usize] += f64::from(value * weight));
        }
        found
    }
}

/// 1 for the same known group.
pub(super) fn same(a: Option<u32>, b: Option<u32>) -> f64 {
    f64::from(u8::from(a.is_some() && a == b))
}

/// The product of the standardized columns, a shared category counting 1, by the number of both.
pub(super) fn product_of_columns(a: &GpRow, b: &GpRow) -> f64 {
    let count = a.columns.len() + a.categories.len();
    if count == 0 {
        return 0.0;
    }
    let numbers: f64 = a.columns.iter().zip(&b.columns).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    let shared: f64 = a.categories.iter().zip(&b.categories).map(|(x, y)| same(*x, *y)).sum();
    (numbers + shared) / count as f64
}

/// The squared distance of shapes, by the number of measures.
pub(super) fn square_distance(a: &GpRow, b: &GpRow) -> f64 {
    let squares = a.shape.iter().zip(&b.shape).map(|(x, y)| f64::from(x - y).powi(2));
    squares.sum::<f64>() / a.shape.len().max(1) as f64
}

/// The squared exponential.
pub(super) fn alike(square_distance: f64, length: f64) -> f64 {
    (-0.5 * square_distance / (length * length)).exp()
}
