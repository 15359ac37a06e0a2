//! LightGBM's text, where hessboost's reader is not enough: trees of one leaf, and files that are whole but not served.

use crate::error::{Error, Result};
use std::borrow::Cow;

/// Bits of a split's `decision_type` that say how it takes missing values, and the value of those for which zero is missing.
const MISSING_TYPE: u32 = 0b1100;
const ZERO_IS_MISSING: u32 = 0b0100;

/// Returns the text with a weight and a count for each tree of one leaf: LightGBM writes none where the first tree found no
/// split, and hessboost refuses that.
pub(in crate::ml::boosting) fn with_whole_leaves(text: &str) -> Cow<'_, str> {
    const ONE_LEAF: &str = "\nnum_leaves=1\n";
    if !text.contains(ONE_LEAF) {
        return Cow::Borrowed(text);
    }
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.get(1..).and_then(|rest| rest.find("\nTree=")) {
        let (block, after) = rest.split_at(at + 2);
        blocks.push(Cow::Borrowed(block));
        rest = after;
    }
    blocks.push(Cow::Borrowed(rest));
    // Bytes that each tree gains, for the header that states their sizes.
    let mut gained = Vec::new();
    for tree in blocks.iter_mut().skip(1) {
        let before = tree.len();
        if tree.contains(ONE_LEAF) {
            for key in ["\nleaf_weight=", "\nleaf_count="] {
                *tree = Cow::Owned(tree.replacen(&format!("{key}\n"), &format!("{key}0\n"), 1));
            }
        }
        gained.push(tree.len() - before);
    }
    blocks[0] = Cow::Owned(with_sizes(&blocks[0], &gained));
    Cow::Owned(blocks.concat())
}

fn with_sizes(header: &str, gained: &[usize]) -> String {
    let line = |line: &str| {
        let Some(sizes) = line.strip_prefix("tree_sizes=") else { return line.to_owned() };
        let sizes = sizes.split(' ').enumerate().map(|(tree, size)| match size.parse::<usize>() {
            Ok(size) => size.saturating_add(gained.get(tree).copied().unwrap_or(0)).to_string(),
            Err(_) => size.to_owned(),
        });
        format!("tree_sizes={}", sizes.collect::<Vec<_>>().join(" "))
    };
    header.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Checks that the text is no whole model of a kind that is not served.
///
/// # Errors
/// `Incompatible` with the kind.
pub(super) fn check_kind(text: &str) -> Result<()> {
    let refused = |why: &str| Err(Error::incompatible(format!("the LightGBM model {why}")));
    // What is cut off is damaged, whatever it was.
    if !text.lines().any(|line| line == "end of trees") {
        return Ok(());
    }
    let header = || text.lines().take_while(|line| !line.starts_with("Tree="));
    let value = |key: &str| header().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    if header().any(|line| line == "average_output") {
        return refused(
            "is a random forest (boosting=rf), whose trees LightGBM averages: train it with boosting=gbdt",
        );
    }
    if let Some(version) = value("version").filter(|version| matches!(*version, "v2" | "v3")) {
        return refused(&format!("is of the format {version}, expected v4: save it by LightGBM 4"));
    }
    let Some(objective) = value("objective") else {
        return refused(
            "has no objective (it was trained for one of its own), which would say what it predicts",
        );
    };
    let (name, options) = objective.split_once(' ').unwrap_or((objective, ""));
    let is_unserved = matches!(name, "cross_entropy_lambda" | "custom" | "multiclass" | "multiclassova");
    let is_scaled = options.split(' ').any(|option| {
        option == "sqrt" || option.strip_prefix("sigmoid:").is_some_and(|scale| scale.parse() != Ok(1.0_f64))
    });
    if is_unserved || is_scaled {
        return refused(&format!(
            "has the objective {objective:?}, whose predictions are no sum of trees that is served here: train it for \
             binary (sigmoid 1), regression (without reg_sqrt) or regression_l1"
        ));
    }
    let zero_is_missing = |line: &str| {
        let types = line.strip_prefix("decision_type=");
        types.is_some_and(|types| {
            types
                .split(' ')
                .any(|one| one.parse().is_ok_and(|one: u32| one & MISSING_TYPE == ZERO_IS_MISSING))
        })
    };
    if text.lines().any(zero_is_missing) {
        return refused(
            "takes zero for missing (zero_as_missing): train it without, NaN where a value is not known",
        );
    }
    Ok(())
}
