//! How a ranking is learned.

use super::catalogue::TemplateCatalogue;
use super::dataset::TemplateDatasetBuilder;
use super::features::TYPE_OUTCOMES;
use super::params::TemplateParams;
use super::{Fitted, TEMPLATE_FEATURES, TemplateRanker, forward, rates, template_schema};
use crate::dataset::{Dataset, Example, RowBuilder, Target, groups_of};
use crate::error::{Error, ErrorKind, Result};
use crate::features::FeatureRow;
use crate::ml::metrics::{RankingScores, log_loss, ndcg};
use crate::ml::{FitRequest, Matrix, Objective, Sample, Scaling, Trees};
use crate::models::{Status, Trainer};
use crate::stats::sigmoid;
use std::collections::{BTreeMap, BTreeSet};

/// Fits [`TemplateRanker`]s.
#[derive(Debug, Clone, Default)]
pub struct TemplateTrainer {
    params: TemplateParams,
    catalogue: TemplateCatalogue,
}

impl TemplateTrainer {
    /// A trainer with verified parameters.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter that is out of range.
    pub fn new(params: TemplateParams) -> Result<Self> {
        params.validate().map(|()| Self { params, catalogue: TemplateCatalogue::default() })
    }

    /// Sets other parameters.
    pub(crate) fn with_params(&self, params: TemplateParams) -> Result<Self> {
        Ok(Self { catalogue: self.catalogue.clone(), ..Self::new(params)? })
    }

    /// Sets the templates whose rows it learns from: what is known of them besides their ids.
    #[must_use]
    pub fn with_catalogue(self, catalogue: TemplateCatalogue) -> Self {
        Self { catalogue, ..self }
    }

    /// The trees, where any group can teach an order.
    fn trees(&self, data: &Dataset) -> Result<Option<Fitted>> {
        let groups: Vec<_> = teaching(&data.examples).iter().map(|group| self.copies(data, group)).collect();
        if groups.is_empty() {
            return Ok(None);
        }
        let rows: Vec<_> = groups.iter().flatten().map(|at| &data.examples[*at]).collect();
        let table: Vec<f32> = rows.iter().flat_map(|row| row.features.values.iter().copied()).collect();
        let labels: Vec<_> = rows.iter().map(|row| row.label).collect();
        let offsets: Vec<_> = rows.iter().map(|row| rates::prior(&row.features.values)).collect();
        let sizes: Vec<_> = groups.iter().map(Vec::len).collect();
        let matrix = Matrix { values: &table, width: TEMPLATE_FEATURES.len() };
        let sample = Sample::new(matrix, &labels).starting_from(&offsets).grouped(&sizes);
        let objective = Objective::LambdaRank { top: self.params.top };
        let trees = Trees::fit(&self.params.boost, &FitRequest::new(objective, sample))?;
        let margins = data.examples.iter().map(|row| trees.margin(&row.features.values).unwrap_or(0.0));
        let centre = margins.sum::<f64>() / data.examples.len() as f64;
        Ok(Some(Fitted { trees, centre, share: 1.0, scaling: Scaling::default() }))
    }

    /// The rows of a group, each as often as it counts.
    fn copies(&self, data: &Dataset, group: &[usize]) -> Vec<usize> {
        let propensity = |at: &usize| {
            let shown = data.examples[*at].shown;
            shown.and_then(|shown| shown.propensity).filter(|p| *p > 0.0 && *p <= 1.0)
        };
        let likeliest = group.iter().filter_map(propensity).fold(0.0, f64::max);
        let most = self.params.most_copies;
        let times =
            |at: &usize| propensity(at).map_or(1, |p| ((likeliest / p).round() as u32).clamp(1, most));
        group.iter().flat_map(|at| (0..times(at)).map(|_| *at)).collect()
    }
}

impl Trainer for TemplateTrainer {
    type Model = TemplateRanker;

