//! What was computed for a day and stays as it is until the past changes.

use std::fmt;
use std::sync::RwLock;

/// A value that depends on a day, remembered for the day that was asked for last once it is told to. Readers never wait for
/// it: where another is writing, the value is made. It is no part of what it belongs to, so all are equal.
pub(super) struct Memo<T>(Option<Box<RwLock<Kept<T>>>>);

/// A day and its value.
type Kept<T> = Option<(i32, T)>;

impl<T: Clone> Memo<T> {
    /// The value for `day`, made if it is not at hand.
    pub(super) fn get(&self, day: i32, make: impl FnOnce() -> T) -> T {
        let Some(kept) = &self.0 else { return make() };
        if let Ok(kept) = kept.try_read()
            && let Some((of, value)) = &*kept
            && *of == day
        {
            return value.clone();
        }
        let made = make();
        if let Ok(mut kept) = kept.try_write() {
            *kept = Some((day, made.clone()));
        }
        made
    }

    /// Remembers values from now on where `worthwhile`; forgets one made of the days before a later day than `changed`.
    pub(super) fn changed(&mut self, changed: i32, worthwhile: bool) {
        match &mut self.0 {
            Some(kept) => {
                if let Ok(kept) = kept.get_mut()
                    && kept.as_ref().is_some_and(|(day, _)| changed < *day)
                {
                    *kept = None;
                }
            }
            None if worthwhile => self.0 = Some(Box::default()),
            None => {}
        }
    }
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Clone for Memo<T> {
    fn clone(&self) -> Self {
        Self(self.0.as_ref().map(|_| Box::default()))
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
