//! Rows to learn from: each generation's features as they were when it started, with the outcome of
//! it.

mod builder;
mod difficulty;
mod folds;
#[cfg(feature = "linfa")]
mod records;
mod response_model;
mod sources;
mod target;

pub use builder::DatasetBuilder;
pub(crate) use folds::Fold;
pub use folds::FoldOptions;
#[cfg(feature = "linfa")]
pub use records::Records;
pub(crate) use response_model::{MOST, ResponseModel, ResponsePropensity, Seen, response_weights};
pub(crate) use sources::{Source, SourceKind};
pub(crate) use target::LabelKind;
pub(crate) use target::Labels;
pub use target::Target;

use crate::error::{Error, ErrorKind, Result};
use crate::event::{EventId, Record};
use crate::features::FeatureRow;
use crate::history::{Delay, GroupKey, HistoryView};
use chrono::{DateTime, TimeDelta, Utc};
use response_model::{MATURE, Review};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

/// One generation to learn from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Example {
    /// The generation.
    pub event_id: EventId,
    /// The project, as a number.
    pub project: u64,
    /// The task, as a number.
    pub task: u64,
    /// When it became known that it had started.
    pub started_at: DateTime<Utc>,
    /// From when on the label was certain; `None` while it is a guess.
    pub known_at: Option<DateTime<Utc>>,
    /// The features as they were at the start.
    pub features: Arc<FeatureRow>,
    /// The features with those of its code, known once it had ended.
    pub completed: Option<Arc<FeatureRow>>,
    /// The label; of an open generation, its expected value.
    pub label: f64,
    /// All labels.
    pub(crate) labels: Labels,
    /// Baseline predictions at the start.
    pub(crate) priors: Priors,
    /// Agent, user, language and type, by name.
    pub(crate) about: About,
    /// Weight in fitting, above 0: less than 1 where one source of feedback gave more than
    /// its share of all, more where such outcomes seldom become known.
    pub weight: f64,
    /// Probability that its outcome becomes known, where reviews were requested for enough of the
    /// others to tell; 1 else.
    pub propensity: f64,
    /// The part of the weight that is its source's.
    pub(crate) share: f64,
    pub(crate) review: Review,
    pub(crate) kind: Option<u64>,
    pub(crate) attempt: f64,
    /// In a ranking's rows, how the row was shown and what it competed with.
    pub(crate) shown: Option<Shown>,
}

/// Way in which a row of a ranking was shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shown {
    /// The group (query) in which it competed.
    pub(crate) group: u64,
    /// The propensity with which it was shown, where the decision was logged.
    pub(crate) propensity: Option<f64>,
}

/// Agent, user, language and type of a generation, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) struct About {
    /// The agent.
    pub(crate) agent: Option<Arc<str>>,
    /// The person who judges: the reviewer where one is known, else the user, who asks and gives feedback.
    pub(crate) user: Option<Arc<str>>,
    /// The language.
    pub(crate) language: Option<Arc<str>>,
    /// The type of task.
    pub(crate) task_type: Option<Arc<str>>,
    /// The template.
    pub(crate) template: Option<Arc<str>>,
}

/// Baseline predictions of success at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub(crate) struct Priors {
    /// The success rate of all generations so far.
    pub(crate) constant: f64,
    /// That of the agent, shrunk toward the constant with the weight of five outcomes.
    pub(crate) agent: f64,
    /// That of the project, shrunk likewise.
    pub(crate) project: f64,
}

/// Examples in the order of their start.
///
/// Where the target is complexity and the host gave no label, the label is the observed difficulty:
/// the mean percentile, within the task's type, of the generation's regenerations, seconds, lines
/// and cyclomatic complexity, times ten.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The examples.
    pub examples: Vec<Example>,
    /// Fingerprint of the features.
    pub schema: u64,
    /// Target of the labels.
    pub target: Target,
    pub(crate) delay: Delay,
    pub(crate) answers: ResponseModel,
}

const PRIOR_STRENGTH: f64 = 5.0;

