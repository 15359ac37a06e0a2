//! Search for the most similar tasks.

use super::SimilarTask;
use super::index::{Entry, SimilarTasks};
use crate::event::TaskId;
use crate::text::TextGrams;
use std::cell::RefCell;

/// How far a search goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SearchBudget {
    /// Entries of common grams are passed over once the rare ones have named this many.
    postings: usize,
    /// Entries named by rare grams that are compared in full.
    compared: usize,
}

impl SearchBudget {
    /// For features, of which one is made for every generation.
    pub(crate) const QUICK: Self = Self { postings: 2000, compared: 12 };
    /// For somebody who asks.
    pub(crate) const THOROUGH: Self = Self { postings: 20_000, compared: 48 };
}

/// Entries that share less than this of what the rare grams tell are not looked at.
const LEAST_SHARE: f64 = 0.05;

/// Scores that are cleared in the time of one that is picked out.
const CLEARED_AT_ONCE: usize = 16;

/// BM25's saturation and length normalisation.
const K1: f64 = 1.2;
const B: f64 = 0.5;

impl SimilarTasks {
    /// Searches with this budget.
    pub(crate) fn nearest_with(
        &self,
        effort: SearchBudget,
        text: &TextGrams,
        most: usize,
        except: Option<&TaskId>,
    ) -> Vec<SimilarTask> {
        SCRATCH.with_borrow_mut(|scratch| {
            let named = |(similarity, entry): &(f64, &Entry)| SimilarTask {
                task_id: entry.task_id.clone(),
                similarity: *similarity,
            };
            let except = except.and_then(|task| self.number(task));
            self.found(scratch, effort, text, except).iter().take(most).map(named).collect()
        })
    }

    /// The entries found, the nearest first.
    fn found(
        &self,
        scratch: &mut Scratch,
        effort: SearchBudget,
        text: &TextGrams,
        except: Option<u32>,
    ) -> Vec<(f64, &Entry)> {
        let query = self.query(text);
        self.name(&query, effort, scratch);
        let places = Places::of(&query);
        let mut found: Vec<_> = scratch
            .named
            .iter()
            .filter(|number| Some(**number) != except)
            .filter_map(|number| {
                let entry = self.entries.get(*number as usize)?.as_ref()?;
                Some((self.similarity(&query, &places, &entry.text), entry))
            })
            .filter(|(similarity, _)| *similarity > 0.0)
            .collect();
        found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.task_id.cmp(&b.1.task_id)));
        found
    }

    /// The grams of `text` that some entry has, by how much they tell.
    fn query<'a>(&'a self, text: &TextGrams) -> Query<'a> {
        let n = self.len() as f64;
        let idf = |df: f64| (1.0 + (n - df + 0.5) / (df + 0.5)).ln();
        let weigh = |gram: u32| {
            let posting = self.postings.get(&gram);
            Weighed {
                gram,
                live: posting.map_or(0, |posting| posting.live),
                idf: idf(f64::from(posting.map_or(0, |posting| posting.live))),
                entries: posting.map_or(&[][..], |posting| &posting.entries),
            }
        };
        let grams: Vec<_> = text.iter().map(weigh).collect();
        let sum: f64 = grams.iter().map(|weighed| weighed.idf).sum();
        Query { sum, most: sum * self.saturation(text.len()), grams }
    }

    /// How much a shared gram counts in a text of this length.
    fn saturation(&self, length: usize) -> f64 {
        let mean = self.grams as f64 / (self.len().max(1)) as f64;
        (K1 + 1.0) / (1.0 + K1 * (1.0 - B + B * length as f64 / mean.max(1.0)))
    }

    /// Names the entries that share the most of the rare grams.
    fn name(&self, query: &Query<'_>, effort: SearchBudget, scratch: &mut Scratch) {
        let Scratch { scores, named, rarest, ranks } = scratch;
        rarest.clear();
        let some = query.grams.iter().enumerate().filter(|(_, weighed)| weighed.live > 0);
        rarest.extend(some.map(|(at, weighed)| u64::from(weighed.live) << 32 | at as u64));
        rarest.sort_unstable();
        let enough = (LEAST_SHARE * query.sum) as f32;
        if scores.len() < self.entries.len() {
            scores.resize(self.entries.len().next_power_of_two(), 0.0);
        }
        named.clear();
        let (mut read, mut lists) = (0, 0);
        for weighed in rarest.iter().map(|rare| &query.grams[*rare as u32 as usize]) {
            if read > 0 && read + weighed.live as usize > effort.postings {
                break;
            }
            (read, lists) = (read + weighed.live as usize, lists + 1);
            let idf = weighed.idf as f32;
            for number in weighed.entries {
                let score = &mut scores[*number as usize];
                let before = *score;
                *score += idf;
                if *score >= enough && before < enough && self.entries[*number as usize].is_some() {
                    named.push(*number);
                }
            }
        }
        if named.len() > effort.compared {
            self.keep_best(named, scores, ranks, effort.compared);
        }
        // Clearing all is cheaper where little is left out.
        if read * CLEARED_AT_ONCE > scores.len() {
            scores.fill(0.0);
            return;
        }
        for weighed in rarest.iter().take(lists).map(|rare| &query.grams[*rare as u32 as usize]) {
            weighed.entries.iter().for_each(|number| scores[*number as usize] = 0.0);
        }
    }

    /// Leaves the `most` of the highest scores. Ties go by the task, never by the place in the index, which depends on the
    /// order of arrival.
    fn keep_best(&self, named: &mut Vec<u32>, scores: &[f32], ranks: &mut Vec<u32>, most: usize) {
        // Scores are above 0: their bits are in their order.
        let rank = |number: &u32| scores[*number as usize].to_bits();
        let mut level = named.iter().map(|number| scores[*number as usize]).fold(0.0, f32::max) / 2.0;
        // Most are far below the best.
        while named.len() > most {
            let higher = named.iter().filter(|number| scores[**number as usize] >= level).count();
            if higher >= most {
                named.retain(|number| scores[*number as usize] >= level);
                break;
            }
            level /= 2.0;
        }
        if named.len() == most {
            return;
        }
        ranks.clear();
        ranks.extend(named.iter().map(rank));
        let (_, least, _) = ranks.select_nth_unstable_by(most - 1, |a, b| b.cmp(a));
        let mut ties: Vec<u32> = named.iter().copied().filter(|number| rank(number) == *least).collect();
        named.retain(|number| rank(number) > *least);
        ties.sort_unstable_by_key(|number| self.entries[*number as usize].as_ref().map(|entry| entry.key));
        named.extend(ties.into_iter().take(most - named.len()));
    }

    fn similarity(&self, query: &Query<'_>, places: &Places, text: &TextGrams) -> f64 {
        let mut both = text.iter().fold(0_u64, |both, gram| both | places.bit(query, gram));
        let mut shared = 0.0;
        while both != 0 {
            shared += query.grams[both.trailing_zeros() as usize].idf;
            both &= both - 1;
        }
        if query.most <= 0.0 { 0.0 } else { (shared * self.saturation(text.len()) / query.most).min(1.0) }
    }
}

