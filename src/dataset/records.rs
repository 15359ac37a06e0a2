//! Features of examples as the arrays that `ndarray`, `sprs` and `linfa` work with.

use super::Dataset;
use crate::features::{ColumnKind, FEATURES, Kind};
use crate::text::NGRAM_BUCKETS;
use ndarray::Array2;
use sprs::CsMat;

/// The features of a dataset's examples as they were at the start, a row an example; the labels are those of
/// [`Dataset::examples`].
///
/// ```
/// use devmatrix_ml::dataset::Dataset;
/// use devmatrix_ml::features::Kind;
/// use ndarray::Axis;
/// /// The mean of each rate.
/// fn means(data: &Dataset) -> Vec<(String, f32)> {
///     let records = data.records();
///     let columns = records.columns.iter().zip(records.values.axis_iter(Axis(1)));
///     let rates = columns.filter(|((_, kind), _)| *kind == Kind::Rate);
///     rates.filter_map(|((name, _), column)| Some((name.clone(), column.mean()?))).collect()
/// }
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "linfa")))]
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Records {
    /// Names and kinds of the columns of [`values`](Self::values): those of [`FEATURES`](crate::features::FEATURES), then
    /// the host's own.
    pub columns: Vec<(String, Kind)>,
    /// The values; missing is NaN, and a category is a code without an order.
    pub values: Array2<f32>,
    /// The descriptions' n-grams, hashed into 2^20 columns, with their weights, as compressed sparse rows. No estimator of
    /// `linfa` 0.8 takes them as they are.
    pub ngrams: CsMat<f32>,
}

impl Dataset {
    /// Returns the features of all examples as arrays.
    #[cfg_attr(docsrs, doc(cfg(feature = "linfa")))]
    pub fn records(&self) -> Records {
        let own = self.examples.first().map(|e| e.features.own.declared.clone()).unwrap_or_default();
        let mut columns: Vec<_> = FEATURES.iter().map(|f| (f.name.to_owned(), f.kind)).collect();
        columns.extend(own.iter().map(|column| (column.name.clone(), kind(column.kind))));
        let shape = (self.examples.len(), columns.len());
        let values = Array2::from_shape_fn(shape, |(i, place)| self.examples[i].features.stored(place));
        Records { columns, values, ngrams: self.ngrams() }
    }

    fn ngrams(&self) -> CsMat<f32> {
        let mut starts = vec![0];
        let (mut buckets, mut weights) = (Vec::new(), Vec::new());
        for example in &self.examples {
            for (bucket, weight) in example.features.text.iter() {
                buckets.push(bucket);
                weights.push(weight);
            }
            starts.push(buckets.len());
        }
        CsMat::new((self.examples.len(), NGRAM_BUCKETS), starts, buckets, weights)
    }
}

fn kind(kind: ColumnKind) -> Kind {
    match kind {
        ColumnKind::Category => Kind::Category,
        ColumnKind::Number | ColumnKind::Flag => Kind::Number,
    }
}