impl Priors {
    /// Computes the baselines from `view`.
    pub(crate) fn of(view: &HistoryView) -> Self {
        let constant = view.get(GroupKey::Global).all.rate(0.5, PRIOR_STRENGTH);
        let drawn = |scope| view.get(scope).all.rate(constant, PRIOR_STRENGTH);
        Self { constant, agent: drawn(GroupKey::Agent), project: drawn(GroupKey::Project) }
    }
}

impl Dataset {
    /// Returns the examples whose label is certain.
    pub fn certain(&self) -> impl Iterator<Item = &Example> {
        self.examples.iter().filter(|e| e.known_at.is_some())
    }

    /// Returns the dataset as it was known at `moment`.
    #[must_use]
    pub fn until(&self, moment: DateTime<Utc>) -> Self {
        let earlier = self.examples.iter().take_while(|e| e.started_at < moment);
        let propensity = self.answers.at(moment, MATURE);
        let delay = delay_of(self.target, &self.delay, propensity.as_ref());
        let mut examples: Vec<_> = earlier.filter_map(|e| label(e, self.target, moment, delay)).collect();
        propensity.iter().for_each(|propensity| propensity.weigh(&mut examples));
        self.with_examples(examples)
    }

    /// Returns the error of a split that leaves one side empty; it says what is missing.
    pub(crate) fn cannot_be_split(&self) -> Error {
        let target = self.target.name();
        let (rows, certain, matured) = (self.examples.len(), self.certain().count(), self.matured());
        let starts =
            matured.first().zip(matured.last()).map(|(first, last)| (first.started_at, last.started_at));
        let why = match starts {
            _ if certain == 0 => format!(
                "none of {rows} generations has a label for {target}: record {}",
                self.target.labelled_by()
            ),
            None => format!(
                "of {certain} generations with a label for {target} none is older than the {} that nine in ten labels \
                 took: wait, or give more",
                in_words(self.wait())
            ),
            Some((first, last)) if first == last && matured.len() > 1 => format!(
                "all {} generations with a label for {target} started at {first}: split them by task or by a field, \
                 not in time",
                matured.len()
            ),
            Some((first, _)) => format!(
                "{} generations old enough to be judged have a label for {target}, too few of them known before the \
                 others started ({first} on): record more",
                matured.len()
            ),
        };
        Error::new(ErrorKind::NotEnoughData { have: matured.len(), need: matured.len() + 1 }, why)
    }