/// A text to be looked for.
struct Query<'a> {
    /// All that its grams tell.
    sum: f64,
    /// The text's score with itself.
    most: f64,
    /// Ascending.
    grams: Vec<Weighed<'a>>,
}

/// A gram, what it tells, and the entries that have it.
struct Weighed<'a> {
    gram: u32,
    live: u32,
    idf: f64,
    entries: &'a [u32],
}

/// Where a query's grams stand, by their lower bits: open addressing.
struct Places([u8; PLACES]);

/// Many more than a text has grams.
const PLACES: usize = 1 << 10;

impl Places {
    fn of(query: &Query<'_>) -> Self {
        let mut places = Self([0; PLACES]);
        for (at, weighed) in query.grams.iter().enumerate() {
            let mut place = weighed.gram as usize % PLACES;
            while places.0[place] != 0 {
                place = (place + 1) % PLACES;
            }
            places.0[place] = at as u8 + 1;
        }
        places
    }

    /// The bit of a gram's place in the query; none where it is not in it.
    #[inline]
    fn bit(&self, query: &Query<'_>, gram: u32) -> u64 {
        let mut place = gram as usize % PLACES;
        while let Some(at) = self.0[place].checked_sub(1) {
            if query.grams[usize::from(at)].gram == gram {
                return 1 << at;
            }
            place = (place + 1) % PLACES;
        }
        0
    }
}

/// Room that searches of one thread use again.
struct Scratch {
    /// By entry what the rare grams tell that it shares; 0 between searches.
    scores: Vec<f32>,
    named: Vec<u32>,
    /// How many entries have a gram, above its place in the query.
    rarest: Vec<u64>,
    ranks: Vec<u32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch { scores: Vec::new(), named: Vec::new(), rarest: Vec::new(), ranks: Vec::new() }) };
}

#[cfg(test)]
impl SimilarTasks {
    /// The `most` tasks that are most like `text`, the nearest first, `except` one.
    pub(crate) fn nearest(&self, text: &TextGrams, most: usize, except: Option<&TaskId>) -> Vec<SimilarTask> {
        self.nearest_with(SearchBudget::THOROUGH, text, most, except)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::similarity::samples::{task, texts};

    /// The nearest by comparing with all.
    fn by_comparing_all(index: &SimilarTasks, text: &TextGrams, most: usize) -> Vec<TaskId> {
        let query = index.query(text);
        let places = Places::of(&query);
        let alike = |entry: &Entry| index.similarity(&query, &places, &entry.text);
        let mut all: Vec<_> = index.sorted();
        all.sort_by(|a, b| alike(b).total_cmp(&alike(a)));
        all.into_iter().take(most).map(|entry| entry.task_id.clone()).collect()
    }

    #[test]
    fn few_of_the_nearest_are_missed() {
        let texts = texts(6000);
        let mut index = SimilarTasks::default();
        for (i, text) in texts.iter().enumerate() {
            index.insert(&task(i), 0, text);
        }
        let (mut found, mut all) = (0, 0);
        for text in texts.iter().step_by(60) {
            let near: Vec<_> = index.nearest(text, 10, None).into_iter().map(|t| t.task_id).collect();
            let nearest = by_comparing_all(&index, text, 10);
            all += nearest.len();
            found += nearest.iter().filter(|task| near.contains(task)).count();
        }
        assert!(found * 100 >= 80 * all, "{found} of {all}");
    }

    #[test]
    fn a_text_is_like_itself_and_not_like_another() {
        let mut index = SimilarTasks::new(10);
        for (i, text) in ["Add a login page", "Migrate the orders table"].iter().enumerate() {
            index.insert(&task(i), 0, &TextGrams::of(text));
        }
        let found = index.nearest(&TextGrams::of("add a LOGIN page"), 5, None);
        assert!(found.len() == 1 && found[0].task_id == task(0) && found[0].similarity > 0.9, "{found:?}");
        assert!(index.nearest(&TextGrams::of("add a login page"), 5, Some(&task(0))).is_empty());
        assert!(index.nearest(&TextGrams::of(""), 5, None).is_empty());
        assert!(index.nearest(&TextGrams::of("add"), 0, None).is_empty());
    }
}
