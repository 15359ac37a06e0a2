//! Values of a row that are unlike all that a model was trained on.

use super::column_encoder::ColumnEncoder;
use crate::features::FEATURES;
use crate::ml::Trees;
use std::borrow::Cow;

/// A value beyond those of training, or a missing one where none ever was.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UnseenValue {
    /// The feature's name.
    pub(crate) feature: Cow<'static, str>,
    /// The value; NaN where it is missing.
    pub(crate) value: f32,
    /// The least and the greatest of training.
    pub(crate) range: (f32, f32),
}

/// The unseen values of a prediction. They are not written, since the notes name those that matter; so they make no difference
/// between a prediction and the same one read back.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnseenValues(pub(crate) Vec<UnseenValue>);

impl PartialEq for UnseenValues {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl UnseenValue {
    /// Returns whether it tells of more than counters that grow by the day: it is missing, or farther beyond the values of
    /// training than they lie apart.
    pub(crate) fn is_far(&self) -> bool {
        let (least, greatest) = self.range;
        self.value.is_nan() || (least - self.value).max(self.value - greatest) > greatest - least
    }
}

/// Names of features in a note at most.
const MOST_NAMED: usize = 3;

/// Returns what is unseen in `row` by any of the trees, whose features stand at `places` of the table; each feature once.
pub(super) fn unseen<'a>(
    trees: impl IntoIterator<Item = &'a Trees>,
    row: &[f32],
    places: &[usize],
    encoder: &ColumnEncoder,
) -> Vec<UnseenValue> {
    let mut found: Vec<UnseenValue> = Vec::new();
    for one in trees.into_iter().flat_map(|trees| trees.unseen(row)) {
        // The history's log-odds, a column behind the features, have no name: the rates that they come from have.
        let Some(place) = places.get(one.feature).copied() else { continue };
        // Codes are in no order; new categories are drift of their own.
        let name = encoder.name_of(place).filter(|_| one.value.is_nan() || !encoder.is_category(place));
        let Some(name) = name.filter(|name| found.iter().all(|known| known.feature != *name)) else {
            continue;
        };
        let feature = FEATURES
            .get(place)
            .map_or_else(|| Cow::Owned(name.to_owned()), |feature| Cow::Borrowed(feature.name));
        found.push(UnseenValue { feature, value: one.value, range: one.range });
    }
    found
}

/// Says how unseen values were answered, those that are far beyond.
pub(super) fn notes(unseen: &[UnseenValue]) -> Vec<String> {
    let far = unseen.iter().filter(|one| one.is_far());
    let (missing, beyond): (Vec<_>, Vec<_>) = far.partition(|one| one.value.is_nan());
    let beyond_text = |one: &&UnseenValue| {
        let (least, greatest) = one.range;
        format!("{} is {} ({least} to {greatest})", one.feature, one.value)
    };
    let mut notes = Vec::new();
    if !beyond.is_empty() {
        let listed = listed(&beyond.iter().map(beyond_text).collect::<Vec<_>>());
        notes.push(format!("beyond the training data, so it counts as the nearest value there: {listed}"));
    }
    if !missing.is_empty() {
        let listed = listed(&missing.iter().map(|one| one.feature.to_string()).collect::<Vec<_>>());
        notes.push(format!(
            "never missing in the training data, so it is answered as most of its rows: {listed}"
        ));
    }
    notes
}

fn listed(all: &[String]) -> String {
    let named = all[..all.len().min(MOST_NAMED)].join(", ");
    match all.len().saturating_sub(MOST_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_name_a_few_values_and_count_the_others() {
        let value = |feature: &'static str, value| UnseenValue {
            feature: feature.into(),
            value,
            range: (0.0, 149.0),
        };
        assert!(notes(&[]).is_empty() && notes(&[value("user_outcomes", 150.0)]).is_empty());
        let found = notes(&[value("user_outcomes", 319.0), value("temperature", f32::NAN)]);
        assert!(
            found.len() == 2 && found[0].ends_with("there: user_outcomes is 319 (0 to 149)"),
            "{found:?}"
        );
        assert!(found[1].ends_with("rows: temperature"), "{found:?}");
        let many: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| value(name, f32::NAN)).into();
        assert!(notes(&many)[0].ends_with("a, b, c and 2 more"));
    }
}