    fn name(&self) -> &'static str {
        Target::Template.name()
    }

    fn target(&self) -> Target {
        Target::Template
    }

    fn row_builder(&self) -> Option<Box<dyn RowBuilder>> {
        Some(Box::new(TemplateDatasetBuilder::new(self.catalogue.clone())))
    }

    fn schema(&self, _host: u64) -> u64 {
        template_schema()
    }

    /// Fits a ranker: the same data give the same bytes, on any number of threads.
    ///
    /// Fits on the oldest 40, 60 and 80 % are evaluated each on the fifth that follows: the correction is
    /// kept only as far as it tells better from worse outcomes there than the prior does, and the
    /// whole is calibrated on the same rows. Then everything is learned from.
    ///
    /// Only groups in which outcomes of different templates differ can teach an order. Each row of a
    /// group is weighted by its clipped inverse propensity: 1 / propensity, divided by the least of
    /// its group and rounded, at most [`most_copies`](TemplateParams::most_copies); a row without a
    /// recorded propensity has weight one.
    ///
    /// # Errors
    /// `NotEnoughData` with fewer than [`min_samples`](TemplateParams::min_samples) rows, or where no
    /// group can teach an order (as with one template only): rank by the historical rates;
    /// `Incompatible` when the rows were made from other features.
    fn fit(&self, data: &Dataset) -> Result<TemplateRanker> {
        if data.schema != template_schema() {
            return Err(Error::incompatible("the rows were made from other features: replay them anew"));
        }
        let (have, need) = (data.examples.len(), self.params.min_samples.max(2));
        if have < need {
            return Err(too_few(have, need, "judged generations with a template"));
        }
        let templates: BTreeSet<_> = data.examples.iter().map(|row| &row.about.template).collect();
        let templates = templates.len();
        if templates < 2 {
            return Err(too_few(templates, 2, "templates that were judged"));
        }
        let worth = forward::judge(data, |earlier| self.trees(earlier))?;
        let fitted = self
            .trees(data)?
            .ok_or_else(|| too_few(0, 1, "groups in which different templates came to different outcomes"))?;
        let fitted = Fitted { share: worth.share, scaling: worth.scaling, ..fitted };
        Ok(TemplateRanker { fitted: Some(fitted), schema: data.schema })
    }

    fn read(&self, bytes: &[u8]) -> Result<TemplateRanker> {
        TemplateRanker::from_bytes(bytes)
    }

    fn prior(&self, row: &FeatureRow) -> (f64, Status) {
        let outcomes = row.values.get(TYPE_OUTCOMES).is_some_and(|n| *n > 0.0);
        let status = if outcomes { Status::ColdStart } else { Status::InsufficientEvidence };
        (rates::prior(&row.values), status)
    }

    /// The log loss of approval; rankings are compared by [`losses`](Trainer::losses).
    fn loss(&self, point: f64, label: f64) -> f64 {
        log_loss(sigmoid(point), label >= APPROVED)
    }

    /// 1 − NDCG at 3 of each group in which relevances differ, at the group's first row.
    fn losses(&self, points: &[f64], rows: &[Example]) -> Result<Vec<Option<f64>>> {
        let mut losses = vec![None; rows.len()];
        for group in groups_of(rows) {
            let relevances: Vec<_> = group.iter().map(|at| rows[*at].label).collect();
            let points: Vec<_> = group.iter().map(|at| points[*at]).collect();
            losses[group[0]] = ndcg(&points, &relevances, 3)?.map(|found| 1.0 - found);
        }
        Ok(losses)
    }

    /// The past alone.
    fn baselines(&self, _train: &Dataset, test: &[Example]) -> Vec<(String, Vec<f64>)> {
        vec![("prior".to_owned(), test.iter().map(|e| rates::prior(&e.features.values)).collect())]
    }

    /// Scores the order of rows that all competed with each other.
    fn scores(&self, points: &[f64], labels: &[f64]) -> Result<BTreeMap<String, f64>> {
        Ok(RankingScores::of(points, labels, &[labels.len()])?.to_map())
    }

    /// Scores the order within each group in which outcomes of different templates differ.
    fn scores_of_rows(
        &self,
        points: &[f64],
        rows: &[Example],
        _weights: Option<&[f64]>,
    ) -> Result<BTreeMap<String, f64>> {
        let groups = teaching(rows);
        let ordered = || groups.iter().flatten();
        let points: Vec<_> = ordered().map(|at| points[*at]).collect();
        let relevances: Vec<_> = ordered().map(|at| rows[*at].label).collect();
        let sizes: Vec<_> = groups.iter().map(Vec::len).collect();
        Ok(RankingScores::of(&points, &relevances, &sizes)?.to_map())
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::to_value(self.params).unwrap_or_default()
    }
}

