//! Search for the most similar tasks.

use super::SimilarTask;
use super::grams::TextGrams;
use super::index::{Entry, SimilarTasks};
use crate::event::TaskId;

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
        let query = self.query(text);
        let except = except.and_then(|task| self.number(task));
        let mut found: Vec<_> = self
            .named(&query, effort)
            .into_iter()
            .filter(|number| Some(*number) != except)
            .filter_map(|number| {
                let entry = self.entries.get(number as usize)?.as_ref()?;
                Some((self.similarity(&query, &entry.text), entry))
            })
            .filter(|(similarity, _)| *similarity > 0.0)
            .collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.task_id.cmp(&b.1.task_id)));
        found.truncate(most);
        let named =
            |(similarity, entry): (f64, &Entry)| SimilarTask { task_id: entry.task_id.clone(), similarity };
        found.into_iter().map(named).collect()
    }

    /// The grams of `text` that some entry has, by how much they tell.
    fn query<'a>(&'a self, text: &TextGrams) -> Query<'a> {
        let n = self.len() as f64;
        let idf = |df: f64| (1.0 + (n - df + 0.5) / (df + 0.5)).ln();
        let weigh = |gram: &u32| {
            let entries = self.postings.get(gram).map_or(&[][..], Vec::as_slice);
            (*gram, idf(entries.len() as f64), entries)
        };
        let grams: Vec<_> = text.grams.iter().map(weigh).collect();
        let sum: f64 = grams.iter().map(|(_, idf, _)| idf).sum();
        Query { most: sum * self.saturation(text.len()), grams }
    }

    /// How much a shared gram counts in a text of this length.
    fn saturation(&self, length: usize) -> f64 {
        let mean = self.grams as f64 / (self.len().max(1)) as f64;
        (K1 + 1.0) / (1.0 + K1 * (1.0 - B + B * length as f64 / mean.max(1.0)))
    }

    /// The entries that share the most of the rare grams.
    fn named(&self, query: &Query<'_>, effort: SearchBudget) -> Vec<u32> {
        let mut rarest: Vec<_> = query.grams.iter().filter(|(.., entries)| !entries.is_empty()).collect();
        rarest.sort_by_key(|(gram, _, entries)| (entries.len(), *gram));
        let sum: f64 = query.grams.iter().map(|(_, idf, _)| idf).sum();
        let enough = (LEAST_SHARE * sum) as f32;
        let mut scores = vec![0.0_f32; self.entries.len()];
        let (mut named, mut read) = (Vec::new(), 0);
        for (_, idf, entries) in rarest {
            if read > 0 && read + entries.len() > effort.postings {
                break;
            }
            read += entries.len();
            for number in *entries {
                let score = &mut scores[*number as usize];
                let before = *score;
                *score += *idf as f32;
                if before < enough && *score >= enough {
                    named.push(*number);
                }
            }
        }
        if named.len() > effort.compared {
            // Ties go by the task, never by the place in the index, which depends on the order of arrival.
            let task = |number: &u32| self.entries[*number as usize].as_ref().map(|e| e.key);
            let order = |a: &u32, b: &u32| {
                scores[*b as usize].total_cmp(&scores[*a as usize]).then_with(|| task(a).cmp(&task(b)))
            };
            named.select_nth_unstable_by(effort.compared, order);
            named.truncate(effort.compared);
        }
        named
    }

    fn similarity(&self, query: &Query<'_>, text: &TextGrams) -> f64 {
        let (mut i, mut j, mut shared) = (0, 0, 0.0);
        // Without branches that depend on the data, which no processor can foresee.
        while let (Some((ours, idf, _)), Some(theirs)) = (query.grams.get(i), text.grams.get(j)) {
            shared += if ours == theirs { *idf } else { 0.0 };
            i += usize::from(ours <= theirs);
            j += usize::from(theirs <= ours);
        }
        if query.most <= 0.0 { 0.0 } else { (shared * self.saturation(text.len()) / query.most).min(1.0) }
    }
}

/// A text to be looked for.
struct Query<'a> {
    /// Returns the text's score with itself.
    most: f64,
    /// Each gram, ascending, with what it tells and the entries that have it.
    grams: Vec<(u32, f64, &'a [u32])>,
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
        let mut all: Vec<_> = index.sorted();
        all.sort_by(|a, b| index.similarity(&query, &b.text).total_cmp(&index.similarity(&query, &a.text)));
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
