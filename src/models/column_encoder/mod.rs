//! The host's own columns as a model reads them.

use crate::error::{Error, Result};
use crate::execution;
use crate::features::{ColumnKind, FEATURES, FeatureRow, HostColumn, Kind, KnownWhen};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Encodes a row's own columns for one model, which finds them by name: a number or flag as it is, a category as the mean
/// label of its generations, shrunk toward that of all by how few they are (Micci-Barreca 2001).
///
/// Column `i` is at the place [`COLUMNS_AT`]` + i`, behind all features that there may ever be: models that were stored
/// with fewer features find their columns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ColumnEncoder {
    columns: Vec<Encoded>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Encoded {
    name: String,
    kind: ColumnKind,
    /// Of a category, the shrunk mean by code, and that of an unknown one.
    means: BTreeMap<u32, f32>,
    mean: f32,
    /// Its declaration; `None` in what was stored before that was kept.
    #[serde(skip)]
    meaning: Option<ColumnMeaning>,
}

/// Unit of a column's values and the moment since which they are known: a column that is declared otherwise is another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ColumnMeaning {
    unit: String,
    known: KnownWhen,
}

/// Encoded columns of training rows: those of categories from the other folds alone, since a mean that holds the row's own
/// label gives it away.
pub(super) struct OutOfFold(Vec<Vec<f32>>);

/// The place of the first column.
const COLUMNS_AT: usize = 1 << 12;

/// A column with fewer values than these teaches nothing.
const FEWEST_VALUES: usize = 20;

/// Columns that a model uses: of more those that go most with the label. Chance finds some among thousands. Chosen, not
/// tuned, as the other constants here; compare `backtest --columns` on folds by task to tune them.
pub(crate) const MOST_USED: usize = 64;

/// Weight of the mean of all in a category's, in generations.
const STRENGTH: f64 = 10.0;

/// Folds, by task, from which the means of the others are taken.
const FOLDS: u64 = 5;

/// A row to learn an encoding from.
#[derive(Clone, Copy)]
pub(super) struct Encodable<'a> {
    pub(super) row: &'a FeatureRow,
    pub(super) task: u64,
    pub(super) label: f64,
    pub(super) weight: f64,
}