/// The least relevance of what was approved as it was.
const APPROVED: f64 = 2.5;

/// The groups in which outcomes of different templates differ.
fn teaching(rows: &[Example]) -> Vec<Vec<usize>> {
    let mut groups = groups_of(rows);
    groups.retain(|group| {
        let differs = |part: fn(&Example, &Example) -> bool| {
            group.windows(2).any(|pair| part(&rows[pair[0]], &rows[pair[1]]))
        };
        differs(|a, b| a.label != b.label) && differs(|a, b| a.about.template != b.about.template)
    });
    groups
}

fn too_few(have: usize, need: usize, what: &str) -> Error {
    Error::new(
        ErrorKind::NotEnoughData { have, need },
        format!("{have} {what}, {need} are needed: rank by the prior until then"),
    )
}

#[cfg(test)]
impl TemplateTrainer {
    /// The same, and the prior where there is too little to learn from.
    ///
    /// # Errors
    /// `Incompatible` when the rows were made from other features.
    pub(crate) fn fit_or_prior(&self, data: &Dataset) -> Result<TemplateRanker> {
        match self.fit(data) {
            Err(error) if matches!(error.kind(), ErrorKind::NotEnoughData { .. }) => {
                Ok(TemplateRanker::prior())
            }
            fitted => fitted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Shown;
    use crate::event::{Decision, GenerationEvent, Record};

    fn rows(propensity: &[Option<f64>]) -> Dataset {
        let row = |(at, propensity): (usize, &Option<f64>)| {
            let json = format!(
                r#"{{"event_id":"e{at}","task_id":"t","template_id":"t{}","task_type":"x",
                    "started_at":"2025-03-03T10:00:0{at}Z","completed_at":"2025-03-03T11:00:00Z",
                    "success":{}}}"#,
                at % 2,
                at % 2 == 1
            );
            let mut event = GenerationEvent::from_json(&json).unwrap();
            event.started.value.decision = propensity.and_then(|p| {
                let template = format!("t{}", at % 2);
                Decision::new("p", vec!["t0".into(), "t1".into()], template, p).ok()
            });
            event.into_records().unwrap()
        };
        let mut records: Vec<_> = propensity.iter().enumerate().flat_map(row).collect();
        records.sort_by_key(Record::known_at);
        let mut builder = TemplateDatasetBuilder::new(TemplateCatalogue::default());
        records.iter().for_each(|record| builder.apply(record));
        builder.rows(records.last().unwrap().known_at(), 9)
    }

    fn copies(propensity: &[Option<f64>]) -> Vec<usize> {
        let found = TemplateTrainer::default().copies(&rows(propensity), &[0, 1, 2]);
        (0..3).map(|at| found.iter().filter(|row| **row == at).count()).collect()
    }

    #[test]
    fn what_was_seldom_shown_stands_for_more() {
        assert_eq!(copies(&[Some(0.75), Some(0.25), None]), [1, 3, 1]);
        assert_eq!(copies(&[Some(1.0 / 12.0), Some(1.0 / 12.0), Some(1.0 / 12.0)]), [1, 1, 1]);
        assert_eq!(copies(&[Some(0.9), Some(1e-12), None]), [1, 10, 1]);
        assert_eq!(copies(&[None, None, None]), [1, 1, 1]);
    }

    #[test]
    fn groups_of_one_row_one_template_or_one_relevance_teach_nothing() {
        let data = rows(&[None; 4]);
        let changed = |change: fn(&mut Example, u64)| {
            let mut data = data.clone();
            data.examples.iter_mut().zip(0..).for_each(|(row, number)| change(row, number));
            teaching(&data.examples)
        };
        assert_eq!(changed(|_, _| {}), [[0, 1, 2, 3]]);
        assert!(changed(|row, _| row.label = 2.0).is_empty());
        assert!(changed(|row, _| row.about.template = Some("t".into())).is_empty());
        assert!(
            changed(|row, number| row.shown = Some(Shown { group: number, propensity: None })).is_empty()
        );
    }
}
