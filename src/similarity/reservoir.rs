//! Which tasks are kept: the recent and the representative.

use std::collections::BTreeSet;

/// Keys with the moment of their last start: the newest, and those of the smallest hashes, which are
/// a sample of all there ever were. Either is the top of a total order, so its content depends on the
/// set of keys and moments alone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reservoir {
    capacity: usize,
    newest: BTreeSet<(i64, u64)>,
    sample: BTreeSet<(u64, u64)>,
}

/// Of so many places one is for the sample.
const SAMPLE_SHARE: usize = 4;

impl Reservoir {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, newest: BTreeSet::new(), sample: BTreeSet::new() }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Takes in a key with its moment, which replaces an earlier one; the keys that are no longer
    /// kept, of which it may be one.
    pub(super) fn put(&mut self, key: u64, before: Option<i64>, moment: i64) -> Vec<u64> {
        if let Some(before) = before {
            self.newest.remove(&(before, key));
        }
        self.newest.insert((moment, key));
        self.sample.insert((mixed(key), key));
        let sampled = self.capacity / SAMPLE_SHARE;
        let mut gone = Vec::new();
        if self.newest.len() > self.capacity - sampled {
            gone.extend(self.newest.pop_first().map(|(_, key)| key));
        }
        if self.sample.len() > sampled {
            gone.extend(self.sample.pop_last().map(|(_, key)| key));
        }
        gone.sort_unstable();
        gone.dedup();
        gone.retain(|key| !self.sample.contains(&(mixed(*key), *key)));
        gone
    }

    /// Of keys that [`put`](Self::put) named, whether the newest still hold it.
    pub(super) fn is_recent(&self, key: u64, moment: i64) -> bool {
        self.newest.contains(&(moment, key))
    }
}

/// Keys in an order that has nothing to do with them (Stafford's mix 13).
pub(super) fn mixed(key: u64) -> u64 {
    let key = (key ^ key >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let key = (key ^ key >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    key ^ key >> 31
}