impl ColumnEncoder {
    /// Fits the means of categories, and chooses the columns, none of those named in `without`.
    ///
    /// # Errors
    /// `Cancelled`.
    pub(super) fn fit(rows: &[Encodable<'_>], without: &BTreeSet<String>) -> Result<(Self, OutOfFold)> {
        let declared = rows.first().map(|r| r.row.own.declared.clone()).unwrap_or_default();
        let everything = |_: &Encodable<'_>| true;
        let mut found = Vec::new();
        for (place, column) in
            declared.iter().enumerate().filter(|(_, column)| !without.contains(&column.name))
        {
            execution::check()?;
            let mut encoded = Encoded::fit(&column.name, column.kind, place, rows, &everything);
            encoded.meaning = Some(ColumnMeaning { unit: column.unit.clone(), known: column.known });
            let apart = encoded.out_of_fold(place, rows);
            if let Some(association) = association(&apart, rows) {
                found.push((association, place, encoded, apart));
            }
            if found.len() > 2 * MOST_USED {
                keep_closest(&mut found);
            }
        }
        keep_closest(&mut found);
        found.sort_by_key(|(_, place, ..)| *place);
        let by_row = (0..rows.len()).map(|i| found.iter().map(|(.., apart)| apart[i]).collect()).collect();
        let columns = found.into_iter().map(|(_, _, encoded, _)| encoded).collect();
        Ok((Self { columns }, OutOfFold(by_row)))
    }

    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// Returns the value of a column of `row` and the sentence about it; `None` where it is missing or means something else
    /// than what was learned from.
    pub(super) fn sentence(&self, column: usize, row: &FeatureRow) -> Option<(f64, String)> {
        let column = self.columns.get(column).filter(|column| column.is_in(row))?;
        row.own.sentence(&column.name, column.kind)
    }

    /// Returns the row without the columns that mean something else than what was learned from.
    pub(super) fn as_declared<'a>(&self, row: &'a FeatureRow) -> Cow<'a, FeatureRow> {
        let mut read = Cow::Borrowed(row);
        for column in self.columns.iter().filter(|column| !column.is_in(row)) {
            let place = row.own.declared.place(&column.name, column.kind, 0);
            if let Some(place) = place.filter(|place| *place < row.own.values.len()) {
                read.to_mut().own.values[place] = f32::NAN;
            }
        }
        read
    }

    /// Returns a note that names the columns that it goes without since they are declared otherwise now, or no more.
    pub(super) fn outdated(&self, row: &FeatureRow) -> Option<String> {
        let gone: Vec<_> = self.columns.iter().filter(|column| !column.is_in(row)).collect();
        let names: Vec<_> = gone.iter().take(5).map(|column| column.name.as_str()).collect();
        (!gone.is_empty()).then(|| {
            let more = if gone.len() > names.len() { " and others" } else { "" };
            format!(
                "the model goes without {}{more}, declared otherwise (kind, unit or when known) since it was trained, or no \
                 more: it uses them again when retrained",
                names.join(", ")
            )
        })
    }

    /// Returns how each column was declared, in their order.
    pub(super) fn meanings(&self) -> Vec<Option<ColumnMeaning>> {
        self.columns.iter().map(|column| column.meaning.clone()).collect()
    }

    /// Sets how each column was declared.
    pub(super) fn with_meanings(mut self, meanings: Vec<Option<ColumnMeaning>>) -> Result<Self> {
        if meanings.len() != self.columns.len() {
            return Err(Error::corrupt(
                "the encoding of the host's columns has other columns than their declaration",
            ));
        }
        self.columns.iter_mut().zip(meanings).for_each(|(column, meaning)| column.meaning = meaning);
        Ok(self)
    }

    /// Names and kinds of the columns used.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, ColumnKind)> {
        self.columns.iter().map(|column| (column.name.as_str(), column.kind))
    }

    /// The places of the columns.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + use<> {
        COLUMNS_AT..COLUMNS_AT + self.columns.len()
    }

    /// Returns the value of `row` at `place`: of a feature, or of an encoded column.
    pub(super) fn value(&self, row: &FeatureRow, place: usize) -> f32 {
        match place.checked_sub(COLUMNS_AT).and_then(|i| Some((i, self.columns.get(i)?))) {
            Some((near, column)) if column.is_in(row) => {
                column.encode(row.own.value(&column.name, column.kind, near))
            }
            Some(_) => f32::NAN,
            None => row.values.get(place).copied().unwrap_or(f32::NAN),
        }
    }

    /// Returns whether there is a feature or a column at `place`.
    pub(super) fn has(&self, place: usize) -> bool {
        self.name_of(place).is_some()
    }

    /// Returns the index of what is at `place` among all features, followed by all columns.
    pub(super) fn slot(place: usize) -> usize {
        place.checked_sub(COLUMNS_AT).map_or(place, |column| FEATURES.len() + column)
    }

    /// Returns the name of what is at `place`.
    pub(super) fn name_of(&self, place: usize) -> Option<&str> {
        match place.checked_sub(COLUMNS_AT) {
            Some(i) => self.columns.get(i).map(|column| column.name.as_str()),
            None => FEATURES.get(place).map(|feature| feature.name),
        }
    }

    /// Returns true if what is at `place` is a category, whose number is a code or a mean of labels.
    pub(super) fn is_category(&self, place: usize) -> bool {
        match place.checked_sub(COLUMNS_AT) {
            Some(i) => self.columns.get(i).is_some_and(|column| column.kind == ColumnKind::Category),
            None => FEATURES.get(place).is_some_and(|feature| feature.kind == Kind::Category),
        }
    }

    /// Checks everything that a prediction relies on.
    pub(super) fn validate(&self) -> Result<()> {
        let sound = |column: &Encoded| column.means.values().chain([&column.mean]).all(|v| v.is_finite());
        let names: HashSet<_> = self.columns.iter().map(|column| &column.name).collect();
        let few = self.columns.len() <= MOST_USED;
        if few && names.len() == self.columns.len() && self.columns.iter().all(sound) {
            return Ok(());
        }
        Err(Error::corrupt("the encoding of the host's columns is out of range"))
    }
}

/// Writes the encodings of a model's parts behind its `bytes`, where there is one.
pub(super) fn write<'a>(
    bytes: Vec<u8>,
    parts: impl Iterator<Item = Option<&'a ColumnEncoder>>,
) -> Result<Vec<u8>> {
    let encoders: Vec<_> = parts.map(|part| part.cloned().unwrap_or_default()).collect();
    if encoders.iter().all(|encoder| encoder.columns.is_empty()) {
        return Ok(bytes);
    }
    let meanings: Vec<_> = encoders.iter().map(ColumnEncoder::meanings).collect();
    postcard::to_extend(&encoders, bytes)
        .and_then(|bytes| postcard::to_extend(&meanings, bytes))
        .map_err(|e| Error::internal("the encoding of the host's columns cannot be written").with_source(e))
}

/// The encodings of a model's parts.
pub(super) struct Encoders(std::vec::IntoIter<ColumnEncoder>);

/// Reads what [`write`] wrote behind a model.
pub(super) fn read(rest: &[u8]) -> Result<Encoders> {
    if rest.is_empty() {
        return Ok(Encoders(Vec::new().into_iter()));
    }
    let unread = |e| Error::corrupt("the encoding of the host's columns cannot be read").with_source(e);
    let (mut encoders, rest): (Vec<ColumnEncoder>, _) = postcard::take_from_bytes(rest).map_err(unread)?;
    // What was stored before declarations were kept ends here.
    if !rest.is_empty() {
        let (meanings, rest): (Vec<Vec<_>>, _) = postcard::take_from_bytes(rest).map_err(unread)?;
        if !rest.is_empty() || meanings.len() != encoders.len() {
            return Err(Error::corrupt(format!("the model has {} bytes too many", rest.len())));
        }
        let parts = encoders.into_iter().zip(meanings);
        encoders = parts.map(|(part, meanings)| part.with_meanings(meanings)).collect::<Result<_>>()?;
    }
    encoders.iter().try_for_each(ColumnEncoder::validate)?;
    Ok(Encoders(encoders.into_iter()))
}

