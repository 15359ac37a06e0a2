//! What was computed for a day and stays as it is until the past changes.

use arc_swap::ArcSwapOption;
use std::fmt;
use std::sync::Arc;

/// A value that depends on a day, remembered for the day that was asked for last. Readers share it
/// without a lock; it is no part of what it belongs to, so copies begin empty and all are equal.
pub(super) struct Memo<T>(ArcSwapOption<(i32, T)>);

impl<T: Clone> Memo<T> {
    /// The value for `day`, made if it is not at hand.
    pub(super) fn get(&self, day: i32, make: impl FnOnce() -> T) -> T {
        if let Some(kept) = &*self.0.load()
            && kept.0 == day
        {
            return kept.1.clone();
        }
        let made = make();
        self.0.store(Some(Arc::new((day, made.clone()))));
        made
    }

    /// Forgets a value made of the days before a later day than `changed`.
    pub(super) fn forget_after(&mut self, changed: i32) {
        if self.0.load().as_ref().is_some_and(|kept| changed < kept.0) {
            self.0.store(None);
        }
    }
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(ArcSwapOption::empty())
    }
}

impl<T> Clone for Memo<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T> PartialEq for Memo<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> fmt::Debug for Memo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo")
    }
}
