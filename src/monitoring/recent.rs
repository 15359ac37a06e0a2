//! The newest outcomes, row by row: where drift is located and patterns are sought.

use super::dimension::Values;
use super::vocabulary::WordSet;
use serde::{Deserialize, Serialize};

/// One outcome.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Evaluated {
    /// When it became known, in microseconds since 1970.
    pub(super) known_at: i64,
    pub(super) values: Values,
    pub(super) words: WordSet,
    pub(super) success: bool,
    /// The predicted probability; NaN where none was shown.
    pub(super) predicted: f32,
}

/// The newest outcomes in the order in which they became known here; each has a number that stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Recent {
    rows: Vec<Evaluated>,
    /// Outcomes ever taken in.
    taken: u64,
}

impl Recent {
    /// Takes in an outcome; of more than `most`, the oldest goes. Its number.
    pub(super) fn push(&mut self, row: Evaluated, most: usize) -> u64 {
        let number = self.taken;
        if self.rows.len() < most {
            self.rows.push(row);
        } else {
            let at = (number % most as u64) as usize;
            self.rows[at] = row;
        }
        self.taken += 1;
        number
    }

    /// The outcome was revised.
    pub(super) fn revise(&mut self, number: u64, success: bool) {
        if number >= self.first() && number < self.taken {
            let at = self.at(number);
            self.rows[at].success = success;
        }
    }

    /// Outcomes ever taken in.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// The number of the oldest that is kept.
    pub(super) fn first(&self) -> u64 {
        self.taken - self.rows.len() as u64
    }

    /// Those from number `from` on, the oldest first.
    pub(super) fn since(&self, from: u64) -> impl Iterator<Item = &Evaluated> {
        (from.max(self.first())..self.taken).map(|number| &self.rows[self.at(number)])
    }

    /// All that are kept, the newest first.
    pub(super) fn newest(&self) -> impl Iterator<Item = &Evaluated> {
        (self.first()..self.taken).rev().map(|number| &self.rows[self.at(number)])
    }

    fn at(&self, number: u64) -> usize {
        (number % self.rows.len().max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(known_at: i64) -> Evaluated {
        let (values, words) = (Values::default(), WordSet::default());
        Evaluated { known_at, values, words, success: true, predicted: f32::NAN }
    }

    #[test]
    fn the_newest_are_kept_in_order_and_can_be_revised() {
        let mut recent = Recent::default();
        (0..25).for_each(|i| assert_eq!(recent.push(row(i), 10), i as u64));
        let known: Vec<_> = recent.since(0).map(|row| row.known_at).collect();
        assert_eq!(known, (15..25).collect::<Vec<_>>());
        recent.revise(14, false);
        recent.revise(17, false);
        let failed: Vec<_> = recent.since(0).filter(|row| !row.success).map(|row| row.known_at).collect();
        assert_eq!((failed, recent.since(23).count()), (vec![17], 2));
    }
}
