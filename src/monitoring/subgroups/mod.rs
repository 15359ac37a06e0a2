//! Combinations that do better or worse than their parts let expect.
//!
//! Suspicions come from a search over all pairs (and triples that hold all of a pair's surprise) of
//! attributes and words in the newest outcomes: among thousands, some are surprising by chance. So each
//! suspicion has to be borne out by outcomes that come later, block by block, against what the attributes
//! let expect *in that block*: an agent that has become worse as a whole makes no pattern.

mod expected;
mod search;
mod subgroup;

pub use subgroup::{Condition, Subgroup};

use super::dimension::{Dimension, Names};
use super::options::MonitorOptions;
use super::recent::{Evaluated, Recent};
use super::vocabulary::Words;
use crate::stats::distributions::{normal_above, normal_quantile_above};
use chrono::{DateTime, Utc};
use expected::expected;
use search::{Item, Items, Surprise, WORD, holds, most_surprising, surprise, take_for_granted};
use serde::{Deserialize, Serialize};

/// Suspicions that a block may raise.
const RAISED: usize = 3;
/// Blocks in which a suspicion must be borne out.
const LOOKS: u32 = 8;
/// Outcomes in which `MonitorOptions::false_patterns` counts.
const COUNTED_IN: f64 = 20_000.0;
/// Confirmed patterns that are kept, the newest.
const KEPT: usize = 50;
/// Fewer older outcomes than this say nothing.
const FEWEST_BEFORE: f64 = 20.0;

/// Suspected and confirmed subgroups.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Patterns {
    /// The number of the first outcome that was not looked at yet.
    seen: u64,
    suspected: Vec<Suspicion>,
    confirmed: Vec<Subgroup>,
    /// The conditions of the confirmed subgroups, in the same order.
    known: Vec<Items>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Suspicion {
    items: Items,
    at: DateTime<Utc>,
    /// Whether success is above what was expected.
    above: bool,
    /// In the older half of the outcomes that it was found in.
    before: Surprise,
    /// In the outcomes since.
    since: Surprise,
    /// All outcomes since.
    rows: u64,
    looks: u32,
}

impl Patterns {
    pub(super) fn confirmed(&self) -> &[Subgroup] {
        &self.confirmed
    }

    /// Looks at the outcomes that came since the last time, if they are enough.
    pub(super) fn review(
        &mut self,
        recent: &Recent,
        names: &Names,
        words: &Words,
        options: &MonitorOptions,
        now: DateTime<Utc>,
    ) {
        if recent.taken() - self.seen < u64::from(options.pattern_block) {
            return;
        }
        let block: Vec<_> = recent.since(self.seen).copied().collect();
        self.seen = recent.taken();
        self.look(&block);
        for suspicion in self.borne_out(block.len(), options) {
            self.confirmed.push(pattern(&suspicion, names, words, options, now));
            self.known.push(suspicion.items);
        }
        let surplus = self.known.len().saturating_sub(KEPT);
        self.confirmed.drain(..surplus);
        self.known.drain(..surplus);
        let rows: Vec<_> = recent.since(0).copied().collect();
        self.note_candidates(&rows, now);
    }

    /// Holds each suspicion against a block.
    fn look(&mut self, block: &[Evaluated]) {
        if self.suspected.is_empty() {
            return;
        }
        let expected = expected(block);
        for suspicion in &mut self.suspected {
            for (row, expected) in block.iter().zip(&expected) {
                if holds(&suspicion.items, row) {
                    suspicion.since.add(row.success, *expected);
                }
            }
            suspicion.rows += block.len() as u64;
            suspicion.looks += 1;
        }
    }

    /// Takes out the suspicions that are borne out, and drops those that will not be.
    fn borne_out(&mut self, block: usize, options: &MonitorOptions) -> Vec<Suspicion> {
        let mut found = Vec::new();
        self.suspected.retain(|suspicion| {
            let z = if suspicion.above { suspicion.since.z() } else { -suspicion.since.z() };
            if normal_above(z) < allowed(suspicion.looks, block, options) {
                found.push(suspicion.clone());
                return false;
            }
            suspicion.looks < LOOKS && (z > 0.0 || suspicion.looks < 2)
        });
        found
    }

    /// Raises new suspicions, leaving aside what is known or suspected already.
    fn note_candidates(&mut self, rows: &[Evaluated], now: DateTime<Utc>) {
        let mut expected = expected(rows);
        let known = self.known.iter().chain(self.suspected.iter().map(|suspicion| &suspicion.items));
        known.for_each(|items| take_for_granted(rows, &mut expected, items));
        for _ in 0..RAISED {
            let Some(items) = most_surprising(rows, &expected) else { return };
            let older = rows.len() / 2;
            let before = surprise(&rows[..older], &expected[..older], &items);
            let above = surprise(rows, &expected, &items).z() > 0.0;
            take_for_granted(rows, &mut expected, &items);
            let (since, rows, looks) = (Surprise::default(), 0, 0);
            self.suspected.push(Suspicion { items, at: now, above, before, since, rows, looks });
        }
    }
}

/// How unlikely the outcomes of a suspicion must be at its so-manieth look. All that a block raises have
/// together their share of the false patterns that are allowed; the looks share it as 1/2, 1/6, 1/12, ...
fn allowed(looks: u32, block: usize, options: &MonitorOptions) -> f64 {
    let each = options.false_patterns * block as f64 / COUNTED_IN / RAISED as f64;
    let looks = f64::from(looks.max(1));
    (each / (looks * (looks + 1.0))).min(0.05)
}

fn pattern(
    suspicion: &Suspicion,
    names: &Names,
    words: &Words,
    options: &MonitorOptions,
    now: DateTime<Utc>,
) -> Subgroup {
    let since = &suspicion.since;
    let conditions: Vec<_> =
        suspicion.items.iter().filter_map(|item| condition(*item, names, words)).collect();
    let (actual, expected) = (since.successes / since.n, since.expected / since.n);
    let block = options.pattern_block as usize;
    let half = normal_quantile_above(allowed(suspicion.looks, block, options)) * since.error();
    let difference = since.difference();
    let before = Some(&suspicion.before).filter(|before| before.n >= FEWEST_BEFORE);
    let emerging = before
        .is_some_and(|before| before.z().abs() < 1.5 && before.difference().abs() < difference.abs() / 2.0);
    let parts: Vec<_> = conditions.iter().map(ToString::to_string).collect();
    let text = format!(
        "{}: {:.0} % succeed where {:.0} % were to be expected ({:+.0} points, {:+.0} to {:+.0}, {} outcomes){}.",
        parts.join(" with "),
        actual * 100.0,
        expected * 100.0,
        difference * 100.0,
        (difference - half) * 100.0,
        (difference + half) * 100.0,
        since.n,
        if emerging { "; that is new" } else { "" }
    );
    Subgroup {
        conditions,
        n: since.n as u64,
        actual,
        expected,
        difference: (difference - half, difference + half),
        lift: actual / expected,
        p_value: normal_above(since.z().abs()),
        share_of_traffic: since.n / suspicion.rows.max(1) as f64,
        before: before.map(|before| (before.difference(), before.n as u64)),
        emerging,
        suspected_at: suspicion.at,
        confirmed_at: now,
        text,
    }
}

fn condition(item: Item, names: &Names, words: &Words) -> Option<Condition> {
    match item.parts() {
        (WORD, number) => Some(Condition::Word(words.text(number).to_owned())),
        (kind, number) => {
            let dimension = *Dimension::ALL.get(kind as usize)?;
            names.key(dimension, number).map(Condition::Attribute)
        }
    }
}