    /// Only the examples that `keep` says.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(usize, &Example) -> bool) -> Self {
        let kept = self.examples.iter().enumerate().filter(|(i, e)| keep(*i, e));
        self.with_examples(kept.map(|(_, e)| e.clone()).collect())
    }

    /// Splits off the newest `fraction` of the certain examples that have had time to be answered:
    /// what was known when the first of them started, and they.
    ///
    /// "Had time" means older than nine tenths of all answers took: among younger examples the
    /// quick answers, and so the approvals, would be too many.
    ///
    /// # Errors
    /// `NotEnoughData` when nothing is left on one side.
    pub fn split_by_time(&self, fraction: f64) -> Result<(Self, Vec<Example>)> {
        let matured = self.matured();
        let test_rows = ((matured.len() as f64 * fraction).ceil() as usize).min(matured.len());
        let test: Vec<_> = matured[matured.len() - test_rows..].iter().map(|e| (*e).clone()).collect();
        let train = test.first().map(|first| self.until(first.started_at));
        match train {
            Some(train) if train.certain().next().is_some() => Ok((train, test)),
            _ => Err(self.cannot_be_split()),
        }
    }

    pub(crate) fn with_examples(&self, examples: Vec<Example>) -> Self {
        let Self { schema, target, delay, answers, .. } = self;
        Self { examples, schema: *schema, target: *target, delay: delay.clone(), answers: answers.clone() }
    }

    /// How long nine in ten of the labels took to become known.
    pub(crate) fn wait(&self) -> TimeDelta {
        let mut took: Vec<_> = self.certain().filter_map(|e| Some(e.known_at? - e.started_at)).collect();
        took.sort_unstable();
        took.get(took.len() * 9 / 10).copied().unwrap_or(TimeDelta::zero())
    }

    /// SHA-256 over every row's features, label and weight, in hexadecimal digits: equal for equal
    /// training sets, bit for bit.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.schema.to_le_bytes());
        for example in &self.examples {
            hash.update(example.event_id.as_str());
            hash.update([0]);
            let numbers = [example.label, example.weight, example.priors.agent, example.priors.project];
            numbers.iter().for_each(|v| hash.update(v.to_bits().to_le_bytes()));
            for row in std::iter::once(&example.features).chain(&example.completed) {
                row.values.iter().chain(&row.own.values).for_each(|v| hash.update(v.to_bits().to_le_bytes()));
                hash.update(row.text.fingerprint().to_le_bytes());
            }
            if let Some(shown) = example.shown {
                hash.update(example.about.template.as_deref().unwrap_or_default());
                hash.update([0]);
                hash.update(shown.group.to_le_bytes());
                hash.update(shown.propensity.unwrap_or(f64::NAN).to_bits().to_le_bytes());
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns the indices of a ranking's rows by the group in which they competed, each group in the order of
    /// its rows' start; no groups for the rows of other models.
    pub(crate) fn groups(&self) -> Vec<Vec<usize>> {
        groups_of(&self.examples)
    }

    /// The certain examples older than [`wait`](Self::wait), in the order of their start: among
    /// younger ones the quick answers, and so the approvals, would be too many.
    pub(crate) fn matured(&self) -> Vec<&Example> {
        let newest = self.examples.last().map_or(DateTime::UNIX_EPOCH, |e| e.started_at);
        let latest = newest.checked_sub_signed(self.wait()).unwrap_or(newest);
        self.certain().filter(|e| e.started_at <= latest).collect()
    }
}

/// A wait in its largest whole unit.
fn in_words(wait: TimeDelta) -> String {
    let units = [(wait.num_days(), "days"), (wait.num_hours(), "hours"), (wait.num_minutes(), "minutes")];
    let (n, unit) = units.into_iter().find(|(n, _)| *n > 1).unwrap_or((wait.num_seconds(), "seconds"));
    format!("{n} {unit}")
}

/// Returns the indices of rows by the group in which they competed.
pub(crate) fn groups_of(rows: &[Example]) -> Vec<Vec<usize>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for (at, shown) in rows.iter().enumerate().filter_map(|(at, row)| Some((at, row.shown?))) {
        groups.entry(shown.group).or_default().push(at);
    }
    groups.into_values().collect()
}

/// Gathers the training rows of a model whose rows are not those of [`DatasetBuilder`]: a ranking's.
pub trait RowBuilder: Send + Sync + Debug {
    /// Takes in the next fact; facts come in the order in which they became known.
    fn apply(&mut self, record: &Record);

    /// Returns the rows whose label was known at `now`: of more than `most` the newest.
    fn rows(&self, now: DateTime<Utc>, most: usize) -> Dataset;
}

/// How open generations end, where that teaches anything: success alone, and only where who answers
/// does not seem to depend on the outcome.
fn delay_of<'a>(
    target: Target,
    delay: &'a Delay,
    propensity: Option<&ResponsePropensity>,
) -> Option<&'a Delay> {
    (target == Target::Success && propensity.is_none()).then_some(delay)
}

/// The example as it is known at `now`, or as open ones end where `delay` tells.
fn label(example: &Example, target: Target, now: DateTime<Utc>, delay: Option<&Delay>) -> Option<Example> {
    let (known_at, label) = match example.labels.get(target, now) {
        Some((at, label)) => (Some(at), label),
        None => (None, delay?.success_of_open(example.started_at, now)?),
    };
    let (weight, propensity) = (example.share, 1.0);
    Some(Example { known_at, label, weight, propensity, ..example.clone() })
}

/// Returns true if both training sets hold the same rows; both must come from one builder.
pub(crate) fn same_rows(a: &[Example], b: &[&Example]) -> bool {
    let number = |e: &Example| [e.label.to_bits(), e.weight.to_bits()];
    let same = |(a, b): (&Example, &&Example)| {
        Arc::ptr_eq(&a.features, &b.features)
            && a.completed.as_ref().map(Arc::as_ptr) == b.completed.as_ref().map(Arc::as_ptr)
            && number(a) == number(b)
            && a.known_at.is_some() == b.known_at.is_some()
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}
