//! Which template fits a task best?
//!
//! The historical rates give the offset: the log-odds of the template's success rate for this type of
//! task, shrunk toward that of its relatives (templates of the same task types or tags); the rate for
//! similar tasks is shrunk toward that and adjusted for the profile match. Boosted trees (LambdaMART,
//! Burges 2010) learn corrections to the offset from groups of comparable generations: tasks of the
//! same type, language and framework in the same week, graded by outcome. A template without history
//! starts from its relatives, and exploration makes sure that it is tried (`explore.rs`).
//!
//! Fallback: with too few labelled generations, or one template only, no model is fitted, and
//! [`TemplateRanker::prior`] ranks by the historical rates alone and reports this in its status.

mod catalogue;
mod dataset;
mod explore;
#[cfg(feature = "mlflow")]
mod export;
mod features;
mod forward;
mod params;
mod profile;
mod ranking;
mod rates;
mod sentence;
mod trainer;
mod view;

pub use catalogue::TemplateCatalogue;
pub(crate) use features::{TEMPLATE_FEATURES, template_schema};
pub use params::TemplateParams;
pub use profile::TemplateProfile;
pub use ranking::{RankedTemplate, TemplateRanking};
pub use trainer::TemplateTrainer;
pub(crate) use view::TemplateView;

use super::attributions::LEAST;
use super::{Attribution, Fact, Predictor, Status, shares};
use crate::error::{Error, Result};
use crate::event::TaskContext;
use crate::features::{FeatureRow, Topic};
use crate::history::GroupKey;
use crate::ml::{Scaling, Trees};
use crate::stats::logit;
use crate::text::MAX_TEXT_BYTES;
use catalogue::Prepared;
use features::{Reading, SIMILAR, row};
use ranking::{Candidate, Explained};
use serde::{Deserialize, Serialize};

/// Ranks templates for a task; fitted by [`TemplateTrainer`].
#[derive(Debug, Clone)]
#[doc(alias = "TemplateSelector")]
pub struct TemplateRanker {
    fitted: Option<Fitted>,
    schema: u64,
}

/// The correction to the prior.
#[derive(Debug, Clone)]
struct Fitted {
    trees: Trees,
    /// The trees' mean margin over the rows they were fitted on.
    centre: f64,
    /// How much of the trees' margin counts, 0 to 1.
    share: f64,
    scaling: Scaling,
}

/// Outcomes below which the past says hardly anything.
const FEW: f64 = 10.0;

impl TemplateRanker {
    /// Ranks by the past alone, as long as nothing can be fitted.
    pub(crate) fn prior() -> Self {
        Self { fitted: None, schema: template_schema() }
    }

    /// Every template of `catalogue` that exists at the view's moment, the best first; those of
    /// equal scores by their ids. `view` must have been made for this task and catalogue.
    pub(crate) fn rank(
        &self,
        task: &TaskContext,
        view: &TemplateView,
        catalogue: &TemplateCatalogue,
    ) -> TemplateRanking {
        let task = task.as_stored();
        self.rank_read(&task, &Reading::of(&task), view, catalogue)
    }

    /// Ranks for a task whose description was read before, with its n-grams in `row`.
    pub(crate) fn rank_row(
        &self,
        task: &TaskContext,
        row: &FeatureRow,
        view: &TemplateView,
        catalogue: &TemplateCatalogue,
    ) -> TemplateRanking {
        self.rank_read(task, &Reading::with_text(task, row.text.clone(), row.truncated), view, catalogue)
    }

    fn rank_read(
        &self,
        task: &TaskContext,
        reading: &Reading,
        view: &TemplateView,
        catalogue: &TemplateCatalogue,
    ) -> TemplateRanking {
        let base = logit(rates::task_type(view));
        let exists = |t: &&_| Prepared::exists(t, view.now());
        let candidates = catalogue.all().iter().map(AsRef::as_ref).filter(exists).map(|template| {
            let features = row(reading, template, view);
            let past = view.past(&template.profile.template_id);
            Candidate { template, past, explained: self.explain(&features, base), features }
        });
        let ranked = ranking::order(candidates, task);
        let left_out = catalogue.len() - ranked.len();
        let mut notes = Vec::new();
        if ranked.is_empty() {
            notes.push("the catalogue has no template to rank".to_owned());
        }
        if left_out > 0 {
            notes.push(format!("{left_out} templates are left out: they are of a later date"));
        }
        if reading.truncated {
            notes.push(format!("only the first {MAX_TEXT_BYTES} bytes of the description were read"));
        }
        let status = self.status(view);
        TemplateRanking { ranked, status, model_version: 0, schema: self.schema, notes }
    }

