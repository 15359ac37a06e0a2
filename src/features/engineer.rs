//! From a task and its past to a row of numbers.

use super::frameworks::Frameworks;
use super::host_columns::{ColumnKind, HostColumns};
use super::inputs::{Inputs, Rates};
use super::table::{FEATURES, Feature, KnownWhen, Make};
use crate::error::Result;
use crate::event::{Completion, TaskContext};
use crate::history::HistoryView;
use crate::text::{Lexicon, Readings, SparseText, TaskText, TextFacts};
use crate::zones::Zone;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Options of the features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FeatureOptions {
    /// The zone of hour and weekday.
    pub zone: Tz,
    /// The terms that descriptions are read for.
    #[serde(default)]
    pub lexicon: Lexicon,
    /// How complex each framework is.
    #[serde(default)]
    pub frameworks: Frameworks,
    /// The host's own columns.
    #[serde(default)]
    pub columns: HostColumns,
}

impl Default for FeatureOptions {
    fn default() -> Self {
        Self::in_zone(Tz::UTC)
    }
}

impl FeatureOptions {
    /// Creates options whose hour and weekday are those in `zone`.
    pub(crate) fn in_zone(zone: Tz) -> Self {
        let (lexicon, frameworks, columns) =
            (Lexicon::default(), Frameworks::default(), HostColumns::default());
        Self { zone, lexicon, frameworks, columns }
    }

    /// Sets the host's own columns.
    #[must_use]
    pub fn with_columns(mut self, columns: HostColumns) -> Self {
        self.columns = columns;
        self
    }
}

/// Computes rows of features, in one way for training and for serving.
#[derive(Debug, Clone, Default)]
pub struct FeatureEngineer {
    options: FeatureOptions,
    zone: Zone,
    readings: Readings,
}

/// The features of one task at one moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FeatureRow {
    /// One value a feature of [`FEATURES`]; missing is NaN.
    pub values: Vec<f32>,
    /// The description's n-grams.
    pub text: SparseText,
    /// `true` if the description was longer than is read.
    pub truncated: bool,
    /// The host's own columns.
    pub(crate) own: OwnColumns,
}

/// Values of the host's own columns beside their declaration.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnColumns {
    pub(crate) declared: HostColumns,
    /// One a declared column; a category is its code, missing is NaN.
    pub(crate) values: Vec<f32>,
    /// Names of categories by place, where the row is to be explained.
    categories: BTreeMap<usize, String>,
}

