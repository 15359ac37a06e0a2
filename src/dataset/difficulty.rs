//! How hard a generation turned out to be, where the host gives no complexity.

use super::Example;
use crate::history::GenerationResult;
use chrono::{DateTime, Utc};
use std::collections::HashMap;

/// A generation's signs of difficulty: regenerations, seconds, lines, cyclomatic complexity.
type Signs = [Option<f64>; 4];

/// Fewer generations of a kind than this rank against all kinds.
const FEWEST: usize = 20;

/// Fewer signs than this say too little.
const FEWEST_SIGNS: usize = 2;

/// Gives each example its observed difficulty, 0 to 10: the mean percentile, within its task type,
/// of its regenerations, seconds, lines and cyclomatic complexity, as far as they are known; of
/// equal values the middle one's. It is known from when the generation had ended.
pub(super) fn observe(examples: &mut [Example], results: &[GenerationResult]) {
    let mut kinds = HashMap::<Option<u64>, Vec<usize>>::new();
    for (i, example) in examples.iter().enumerate() {
        kinds.entry(example.kind).or_default().push(i);
    }
    let few: Vec<_> = kinds.iter().filter(|(_, rows)| rows.len() < FEWEST).map(|(k, _)| *k).collect();
    let all: Vec<usize> = (0..examples.len()).collect();
    let ranks = |rows: &[usize]| Ranks::of(rows.iter().map(|i| signs(&examples[*i], &results[*i])));
    let common = (!few.is_empty()).then(|| ranks(&all));
    let mut found = Vec::with_capacity(examples.len());
    for rows in kinds.values() {
        let own = (rows.len() >= FEWEST).then(|| ranks(rows));
        let Some(ranks) = own.as_ref().or(common.as_ref()) else { continue };
        for i in rows {
            let difficulty = ranks.difficulty(signs(&examples[*i], &results[*i]));
            if let (Some(ended), Some(difficulty)) = (ended_at(&results[*i]), difficulty) {
                found.push((*i, ended, difficulty));
            }
        }
    }
    for (i, ended, difficulty) in found {
        examples[i].labels.difficulty = Some((ended, difficulty));
    }
}

fn ended_at(result: &GenerationResult) -> Option<DateTime<Utc>> {
    let at = result.seconds.or(result.tokens).map(|(at, _)| at)?;
    DateTime::from_timestamp_micros(at)
}

fn signs(example: &Example, result: &GenerationResult) -> Signs {
    let value = |known: Option<(i64, f64)>| known.map(|(_, value)| value);
    let tries = value(result.regenerations).or(Some(example.attempt));
    [tries, value(result.seconds), value(result.lines), value(result.cyclomatic)]
}

/// The values of each sign, ascending.
struct Ranks([Vec<f64>; 4]);

impl Ranks {
    fn of(rows: impl Iterator<Item = Signs>) -> Self {
        let mut values: [Vec<f64>; 4] = Default::default();
        for row in rows {
            for (values, value) in values.iter_mut().zip(row) {
                values.extend(value);
            }
        }
        values.iter_mut().for_each(|v| v.sort_by(f64::total_cmp));
        Self(values)
    }

    fn difficulty(&self, row: Signs) -> Option<f64> {
        let known = self.0.iter().zip(row).filter_map(|(sorted, value)| percentile(sorted, value?));
        let (sum, n) = known.fold((0.0, 0_usize), |(sum, n), p| (sum + p, n + 1));
        (n >= FEWEST_SIGNS).then(|| 10.0 * sum / n as f64)
    }
}

/// The share of the values below `value`, of the equal ones half; a sign that never varies says
/// nothing.
fn percentile(sorted: &[f64], value: f64) -> Option<f64> {
    if sorted.first() == sorted.last() {
        return None;
    }
    let below = sorted.partition_point(|v| *v < value);
    let upto = sorted.partition_point(|v| *v <= value);
    Some((below + upto) as f64 / (2 * sorted.len()) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difficulty_is_the_mean_percentile_of_what_varies() {
        let rows = [
            [Some(0.0), Some(10.0), None, None],
            [Some(0.0), Some(20.0), Some(5.0), None],
            [Some(0.0), Some(30.0), Some(7.0), None],
        ];
        let ranks = Ranks::of(rows.into_iter());
        assert_eq!(ranks.difficulty(rows[0]), None, "one sign");
        assert_eq!(ranks.difficulty(rows[1]), Some(10.0 * (0.5 + 0.25) / 2.0));
        assert!((ranks.difficulty(rows[2]).unwrap() - 10.0 * (5.0 / 6.0 + 0.75) / 2.0).abs() < 1e-12);
    }
}
