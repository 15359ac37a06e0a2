//! How a ranking is learned.

use super::dataset::{TemplateDataset, TemplateRow};
use super::params::TemplateParams;
use super::{Fitted, TEMPLATE_FEATURES, TemplateRanker, forward, rates, template_schema};
use crate::error::{Error, ErrorKind, Result};
use crate::ml::metrics::RankingScores;
use crate::ml::{FitRequest, Matrix, Objective, Sample, Scaling, Trees};

/// Fits [`TemplateRanker`]s.
#[derive(Debug, Clone, Default)]
pub struct TemplateTrainer {
    params: TemplateParams,
}

impl TemplateTrainer {
    /// A trainer with verified parameters.
    ///
    /// # Errors
    /// `InvalidInput` naming the parameter that is out of range.
    pub fn new(params: TemplateParams) -> Result<Self> {
        params.verify().map(|()| Self { params })
    }

    /// The model's name in the registry.
    pub fn name(&self) -> &'static str {
        "template"
    }

    /// Fits a ranker: the same data give the same bytes, on any number of threads.
    ///
    /// Fits on the oldest 40, 60 and 80 % are judged each on the fifth that follows: the correction is
    /// kept only as far as it tells better from worse outcomes there than the prior does, and the
    /// whole is calibrated on the same rows. Then everything is learned from.
    ///
    /// Only groups in which outcomes of different templates differ can teach an order. In a group
    /// each row stands for as many others as it was unlikely to be shown: for 1 / odds, divided by
    /// the least of its group and rounded, at most [`most_copies`](TemplateParams::most_copies)
    /// (clipped inverse propensities); rows whose odds nobody recorded stand for one.
    ///
    /// # Errors
    /// `NotEnoughData` with fewer than [`min_samples`](TemplateParams::min_samples) rows, or where no
    /// group can teach an order (as with one template only): rank by [`TemplateRanker::prior`];
    /// `Incompatible` when the rows were made from other features.
    pub fn fit(&self, data: &TemplateDataset) -> Result<TemplateRanker> {
        if data.schema != template_schema() {
            return Err(Error::incompatible("the rows were made from other features: replay them anew"));
        }
        let (have, need) = (data.rows.len(), self.params.min_samples.max(2));
        if have < need {
            return Err(too_few(have, need, "judged generations with a template"));
        }
        let templates = data.templates();
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

    /// The same, and the prior where there is too little to learn from.
    ///
    /// # Errors
    /// `Incompatible` when the rows were made from other features.
    pub fn fit_or_prior(&self, data: &TemplateDataset) -> Result<TemplateRanker> {
        match self.fit(data) {
            Err(error) if matches!(error.kind(), ErrorKind::NotEnoughData { .. }) => {
                Ok(TemplateRanker::prior())
            }
            fitted => fitted,
        }
    }

    /// How well `ranker` orders the rows that competed in each group of `data`.
    ///
    /// # Errors
    /// `InvalidInput` where no group has a relevant row.
    pub fn scores(&self, ranker: &TemplateRanker, data: &TemplateDataset) -> Result<RankingScores> {
        let groups = teaching(data);
        let rows: Vec<_> = groups.iter().flatten().map(|at| &data.rows[*at]).collect();
        let points: Vec<_> = rows.iter().map(|row| ranker.point(&row.features)).collect();
        let relevances: Vec<_> = rows.iter().map(|row| f64::from(row.relevance)).collect();
        let sizes: Vec<_> = groups.iter().map(Vec::len).collect();
        RankingScores::of(&points, &relevances, &sizes)
    }

    /// The parameters, to be kept with every version.
    pub fn parameters(&self) -> serde_json::Value {
        serde_json::to_value(self.params).unwrap_or_default()
    }

    /// The trees, where any group can teach an order.
    fn trees(&self, data: &TemplateDataset) -> Result<Option<Fitted>> {
        let groups: Vec<_> = teaching(data).iter().map(|group| self.copies(data, group)).collect();
        if groups.is_empty() {
            return Ok(None);
        }
        let rows: Vec<_> = groups.iter().flatten().map(|at| &data.rows[*at]).collect();
        let table: Vec<f32> = rows.iter().flat_map(|row| row.features.iter().copied()).collect();
        let labels: Vec<_> = rows.iter().map(|row| f64::from(row.relevance)).collect();
        let offsets: Vec<_> = rows.iter().map(|row| rates::prior(&row.features)).collect();
        let sizes: Vec<_> = groups.iter().map(Vec::len).collect();
        let matrix = Matrix { values: &table, width: TEMPLATE_FEATURES.len() };
        let sample = Sample::new(matrix, &labels).starting_from(&offsets).grouped(&sizes);
        let objective = Objective::LambdaRank { top: self.params.top };
        let trees = Trees::fit(&self.params.boost, &FitRequest::new(objective, sample))?;
        let margins = data.rows.iter().map(|row| trees.margin(&row.features).unwrap_or(0.0));
        let centre = margins.sum::<f64>() / data.rows.len() as f64;
        Ok(Some(Fitted { trees, centre, share: 1.0, scaling: Scaling::default() }))
    }

    /// The rows of a group, each as often as it counts.
    fn copies(&self, data: &TemplateDataset, group: &[usize]) -> Vec<usize> {
        let propensity = |at: &usize| data.rows[*at].propensity.filter(|p| *p > 0.0 && *p <= 1.0);
        let likeliest = group.iter().filter_map(propensity).fold(0.0, f64::max);
        let most = self.params.most_copies;
        let times =
            |at: &usize| propensity(at).map_or(1, |p| ((likeliest / p).round() as u32).clamp(1, most));
        group.iter().flat_map(|at| (0..times(at)).map(|_| *at)).collect()
    }
}

