//! How good would it have been? The whole loop, replayed on a host's own past.

mod facts;
mod options;
mod report;

pub use options::{BacktestOptions, BacktestSplit};
pub use report::{BacktestReport, BacktestScores, BacktestTiming, NightlyModel};

use super::judge::{Judged, fit_and_judge};
use crate::dataset::{Dataset, DatasetBuilder, Priors, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Fact, GenerationEvent, Record, TaskContext};
use crate::features::FeatureEngineer;
use crate::models::{Predictor, Status, SuccessModel, SuccessTrainer, prior};
use chrono::{DateTime, TimeDelta, Timelike, Utc};
use facts::Case;
use report::Scored;
use std::collections::HashMap;
use std::time::Instant;

/// Trains on one part of `events` and predicts the rest, each from what was known at its start.
///
/// ```no_run
/// use devmatrix_ml::train::{BacktestOptions, backtest};
/// # let events = Vec::new();
/// let report = backtest(events, &BacktestOptions::default())?;
/// println!("AUC {:?} on {} events", report.metrics.auc, report.n_test);
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` when the split leaves nothing to train on or to predict, or an event is out of
/// range.
pub fn backtest(events: Vec<GenerationEvent>, options: &BacktestOptions) -> Result<BacktestReport> {
    options.verify()?;
    let cases = facts::cases(events, options);
    let mut run = Run::new(options);
    match &options.split {
        BacktestSplit::Time(share) => run.by_time(&cases, *share)?,
        _ => run.by_value(&cases)?,
    }
    run.report(&cases)
}

/// The text of the field at `path` (`project_id`, `metadata.split`) of an event's JSON form.
pub(super) fn field_of(event: &GenerationEvent, path: &str) -> Result<Option<String>> {
    let json = serde_json::to_value(event)
        .map_err(|e| Error::internal("an event has no JSON form").with_source(e))?;
    let found = path.split('.').try_fold(&json, |value, name| value.get(name));
    Ok(found.filter(|v| !v.is_null()).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
}

/// A backtest under way.
struct Run<'a> {
    options: &'a BacktestOptions,
    trainer: SuccessTrainer,
    builder: DatasetBuilder,
    served: Option<Judged<SuccessModel>>,
    constant: f64,
    n_train: usize,
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

impl<'a> Run<'a> {
    fn new(options: &'a BacktestOptions) -> Self {
        Self {
            options,
            trainer: SuccessTrainer::default(),
            builder: DatasetBuilder::new(FeatureEngineer::default()),
            served: None,
            constant: 0.5,
            n_train: 0,
            cut: None,
            scored: Vec::new(),
            models: Vec::new(),
            timing: Timing::default(),
        }
    }

    /// Trains at the cut, then goes on in order: predict, learn, and train again each night.
    fn by_time(&mut self, cases: &[Case], share: f64) -> Result<()> {
        let labelled: Vec<_> = cases.iter().filter(|c| c.label.is_some()).collect();
        let cut = labelled.get((labelled.len() as f64 * share) as usize).map(|c| c.event.started.known_at);
        let cut = cut.ok_or_else(|| nothing(cases, &self.options.split))?;
        self.cut = Some(cut);
        let labels: HashMap<_, _> =
            labelled.iter().filter_map(|c| Some((c.event.event_id.clone(), c.label?))).collect();
        let records = facts::facts(cases.iter())?;
        let first = records.partition_point(|r| r.known_at() < cut);
        if first == 0 {
            return Err(nothing(cases, &self.options.split));
        }
        self.learn(&records[..first]);
        self.train(cut)?;
        let mut night = next_night(cut);
        for record in &records[first..] {
            // A night before which nothing new became known has nothing to learn.
            if self.options.retrain_daily && record.known_at() >= night {
                self.train(night)?;
                night = next_night(record.known_at());
            }
            if let Fact::Started(started) = record.fact()
                && let Some(label) = labels.get(record.event_id())
            {
                self.predict(&started.context, record.known_at(), *label);
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
        let side = |want: bool| cases.iter().zip(&test).filter(move |(_, t)| **t == want).map(|(c, _)| c);
        let records = facts::facts(side(false))?;
        let end = records.last().map(Record::known_at).ok_or_else(|| nothing(cases, &self.options.split))?;
        self.learn(&records);
        self.train(end + TimeDelta::microseconds(1))?;
        for case in side(true) {
            if let Some(label) = case.label {
                self.predict(&case.event.started.value.context, end, label);
            }
        }
        Ok(())
    }

    fn learn(&mut self, records: &[Record]) {
        let started = Instant::now();
        records.iter().for_each(|record| self.builder.apply(record));
        self.timing.features += started.elapsed().as_secs_f64();
        self.timing.looked += records.iter().filter(|r| matches!(r.fact(), Fact::Started(_))).count();
    }

    /// Fits and judges on all that is known at `now`; a refused model is not served.
    fn train(&mut self, now: DateTime<Utc>) -> Result<()> {
        let data = self.builder.rows(Target::Success, now, self.options.training.max_rows);
        if self.models.is_empty() {
            (self.n_train, self.constant) = rate(&data);
        }
        let started = Instant::now();
        let champion = self.served.as_ref().map(|judged| &judged.twin);
        let judged = fit_and_judge(&self.trainer, &data, champion, &self.options.training);
        self.timing.fit = self.timing.fit.max(started.elapsed().as_secs_f64());
        let version = self.models.len() as u64 + 1;
        let (promoted, reasons) = match judged {
            Ok(judged) => {
                let verdict = judged.verdict.clone();
                if verdict.promote {
                    self.served = Some(judged);
                }
                (verdict.promote, verdict.reasons)
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotEnoughData { .. }) => {
                (false, vec![error.to_string()])
            }
            Err(error) => return Err(error),
        };
        self.models.push(NightlyModel { version, trained_at: now, promoted, reasons });
        Ok(())
    }

    fn predict(&mut self, task: &TaskContext, now: DateTime<Utc>, outcome: bool) {
        let started = Instant::now();
        let (row, priors) = self.builder.look(task, now);
        let (probability, status) = match &self.served {
            Some(judged) => (judged.model.point(&row), Status::Calibrated),
            None => prior::success(&row),
        };
        self.timing.predict_us.push(started.elapsed().as_secs_f64() * 1e6);
        self.scored.push(Scored { probability, outcome, status, priors });
    }

    fn report(self, cases: &[Case]) -> Result<BacktestReport> {
        if self.scored.is_empty() {
            return Err(nothing(cases, &self.options.split));
        }
        let outcomes: Vec<_> = self.scored.iter().map(|s| s.outcome).collect();
        let scores = |f: &dyn Fn(&Scored) -> f64| {
            BacktestScores::of(&self.scored.iter().map(f).collect::<Vec<_>>(), &outcomes)
        };
        let prior = |f: fn(&Priors) -> f64| scores(&|s| f(&s.priors));
        let baselines = [
            ("constant", scores(&|_| self.constant)?),
            ("agent_prior", prior(|p| p.agent)?),
            ("project_prior", prior(|p| p.project)?),
        ];
        let mut status_counts = std::collections::BTreeMap::new();
        for scored in &self.scored {
            *status_counts.entry(scored.status_name()).or_insert(0) += 1;
        }
        Ok(BacktestReport {
            target: "success".to_owned(),
            split: self.options.split.to_string(),
            n_events: cases.len(),
            n_train: self.n_train,
            n_test: self.scored.len(),
            cut: self.cut,
            metrics: scores(&|s| s.probability)?,
            baselines: baselines.into_iter().map(|(n, s)| (n.to_owned(), s)).collect(),
            timing: BacktestTiming::new(
                self.timing.features,
                self.timing.looked,
                self.timing.fit,
                self.timing.predict_us,
            ),
            models: self.models,
            status_counts,
        })
    }
}

fn rate(data: &Dataset) -> (usize, f64) {
    let (n, sum) = data.certain().fold((0, 0.0), |(n, sum), e| (n + 1, sum + e.label));
    (n, if n > 0 { sum / n as f64 } else { 0.5 })
}

/// The first 02:00 UTC after `moment`.
fn next_night(moment: DateTime<Utc>) -> DateTime<Utc> {
    let midnight = moment - TimeDelta::seconds(i64::from(moment.num_seconds_from_midnight()));
    let night = midnight - TimeDelta::nanoseconds(i64::from(moment.nanosecond())) + TimeDelta::hours(2);
    if night > moment { night } else { night + TimeDelta::days(1) }
}

fn nothing(cases: &[Case], split: &BacktestSplit) -> Error {
    let labelled = cases.iter().filter(|c| c.label.is_some()).count();
    Error::invalid(format!(
        "split {split} leaves nothing to train on or nothing to predict of {labelled} events with an outcome"
    ))
}
