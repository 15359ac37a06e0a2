//! Backtests: the whole training loop replayed on a host's own event history.

mod facts;
mod options;
mod report;

pub use options::{BacktestOptions, BacktestSplit};
pub use report::{BacktestReport, NightlyModel};

use super::evaluation::{Evaluated, Incumbent, fit_and_evaluate};
use crate::dataset::{Dataset, DatasetBuilder, LabelKind, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Fact, GenerationEvent, Record};
use crate::features::FeatureEngineer;
use crate::models::{Predictor, Status, Trainer, is_seen, targets};
use chrono::{DateTime, TimeDelta, Timelike, Utc};
use facts::Case;
use report::Scored;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// Trains on one part of `events` and predicts the rest, each from what was known at its start.
///
/// ```no_run
/// use devmatrix_ml::training::{BacktestOptions, backtest};
/// # let events = Vec::new();
/// let report = backtest(events, &BacktestOptions::default())?;
/// println!("AUC {:?} on {} events", report.metrics.get("auc"), report.n_test);
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` when the split leaves nothing to train on or to predict, or an event is out of
/// range.
pub fn backtest(events: Vec<GenerationEvent>, options: &BacktestOptions) -> Result<BacktestReport> {
    options.validate()?;
    let (cases, remarks) = facts::cases(events, options)?;
    let target = options.target;
    let served = targets::of(target).filter(|_| target.kind() != LabelKind::Ranking).ok_or_else(|| {
        Error::invalid(format!(
            "target {target}: no model of this crate predicts it for a backtest; use training::backtest_with and \
             your own trainer"
        ))
    })?;
    Ok(BacktestReport { remarks, ..Run::of((served.trainer)(), &cases, options)? })
}

/// Backtests a host's own model.
///
/// # Errors
/// Those of [`backtest`].
pub fn backtest_with<T: Trainer>(
    trainer: T,
    events: Vec<GenerationEvent>,
    options: &BacktestOptions,
) -> Result<BacktestReport> {
    options.validate()?;
    let options = BacktestOptions { target: trainer.target(), ..options.clone() };
    let (cases, remarks) = facts::cases(events, &options)?;
    Ok(BacktestReport { remarks, ..Run::of(trainer, &cases, &options)? })
}

/// The text of the field at `path` (`project_id`, `metadata.split`) of an event's JSON form.
pub(super) fn field_of(event: &GenerationEvent, path: &str) -> Result<Option<String>> {
    let json = serde_json::to_value(event)
        .map_err(|e| Error::internal("an event has no JSON form").with_source(e))?;
    let found = path.split('.').try_fold(&json, |value, name| value.get(name));
    Ok(found.filter(|v| !v.is_null()).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
}

/// Scores by kind of task, then by name of the predictor.
type ByTask = BTreeMap<String, BTreeMap<String, BTreeMap<String, f64>>>;

/// State of a running backtest.
struct Run<'a, T: Trainer> {
    options: &'a BacktestOptions,
    trainer: T,
    builder: DatasetBuilder,
    served: Option<Evaluated<T::Model>>,
    first: Option<Dataset>,
    cut: Option<DateTime<Utc>>,
    scored: Vec<Scored>,
    models: Vec<NightlyModel>,
    timing: Timing,
}

#[derive(Default)]
struct Timing {
    features: f64,
    looked: usize,
    fit: f64,
    predict_us: Vec<f64>,
}

impl Timing {
    fn to_map(&self) -> BTreeMap<String, f64> {
        let mut predict_us = self.predict_us.clone();
        predict_us.sort_by(f64::total_cmp);
        let at = |q: f64| predict_us.get((predict_us.len() as f64 * q) as usize).copied().unwrap_or(0.0);
        let named = [
            ("features_us_per_event", self.features * 1e6 / self.looked.max(1) as f64),
            ("fit_s", self.fit),
            ("predict_us_p50", at(0.5)),
            ("predict_us_p99", at(0.99)),
        ];
        named.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

impl<'a, T: Trainer> Run<'a, T> {
    fn of(trainer: T, cases: &[Case], options: &'a BacktestOptions) -> Result<BacktestReport> {
        let mut run = Self {
            options,
            trainer,
            builder: DatasetBuilder::new(FeatureEngineer::new(options.features.clone())),
            served: None,
            first: None,
            cut: None,
            scored: Vec::new(),
            models: Vec::new(),
            timing: Timing::default(),
        };
        match &options.split {
            BacktestSplit::Time(share) => run.by_time(cases, *share)?,
            _ => run.by_value(cases)?,
        }
        run.report(cases)
    }

    /// Trains at the cut, then goes on in order: predict, learn, and train again each night.
    fn by_time(&mut self, cases: &[Case], share: f64) -> Result<()> {
        let labelled: Vec<_> = cases.iter().filter(|c| c.label.is_some()).collect();
        let cut = labelled.get((labelled.len() as f64 * share) as usize).map(|c| c.event.started.known_at);
        let cut = cut.ok_or_else(|| nothing(cases, self.options))?;
        self.cut = Some(cut);
        let labels: HashMap<_, _> =
            labelled.iter().filter_map(|c| Some((c.event.event_id.clone(), c.label?))).collect();
        let records = facts::facts(cases.iter())?;
        let first = records.partition_point(|r| r.known_at() < cut);
        if first == 0 {
            return Err(nothing(cases, self.options));
        }
        self.learn(&records[..first]);
        self.train(cut)?;
        let mut nightly = next_night(cut);
        for record in &records[first..] {
            // A night before which nothing new became known has nothing to learn.
            if self.options.retrain_daily && record.known_at() >= nightly {
                self.train(nightly)?;
                nightly = next_night(record.known_at());
            }
            if matches!(record.fact(), Fact::Started(_))
                && let Some(label) = labels.get(record.event_id())
            {
                self.predict(record, *label);
            }
            self.learn(std::slice::from_ref(record));
        }
        Ok(())
    }

    /// Trains on some values of a field and predicts the others; the history holds what was
    /// trained on.
    fn by_value(&mut self, cases: &[Case]) -> Result<()> {
        let mut test = Vec::with_capacity(cases.len());
        for case in cases {
            test.push(self.options.split.is_test(&case.event, self.options.seed)?);
        }
        // Before anything is fitted: a field that nobody has, or a value that all have, leaves one side empty.
        let is_tested = |(case, tested): (&Case, &bool)| *tested && case.label.is_some();
        if test.iter().all(|tested| *tested) || !cases.iter().zip(&test).any(is_tested) {
            return Err(nothing(cases, self.options));
        }
        let side = |want: bool| cases.iter().zip(&test).filter(move |(_, t)| **t == want).map(|(c, _)| c);
        let records = facts::facts(side(false))?;
        let end = records.last().map(Record::known_at).ok_or_else(|| nothing(cases, self.options))?;
        self.learn(&records);
        self.train(end + TimeDelta::microseconds(1))?;
        let tested: Vec<_> = side(true).collect();
        let rows = self.options.retrain_rows.unwrap_or(tested.len()).max(1);
        let mut now = end;
        for (i, block) in tested.chunks(rows).enumerate() {
            if i > 0 {
                self.train(now + TimeDelta::microseconds(1))?;
            }
            for case in block {
                if let Some(label) = case.label {
                    let start = Fact::Started(Box::new(case.event.started.value.clone()));
                    self.predict(&Record::new(case.event.event_id.clone(), now, start)?, label);
                }
            }
            if self.options.retrain_rows.is_some() {
                now = self.learn_after(block, now)?;
            }
        }
        Ok(())
    }

    /// Learns the facts of a block as if they had become known after `now`, one after the other; returns when the last of
    /// them did.
    fn learn_after(&mut self, block: &[&Case], now: DateTime<Utc>) -> Result<DateTime<Utc>> {
        let mut now = now;
        let mut records = Vec::new();
        for record in facts::facts(block.iter().copied())? {
            now += TimeDelta::seconds(1);
            records.push(Record::new(record.event_id().clone(), now, record.fact().clone())?);
        }
        self.learn(&records);
        Ok(now)
    }

    fn learn(&mut self, records: &[Record]) {
        let started = Instant::now();
        records.iter().for_each(|record| self.builder.apply(record));
        self.timing.features += started.elapsed().as_secs_f64();
        self.timing.looked += records.iter().filter(|r| matches!(r.fact(), Fact::Started(_))).count();
    }

    /// Fits and evaluates on all that is known at `now`; a rejected model is not served.
    fn train(&mut self, now: DateTime<Utc>) -> Result<()> {
        let data = self.builder.rows(self.trainer.target(), now, self.options.training.max_rows);
        if self.first.is_none() {
            self.first = Some(data.clone());
        }
        let started = Instant::now();
        let champion = self.served.as_ref().map(|evaluated| Incumbent {
            holdout_model: &evaluated.holdout_model,
            trained_until: evaluated.evaluation.trained_until,
        });
        let evaluated = fit_and_evaluate(&self.trainer, &data, champion, &self.options.training);
        self.timing.fit = self.timing.fit.max(started.elapsed().as_secs_f64());
        let version = self.models.len() as u64 + 1;
        let (promoted, reasons) = match evaluated {
            Ok(evaluated) => {
                let verdict = evaluated.verdict.clone();
                if verdict.promotes() {
                    self.served = Some(evaluated);
                }
                (verdict.promotes(), verdict.reasons)
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotEnoughData { .. }) => {
                (false, vec![format!("{error:#}")])
            }
            Err(error) => return Err(error),
        };
        self.models.push(NightlyModel { version, trained_at: now, promoted, reasons });
        Ok(())
    }

    fn predict(&mut self, record: &Record, label: f64) {
        let started = Instant::now();
        let Some(example) = self.builder.look_at(record) else { return };
        let row = &example.features;
        let (point, status) = match &self.served {
            Some(evaluated) => (evaluated.model.point(row), Status::Calibrated),
            None => self.trainer.prior(row),
        };
        self.timing.predict_us.push(started.elapsed().as_secs_f64() * 1e6);
        let intervals = self.served.as_ref().and_then(|evaluated| evaluated.model.intervals(row));
        self.scored.push(Scored { point, label, status, intervals, example });
    }

    /// Scores `predicted`, by name, on new tasks and on those seen before.
    fn by_task(&self, predicted: &[(String, Vec<f64>)]) -> Result<ByTask> {
        let mut found = ByTask::new();
        for (kind, seen) in [("new", false), ("seen", true)] {
            let at: Vec<_> = (0..self.scored.len())
                .filter(|i| is_seen(&self.scored[*i].example.features) == seen)
                .collect();
            if at.is_empty() || at.len() == self.scored.len() {
                return Ok(ByTask::new());
            }
            let labels: Vec<_> = at.iter().map(|i| self.scored[*i].label).collect();
            for (name, points) in predicted {
                let points: Vec<_> = at.iter().map(|i| points[*i]).collect();
                let scores = self.trainer.scores(&points, &labels)?;
                found.entry(kind.to_owned()).or_default().insert(name.clone(), scores);
            }
        }
        Ok(found)
    }

    fn report(self, cases: &[Case]) -> Result<BacktestReport> {
        let Some(first) = self.first.as_ref().filter(|_| !self.scored.is_empty()) else {
            return Err(nothing(cases, self.options));
        };
        let labels: Vec<_> = self.scored.iter().map(|s| s.label).collect();
        let examples: Vec<_> = self.scored.iter().map(|s| s.example.clone()).collect();
        let mut baselines = BTreeMap::new();
        let mut all = vec![("model".to_owned(), self.scored.iter().map(|s| s.point).collect::<Vec<_>>())];
        for (name, points) in self.trainer.baselines(first, &examples) {
            baselines.insert(name.clone(), self.trainer.scores(&points, &labels)?);
            all.push((name, points));
        }
        let mut status_counts = BTreeMap::new();
        for scored in &self.scored {
            *status_counts.entry(scored.status_name()).or_insert(0) += 1;
        }
        Ok(BacktestReport {
            target: self.trainer.target().to_string(),
            split: self.options.split.to_string(),
            n_events: cases.len(),
            remarks: BTreeMap::new(),
            n_train: first.certain().count(),
            n_test: self.scored.len(),
            cut: self.cut,
            metrics: report::scores(&self.trainer, &self.scored)?,
            baselines,
            by_task: self.by_task(&all)?,
            timing: self.timing.to_map(),
            models: self.models,
            status_counts,
        })
    }
}

/// The first 02:00 UTC after `moment`.
fn next_night(moment: DateTime<Utc>) -> DateTime<Utc> {
    let midnight = moment - TimeDelta::seconds(i64::from(moment.num_seconds_from_midnight()));
    let nightly = midnight - TimeDelta::nanoseconds(i64::from(moment.nanosecond())) + TimeDelta::hours(2);
    if nightly > moment { nightly } else { nightly + TimeDelta::days(1) }
}

fn nothing(cases: &[Case], options: &BacktestOptions) -> Error {
    let labelled = cases.iter().filter(|c| c.label.is_some()).count();
    let (split, target) = (&options.split, options.target);
    let where_from = match target {
        Target::Complexity => {
            ": it is scored against the host's own label (complexity_label, or --label PATH)"
        }
        _ => "",
    };
    Error::invalid(format!(
        "split {split} leaves nothing to train on or nothing to predict of {labelled} events with a known {target}{where_from}"
    ))
}
