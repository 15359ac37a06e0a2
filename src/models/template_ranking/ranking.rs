//! A ranking, and how it is put in order.

use super::catalogue::Prepared;
use super::explore;
use super::features::TEMPLATE_FEATURES;
use super::sentence::sentence;
use super::view::Past;
use crate::event::{TaskContext, TemplateId};
use crate::models::Status;
use crate::stats::sigmoid;
use serde::{Deserialize, Serialize};

/// The templates that a task might use, the best first.
///
/// ```
/// use devmatrix_ml::models::{RankedTemplate, TemplateRanking};
/// /// The template to propose; none where the best is hardly ever approved.
/// fn proposal(ranking: &TemplateRanking) -> Option<&RankedTemplate> {
///     ranking.ranked.first().filter(|template| template.score >= 0.3)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TemplateRanking {
    /// Every template that exists, each once.
    pub ranked: Vec<RankedTemplate>,
    /// The basis of the ranking.
    pub status: Status,
    /// The version of the model, 0 for the prior and where nobody has set it.
    pub model_version: u64,
    /// Fingerprint of the features that made it.
    pub(crate) schema: u64,
    /// What else to know: that the catalogue is empty, or the end of a description was not read.
    pub notes: Vec<String>,
}

/// One template in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RankedTemplate {
    /// The template.
    pub template_id: TemplateId,
    /// By what it is ranked: the estimated share of approvals without modification, 0 to 1, and
    /// its exploration bonus.
    pub score: f64,
    /// Its place, from 1.
    pub(crate) rank: usize,
    /// Why it stands there, in words.
    pub sentence: String,
    /// What moves its estimated log-odds of approval, the strongest first; with [`base`] they add up
    /// to them, to single precision.
    ///
    /// [`base`]: RankedTemplate::base
    pub(crate) contributions: Vec<TemplateContribution>,
    /// Where its log-odds start, the same for all templates of the task.
    pub(crate) base: f64,
    /// The exploration bonus of a new template; 1 or more where it must be tried now.
    pub(crate) exploration: f64,
    /// How often it was tried, as far as that is known; generations of the last 14 days without an
    /// outcome count.
    pub(crate) tried: u64,
    /// True if fewer than 5 of its outcomes are known.
    pub(crate) is_new: bool,
}

/// What one feature adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub(crate) struct TemplateContribution {
    /// The feature, of [`TEMPLATE_FEATURES`](super::TEMPLATE_FEATURES).
    pub(crate) feature: String,
    /// Its value; `None` where it is missing.
    pub(crate) value: Option<f32>,
    /// Its contribution to the log-odds of approval, relative to the task type's rate.
    pub(crate) contribution: f64,
}

impl TemplateRanking {}

/// Log-odds taken apart by feature.
pub(super) struct Explained {
    pub(super) base: f64,
    pub(super) parts: Vec<f64>,
    pub(super) margin: f64,
}

/// A template that is to find its place.
pub(super) struct Candidate<'a> {
    pub(super) template: &'a Prepared,
    pub(super) past: Past,
    pub(super) features: Vec<f32>,
    pub(super) explained: Explained,
}

/// The candidates by descending score, then by id.
pub(super) fn order<'a>(
    candidates: impl Iterator<Item = Candidate<'a>>,
    task: &TaskContext,
) -> Vec<RankedTemplate> {
    let mut ranked: Vec<_> = candidates.map(|candidate| candidate.unplaced(task)).collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.template_id.cmp(&b.template_id)));
    ranked.iter_mut().zip(1..).for_each(|(template, rank)| template.rank = rank);
    ranked
}

impl Candidate<'_> {
    fn unplaced(self, task: &TaskContext) -> RankedTemplate {
        let dated = self.template.profile.created_at.is_some();
        let exploration = explore::bonus(&self.past, &self.features, dated);
        RankedTemplate {
            template_id: self.template.profile.template_id.clone(),
            score: sigmoid(self.explained.margin) + exploration,
            rank: 0,
            sentence: sentence(&self.template.profile, &self.past, &self.features, task, exploration),
            contributions: contributions(&self.features, &self.explained.parts),
            base: self.explained.base,
            exploration,
            tried: explore::tries(&self.past).round() as u64,
            is_new: explore::is_new(&self.past),
        }
    }
}

fn contributions(row: &[f32], parts: &[f64]) -> Vec<TemplateContribution> {
    let named = TEMPLATE_FEATURES.iter().zip(row).zip(parts).filter(|(_, part)| **part != 0.0);
    let mut found: Vec<_> = named
        .map(|((feature, value), part)| TemplateContribution {
            feature: feature.name.to_owned(),
            value: value.is_finite().then_some(*value),
            contribution: *part,
        })
        .collect();
    found.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
    found
}

#[cfg(test)]
impl TemplateRanking {
    /// The best template, where there is one.
    pub(crate) fn best(&self) -> Option<&RankedTemplate> {
        self.ranked.first()
    }
}
