//! Past descriptions by a host's own embeddings.

use super::reservoir::Reservoir;
use super::{DEFAULT_CAPACITY, SimilarTask};
use crate::error::{Error, Result};
use crate::event::TaskId;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock};

/// Turns a description into a vector; descriptions of like meaning get vectors of like direction.
pub trait Embedder: Send + Sync + Debug {
    /// The vector, always of the same length.
    ///
    /// # Errors
    /// Whatever keeps the host's model from answering.
    fn embed(&self, description: &str) -> Result<Vec<f32>>;
}

/// Finds the tasks with the most similar descriptions, by the cosine of a host's embeddings.
///
/// It gives evidence
/// ([`PredictionService::similar_tasks`](crate::serving::PredictionService::similar_tasks));
/// the models' own features go by words and character n-grams, which need no model of the
/// host's. A search reads every vector that is kept.
///
/// ```
/// use devmatrix_ml::event::TaskId;
/// use devmatrix_ml::similarity::{EmbeddedTasks, Embedder};
/// use std::sync::Arc;
/// #[derive(Debug)]
/// struct Vowels; // a host would ask its embedding model
/// impl Embedder for Vowels {
///     fn embed(&self, description: &str) -> devmatrix_ml::Result<Vec<f32>> {
///         Ok("aeiou".chars().map(|v| description.matches(v).count() as f32).collect())
///     }
/// }
/// let tasks = EmbeddedTasks::new(Arc::new(Vowels));
/// tasks.insert(&TaskId::new("a")?, 1, "banana")?;
/// tasks.insert(&TaskId::new("b")?, 2, "beetle")?;
/// // `PredictionService::with_embedded_tasks` finds "banana" for "bandana".
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug)]
pub struct EmbeddedTasks {
    embedder: Arc<dyn Embedder>,
    held: RwLock<Held>,
}

#[derive(Debug)]
struct Held {
    kept: Reservoir,
    /// By the hash of its id: the task, its latest start, its vector of length 1.
    tasks: BTreeMap<u64, (TaskId, i64, Vec<f32>)>,
    width: Option<usize>,
}

impl EmbeddedTasks {
    /// An index of the usual number of tasks.
    pub fn new(embedder: Arc<dyn Embedder>) -> Self {
        Self::with_capacity(embedder, DEFAULT_CAPACITY)
    }

    /// An index of at most `capacity` tasks: three quarters of them the newest, the others a sample
    /// of all there were.
    pub(crate) fn with_capacity(embedder: Arc<dyn Embedder>, capacity: usize) -> Self {
        let held = Held { kept: Reservoir::new(capacity), tasks: BTreeMap::new(), width: None };
        Self { embedder, held: RwLock::new(held) }
    }

    /// Embeds and takes in a description that a generation started with at `started` (microseconds
    /// since 1970); of a task tried several times the latest counts.
    ///
    /// # Errors
    /// Those of the embedder; `InvalidInput` when its vector is empty, is not finite, has no length
    /// or another number of values than the others.
    pub fn insert(&self, task_id: &TaskId, started: i64, description: &str) -> Result<()> {
        let vector = self.vector(description)?;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.check(&vector)?;
        held.insert(task_id, started, vector);
        Ok(())
    }

    /// The `most` tasks most like `description`, the nearest first, `except` one. Opposite
    /// directions count as a similarity of 0.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    pub(crate) fn nearest(
        &self,
        description: &str,
        most: usize,
        except: Option<&TaskId>,
    ) -> Result<Vec<SimilarTask>> {
        let vector = self.vector(description)?;
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.check(&vector)?;
        let others = held.tasks.values().filter(|(task, ..)| Some(task) != except);
        let mut found: Vec<_> = others
            .map(|(task, _, theirs)| {
                let cosine: f32 = vector.iter().zip(theirs).map(|(a, b)| a * b).sum();
                (f64::from(cosine.clamp(0.0, 1.0)), task)
            })
            .collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        found.truncate(most);
        let named = |(similarity, task): (f64, &TaskId)| SimilarTask { task_id: task.clone(), similarity };
        Ok(found.into_iter().map(named).collect())
    }

    /// The embedding, brought to a length of 1.
    fn vector(&self, description: &str) -> Result<Vec<f32>> {
        let mut vector = self.embedder.embed(description)?;
        let length = vector.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        if !(length > 0.0 && length.is_finite()) {
            return Err(Error::invalid(format!(
                "the embedder gave {} values of length {length}: expected finite values, not all 0",
                vector.len()
            )));
        }
        vector.iter_mut().for_each(|v| *v = (f64::from(*v) / length) as f32);
        Ok(vector)
    }
}