/// The groups in which outcomes of different templates differ.
fn teaching(data: &TemplateDataset) -> Vec<Vec<usize>> {
    let mut groups = data.groups();
    groups.retain(|group| {
        let differs = |part: fn(&TemplateRow, &TemplateRow) -> bool| {
            group.windows(2).any(|pair| part(&data.rows[pair[0]], &data.rows[pair[1]]))
        };
        differs(|a, b| a.relevance != b.relevance) && differs(|a, b| a.template_id != b.template_id)
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
mod tests {
    use super::*;
    use crate::event::{EventId, TemplateId};
    use chrono::DateTime;

    fn rows(propensity: &[Option<f64>]) -> TemplateDataset {
        let row = |(at, propensity): (usize, &Option<f64>)| TemplateRow {
            event_id: EventId::new(format!("e{at}")).unwrap(),
            template_id: TemplateId::new(format!("t{}", at % 2)).unwrap(),
            query: 1,
            started_at: DateTime::UNIX_EPOCH,
            known_at: DateTime::UNIX_EPOCH,
            features: vec![0.0; TEMPLATE_FEATURES.len()].into(),
            relevance: (at % 2) as u8,
            success: at % 2 == 1,
            propensity: *propensity,
        };
        TemplateDataset { rows: propensity.iter().enumerate().map(row).collect(), schema: template_schema() }
    }

    fn copies(propensity: &[Option<f64>]) -> Vec<usize> {
        let found = TemplateTrainer::default().copies(&rows(propensity), &[0, 1, 2]);
        (0..3).map(|at| found.iter().filter(|row| **row == at).count()).collect()
    }

    #[test]
    fn what_was_seldom_shown_stands_for_more() {
        assert_eq!(copies(&[Some(0.75), Some(0.25), None]), [1, 3, 1]);
        assert_eq!(copies(&[Some(1.0 / 12.0), Some(1.0 / 12.0), Some(1.0 / 12.0)]), [1, 1, 1]);
        assert_eq!(copies(&[Some(0.9), Some(1e-300), Some(f64::NAN)]), [1, 10, 1]);
        assert_eq!(copies(&[None, None, None]), [1, 1, 1]);
    }

    #[test]
    fn groups_of_one_row_one_template_or_one_relevance_teach_nothing() {
        let mut data = rows(&[None; 4]);
        assert_eq!(teaching(&data), [[0, 1, 2, 3]]);
        data.rows.iter_mut().for_each(|row| row.relevance = 2);
        assert!(teaching(&data).is_empty());
        let mut data = rows(&[None; 4]);
        data.rows.iter_mut().for_each(|row| row.template_id = TemplateId::new("t").unwrap());
        assert!(teaching(&data).is_empty());
        let mut data = rows(&[None; 4]);
        data.rows.iter_mut().zip(0..).for_each(|(row, query)| row.query = query);
        assert!(teaching(&data).is_empty());
    }
}
