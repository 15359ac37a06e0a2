//! Feedback that goes against what all others teach.

use super::evaluation::points;
use crate::dataset::{Dataset, Example, Source, SourceKind, Target};
use crate::error::{ErrorKind, Result};
use crate::ml::metrics::auc_with_error;
use crate::models::Trainer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A source whose outcomes run against predictions learned from everybody, or hang on them far less than
/// others' do: turned round by mistake, by malice or by a taste of its own, or at random. A person should
/// look at it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AnomalousLabeler {
    /// Who.
    pub source: Source,
    /// Outcomes that were looked at.
    pub outcomes: usize,
    /// Area under the ROC curve of the predictions of its outcomes, made by models that had not seen
    /// them; below 0.5 they run against them.
    pub auc: f64,
    /// The same for the outcomes of everybody else.
    pub others: f64,
    /// By how many standard errors the first is below the second.
    pub z: f64,
}

/// Fewer outcomes than this say nothing of a source.
const FEWEST_OUTCOMES: usize = 20;

/// So many standard errors below the others, and with less than this share of their skill (the area
/// above one half), a source is named: of 2,000 that are like all others one is, by chance.
const FEWEST_ERRORS: f64 = 3.3;
const SHARE_OF_SKILL: f64 = 0.5;

impl fmt::Display for AnomalousLabeler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, outcomes, auc, others, z } = self;
        let how = if *auc < 0.5 { "run against" } else { "hang little on" };
        write!(
            f,
            "{source}: {outcomes} outcomes {how} what others teach (area {auc:.2}, others {others:.2}, {z:.1} standard errors)"
        )
    }
}

/// Share of the newest rows of a training set among which suspects are looked for.
const LOOKED_AT: f64 = 0.4;

/// The suspects among the sources of a training set with its model and of newer rows with what that says of them:
/// the newest of the set are predicted from those before. None where outcomes are not yes or no.
pub(super) fn find<T: Trainer>(
    trainer: &T,
    (data, model): (&Dataset, &T::Model),
    (newer, said): (&[Example], &[f64]),
) -> Result<Vec<AnomalousLabeler>> {
    if trainer.target() != Target::Success {
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

/// The persons among them, of whom nothing is learned. An agent is only named: its outcomes are others'
/// judgements, and that it is hard to predict is worth learning.
pub(super) fn excluded(anomalous_labelers: &[AnomalousLabeler]) -> Vec<&Source> {
    anomalous_labelers.iter().map(|s| &s.source).filter(|source| source.kind == SourceKind::User).collect()
}

/// The rows that are not of these sources.
pub(super) fn without(data: &Dataset, sources: &[&Source]) -> Dataset {
    data.filter(|_, e| {
        Source::of(e)
            .all(|(kind, name)| sources.iter().all(|source| source.kind != kind || *source.name != **name))
    })
}

/// The suspects among the sources of `rows`, of which a model that has not seen them says `points`,
/// the clearest first.
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