impl Encoders {
    /// Takes that of the next part; none of its own columns where nothing was written.
    pub(super) fn next(&mut self) -> ColumnEncoder {
        self.0.next().unwrap_or_default()
    }
}

impl OutOfFold {
    /// Returns the value of training row `i` at `place`.
    pub(super) fn value(&self, row: &FeatureRow, i: usize, place: usize) -> f32 {
        match place.checked_sub(COLUMNS_AT) {
            Some(column) => self.0[i][column],
            None => row.values.get(place).copied().unwrap_or(f32::NAN),
        }
    }
}

impl Encoded {
    fn fit(
        name: &str,
        kind: ColumnKind,
        near: usize,
        rows: &[Encodable<'_>],
        keep: &dyn Fn(&Encodable<'_>) -> bool,
    ) -> Self {
        let mut plain =
            Self { name: name.to_owned(), kind, means: BTreeMap::new(), mean: 0.0, meaning: None };
        if kind != ColumnKind::Category {
            return plain;
        }
        let mut sums = BTreeMap::<u32, (f64, f64)>::new();
        let mut all = (0.0, 0.0);
        for row in rows.iter().filter(|row| keep(row)) {
            let code = row.row.own.value(name, kind, near);
            let category = (!code.is_nan()).then(|| sums.entry(code as u32).or_default());
            for sum in category.into_iter().chain([&mut all]) {
                *sum = (sum.0 + row.weight * row.label, sum.1 + row.weight);
            }
        }
        let mean = if all.1 > 0.0 { all.0 / all.1 } else { 0.0 };
        let shrunk = |(sum, n): (f64, f64)| ((sum + STRENGTH * mean) / (n + STRENGTH)) as f32;
        plain.means = sums.into_iter().map(|(code, sum)| (code, shrunk(sum))).collect();
        plain.mean = mean as f32;
        plain
    }

    /// The column of the training rows.
    fn out_of_fold(&self, near: usize, rows: &[Encodable<'_>]) -> Vec<f32> {
        let raw = |row: &Encodable<'_>| row.row.own.value(&self.name, self.kind, near);
        if self.kind != ColumnKind::Category {
            return rows.iter().map(raw).collect();
        }
        let others: Vec<_> = (0..FOLDS)
            .map(|fold| Self::fit(&self.name, self.kind, near, rows, &|row| row.task % FOLDS != fold))
            .collect();
        rows.iter().map(|row| others[(row.task % FOLDS) as usize].encode(raw(row))).collect()
    }

    /// Checks that the row's columns have it, declared as it was.
    fn is_in(&self, row: &FeatureRow) -> bool {
        let (declared, meaning) = (&row.own.declared, self.meaning.as_ref());
        let column = declared.place(&self.name, self.kind, 0).and_then(|place| declared.get(place));
        let same = |column: &HostColumn| {
            meaning.is_none_or(|meaning| meaning.unit == column.unit && meaning.known == column.known)
        };
        column.is_some_and(same)
    }

    fn encode(&self, raw: f32) -> f32 {
        if self.kind != ColumnKind::Category || raw.is_nan() {
            return raw;
        }
        self.means.get(&(raw as u32)).copied().unwrap_or(self.mean)
    }
}

/// A column with its association with the labels, its place and its values.
type Candidate = (f64, usize, Encoded, Vec<f32>);

/// Keeps as many as a model uses, of equally close ones the first.
fn keep_closest(found: &mut Vec<Candidate>) {
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    found.truncate(MOST_USED);
}

/// How closely a column goes with the labels: the absolute correlation of ranks would be dear, that of the values does to
/// choose by. `None` where it has too few values or but one.
fn association(column: &[f32], rows: &[Encodable<'_>]) -> Option<f64> {
    let known = || column.iter().zip(rows).filter(|(value, _)| !value.is_nan());
    let n: f64 = known().map(|(_, row)| row.weight).sum();
    if known().count() < FEWEST_VALUES || n <= 0.0 {
        return None;
    }
    let mean = |of: &dyn Fn(f64, f64) -> f64| {
        known().map(|(value, row)| row.weight * of(f64::from(*value), row.label)).sum::<f64>() / n
    };
    let (x, y) = (mean(&|x, _| x), mean(&|_, y| y));
    let (xx, yy, xy) =
        (mean(&|v, _| (v - x) * (v - x)), mean(&|_, l| (l - y) * (l - y)), mean(&|v, l| (v - x) * (l - y)));
    (xx > 1e-12 * (1.0 + x * x)).then(|| if yy > 0.0 { xy.abs() / (xx * yy).sqrt() } else { 0.0 })
}

#[cfg(test)]
mod tests;
