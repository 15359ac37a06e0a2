//! Feedback that goes against what all others teach.

use crate::dataset::{Example, Source, SourceKind};
use crate::evaluate::auc_with_error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A source whose outcomes run against predictions learnt from everybody: turned round by mistake, by
/// malice or by a taste of its own. A person should look at it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Suspect {
    /// Who.
    pub source: Source,
    /// Outcomes that were looked at.
    pub outcomes: usize,
    /// Area under the ROC curve of the predictions of its outcomes; below 0.5 they run against them.
    pub auc: f64,
    /// The same for the outcomes of everybody else.
    pub others: f64,
    /// By how many standard errors the first is below the second.
    pub z: f64,
}

/// Fewer outcomes than this say nothing of a source.
const FEWEST_OUTCOMES: usize = 20;

/// So many standard errors below the others, and below this area, a source is named: among 1,000
/// sources like all others one is named by chance.
const FEWEST_ERRORS: f64 = 3.3;
const LARGEST_AUC: f64 = 0.5;

impl fmt::Display for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, outcomes, auc, others, z } = self;
        write!(
            f,
            "{source}: {outcomes} outcomes run against what others teach (area {auc:.2}, others {others:.2}, {z:.1} standard errors)"
        )
    }
}

/// The suspects among the sources of `rows`, of which a model that has not seen them says `points`,
/// the clearest first.
pub(super) fn suspects(rows: &[Example], points: &[f64]) -> Vec<Suspect> {
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
            let named = z > FEWEST_ERRORS && own < LARGEST_AUC;
            let (source, outcomes) = (Source::new(kind, name), members.len());
            named.then_some(Suspect { source, outcomes, auc: own, others, z })
        })
        .collect();
    found.sort_by(|a, b| b.z.total_cmp(&a.z));
    found
}
