//! What a surrogate's tree reads of rows.

use crate::dataset::Example;
use crate::features::{ColumnKind, FEATURES, HostColumn, Kind, KnownWhen};
use std::collections::HashSet;

/// A column of the table; places are those of the features, then of the host's own columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// A value, the median where it is missing.
    Value(usize),
    /// 1 where the value is known, else 0.
    Known(usize),
}

/// Columns of numbers without a missing one.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    medians: Vec<f64>,
}

/// A feature that is missing in fewer rows, or known in fewer, has no column that says so.
const FEWEST: usize = 20;

impl Table {
    /// Chooses the columns by the rows to grow from, of those places that the model `reads`.
    pub(super) fn of(rows: &[&Example], reads: impl Fn(usize) -> bool) -> Self {
        let own = rows.first().map(|e| e.features.own.declared.clone()).unwrap_or_default();
        let number =
            |column: &HostColumn| column.kind != ColumnKind::Category && column.known == KnownWhen::Before;
        let features = FEATURES
            .iter()
            .map(|feature| feature.kind != Kind::Category && feature.known == KnownWhen::Before);
        let usable = features.chain(own.iter().map(number));
        let (mut table, mut patterns) = (Self { columns: Vec::new(), medians: Vec::new() }, HashSet::new());
        for (place, _) in usable.enumerate().filter(|(place, usable)| *usable && reads(*place)) {
            let values: Vec<_> = rows.iter().map(|e| raw(e, place)).collect();
            let missing: Vec<_> = values.iter().map(|value| value.is_nan()).collect();
            let mut known: Vec<_> = values.into_iter().filter(|value| !value.is_nan()).collect();
            known.sort_by(f64::total_cmp);
            let mut add = |column, median| {
                table.columns.push(column);
                table.medians.push(median);
            };
            if let Some(median) = known.get(known.len() / 2).filter(|_| known.first() != known.last()) {
                add(Column::Value(place), *median);
            }
            if known.len() >= FEWEST && rows.len() - known.len() >= FEWEST && patterns.insert(missing) {
                add(Column::Known(place), 0.0);
            }
        }
        table
    }

    /// Returns the value of a column.
    pub(super) fn value(&self, example: &Example, column: usize) -> f64 {
        match self.columns[column] {
            Column::Value(place) => Some(raw(example, place)).filter(|v| !v.is_nan()),
            Column::Known(place) => Some(f64::from(u8::from(!raw(example, place).is_nan()))),
        }
        .unwrap_or(self.medians[column])
    }
}

fn raw(example: &Example, place: usize) -> f64 {
    f64::from(example.features.stored(place))
}
