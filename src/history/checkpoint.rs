//! A history as bytes, so that a start need not read the whole store.

use super::History;
use super::generation::{Change, Generation};
use crate::error::{Error, Result};
use crate::registry::envelope;
use crate::similarity::{DEFAULT_CAPACITY, SimilarTasks};
use crate::store::{Cursor, ScanOrder};
use serde::{Deserialize, Serialize};

const KIND: &str = "history-5";
const MAX_BYTES: usize = 4 << 30;

/// All that is written: the position, the generations by their hashes, and the tasks' texts.
type Stored = (Position, Vec<(u64, Generation)>, SimilarTasks);

/// Where in the store a history stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) cursor: Option<Cursor>,
    pub(super) erasures: u64,
}

/// The bytes of `history` at `position`: the same for equal histories.
pub(super) fn save(history: &History, position: &Position) -> Result<Vec<u8>> {
    let mut generations: Vec<_> = history.generations.iter().collect();
    generations.sort_unstable_by_key(|(id, _)| **id);
    let payload = postcard::to_stdvec(&(position, generations, &history.similar))
        .map_err(|e| Error::internal("a history could not be written").with_source(e))?;
    envelope::seal(KIND, &payload)
}

/// The history and its position from bytes that [`save`] made.
pub(super) fn load(bytes: &[u8]) -> Result<(History, Position)> {
    let payload = envelope::open(bytes, KIND, MAX_BYTES)?;
    let (position, generations, similar): Stored = postcard::from_bytes(payload)
        .map_err(|e| Error::corrupt("the history's checkpoint cannot be read").with_source(e))?;
    let unsound = || Error::corrupt("the history's checkpoint holds what no records can have made");
    Cursor::check(position.cursor.as_ref(), ScanOrder::Arrival).map_err(|_| unsound())?;
    if similar.capacity() != DEFAULT_CAPACITY {
        return Err(unsound());
    }
    let mut history = History { similar, ..History::new() };
    for (id, generation) in generations {
        if !generation.is_sound() || history.generations.contains_key(&id) {
            return Err(unsound());
        }
        if let Some((keys, start)) = generation.keys().zip(generation.start.as_ref()) {
            let mut change = Change::default();
            change.contribute(&generation, 1);
            history.add(&keys, &change, Some(start.day));
        }
        generation.moments().for_each(|at| history.moments.add(at));
        history.generations.insert(id, generation);
    }
    Ok((history, position))
}