/// A number in a sentence: whole where it is, else with three digits that count.
pub(crate) fn short(value: f32) -> String {
    let digits = if value == 0.0 { 0 } else { 2 - value.abs().log10().floor() as i32 };
    let text = format!("{value:.0$}", digits.clamp(0, 9) as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

impl PartialEq for OwnColumns {
    /// Compares bits, so that missing equals missing.
    fn eq(&self, other: &Self) -> bool {
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        self.declared == other.declared && bits(&self.values) == bits(&other.values)
    }
}

impl OwnColumns {
    /// Creates columns whose categories are known by their codes alone.
    #[cfg(feature = "export")]
    pub(crate) fn of(declared: HostColumns, values: Vec<f32>) -> Self {
        Self { declared, values, categories: BTreeMap::new() }
    }

    /// Returns the value of the column of this name and kind, which is likely at the place `near`; NaN where it is missing
    /// or not declared so.
    pub(crate) fn value(&self, name: &str, kind: ColumnKind, near: usize) -> f32 {
        let place = self.declared.place(name, kind, near);
        place.and_then(|place| self.values.get(place)).copied().unwrap_or(f32::NAN)
    }

    /// Returns the value of a column and the sentence about it; `None` where it is missing.
    pub(crate) fn sentence(&self, name: &str, kind: ColumnKind) -> Option<(f64, String)> {
        let place = self.declared.place(name, kind, 0)?;
        let value = self.values.get(place).filter(|value| !value.is_nan())?;
        let category = self.categories.get(&place).map(String::as_str);
        let shown = category.map_or_else(|| short(*value), str::to_owned);
        Some((f64::from(*value), self.declared.get(place)?.sentence(f64::from(*value), &shown)))
    }
}

impl FeatureRow {
    /// Returns the values as they are stored: the features, then the host's own columns.
    pub(crate) fn into_values(self) -> Vec<f32> {
        let mut values = self.values;
        values.extend(self.own.values);
        values
    }

    /// Returns the value at a place of the row as it is stored: of a feature, else of one of the host's own columns.
    #[cfg(feature = "linfa")]
    pub(crate) fn stored(&self, place: usize) -> f32 {
        let own = place.checked_sub(FEATURES.len()).and_then(|own| self.own.values.get(own));
        self.values.get(place).or(own).copied().unwrap_or(f32::NAN)
    }

    /// Sets the value at a place of the row as it is stored.
    #[cfg(feature = "linfa")]
    pub(crate) fn set_stored(&mut self, place: usize, value: f32) {
        let own = place.checked_sub(FEATURES.len()).and_then(|own| self.own.values.get_mut(own));
        own.or(self.values.get_mut(place)).into_iter().for_each(|slot| *slot = value);
    }

    /// Creates a row without a description.
    pub(crate) fn of_values(values: Vec<f32>) -> Self {
        Self { values, text: SparseText::default(), truncated: false, own: OwnColumns::default() }
    }

    /// Whether what the generated code shows is in it.
    pub(crate) fn has_code(&self) -> bool {
        let own = self.own.declared.iter().zip(&self.own.values);
        FEATURES.iter().zip(&self.values).any(|(f, v)| f.known == KnownWhen::After && !v.is_nan())
            || own.into_iter().any(|(column, v)| column.known == KnownWhen::After && !v.is_nan())
    }
}

impl FeatureEngineer {
    /// Creates an engineer with `options`.
    pub fn new(options: FeatureOptions) -> Self {
        let zone = Zone::of(options.zone);
        Self { options, zone, readings: Readings::default() }
    }

    /// Returns the features of `task` with its history as of `view`.
    pub(crate) fn row(&self, task: &TaskContext, view: &HistoryView) -> FeatureRow {
        self.row_read(task, view, &self.read(task))
    }

    /// Returns the features of `task`, whose description was read before, without what explanations add.
    pub(crate) fn row_read(&self, task: &TaskContext, view: &HistoryView, text: &TaskText) -> FeatureRow {
        let (values, own) = (self.values(task, view, &text.facts), self.own(task));
        FeatureRow { values, text: text.ngrams.clone(), truncated: text.facts.truncated, own }
    }

    /// Returns the host's own columns.
    #[cfg(feature = "export")]
    pub(crate) fn columns(&self) -> &HostColumns {
        &self.options.columns
    }

    /// Returns the lexicon that descriptions are read with.
    pub(crate) fn lexicon(&self) -> &Lexicon {
        &self.options.lexicon
    }

    /// Reads the description of `task` with the lexicon of these options.
    pub(crate) fn read(&self, task: &TaskContext) -> Arc<TaskText> {
        self.readings.read(&self.options.lexicon, &task.task_description)
    }

    /// Forgets the descriptions that were read last.
    pub(crate) fn forget_texts(&self) {
        self.readings.clear();
    }

    /// Returns the features of `task`, whose description was read before, with what explanations name.
    pub(crate) fn row_of(&self, task: &TaskContext, view: &HistoryView, text: &TaskText) -> FeatureRow {
        let mut row = self.row_read(task, view, text);
        row.own.categories = self.options.columns.categories(&task.columns);
        row
    }

    fn own(&self, task: &TaskContext) -> OwnColumns {
        let declared = self.options.columns.clone();
        let values = declared.values(&task.columns, KnownWhen::Before);
        OwnColumns { values, declared, categories: BTreeMap::new() }
    }

    /// The features without the description's n-grams, where `text` was read with the lexicon of
    /// these options.
    fn values(&self, task: &TaskContext, view: &HistoryView, text: &TextFacts) -> Vec<f32> {
        let start = task.started_at.unwrap_or_else(|| view.now());
        let local = self.zone.local(start);
        let frameworks = &self.options.frameworks;
        let inputs = Inputs { task, view, text, frameworks, local, rates: Rates::of(view) };
        let value = |feature: &Feature| match feature.make {
            Make::Before(make) => make(&inputs),
            Make::After(_) => f32::NAN,
        };
        FEATURES.iter().map(value).collect()
    }

    /// Checks every number's range, and that each of the host's own columns is declared and of its kind.
    ///
    /// # Errors
    /// `InvalidInput` naming the field or column.
    pub(crate) fn validate(&self, task: &TaskContext) -> Result<()> {
        task.validate()?;
        self.options.columns.validate(&task.columns, KnownWhen::Before)
    }

    /// Checks the host's own columns of a completion.
    ///
    /// # Errors
    /// `InvalidInput` naming the column.
    pub(crate) fn validate_completion(&self, completion: &Completion) -> Result<()> {
        completion.validate()?;
        self.options.columns.validate(&completion.columns, KnownWhen::After)
    }

    /// Adds what is known once the generation has ended to the row of its task: metrics of the generated code and the
    /// host's own columns; returns whether there is any.
    pub(crate) fn add_completion(&self, row: &mut FeatureRow, completion: &Completion) -> bool {
        let code = Self::add_code(&mut row.values, completion);
        row.own.categories.extend(self.options.columns.categories(&completion.columns));
        self.add_own_after(&mut row.own.values, completion) || code
    }

    /// Adds it to the values of a row as they are stored.
    pub(crate) fn add_after(&self, values: &mut [f32], completion: &Completion) {
        Self::add_code(values, completion);
        let (_, own) = values.split_at_mut(FEATURES.len().min(values.len()));
        self.add_own_after(own, completion);
    }

    fn add_own_after(&self, own: &mut [f32], completion: &Completion) -> bool {
        let after = self.options.columns.values(&completion.columns, KnownWhen::After);
        let mut any = false;
        for (value, after) in own.iter_mut().zip(after).filter(|(_, after)| !after.is_nan()) {
            (*value, any) = (after, true);
        }
        any
    }

    /// Adds the metrics of the generated code to the values of its task; returns whether there are any.
    fn add_code(values: &mut [f32], completion: &Completion) -> bool {
        let mut any = false;
        for (feature, value) in FEATURES.iter().zip(values) {
            if let Make::After(make) = feature.make {
                *value = make(completion);
                any |= !value.is_nan();
            }
        }
        any
    }

    /// Returns a hash of everything that the rows' meaning depends on; rows of different fingerprints do
    /// not mix.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.hash(true)
    }

    /// Returns the fingerprint without the host's own columns: models find these by name, so that one that was fitted
    /// before a column was declared goes on serving without it.
    pub(crate) fn model_schema(&self) -> u64 {
        self.hash(false)
    }

    fn hash(&self, with_columns: bool) -> u64 {
        let mut hash = Sha256::new();
        hash.update(format!("features 3 {}", self.options.zone));
        // Defaults are left out.
        if let Some(terms) = self.options.lexicon.fingerprint() {
            hash.update(format!("\nlexicon {terms:x}"));
        }
        for (name, complexity) in self.options.frameworks.own() {
            hash.update(format!("\nframework {name:?} {complexity}"));
        }
        if with_columns {
            hash.update(self.options.columns.meaning());
        }
        for feature in FEATURES {
            hash.update(format!(
                "\n{} {} {:?} {:?}",
                feature.name, feature.unit, feature.kind, feature.known
            ));
        }
        let digest = hash.finalize();
        u64::from_be_bytes(std::array::from_fn(|i| digest[i]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TaskId;
    use crate::features::{Kind, index_of};
    use crate::history::History;
    use crate::text::TermRole;
    use chrono::{DateTime, Utc};
    use std::collections::HashSet;

    fn row_in(zone: Tz) -> FeatureRow {
        let mut task = TaskContext::new(TaskId::new("t").unwrap());
        task.started_at = Some("2025-03-02T23:30:00Z".parse().unwrap());
        let view = History::new().view(&task, task.started_at.unwrap());
        FeatureEngineer::new(FeatureOptions::in_zone(zone)).row(&task, &view)
    }

    #[test]
    fn names_are_unique() {
        assert_eq!(FEATURES.iter().map(|f| f.name).collect::<HashSet<_>>().len(), FEATURES.len());
    }

    #[test]
    fn hour_and_weekday_follow_the_zone() {
        let at = |row: &FeatureRow, name| row.values[index_of(name).unwrap()];
        let (utc, madrid) = (row_in(Tz::UTC), row_in(Tz::Europe__Madrid));
        assert_eq!((at(&utc, "hour_of_day"), at(&utc, "day_of_week")), (23.0, 6.0));
        assert_eq!((at(&madrid, "hour_of_day"), at(&madrid, "day_of_week")), (0.0, 0.0));
    }

    #[test]
    fn with_no_past_rates_are_one_half_and_the_rest_is_missing() {
        let row = row_in(Tz::UTC);
        for (feature, value) in FEATURES.iter().zip(&row.values) {
            match feature.kind {
                Kind::Rate if feature.name == "reviewer_success_rate" => assert!(value.is_nan()), // none is named
                Kind::Rate => assert_eq!(*value, 0.5, "{}", feature.name),
                Kind::Category => assert!(value.is_nan(), "{}", feature.name),
                _ => assert!(!value.is_infinite()),
            }
        }
    }

    #[test]
    fn the_fingerprint_hangs_on_all_options() {
        let lexicon = |term: &str| Lexicon::new([(TermRole::Technical, term)]).unwrap();
        let flask = |complexity| Frameworks::default().with("flask", complexity).unwrap();
        let options = FeatureOptions::default;
        let prints = [
            options(),
            FeatureOptions::in_zone(Tz::Asia__Tokyo),
            FeatureOptions { lexicon: lexicon("kafka"), ..options() },
            FeatureOptions { lexicon: lexicon("nats"), ..options() },
            FeatureOptions { lexicon: Lexicon::new([(TermRole::Complex, "nats")]).unwrap(), ..options() },
            FeatureOptions { frameworks: flask(9.0), ..options() },
            FeatureOptions { frameworks: flask(8.0), ..options() },
        ]
        .map(|options| {
            let written = serde_json::to_string(&options).unwrap();
            let read: FeatureOptions = serde_json::from_str(&written).unwrap();
            assert_eq!(read, options);
            let print = FeatureEngineer::new(options).fingerprint();
            assert_eq!(FeatureEngineer::new(read).fingerprint(), print);
            print
        });
        assert_eq!(prints.iter().collect::<HashSet<_>>().len(), prints.len());
        assert_eq!(FeatureEngineer::default().fingerprint(), prints[0]);
        let old: FeatureOptions = serde_json::from_str(r#"{"zone":"UTC"}"#).unwrap();
        assert_eq!(old, options());
    }

    #[test]
    fn a_hosts_own_terms_and_frameworks_reach_the_row() {
        let mut task = TaskContext::new(TaskId::new("t").unwrap());
        task.task_description = "Publish to Kafka".into();
        task.framework = Some("OurStack".into());
        let lexicon = Lexicon::new([(TermRole::Technical, "kafka")]).unwrap();
        let frameworks = Frameworks::default().with("ourstack", 9.0).unwrap();
        let view = History::new().view(&task, "2025-03-02T23:30:00Z".parse().unwrap());
        let at = |options: FeatureOptions, name| {
            FeatureEngineer::new(options).row(&task, &view).values[index_of(name).unwrap()]
        };
        let own = FeatureOptions { lexicon, frameworks, ..FeatureOptions::default() };
        assert_eq!(at(own.clone(), "num_technical_terms"), 1.0);
        assert_eq!(at(own, "framework_complexity"), 9.0);
        assert_eq!(at(FeatureOptions::default(), "num_technical_terms"), 0.0);
        assert!(at(FeatureOptions::default(), "framework_complexity").is_nan());
    }

    #[test]
    fn the_ends_of_the_calendar_have_features_in_every_time_zone() {
        let history = History::new();
        for zone in [Tz::UTC, Tz::Asia__Tokyo, Tz::Pacific__Apia, Tz::America__Los_Angeles] {
            let engineer = FeatureEngineer::new(FeatureOptions::in_zone(zone));
            for moment in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC, DateTime::UNIX_EPOCH] {
                let mut task = TaskContext::new(TaskId::new("t").unwrap());
                let row = engineer.row(&task, &history.view(&task, moment));
                assert!(row.values.iter().all(|v| !v.is_infinite()));
                task.started_at = Some(moment);
                engineer.row(&task, &history.view(&task, DateTime::UNIX_EPOCH));
            }
        }
    }

    #[test]
    fn terms_are_counted_and_what_is_unknown_is_missing() {
        let mut task = TaskContext::new(TaskId::new("t").unwrap());
        task.task_description = "Add a REST endpoint with JWT authentication".into();
        let view = History::new().view(&task, "2025-03-01T10:00:00Z".parse().unwrap());
        let row = FeatureEngineer::default().row(&task, &view);
        assert_eq!(row.values[index_of("num_technical_terms").unwrap()], 4.0);
        assert!(row.values[index_of("temperature").unwrap()].is_nan()); // not known, not made up
    }
}
