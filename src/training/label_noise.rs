//! Detection of label noise: sources whose feedback contradicts everybody else's.

use super::losses::points;
use crate::dataset::{Dataset, Example, Source, SourceKind};
use crate::error::{ErrorKind, Result};
use crate::ml::metrics::auc_with_error;
use crate::models::Trainer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A source whose outcomes contradict the predictions of a model fitted on all sources, or depend on them far
/// less than others' do: labels inverted by mistake, by malice or by a different standard, or random labels.
/// A person should review it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AnomalousLabeler {
    /// The source.
    pub(crate) source: Source,
    /// Number of outcomes tested.
    pub(crate) outcomes: usize,
    /// ROC AUC of out-of-sample predictions on its outcomes; below 0.5 the outcomes contradict them.
    pub(crate) auc: f64,
    /// ROC AUC on the outcomes of all other sources.
    pub(crate) others: f64,
    /// Difference of the two AUCs in standard errors (z score).
    pub(crate) z: f64,
}

/// Fewest outcomes for which a source is tested.
const FEWEST_OUTCOMES: usize = 20;

/// A source is reported if its AUC is this many standard errors below the others' and its skill (AUC above
/// one half) is below this share of theirs. The false positive rate is about 1 in 2,000 sources.
const FEWEST_ERRORS: f64 = 3.3;
const SHARE_OF_SKILL: f64 = 0.5;

impl fmt::Display for AnomalousLabeler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, outcomes, auc, others, z } = self;
        let how = if *auc < 0.5 { "contradict" } else { "depend little on" };
        write!(
            f,
            "{source}: {outcomes} outcomes {how} the predictions of a model fitted on all sources (AUC {auc:.2}, others {others:.2}, {z:.1} standard errors)"
        )
    }
}

/// Fraction of a training set, the newest rows, that is searched for anomalous labelers.
const LOOKED_AT: f64 = 0.4;

/// Finds anomalous labelers among the sources of a training set and of newer rows, given the set's model and
/// its predictions for the newer rows. The newest rows of the set are predicted by a model fitted on the earlier
/// ones. Returns none for numeric targets.
pub(super) fn find<T: Trainer>(
    trainer: &T,
    (data, model): (&Dataset, &T::Model),
    (newer, said): (&[Example], &[f64]),
) -> Result<Vec<AnomalousLabeler>> {
    if !trainer.target().is_binary() {
        return Ok(Vec::new());
    }
    let (mut rows, mut points) = (newer.to_vec(), said.to_vec());
    let fitted = data
        .split_by_time(LOOKED_AT)
        .and_then(|(earlier, later)| Ok((self::points(&trainer.fit_like(&earlier, model)?, &later)?, later)));
    match fitted {
        Ok((said, later)) => {
            rows.extend(later);
            points.extend(said);
        }
        Err(e) if matches!(e.kind(), ErrorKind::NotEnoughData { .. }) => {}
        Err(e) => return Err(e),
    }
    Ok(among(&rows, &points))
}

/// Returns the users among them, whose labels are excluded from training. An agent is only reported: its
/// outcomes are labelled by others, and the model should learn that it is hard to predict.
pub(super) fn excluded(anomalous_labelers: &[AnomalousLabeler]) -> Vec<&Source> {
    anomalous_labelers.iter().map(|s| &s.source).filter(|source| source.kind == SourceKind::User).collect()
}

/// Returns the rows that do not come from these sources.
pub(super) fn without(data: &Dataset, sources: &[&Source]) -> Dataset {
    data.filter(|_, e| {
        Source::of(e)
            .all(|(kind, name)| sources.iter().all(|source| source.kind != kind || *source.name != **name))
    })
}

/// Returns the anomalous labelers among the sources of `rows`, given out-of-sample predictions `points`, in
/// descending order of the z score.
fn among(rows: &[Example], points: &[f64]) -> Vec<AnomalousLabeler> {
    let mut groups = BTreeMap::<(SourceKind, &str), Vec<usize>>::new();
    for (row, example) in rows.iter().enumerate() {
        for (kind, name) in Source::of(example) {
            groups.entry((kind, name.as_ref())).or_default().push(row);
        }
    }
    let auc = |of: &mut dyn Iterator<Item = usize>| {
        let (points, outcomes): (Vec<_>, Vec<_>) =
            of.map(|row| (points[row], rows[row].label >= 0.5)).unzip();
        auc_with_error(&points, &outcomes)
    };
    let mut found: Vec<_> = groups
        .into_iter()
        .filter(|(_, members)| members.len() >= FEWEST_OUTCOMES)
        .filter_map(|((kind, name), members)| {
            let (own, own_error) = auc(&mut members.iter().copied())?;
            let mut others = (0..rows.len()).filter(|row| members.binary_search(row).is_err());
            let (others, others_error) = auc(&mut others)?;
            let z = (others - own) / own_error.hypot(others_error).max(f64::MIN_POSITIVE);
            let named = z > FEWEST_ERRORS && own - 0.5 < SHARE_OF_SKILL * (others - 0.5);
            let (source, outcomes) = (Source::new(kind, name), members.len());
            named.then_some(AnomalousLabeler { source, outcomes, auc: own, others, z })
        })
        .collect();
    found.sort_by(|a, b| b.z.total_cmp(&a.z));
    found
}
