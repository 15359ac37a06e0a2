//! A shallow regression tree out of the stumps of `linfa-trees`, which classifies.

use super::table::Table;
use super::{Rule, Surrogate, conditions, fidelity};
use crate::dataset::{Dataset, Example, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::features::FeatureRow;
use crate::models::Predictor;
use linfa::dataset::DatasetBase;
use linfa::traits::Fit;
use linfa_trees::DecisionTree;
use ndarray::{Array1, Array2};

/// The newest rows that a surrogate is made from and judged on.
const MOST_ROWS: usize = 2_000;

/// It is judged on the rows of this share of the tasks, in tenths.
const HELD_OUT: u64 = 3;

/// Rows on which it is tried whether a model reads a feature.
const TRIED: usize = 24;

/// Fewer rows than these make no rules.
const FEWEST_ROWS: usize = 100;

/// Fewer rows than these are no rule, in shares of those that the tree grows from.
const LEAST_SHARE: f64 = 0.05;

/// Decisions of the longest rule. Chosen so that a reader takes the rules in at a glance.
const DEPTH: usize = 3;

/// A tree, or a part of one.
#[derive(Debug)]
pub(super) enum Node {
    Leaf { mean: f64, rows: usize },
    Split { column: usize, threshold: f64, sides: Box<[Node; 2]> },
}

impl Surrogate {
    /// Fits rules to what `model` predicts of the newest rows of `data`; those of three in ten tasks judge the rules.
    ///
    /// # Errors
    /// `NotEnoughData` for fewer than 100 rows; `InvalidInput` where the model predicts all alike.
    pub(crate) fn of<P: Predictor>(model: &P, data: &Dataset) -> Result<Self> {
        let rows: Vec<_> = data.examples[data.examples.len().saturating_sub(MOST_ROWS)..].iter().collect();
        let have = rows.len();
        if have < FEWEST_ROWS {
            let kind = ErrorKind::NotEnoughData { have, need: FEWEST_ROWS };
            let why =
                format!("{have} generations, {FEWEST_ROWS} are needed to say in rules what a model predicts");
            return Err(Error::new(kind, why));
        }
        let (late, early): (Vec<&Example>, Vec<&Example>) = rows.iter().partition(|e| e.task % 10 < HELD_OUT);
        let points = |rows: &[&Example]| -> Vec<f64> {
            rows.iter().map(|e| to_scale(data.target, model.point(&e.features))).collect()
        };
        let (known, judged) = (points(&early), points(&late));
        let table = Table::of(&early, |place| reads(model, &early, place));
        let tree =
            Growing { table: &table, rows: &early, points: &known }.grow((0..early.len()).collect(), 0);
        if matches!(tree, Node::Leaf { .. }) || judged.windows(2).all(|two| two[0] == two[1]) {
            return Err(Error::invalid("the model predicts nearly the same of all rows: no rules say more"));
        }
        let told: Vec<_> = late.iter().map(|e| tree.predict(&table, e)).collect();
        let mut rules = Vec::new();
        let share = |rows: usize| rows as f64 / early.len() as f64;
        tree.leaves(&mut Vec::new(), &mut |path, mean, rows| {
            let conditions = conditions::sentences(&table, early[0], path);
            rules.push(Rule { conditions, prediction: from_scale(data.target, mean), share: share(rows) });
        });
        rules.sort_by(|a, b| b.prediction.total_cmp(&a.prediction));
        let (r2, concordance) = (fidelity::r2(&told, &judged), fidelity::concordance(&told, &judged));
        Ok(Self { r2, concordance, rules, rows: late.len(), target: data.target })
    }
}

/// Checks whether the prediction of one of some rows changes with the value at `place`: rules should name what a model reads, not
/// what goes with it.
fn reads<P: Predictor>(model: &P, rows: &[&Example], place: usize) -> bool {
    let step = (rows.len() / TRIED).max(1);
    let tried = rows.iter().zip(rows.iter().skip(step)).step_by(step);
    tried.into_iter().any(|(row, other)| {
        let mut changed = FeatureRow::clone(&row.features);
        changed.set_stored(place, other.features.stored(place));
        model.point(&changed) != model.point(&row.features)
    })
}

/// A decision on the way to a leaf: column, threshold, and whether the value is above.
pub(super) type Step = (usize, f64, bool);

impl Node {
    fn predict(&self, table: &Table, example: &Example) -> f64 {
        match self {
            Self::Leaf { mean, .. } => *mean,
            Self::Split { column, threshold, sides } => {
                let above = table.value(example, *column) > *threshold;
                sides[usize::from(above)].predict(table, example)
            }
        }
    }

    /// Calls `found` with each leaf's way from the root, mean and number of rows.
    fn leaves(&self, path: &mut Vec<Step>, found: &mut impl FnMut(&[Step], f64, usize)) {
        match self {
            Self::Leaf { mean, rows } => found(path, *mean, *rows),
            Self::Split { column, threshold, sides } => {
                for (side, above) in sides.iter().zip([false, true]) {
                    path.push((*column, *threshold, above));
                    side.leaves(path, found);
                    path.pop();
                }
            }
        }
    }
}

/// Rows to grow a tree from.
struct Growing<'a> {
    table: &'a Table,
    rows: &'a [&'a Example],
    points: &'a [f64],
}

