//! Past descriptions by their words and character n-grams.

use super::DEFAULT_CAPACITY;
use super::reservoir::Reservoir;
use crate::error::{Error, Result};
use crate::event::TaskId;
use crate::stats::fnv::{self, ByHash};
use crate::text::TextGrams;
use serde::{Deserialize, Serialize};

/// Finds the tasks whose descriptions are most like another's, by BM25 over words and character
/// 4-grams (Robertson and Zaragoza 2009), as a share of what the text would reach with itself.
///
/// Of a task tried several times the latest description counts. Numbers of entries only grow, so that each posting list is
/// appended to; what was removed stays in the lists until that is as much as what is kept. A task takes about 0.7 kB.
#[derive(Debug, Clone)]
pub(crate) struct SimilarTasks {
    kept: Reservoir,
    numbers: ByHash<u32>,
    /// By number, ascending with the order of insertion; `None` where it was removed.
    pub(super) entries: Vec<Option<Entry>>,
    pub(super) postings: ByHash<Posting, u32>,
    /// Grams of all entries together.
    pub(super) grams: u64,
}

/// The entries that have a gram.
#[derive(Debug, Clone, Default)]
pub(super) struct Posting {
    /// How many of them were not removed.
    pub(super) live: u32,
    /// Their numbers, ascending, with those that were removed since the last sweep.
    pub(super) entries: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) task_id: TaskId,
    /// The hash of its id.
    #[serde(skip)]
    pub(super) key: u64,
    /// The latest start, microseconds since 1970.
    started: i64,
    pub(super) text: TextGrams,
}

/// Fewer removed entries are not worth a sweep.
const LEAST_SWEPT: usize = 64;

impl Default for SimilarTasks {
    fn default() -> Self {
        Self::new(DEFAULT_CAPACITY)
    }
}

impl SimilarTasks {
    /// An index of at most `capacity` tasks: three quarters of them the newest, the others a sample
    /// of all there were.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            kept: Reservoir::new(capacity),
            numbers: ByHash::default(),
            entries: Vec::new(),
            postings: ByHash::default(),
            grams: 0,
        }
    }

    /// Takes in a description that a generation started with at `started` (microseconds since 1970).
    pub(crate) fn insert(&mut self, task_id: &TaskId, started: i64, text: &TextGrams) {
        let key = key_of(task_id);
        let before = self.entry(key).map(|entry| (entry.started, &entry.text));
        if before.is_some_and(|before| before >= (started, text)) {
            return;
        }
        let moment = before.map(|(moment, _)| moment);
        if before.is_some_and(|(_, same)| same == text) {
            return self.renew(key, started);
        }
        let gone = self.kept.put(key, moment, started);
        if moment.is_some() {
            self.remove(key);
        }
        self.add(key, Entry { task_id: task_id.clone(), key, started, text: text.clone() });
        self.drop_old(gone);
    }

    /// A repeated description.
    fn renew(&mut self, key: u64, started: i64) {
        let place = self.numbers.get(&key).and_then(|number| self.entries.get_mut(*number as usize));
        let Some(entry) = place.and_then(Option::as_mut) else { return };
        let before = std::mem::replace(&mut entry.started, started);
        let gone = self.kept.put(key, Some(before), started);
        self.drop_old(gone);
    }

    fn drop_old(&mut self, gone: Vec<u64>) {
        for key in gone {
            if self.entry(key).is_some_and(|entry| !self.kept.is_recent(key, entry.started)) {
                self.remove(key);
            }
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.kept.capacity()
    }

    /// How many tasks it holds.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The place of the entry of a task.
    pub(super) fn number(&self, task_id: &TaskId) -> Option<u32> {
        self.numbers.get(&key_of(task_id)).copied()
    }

    fn entry(&self, key: u64) -> Option<&Entry> {
        self.entries.get(*self.numbers.get(&key)? as usize)?.as_ref()
    }

    fn add(&mut self, key: u64, entry: Entry) {
        let number = self.entries.len() as u32;
        for gram in entry.text.iter() {
            let posting = self.postings.entry(gram).or_default();
            posting.live += 1;
            posting.entries.push(number);
        }
        self.grams += entry.text.len() as u64;
        self.numbers.insert(key, number);
        self.entries.push(Some(entry));
    }

    fn remove(&mut self, key: u64) {
        let Some(number) = self.numbers.remove(&key) else { return };
        let Some(entry) = self.entries[number as usize].take() else { return };
        for gram in entry.text.iter() {
            if let Some(posting) = self.postings.get_mut(&gram) {
                posting.live -= 1;
            }
        }
        self.grams -= entry.text.len() as u64;
        if self.entries.len() - self.len() > self.len().max(LEAST_SWEPT) {
            self.sweep();
        }
    }

    /// Forgets what was removed, and numbers the others anew in their order.
    fn sweep(&mut self) {
        let mut next = 0;
        let number = |entry: &Option<Entry>| {
            entry.as_ref().map(|_| {
                next += 1;
                next - 1
            })
        };
        let renumbered: Vec<Option<u32>> = self.entries.iter().map(number).collect();
        self.entries.retain(Option::is_some);
        self.numbers
            .values_mut()
            .for_each(|number| *number = renumbered[*number as usize].unwrap_or(*number));
        self.postings.retain(|_, posting| posting.live > 0);
        for posting in self.postings.values_mut() {
            let mut kept = Vec::with_capacity(posting.live as usize);
            kept.extend(posting.entries.iter().filter_map(|number| renumbered[*number as usize]));
            posting.entries = kept;
        }
    }

    /// Returns its content, in an order that does not depend on that of arrival.
    pub(super) fn sorted(&self) -> Vec<&Entry> {
        let mut entries: Vec<_> = self.entries.iter().flatten().collect();
        entries.sort_by(|a, b| a.task_id.cmp(&b.task_id));
        entries
    }
}

