//! Decisions of a tree as sentences, by the phrases of features and of the host's own columns.

use super::table::{Column, Table};
use super::tree::Step;
use crate::dataset::Example;
use crate::features::{ColumnKind, FEATURES, Feature, Kind, short};

/// The values of a column that a rule admits: above the first, at most the second.
type Bounds = (Option<f64>, Option<f64>);

/// Returns a sentence for each column on the way to a leaf; `example` tells how the host's columns are declared.
pub(super) fn sentences(table: &Table, example: &Example, path: &[Step]) -> Vec<String> {
    let mut bounds: Vec<(usize, Bounds)> = Vec::new();
    for (column, threshold, above) in path {
        let at = bounds.iter().position(|(known, _)| known == column).unwrap_or_else(|| {
            bounds.push((*column, (None, None)));
            bounds.len() - 1
        });
        // The later decision on a column is the narrower one.
        let (_, (low, high)) = &mut bounds[at];
        *(if *above { low } else { high }) = Some(*threshold);
    }
    bounds.into_iter().map(|(column, bounds)| sentence(table.columns[column], example, bounds)).collect()
}

fn sentence(column: Column, example: &Example, bounds: Bounds) -> String {
    let (Column::Value(place) | Column::Known(place)) = column;
    let own = || example.features.own.declared.get(place.checked_sub(FEATURES.len())?);
    let name = || {
        FEATURES.get(place).map_or_else(|| own().map_or("", |own| &own.name), |f| f.name).replace('_', " ")
    };
    match (column, FEATURES.get(place), own()) {
        (Column::Known(_), ..) => {
            format!("{} is {}known", name(), if bounds.0.is_some() { "" } else { "not " })
        }
        (_, Some(feature), _) if feature.unit == "1 = yes" => feature.sentence(yes(bounds), ""),
        (_, Some(feature), _) => {
            let value =
                bounds.1.filter(|_| bounds.0.is_none()).map_or(f64::NAN, |value| number(feature, value));
            feature.sentence(value, &range(bounds, |value| shown(feature, value)))
        }
        (_, None, Some(own)) if own.kind == ColumnKind::Flag => own.sentence(yes(bounds), ""),
        (_, None, Some(own)) => own.sentence(f64::NAN, &range(bounds, |value| short(value as f32))),
        (_, None, None) => name(),
    }
}

fn yes((low, _): Bounds) -> f64 {
    f64::from(u8::from(low.is_some()))
}

fn range((low, high): Bounds, shown: impl Fn(f64) -> String) -> String {
    match (low, high) {
        (Some(low), Some(high)) => format!("more than {} and at most {}", shown(low), shown(high)),
        (Some(low), None) => format!("more than {}", shown(low)),
        (None, Some(high)) => format!("at most {}", shown(high)),
        (None, None) => "any".to_owned(),
    }
}

/// A threshold in the unit that readers know.
fn number(feature: &Feature, value: f64) -> f64 {
    match (feature.kind, feature.unit) {
        (Kind::Rate, _) => 100.0 * value,
        (Kind::Count, _) => value.floor(),
        (_, "ln(1 + seconds)" | "ln(1 + tokens)") => value.exp_m1(),
        _ => value,
    }
}

fn shown(feature: &Feature, value: f64) -> String {
    let number = number(feature, value);
    match (feature.kind, feature.unit) {
        (Kind::Rate, _) => format!("{number:.0} %"),
        (_, "ln(1 + seconds)") => format!("{number:.0} s"),
        (Kind::Count, _) | (_, "ln(1 + tokens)") => format!("{number:.0}"),
        _ => short(number as f32),
    }
}
