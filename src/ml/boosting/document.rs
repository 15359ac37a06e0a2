//! XGBoost's UBJSON documents, where more must be written or read than hessboost does: booster attributes, the form of the
//! base score, and the side of a split that rows with a missing value take.
//!
//! XGBoost writes lengths of eight bytes alone, marked `L`; a text is marked `S`.

use super::Matrix;
use crate::error::{Error, Result};
use hessboost::model::BoostedModel;
use hessboost::tree::RegTree;
use std::borrow::Cow;

/// Adds booster attributes to a document; hessboost writes none.
pub(super) fn with_attributes(bytes: &[u8], attributes: &[(&str, &str)]) -> Result<Vec<u8>> {
    const NONE: &[u8] = b"attributes{}";
    let at = bytes.windows(NONE.len()).position(|window| window == NONE);
    let at = at.ok_or_else(|| unexpected("attributes"))?;
    let (before, after) = bytes.split_at(at + NONE.len() - 1);
    let mut written = before.to_vec();
    for (name, value) in attributes {
        written.extend(text(name));
        written.push(b'S');
        written.extend(text(value));
    }
    written.extend(after);
    Ok(written)
}

/// Writes the base score as a number: XGBoost before 3.1 reads the list that later versions write as one half, without an
/// error; all versions read a number.
pub(super) fn with_single_base_score(bytes: &[u8]) -> Result<Vec<u8>> {
    let found = base_score(bytes).ok_or_else(|| unexpected("base_score"))?;
    let number = found.value.trim_start_matches('[').trim_end_matches(']');
    if number.contains(',') {
        return Err(unexpected("base_score"));
    }
    Ok(found.replaced_by(bytes, number))
}

/// Writes a base score that is a number as the list that hessboost reads.
pub(super) fn with_listed_base_score(bytes: &[u8]) -> Cow<'_, [u8]> {
    match base_score(bytes) {
        Some(found) if !found.value.starts_with('[') => {
            Cow::Owned(found.replaced_by(bytes, &format!("[{}]", found.value)))
        }
        _ => Cow::Borrowed(bytes),
    }
}

/// The text of the base score and its place.
struct BaseScore<'a> {
    /// Of the length before it.
    begin: usize,
    end: usize,
    value: &'a str,
}

impl BaseScore<'_> {
    fn replaced_by(&self, bytes: &[u8], value: &str) -> Vec<u8> {
        [&bytes[..self.begin], &text(value), &bytes[self.end..]].concat()
    }
}

fn base_score(bytes: &[u8]) -> Option<BaseScore<'_>> {
    const KEY: &[u8] = b"L\0\0\0\0\0\0\0\x0abase_scoreS";
    const LENGTH: usize = 9;
    // The last, since a feature may have that name.
    let at = bytes.windows(KEY.len()).rposition(|window| window == KEY)?;
    let begin = at + KEY.len();
    let (mark, length) = bytes.get(begin..begin + LENGTH)?.split_first()?;
    let length = usize::try_from(u64::from_be_bytes(length.try_into().ok()?)).ok()?;
    let end = (begin + LENGTH).checked_add(length).filter(|_| *mark == b'L')?;
    let value = std::str::from_utf8(bytes.get(begin + LENGTH..end)?).ok()?;
    Some(BaseScore { begin, end, value })
}

fn text(text: &str) -> Vec<u8> {
    [b"L".as_slice(), &(text.len() as u64).to_be_bytes(), text.as_bytes()].concat()
}

/// Has rows that miss a value follow most of the rows `data` at each split by a feature of `features`, in the document that
/// was written of `model`; returns whether that changes anything.
pub(super) fn send_missing_to_larger(
    bytes: &mut [u8],
    model: &BoostedModel,
    data: &Matrix<'_>,
    features: impl Fn(u32) -> bool,
) -> Result<bool> {
    const KEY: &[u8] = b"L\0\0\0\0\0\0\0\x0cdefault_left[$U#L";
    let (mut rest, mut changed) = (bytes, false);
    for tree in model.trees() {
        let at = rest.windows(KEY.len()).position(|window| window == KEY);
        let at = at.ok_or_else(|| unexpected("default_left"))? + KEY.len() + size_of::<u64>();
        let (sides, after) = rest
            .get_mut(at..)
            .and_then(|rest| rest.split_at_mut_checked(tree.num_nodes()))
            .ok_or_else(|| unexpected("default_left"))?;
        let rows = rows_by_node(tree, data);
        for (node, side) in tree.nodes().iter().zip(sides) {
            if node.is_leaf() || !features(node.split_feature) {
                continue;
            }
            let size = |child: i32| {
                let child = usize::try_from(child).unwrap_or_default();
                (rows[child], tree.node(child).sum_hess)
            };
            // In the document the sides of a split by categories are the other way round.
            let left = u8::from((size(node.left) >= size(node.right)) != node.is_categorical);
            changed |= *side != left;
            *side = left;
        }
        rest = after;
    }
    Ok(changed)
}

/// Rows that are counted at most: enough to tell which side is the larger.
const MOST_ROWS: usize = 4_000;

/// Returns how many of the rows, evenly spaced, come by each node.
fn rows_by_node(tree: &RegTree, data: &Matrix<'_>) -> Vec<u32> {
    let mut rows = vec![0_u32; tree.num_nodes()];
    for row in data.values.chunks(data.width).step_by(data.rows().div_ceil(MOST_ROWS).max(1)) {
        let value = |feature: u32| row.get(feature as usize).copied().filter(|v| !v.is_nan());
        rows[tree.leaf_id_with(value)] += 1;
    }
    // Children stand behind their parents.
    for (at, node) in tree.nodes().iter().enumerate().rev().filter(|(_, node)| !node.is_leaf()) {
        let of = |child: i32| usize::try_from(child).ok().and_then(|child| rows.get(child)).copied();
        rows[at] = of(node.left).unwrap_or(0) + of(node.right).unwrap_or(0);
    }
    rows
}

fn unexpected(what: &str) -> Error {
    Error::internal(format!("the trees were written without {what} in its usual form"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(names: &str, value: &str) -> Vec<u8> {
        let mut bytes = b"{".to_vec();
        for name in names.split_terminator(',') {
            bytes.extend([b"S".as_slice(), &text(name)].concat());
        }
        for part in ["base_score", value, "num_class", "0"].chunks(2) {
            bytes.extend([&text(part[0]), b"S".as_slice(), &text(part[1])].concat());
        }
        bytes.push(b'}');
        bytes
    }

    #[test]
    fn a_base_score_is_a_number_for_others_and_a_list_for_hessboost() {
        for names in ["", "a,base_score,b"] {
            let (number, list) = (document(names, "5E-1"), document(names, "[5E-1]"));
            assert_eq!(with_single_base_score(&list).unwrap(), number);
            assert_eq!(with_single_base_score(&number).unwrap(), number);
            assert_eq!(with_listed_base_score(&number), list);
            assert_eq!(with_listed_base_score(&list), list);
        }
        assert!(with_single_base_score(&document("", "[1,2]")).is_err());
        let cut = document("", "5E-1");
        (0..cut.len()).for_each(|end| drop(with_listed_base_score(&cut[..end])));
        for length in [u64::MAX, 1 << 40] {
            let mut lies = cut.clone();
            let at = lies.windows(10).position(|window| window == b"base_score").unwrap() + 12;
            lies[at..at + 8].copy_from_slice(&length.to_be_bytes());
            assert_eq!(with_listed_base_score(&lies), lies);
        }
    }
}