impl Held {
    fn check(&self, vector: &[f32]) -> Result<()> {
        match self.width {
            Some(width) if width != vector.len() => Err(Error::invalid(format!(
                "the embedder gave {} values, before it gave {width}: all must have as many",
                vector.len()
            ))),
            _ => Ok(()),
        }
    }

    fn insert(&mut self, task_id: &TaskId, started: i64, vector: Vec<f32>) {
        let key = super::index::key_of(task_id);
        let before = self.tasks.get(&key).map(|(_, moment, _)| *moment);
        if before.is_some_and(|before| before >= started) {
            return;
        }
        self.width = Some(vector.len());
        let gone = self.kept.put(key, before, started);
        self.tasks.insert(key, (task_id.clone(), started, vector));
        for key in gone {
            if self.tasks.get(&key).is_some_and(|(_, moment, _)| !self.kept.is_recent(key, *moment)) {
                self.tasks.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    /// One value a word of the description, read as a number.
    #[derive(Debug)]
    struct Words;

    impl Embedder for Words {
        fn embed(&self, description: &str) -> Result<Vec<f32>> {
            let read = |word: &str| word.parse().map_err(|_| Error::invalid(format!("{word}: no number")));
            description.split_whitespace().map(read).collect()
        }
    }

    fn held(tasks: &EmbeddedTasks) -> usize {
        tasks.held.read().unwrap().tasks.len()
    }

    fn id(name: &str) -> TaskId {
        TaskId::new(name).unwrap()
    }

    #[test]
    fn vectors_that_cannot_be_compared_are_refused_and_change_nothing() {
        let tasks = EmbeddedTasks::new(Arc::new(Words));
        tasks.insert(&id("a"), 1, "1 0").unwrap();
        for bad in ["", "0 0", "NaN 1", "inf 1", "1 2 3", "word"] {
            assert_eq!(tasks.insert(&id("b"), 1, bad).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
            assert!(tasks.nearest(bad, 3, None).is_err());
        }
        assert_eq!(held(&tasks), 1);
    }

    #[test]
    fn the_nearest_by_cosine_comes_first_and_the_newest_are_kept() {
        let tasks = EmbeddedTasks::with_capacity(Arc::new(Words), 4);
        for (i, text) in ["1 0", "1 1", "0 3", "-1 0", "5 4", "2 0.1"].iter().enumerate() {
            tasks.insert(&id(&i.to_string()), i as i64, text).unwrap();
        }
        assert!((1..=4).contains(&held(&tasks)));
        let found = tasks.nearest("7 0", 2, None).unwrap();
        assert_eq!(found[0].task_id, id("5"));
        assert!(found[0].similarity > 0.99 && found[0].similarity <= 1.0);
        let found = tasks.nearest("1 0", 4, Some(&id("5"))).unwrap();
        assert!(found.iter().all(|task| task.task_id != id("5") && task.similarity >= 0.0));
    }

    #[test]
    fn of_a_task_tried_again_the_latest_counts() {
        let tasks = EmbeddedTasks::new(Arc::new(Words));
        tasks.insert(&id("a"), 5, "1 0").unwrap();
        tasks.insert(&id("a"), 4, "0 1").unwrap();
        assert_eq!(tasks.nearest("1 0", 1, None).unwrap()[0].similarity, 1.0);
        tasks.insert(&id("a"), 6, "0 1").unwrap();
        assert_eq!(tasks.nearest("1 0", 1, None).unwrap()[0].similarity, 0.0);
    }
}
