//! Features as estimators of `linfa` take them: dense, without missing values, on scales of one size.

use crate::dataset::{Dataset, Example};
use crate::error::{Error, ErrorKind, Result};
use crate::features::{FEATURES, FeatureRow, Kind, KnownWhen};
use crate::models::column_encoder::{ColumnEncoder, ColumnMeaning, Encodable};
use crate::models::success::Scaler;
use linfa::dataset::DatasetBase;
use ndarray::{Array1, Array2, Ix1};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};

/// What [`Dataset::to_linfa`] gives.
pub(super) type LinfaDataset = linfa::Dataset<f64, f64, Ix1>;

/// Encodes rows as training rows were: rates as log-odds, counts as logarithms, all standardized, missing at the mean; and
/// for what was missing now and then, whether it is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RecordEncoder {
    own: ColumnEncoder,
    meanings: Vec<Option<ColumnMeaning>>,
    scaler: Scaler,
    /// Places of which a column says whether they are known.
    known: Vec<usize>,
}

/// A feature that is missing in fewer rows, or known in fewer, has no column that says so.
const FEWEST: usize = 10;

impl Dataset {
    /// Returns the examples whose label is certain as a dataset of `linfa`, with names and weights: numbers, counts, rates
    /// and flags standardized (rates as log-odds, counts as logarithms), a missing value at the mean beside a column that
    /// says whether it is known, the host's categories as shrunk mean labels out of fold. Codes of categories are left
    /// out: no estimator should take them as numbers.
    ///
    /// ```
    /// use devmatrix_ml::{Error, ErrorKind, Result, dataset::Dataset};
    /// use linfa::prelude::*;
    /// use linfa_trees::DecisionTree;
    /// fn most_important(data: &Dataset) -> Result<Option<String>> {
    ///     let rows = data.to_linfa()?.map_targets(|label| *label > 0.5);
    ///     let tree = DecisionTree::params().max_depth(Some(4)).fit(&rows);
    ///     let tree = tree.map_err(|e| Error::new(ErrorKind::InvalidInput, "no tree").with_source(e))?;
    ///     Ok(tree.root_node().feature_name().cloned())
    /// }
    /// ```
    ///
    /// # Errors
    /// `NotEnoughData` without such an example, or where none of the features varies; `Cancelled`.
    #[cfg_attr(docsrs, doc(cfg(feature = "linfa")))]
    pub fn to_linfa(&self) -> Result<linfa::Dataset<f64, f64, Ix1>> {
        let rows: Vec<_> = self.certain().collect();
        RecordEncoder::fit(&rows).map(|(_, rows)| rows)
    }
}

impl RecordEncoder {
    /// Fits the encoding, and encodes the training rows.
    pub(super) fn fit(rows: &[&Example]) -> Result<(Self, LinfaDataset)> {
        let encodable: Vec<_> = rows.iter().map(|e| encodable(e)).collect();
        let (own, apart) = ColumnEncoder::fit(&encodable, &BTreeSet::new())?;
        let value = |i: usize, place: usize| apart.value(&rows[i].features, i, place);
        let column = |place: usize| (0..rows.len()).map(move |i| value(i, place));
        let usable = |place: &usize| {
            let feature = &FEATURES[*place];
            feature.kind != Kind::Category && feature.known == KnownWhen::Before
        };
        let all: Vec<_> = (0..FEATURES.len()).filter(usable).chain(own.places()).collect();
        let places: Vec<_> = all.iter().copied().filter(|place| varies(column(*place))).collect();
        let mut patterns = HashSet::new();
        let mut tells = |place: &usize| {
            let missing: Vec<_> = column(*place).map(f32::is_nan).collect();
            let n = missing.iter().filter(|missing| **missing).count();
            n >= FEWEST && rows.len() - n >= FEWEST && patterns.insert(missing)
        };
        let known: Vec<_> = all.iter().copied().filter(|place| tells(place)).collect();
        if places.is_empty() && known.is_empty() {
            let kind = ErrorKind::NotEnoughData { have: rows.len(), need: rows.len() + 1 };
            let why = format!("{} labelled generations, no feature of which varies: record more", rows.len());
            return Err(Error::new(kind, why));
        }
        let scaler = Scaler::fit(places, rows.len(), value, 1.0);
        let encoder = Self { meanings: own.meanings(), own, scaler, known };
        let mut records = Vec::with_capacity(rows.len() * encoder.width());
        (0..rows.len()).for_each(|i| encoder.push(|place| value(i, place), &mut records));
        let records = encoder.matrix(rows.len(), records)?;
        let labels: Array1<f64> = rows.iter().map(|e| e.label).collect();
        let weights: Array1<f32> = rows.iter().map(|e| weight(e)).collect();
        let data = DatasetBase::new(records, labels).with_weights(weights);
        let data = data.with_feature_names(encoder.names());
        Ok((encoder, data))
    }

    pub(super) fn width(&self) -> usize {
        self.scaler.places().len() + self.known.len()
    }

    /// Returns the encoded rows.
    pub(super) fn encode<'a>(
        &self,
        rows: impl ExactSizeIterator<Item = &'a FeatureRow>,
    ) -> Result<Array2<f64>> {
        let n = rows.len();
        let mut values = Vec::with_capacity(n * self.width());
        rows.for_each(|row| self.push(|place| self.own.value(row, place), &mut values));
        self.matrix(n, values)
    }

    /// Returns the encoder that was read, with how its columns were declared; checks everything that encoding relies on.
    pub(super) fn opened(self) -> Result<Self> {
        let own = self.own.with_meanings(self.meanings.clone())?;
        let opened = Self { own, ..self };
        opened.validate()?;
        Ok(opened)
    }

    fn validate(&self) -> Result<()> {
        let has = |places: &[usize]| places.iter().all(|place| self.own.has(*place));
        if self.scaler.is_sound(&self.own) && has(&self.known) && self.width() > 0 {
            return self.own.validate();
        }
        Err(Error::corrupt("the encoding of the model's features is out of range"))
    }

    fn names(&self) -> Vec<String> {
        let name = |place: &usize| self.own.name_of(*place).unwrap_or_default().to_owned();
        let known = self.known.iter().map(|place| format!("{} is known", name(place)));
        self.scaler.places().iter().map(name).chain(known).collect()
    }

    fn push(&self, value: impl Fn(usize) -> f32, values: &mut Vec<f64>) {
        let mut scaled = Vec::new();
        self.scaler.transform(&value, &mut scaled);
        values.extend(scaled.into_iter().map(f64::from));
        values.extend(self.known.iter().map(|place| f64::from(u8::from(!value(*place).is_nan()))));
    }

    fn matrix(&self, rows: usize, values: Vec<f64>) -> Result<Array2<f64>> {
        Array2::from_shape_vec((rows, self.width()), values)
            .map_err(|e| Error::internal("the records have another shape").with_source(e))
    }
}

fn encodable(example: &Example) -> Encodable<'_> {
    Encodable { row: &example.features, task: example.task, label: example.label, weight: example.weight }
}

/// The weight of a row: that of a success is a little higher, so that no leaf of a tree is undecided, which linfa-trees
/// 0.8.1 decides by the order of a hash map, another in each run.
fn weight(example: &Example) -> f32 {
    let decides = if example.label == 1.0 { 1.0 + 1.0 / 4096.0 } else { 1.0 };
    (example.weight * decides) as f32
}

fn varies(values: impl Iterator<Item = f32>) -> bool {
    let mut known = values.filter(|value| !value.is_nan());
    known.next().is_some_and(|first| known.any(|value| value != first))
}
