//! Leak check: names the host's own columns that give the outcome away.
//!
//! A column that is declared as known before the start but is filled in after it predicts the outcome nearly by itself,
//! in training and in no generation that is still to come.

use crate::dataset::Dataset;
use crate::error::Result;
use crate::execution;
use crate::features::{ColumnKind, KnownWhen};
use crate::ml::metrics::auc_with_error;
use crate::models::MOST_COLUMNS;
use std::collections::BTreeMap;

/// ROC AUC of one column alone, from which it is named. Chosen, not tuned: no column of the data sets that the benchmarks
/// name comes near (`backtest --columns`).
const SUSPICIOUS: f64 = 0.98;

/// Newest rows that are looked at: ten thousand columns take a second or two.
const MOST_ROWS: usize = 1000;

/// Fewer rows tell nothing, nor do fewer of one outcome than [`FEWEST_OF_ONE`].
const FEWEST_ROWS: usize = 50;
const FEWEST_OF_ONE: usize = 10;

/// Folds, by task, whose category means come from the others alone.
const FOLDS: u64 = 5;

/// Returns a warning for each of the host's own columns that tells the outcome by itself, and one where there are more
/// columns than a model uses. A number is an outcome by whether it is above the median.
///
/// # Errors
/// `Cancelled`.
pub(super) fn warnings(data: &Dataset) -> Result<Vec<String>> {
    let Some(newest) = data.examples.last() else { return Ok(Vec::new()) };
    let declared = newest.features.own.declared.clone();
    let mut found = Vec::new();
    if declared.iter().count() > MOST_COLUMNS {
        found.push(format!(
            "{} columns of the host's own are declared: each part of the model uses the {MOST_COLUMNS} that go most with the \
             label at most",
            declared.iter().count()
        ));
    }
    let rows = Rows::of(data);
    let few = |outcome: bool| rows.outcomes.iter().filter(|y| **y == outcome).count() < FEWEST_OF_ONE;
    if rows.outcomes.len() < FEWEST_ROWS || few(true) || few(false) {
        return Ok(found);
    }
    let before = declared.iter().enumerate().filter(|(_, column)| column.known == KnownWhen::Before);
    for (place, column) in before {
        execution::check()?;
        let raw = rows.raw(&column.name, column.kind, place);
        if raw.iter().all(|v| v.is_nan()) {
            continue;
        }
        let auc = rows.auc(column.kind, &raw);
        if auc > SUSPICIOUS {
            found.push(format!(
                "the column {} alone tells the outcome (ROC AUC {auc:.3}) though it is declared as known before the start: \
                 is it filled in after? Declare it as known after, or leave it out",
                column.name
            ));
        }
    }
    Ok(found)
}

/// The newest labelled rows, and whether each label is high.
struct Rows<'a> {
    examples: Vec<&'a crate::dataset::Example>,
    outcomes: Vec<bool>,
}

impl<'a> Rows<'a> {
    fn of(data: &'a Dataset) -> Self {
        let mut examples: Vec<_> = data.examples.iter().rev().filter(|e| e.known_at.is_some()).collect();
        examples.truncate(MOST_ROWS);
        let mut labels: Vec<_> = examples.iter().map(|e| e.label).collect();
        labels.sort_by(f64::total_cmp);
        let median = labels.get(labels.len() / 2).copied().unwrap_or(0.0);
        let middle = if data.target.is_binary() { 0.5 } else { median };
        let outcomes = examples.iter().map(|e| e.label >= middle).collect();
        Self { examples, outcomes }
    }

    fn raw(&self, name: &str, kind: ColumnKind, place: usize) -> Vec<f32> {
        self.examples.iter().map(|e| e.features.own.value(name, kind, place)).collect()
    }

    /// How well the column alone ranks the outcomes, whichever way around, what is missing at either end: that a value is
    /// there may tell as much as the value.
    fn auc(&self, kind: ColumnKind, raw: &[f32]) -> f64 {
        let values: Vec<f64> = match kind {
            ColumnKind::Category => self.category_rates(raw),
            ColumnKind::Number | ColumnKind::Flag => raw.iter().map(|v| f64::from(*v)).collect(),
        };
        let at = |missing: f64| {
            let points: Vec<_> = values.iter().map(|v| if v.is_nan() { missing } else { *v }).collect();
            auc_with_error(&points, &self.outcomes).map_or(0.5, |(auc, _)| auc.max(1.0 - auc))
        };
        at(f64::MIN).max(at(f64::MAX))
    }