impl Growing<'_> {
    fn grow(&self, members: Vec<usize>, depth: usize) -> Node {
        let mean = members.iter().map(|i| self.points[*i]).sum::<f64>() / members.len() as f64;
        let leaf = Node::Leaf { mean, rows: members.len() };
        if depth == DEPTH {
            return leaf;
        }
        let Some((column, threshold)) = self.split(&members, mean) else { return leaf };
        let above = |i: &usize| self.table.value(self.rows[*i], column) > threshold;
        let (above, below): (Vec<_>, Vec<_>) = members.into_iter().partition(above);
        if above.is_empty() || below.is_empty() {
            return leaf;
        }
        let sides = Box::new([below, above].map(|side| self.grow(side, depth + 1)));
        Node::Split { column, threshold, sides }
    }

    /// Returns the split that explains most of the variance.
    ///
    /// Each row counts once in each of two classes, with weights .5 ± its deviation from the mean: the Gini impurity of
    /// a set is then a constant less twice the square of its mean deviation, and the split that lessens it most is that
    /// of a regression tree. The two sides lie on either side of the mean, so that pruning does not join them; with two
    /// classes no sum depends on the order of a hash map.
    fn split(&self, members: &[usize], mean: f64) -> Option<(usize, f64)> {
        let deviation = |i: &usize| self.points[*i] - mean;
        let widest = members.iter().map(|i| deviation(i).abs()).fold(0.0, f64::max);
        let (n, width) = (members.len(), self.table.columns.len());
        if widest < 1e-9 {
            return None;
        }
        let fewest = (LEAST_SHARE * self.rows.len() as f64).max(1.0) as f32;
        let value = |(i, column): (usize, usize)| self.table.value(self.rows[members[i % n]], column);
        let weight = |i: usize| {
            let share = 0.5 * deviation(&members[i % n]) / widest;
            (if i < n { 0.5 + share } else { 0.5 - share }) as f32
        };
        let classes: Array1<bool> = (0..2 * n).map(|i| i < n).collect();
        let rows = DatasetBase::new(Array2::from_shape_fn((2 * n, width), value), classes)
            .with_weights((0..2 * n).map(weight).collect());
        let params =
            DecisionTree::params().max_depth(Some(1)).min_weight_leaf(fewest).min_weight_split(2.0 * fewest);
        let tree = params.fit(&rows).ok()?;
        let root = tree.root_node();
        (!root.is_leaf()).then(|| (root.split().0, root.split().1))
    }
}

/// Seconds and tokens are explained on the scale of their logarithms, on which they are learned.
fn to_scale(target: Target, point: f64) -> f64 {
    if is_logarithmic(target) { point.max(0.0).ln_1p() } else { point }
}

fn from_scale(target: Target, mean: f64) -> f64 {
    if is_logarithmic(target) { mean.exp_m1() } else { mean }
}

fn is_logarithmic(target: Target) -> bool {
    !matches!(target, Target::Success | Target::Complexity | Target::Quality)
}
