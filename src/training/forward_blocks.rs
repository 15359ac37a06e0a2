//! Comparisons with baselines on blocks of rows in time, each predicted by a fit to what was before it.
//!
//! A champion stands between a model and the baselines. A first model has none: on one small block the luck of a few
//! nights would decide whether a host gets a model at all, so it is compared on several.

use super::losses::{UnitLosses, clusters, points};
use super::options::TrainingOptions;
use crate::dataset::{Dataset, Example, response_weights};
use crate::error::{ErrorKind, Result};
use crate::execution;
use crate::ml::metrics::{PairedComparison, compare_paired};
use crate::models::Trainer;
use std::collections::BTreeMap;

/// Rows, how a model predicts them, and what it was fitted on.
#[derive(Debug)]
pub(super) struct ForwardBlock {
    pub(super) train: Dataset,
    pub(super) test: Vec<Example>,
    pub(super) points: Vec<f64>,
}

/// A block that stands elsewhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockView<'a> {
    pub(super) train: &'a Dataset,
    pub(super) test: &'a [Example],
    pub(super) points: &'a [f64],
}

impl ForwardBlock {
    pub(super) fn view(&self) -> BlockView<'_> {
        BlockView { train: &self.train, test: &self.test, points: &self.points }
    }
}

/// Blocks before the test set on which a first model is compared too.
const EARLIER: usize = 2;

/// Returns the blocks of `rows` labelled rows at the end of `train`, the earliest first, as far as enough rows are left
/// to fit on.
///
/// # Errors
/// `Cancelled`; those of a fit.
pub(super) fn earlier<T: Trainer>(trainer: &T, train: &Dataset, rows: usize) -> Result<Vec<ForwardBlock>> {
    let mut blocks = Vec::new();
    let mut rest = train.clone();
    for _ in 0..EARLIER {
        let labelled = rest.certain().count();
        if labelled <= rows {
            break;
        }
        let fitted = rest.split_by_time(rows as f64 / labelled as f64).and_then(|(before, test)| {
            let points = points(&trainer.fit_points(&before)?, &test)?;
            Ok(ForwardBlock { train: before, test, points })
        });
        match fitted {
            Ok(block) => {
                rest = block.train.clone();
                blocks.push(block);
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotEnoughData { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    blocks.reverse();
    Ok(blocks)
}

/// Compares the losses over all blocks with those of each baseline, which learns from what was before each block.
///
/// # Errors
/// Those of the trainer's losses; `Cancelled`.
pub(super) fn against_baselines<T: Trainer>(
    trainer: &T,
    blocks: &[BlockView<'_>],
    options: &TrainingOptions,
) -> Result<BTreeMap<String, PairedComparison>> {
    let mut pairs = BTreeMap::<String, Pairs>::new();
    let rows: Vec<_> = blocks.iter().flat_map(|block| block.test).cloned().collect();
    let all_clusters = clusters(&rows);
    let mut from = 0;
    for BlockView { train, test, points } in blocks.iter().copied() {
        let weights = response_weights(test);
        let own = UnitLosses::of(trainer, points, test)?;
        let clusters = own.select(&all_clusters[from..from + test.len()]);
        let losses = own.weighted(&weights);
        from += test.len();
        for (name, theirs) in trainer.baselines(train, test) {
            execution::check()?;
            let theirs = UnitLosses::of(trainer, &theirs, test)?.weighted(&weights);
            let all = pairs.entry(name).or_default();
            all.own.extend_from_slice(&losses);
            all.theirs.extend(theirs);
            all.clusters.extend_from_slice(&clusters);
        }
    }
    let gate = &options.gate;
    let compare = |(name, pairs): (String, Pairs)| {
        let Pairs { own, theirs, clusters } = pairs;
        Ok((name, compare_paired(&own, &theirs, &clusters, gate.confidence, options.seed)?))
    };
    pairs.into_iter().map(compare).collect()
}

/// Losses of a model and of a baseline on the same rows, with the rows' clusters.
#[derive(Default)]
struct Pairs {
    own: Vec<f64>,
    theirs: Vec<f64>,
    clusters: Vec<u64>,
}