    /// The rate of each row's category among the rows of other tasks.
    fn category_rates(&self, raw: &[f32]) -> Vec<f64> {
        let mut sums = BTreeMap::<(u64, u32), (f64, f64)>::new();
        let mut all = BTreeMap::<u32, (f64, f64)>::new();
        let known = || raw.iter().enumerate().filter(|(_, v)| !v.is_nan()).map(|(row, v)| (row, *v as u32));
        for (row, code) in known() {
            let y = f64::from(u8::from(self.outcomes[row]));
            let fold = self.examples[row].task % FOLDS;
            for sum in [sums.entry((fold, code)).or_default(), all.entry(code).or_default()] {
                *sum = (sum.0 + y, sum.1 + 1.0);
            }
        }
        let mut rates = vec![f64::NAN; raw.len()];
        for (row, code) in known() {
            let (all, own) = (all[&code], sums[&(self.examples[row].task % FOLDS, code)]);
            rates[row] = (all.0 - own.0 + 0.5) / (all.1 - own.1 + 1.0);
        }
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{DatasetBuilder, Target};
    use crate::event::{Completion, EventId, Fact, Record, TaskContext};
    use crate::features::{FeatureEngineer, FeatureOptions, HostColumn, HostColumns};
    use chrono::{DateTime, TimeDelta, Utc};

    /// Two hundred generations, every other one a success, whose columns `fill` gives by number and outcome.
    fn dataset(
        columns: Vec<HostColumn>,
        fill: impl Fn(usize, bool) -> Vec<(String, crate::event::ColumnValue)>,
    ) -> Dataset {
        let options = FeatureOptions::default().with_columns(HostColumns::new(columns).unwrap());
        let mut builder = DatasetBuilder::new(FeatureEngineer::new(options));
        let mut at: DateTime<Utc> = "2025-01-01T08:00:00Z".parse().unwrap();
        for number in 0..200 {
            let success = number % 2 == 0;
            let mut task = TaskContext::of(format!("task-{number}")).unwrap();
            task.columns = fill(number, success).into_iter().collect();
            let id = EventId::new(format!("{number}")).unwrap();
            builder.apply(&Record::new(id.clone(), at, Fact::Started(Box::new(task.into()))).unwrap());
            let mut done = Completion::default();
            done.success = Some(success);
            at += TimeDelta::minutes(5);
            builder.apply(&Record::new(id, at, Fact::Completed(Box::new(done))).unwrap());
        }
        builder.rows(Target::Success, at + TimeDelta::hours(1), 1000)
    }

    /// A number that looks random (`SplitMix64`).
    fn noise(number: usize, column: usize) -> f64 {
        let seed = ((number as u64) << 32 | column as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % 65_536) as f64
    }

    #[test]
    fn columns_that_are_filled_in_after_the_outcome_are_named() {
        let columns = vec![
            HostColumn::number("merged_hour"),
            HostColumn::category("state"),
            HostColumn::number("size"),
            HostColumn::category("team"),
        ];
        let data = dataset(columns, |number, success| {
            let state = if success { "merged" } else { "closed" };
            let mut values = vec![
                ("state".to_owned(), state.into()),
                ("size".to_owned(), noise(number, 1).into()),
                ("team".to_owned(), format!("team-{}", number % 7).as_str().into()),
            ];
            if success {
                values.push(("merged_hour".to_owned(), noise(number, 2).into()));
            }
            values
        });
        let found = warnings(&data).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("the column merged_hour alone tells the outcome"), "{found:?}");
        assert!(found[1].contains("the column state alone tells the outcome"), "{found:?}");
    }

    #[test]
    fn thousands_of_noise_columns_are_counted_and_not_named() {
        let name = |column: usize| format!("noise_{column}");
        let columns = (0..300).map(|column| HostColumn::number(name(column))).collect();
        let data = dataset(columns, |number, _| {
            (0..300).map(|column| (name(column), noise(number, column).into())).collect()
        });
        let found = warnings(&data).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("300 columns of the host's own are declared"), "{found:?}");
    }
}