pub(super) fn key_of(task_id: &TaskId) -> u64 {
    fnv::hash(task_id.as_str().as_bytes())
}

/// Two indices are equal when they hold the same.
impl PartialEq for SimilarTasks {
    fn eq(&self, other: &Self) -> bool {
        self.kept == other.kept && self.sorted() == other.sorted()
    }
}

impl Serialize for SimilarTasks {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        (self.kept.capacity() as u64, self.sorted()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SimilarTasks {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let (capacity, entries) = <(u64, Vec<Entry>)>::deserialize(deserializer)?;
        Self::restored(capacity, &entries).map_err(serde::de::Error::custom)
    }
}

impl SimilarTasks {
    fn restored(capacity: u64, entries: &[Entry]) -> Result<Self> {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        let in_order = entries.is_sorted_by(|a, b| a.task_id < b.task_id);
        if entries.len() > capacity || !in_order || !entries.iter().all(|e| e.text.is_sound()) {
            return Err(Error::corrupt("similar tasks: what was kept is out of order or too much"));
        }
        let mut index = Self::new(capacity);
        for entry in entries {
            index.insert(&entry.task_id, entry.started, &entry.text);
        }
        if index.len() == entries.len() {
            Ok(index)
        } else {
            Err(Error::corrupt("similar tasks: more than is kept"))
        }
    }
}

#[cfg(test)]
impl SimilarTasks {
    /// Takes in all that `other` holds.
    pub(crate) fn merge(&mut self, other: &Self) {
        for entry in other.entries.iter().flatten() {
            self.insert(&entry.task_id, entry.started, &entry.text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::similarity::reservoir::mixed;
    use crate::similarity::samples::{task, texts};
    use proptest::prelude::*;

    #[test]
    fn what_cannot_have_been_written_is_not_read() {
        let entry = |number, grams| Entry {
            task_id: task(number),
            key: 0,
            started: 0,
            text: TextGrams::from_grams(grams),
        };
        let read = |capacity: u64, entries: Vec<Entry>| {
            let bytes = postcard::to_stdvec(&(capacity, entries)).unwrap();
            postcard::from_bytes::<SimilarTasks>(&bytes)
        };
        assert!(read(4, vec![entry(1, vec![1, 2]), entry(2, vec![])]).is_ok());
        assert!(read(4, vec![entry(2, vec![1]), entry(1, vec![1])]).is_err());
        assert!(read(4, vec![entry(1, vec![2, 1])]).is_err());
        assert!(read(1, vec![entry(1, vec![1]), entry(2, vec![1])]).is_err());
        assert!(read(4, vec![entry(1, (0..200).collect())]).is_err());
    }

    /// Which task starts when, with which text.
    fn starts() -> impl Strategy<Value = Vec<(usize, i64, usize)>> {
        prop::collection::vec((0..30_usize, 0..20_i64, 0..12_usize), 0..80)
    }

    fn index_of<'a>(
        starts: impl Iterator<Item = &'a (usize, i64, usize)>,
        texts: &[TextGrams],
    ) -> SimilarTasks {
        let mut index = SimilarTasks::new(12);
        starts.for_each(|(number, moment, text)| index.insert(&task(*number), *moment, &texts[*text]));
        index
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Content and results depend on the set of starts alone, and never on the bound
        /// being passed on the way.
        #[test]
        fn order_and_repetition_change_nothing(starts in starts(), order in any::<u64>(), cut in 0..80_usize) {
            let texts = texts(12);
            let straight = index_of(starts.iter(), &texts);
            let mut shuffled = starts.clone();
            shuffled.extend(starts.iter().take(starts.len() / 2).copied());
            shuffled.sort_by_key(|(number, moment, text)| {
                mixed(order ^ (*number as u64) << 32 ^ (*moment as u64) << 16 ^ *text as u64)
            });
            let other = index_of(shuffled.iter(), &texts);
            prop_assert!(straight == other);
            let mut merged = index_of(starts.iter().take(cut), &texts);
            merged.merge(&index_of(starts.iter().skip(cut), &texts));
            prop_assert!(straight == merged);
            let written = postcard::to_stdvec(&straight).unwrap();
            prop_assert_eq!(&written, &postcard::to_stdvec(&merged).unwrap());
            let read: SimilarTasks = postcard::from_bytes(&written).unwrap();
            prop_assert!(read == straight);
            prop_assert!(straight.len() <= 12 && straight.len() == straight.sorted().len());
            let held: u64 = straight.sorted().iter().map(|entry| entry.text.len() as u64).sum();
            prop_assert_eq!(straight.grams, held);
            for text in &texts {
                let found = straight.nearest(text, 5, None);
                prop_assert_eq!(&found, &other.nearest(text, 5, None));
                prop_assert_eq!(&found, &read.nearest(text, 5, None));
                prop_assert!(found.iter().all(|t| (0.0..=1.0).contains(&t.similarity)));
                prop_assert!(found.is_sorted_by(|a, b| a.similarity >= b.similarity));
            }
        }
    }

    #[test]
    fn the_most_similar_description_is_found() {
        let mut tasks = SimilarTasks::new(1000);
        let texts = ["Add a login page with passwords", "Migrate the orders table", "Draw a chart of sales"];
        for (i, text) in texts.iter().enumerate() {
            tasks.insert(&TaskId::new(format!("TASK-{i}")).unwrap(), i as i64, &TextGrams::of(text));
        }
        let found = tasks.nearest(&TextGrams::of("Login page: remember the password"), 1, None);
        assert_eq!(found[0].task_id.as_str(), "TASK-0");
        assert!(found[0].similarity > 0.2 && found[0].similarity < 1.0);
    }
}