    /// Reads a ranker back from verified bytes.
    ///
    /// # Errors
    /// `Corrupt` when they hold none; `Incompatible` when it was fitted on other features.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (stored, rest): (Stored, _) = postcard::take_from_bytes(bytes)
            .map_err(|e| Error::corrupt("the template ranker cannot be read").with_source(e))?;
        if !rest.is_empty() {
            return Err(Error::corrupt(format!("template ranker: {} bytes too many", rest.len())));
        }
        let here = template_schema();
        if stored.schema != here {
            return Err(Error::incompatible(format!(
                "the template ranker was made from features {:016x}, here they are {here:016x}: train anew",
                stored.schema
            )));
        }
        Ok(Self { fitted: stored.fitted.map(StoredFit::open).transpose()?, schema: here })
    }

    /// The log-odds of a row taken apart, against those of its task type.
    fn explain(&self, row: &[f32], base: f64) -> Explained {
        let mut parts = rates::prior_parts(row);
        parts[SIMILAR] -= base;
        let Some(fitted) = &self.fitted else {
            return Explained { base, parts, margin: self.margin(row) };
        };
        // What does not count needs no reasons, which take most of the time.
        let shap = (fitted.share > 0.0).then(|| fitted.trees.contributions(row).unwrap_or_default());
        let shap = shap.unwrap_or_default();
        let expected = shap.last().copied().map_or(fitted.centre, f64::from);
        parts.iter_mut().zip(&shap).for_each(|(part, more)| *part += fitted.share * f64::from(*more));
        parts.iter_mut().for_each(|part| *part = fitted.scaling.apply(*part));
        let base = fitted.scaling.apply(base + fitted.share * (expected - fitted.centre));
        Explained { base, parts, margin: self.margin(row) }
    }

    /// The log-odds with which a row is expected to be approved without modification, as far as its
    /// template decides it: higher ranks higher.
    fn margin(&self, row: &[f32]) -> f64 {
        let prior = rates::prior(row);
        self.fitted
            .as_ref()
            .map_or(prior, |fitted| fitted.scaling.apply(prior + fitted.share * fitted.correction(row)))
    }

    fn status(&self, view: &TemplateView) -> Status {
        match &self.fitted {
            Some(_) => Status::Calibrated,
            None if view.group(GroupKey::Global).all.n < FEW => Status::InsufficientEvidence,
            None => Status::ColdStart,
        }
    }
}

impl Predictor for TemplateRanker {
    /// The log-odds of approval without modification.
    type Prediction = f64;

    fn predict(&self, row: &FeatureRow) -> f64 {
        self.margin(&row.values)
    }

    fn point(&self, row: &FeatureRow) -> f64 {
        self.margin(&row.values)
    }

    fn reasons(&self, row: &FeatureRow) -> Vec<Attribution> {
        let parts = self.explain(&row.values, 0.0).parts;
        let named = TEMPLATE_FEATURES.iter().zip(&row.values).zip(parts);
        let mut found: Vec<_> = named
            .filter(|((_, value), part)| !value.is_nan() && part.abs() >= LEAST)
            .map(|((feature, value), part)| {
                let fact = Fact::Number(f64::from(*value), feature.unit.to_owned());
                Attribution::new(feature.name, Topic::Task, part, fact)
            })
            .collect();
        found.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
        found
    }

    fn gains(&self) -> Vec<(String, f64)> {
        let Some(fitted) = &self.fitted else { return Vec::new() };
        shares(TEMPLATE_FEATURES.iter().map(|feature| feature.name).zip(fitted.trees.importance()))
    }

    fn schema(&self) -> u64 {
        self.schema
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let fitted = self.fitted.as_ref().map(Fitted::store).transpose()?;
        postcard::to_stdvec(&Stored { schema: self.schema, fitted })
            .map_err(|e| Error::internal("the template ranker cannot be written").with_source(e))
    }
}

impl Fitted {
    fn correction(&self, row: &[f32]) -> f64 {
        self.trees.margin(row).map_or(0.0, |margin| margin - self.centre)
    }

    fn store(&self) -> Result<StoredFit> {
        let Self { trees, centre, share, scaling } = self;
        Ok(StoredFit { trees: trees.to_bytes()?, centre: *centre, share: *share, scaling: *scaling })
    }
}

/// A ranker as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    schema: u64,
    fitted: Option<StoredFit>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredFit {
    trees: Vec<u8>,
    centre: f64,
    share: f64,
    scaling: Scaling,
}

impl StoredFit {
    /// Checks everything that a ranking relies on.
    fn open(self) -> Result<Fitted> {
        let trees = Trees::from_bytes(&self.trees)?;
        let fits = trees.width() == TEMPLATE_FEATURES.len()
            && self.scaling.is_sound()
            && (0.0..=1.0).contains(&self.share)
            && (-1e6..=1e6).contains(&self.centre);
        if !fits {
            return Err(Error::corrupt("template ranker: its parts do not fit together"));
        }
        Ok(Fitted { trees, centre: self.centre, share: self.share, scaling: self.scaling })
    }
}

#[cfg(test)]
impl TemplateRanker {
    /// How much of what the trees learned counts beside the past alone, 0 to 1: 0 where they were no
    /// better than it on rows held out, and for the prior.
    pub(crate) fn correction_share(&self) -> f64 {
        self.fitted.as_ref().map_or(0.0, |fitted| fitted.share)
    }
}

#[cfg(test)]
pub(crate) use dataset::TemplateDatasetBuilder;
