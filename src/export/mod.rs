//! Events, features and training sets as [Parquet](https://parquet.apache.org/docs/file-format/) files: for
//! notebooks, for data warehouses, for other machines, for archives; and the way back.
//!
//! Three kinds of file, each a table:
//!
//! - [`write_events`], [`read_events`]: a row a *fact* (a start, an end, a feedback), in the order in which
//!   facts became known. What was exported and is read into another store replays there to the same features,
//!   bit for bit. [Columns](#events)
//! - [`write_features`]: a row a generation, a column a feature. [Columns](#features)
//! - [`write_dataset`], [`read_dataset`]: the rows of a [`Dataset`](crate::dataset::Dataset). Training from
//!   the file gives the artefact that training from the store gives, byte for byte. [Columns](#training-sets)
//!
//! Rows are written in groups of at most 16,384 rows or some 8 MB, and only one of them is held in memory.
//! Pages are compressed by Snappy. A file is written under another name, synced and renamed.
//!
//! ```python
//! import pandas as pd
//! facts = pd.read_parquet("events.parquet")
//! generations = facts.groupby("event_id").last()  # a row a generation, with what was known last
//! ```
//!
//! # Damage
//! A file carries a SHA-256 over all of its bytes, in its metadata under `devmatrix_ml.sha256` (its own
//! digits
//! count as zeros); it is verified before anything is parsed. What is read after that is bounded too: rows
//! and
//! bytes of a row group, every text, every number; and should the reader of Parquet panic over bytes that
//! were
//! made to have the right digest, that is an error (where the program unwinds). Another tool that rewrites a
//! file loses or outdates the digest, and so makes it one that is not read here.
//!
//! Metadata: `devmatrix_ml.kind` (what it holds and in which layout); of features and training sets
//! `devmatrix_ml.schema` (the fingerprint of the features); of training sets `devmatrix_ml.target`,
//! `devmatrix_ml.open_success` (how generations end that have been open for 0, 1, 6, 24, 48, 96, 168, 336
//! hours),
//! `devmatrix_ml.answers` (JSON: of every generation, where any was asked about, its start, its success and
//! since
//! when that is known, whether a person was asked and with which propensity) and `devmatrix_ml.fingerprint`.
//!
//! # Events
//! Moments are microseconds since 1970, UTC. A column of another kind of fact than the row's is null, and
//! so is
//! what the host did not know. "JSON" is text.
//!
//! | Column | Type | Of | Unit, meaning |
//! |---|---|---|---|
//! | `event_id` | string | all | the generation |
//! | `fact` | string | all | `started`, `completed` or `feedback` |
//! | `known_at` | timestamp | all | from when on it may be used |
//! | `schema_version` | int64 | started | of the event schema |
//! | `task_id` | string | started | |
//! | `project_id` | string | started | |
//! | `user_id` | string | started | who asked |
//! | `reviewer_id` | string | started, feedback | who is to judge; who judged |
//! | `session_id` | string | started | |
//! | `started_at` | timestamp | started | by the host's clock |
//! | `task_type` | string | started | |
//! | `task_description` | string | started | |
//! | `language` | string | started | |
//! | `framework` | string | started | |
//! | `agent_type` | string | started | |
//! | `model_used` | string | started | the LLM |
//! | `temperature` | double | started | 0 to 2 |
//! | `effort` | string | started | the LLM's reasoning effort |
//! | `max_tokens` | int64 | started | tokens |
//! | `rag_enabled` | boolean | started | |
//! | `rag_examples_count` | int64 | started | examples |
//! | `rag_examples_ids` | JSON | started | array of strings |
//! | `rag_avg_similarity` | double | started | cosine, -1 to 1 |
//! | `rag_avg_quality` | double | started | 0 to 10 |
//! | `template_id` | string | started | |
//! | `num_files_to_generate` | int64 | started | files |
//! | `estimated_lines_of_code` | int64 | started | lines |
//! | `num_dependencies` | int64 | started | dependencies |
//! | `current_queue_size` | int64 | started | generations |
//! | `system_load` | double | started | 1 is full |
//! | `regeneration_of` | string | started | the generation tried before |
//! | `attempt` | int64 | started | earlier tries |
//! | `complexity_label` | double | started | the host's own, 0 to 10 |
//! | `decision` | JSON | started | object: candidates, chosen, propensity, policy |
//! | `predictions` | JSON | started | array of what was predicted |
//! | `metadata` | JSON | started, completed | the host's own pairs |
//! | `completed_at` | timestamp | completed | by the host's clock |
//! | `generated_code` | string | completed | |
//! | `file_path` | string | completed | |
//! | `lines_of_code` | int64 | completed | lines |
//! | `cyclomatic_complexity` | double | completed | McCabe's number |
//! | `num_functions` | int64 | completed | functions |
//! | `num_classes` | int64 | completed | classes |
//! | `has_type_hints` | boolean | completed | |
//! | `has_docstrings` | boolean | completed | |
//! | `has_tests` | boolean | completed | |
//! | `syntax_errors` | int64 | completed | errors |
//! | `host_metrics` | JSON | completed | array: which of these the host gave itself |
//! | `self_review_score` | double | completed | 0 to 10 |
//! | `self_review_feedback` | string | completed | |
//! | `generation_time_seconds` | double | completed | seconds |
//! | `tokens_used` | int64 | completed | tokens read and written |
//! | `cost_usd` | double | completed | US dollars |
//! | `input_tokens` | int64 | completed | tokens read that no cache had |
//! | `output_tokens` | int64 | completed | tokens written |
//! | `cache_read_tokens` | int64 | completed | tokens read from the LLM's cache |
//! | `cache_write_tokens` | int64 | completed | tokens read and written to it |
//! | `cost_from_prices` | boolean | completed | true where the cost was computed from tokens and prices |
//! | `num_regenerations` | int64 | completed | |
//! | `success` | boolean | completed, feedback | approved without modification, as this fact says |
//! | `approved` | boolean | completed, feedback | as this fact says |
//! | `final_quality_score` | double | completed, feedback | 0 to 10, as this fact says |
//! | `feedback_id` | string | feedback | |
//! | `given_at` | timestamp | feedback | by the host's clock |
//! | `user_action` | string | feedback | `approve`, `modify` or `reject` |
//! | `user_feedback` | string | feedback | |
//! | `modifications_requested` | string | feedback | |
//! | `other` | JSON | all | what has no column of its own, by name |
//!
//! # Features
//! | Column | Type | Unit, meaning |
//! |---|---|---|
//! | `event_id` | string | the generation |
//! | `started_at` | timestamp | when it became known that it had started |
//! | `target_success` | boolean | approved without modification |
//! | `target_quality_score` | double | 0 to 10 |
//! | `target_time_seconds` | double | seconds |
//! | one a feature | float | the name and unit of [`FEATURES`](crate::features::FEATURES), in its order; null is missing |
//! | `ngram_buckets` | list of int32 | hashed words and pairs of words of the description, ascending, below 2^20 |
//! | `ngram_weights` | list of float | their weights, 1 + ln(count) |
//! | `columns` | list of float | the host's own columns in the order of their declaration; NaN is missing |
//!
//! # Training sets
//! | Column | Type | Unit, meaning |
//! |---|---|---|
//! | `event_id` | string | the generation |
//! | `project` | uint64 | the project, as a number |
//! | `task` | uint64 | the task, as a number |
//! | `kind` | uint64 | the task's type, as a number |
//! | `earlier_tries` | double | generations of the task before it, as its start says |
//! | `started_at` | timestamp | when it became known that it had started |
//! | `known_at` | timestamp | from when on the label was certain; null while it is a guess |
//! | `label` | double | what is to be learned, in the target's unit |
//! | `weight` | double | how much it counts in fitting, above 0 |
//! | `source_weight` | double | the part of the weight that is its source's, above 0 and at most 1 |
//! | `answer_odds` | double | the probability that its outcome becomes known (response propensity), 0 to 1 |
//! | `asked` | boolean | whether a person was asked to judge it; null where nothing is stored of it |
//! | `label_propensity` | double | the propensity of being asked, 0 to 1 |
//! | `success` | boolean | approved without modification |
//! | `success_known_at` | timestamp | since when that is known |
//! | `complexity` | double | the host's own, 0 to 10 |
//! | `complexity_known_at` | timestamp | since when that is known |
//! | `seconds` | double | seconds from start to end |
//! | `seconds_known_at` | timestamp | since when that is known |
//! | `quality` | double | 0 to 10 |
//! | `quality_known_at` | timestamp | since when that is known |
//! | `tokens` | double | tokens read and written |
//! | `tokens_known_at` | timestamp | since when that is known |
//! | `difficulty` | double | observed, 0 to 10 |
//! | `difficulty_known_at` | timestamp | since when that is known |
//! | `cost` | double | US dollars of the generation, given or from the prices of its tokens |
//! | `cost_known_at` | timestamp | since when that is known |
//! | `prior_constant` | double | success rate of all at the start, 0 to 1 |
//! | `prior_agent` | double | the agent's, 0 to 1 |
//! | `prior_project` | double | the project's, 0 to 1 |
//! | `agent` | string | |
//! | `user` | string | who asked |
//! | `language` | string | |
//! | `task_type` | string | |
//! | `truncated` | boolean | whether the description was longer than is read |
//! | `completed` | boolean | whether the features of the code are known |
//! | one a feature | float | as in features; those of the code are null where they are not known |
//! | `ngram_buckets` | list of int32 | as in features |
//! | `ngram_weights` | list of float | as in features |
//! | `columns` | list of float | the host's own columns in the order of their declaration; NaN is missing |

mod column;
mod dataset;
mod events;
mod features;
mod file;
mod seal;

pub use dataset::{read_dataset, write_dataset};
pub use events::{read_events, write_events};
pub use features::write_features;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Which facts are exported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ExportOptions {
    /// Known at this moment or later.
    pub from: Option<DateTime<Utc>>,
    /// Known before this moment.
    pub until: Option<DateTime<Utc>>,
}

/// Summary of a written file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Exported {
    /// Rows of the file.
    pub rows: u64,
    /// Generations left out: without features, or with those of another schema.
    pub skipped: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// The digest that the file carries, in hexadecimal digits: equal for equal files.
    pub sha256: String,
}

/// What became of the facts of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Imported {
    /// Stored now.
    pub new: u64,
    /// Stored already.
    pub duplicates: u64,
    /// Others are stored under their keys, and stay.
    pub(crate) conflicts: u64,
    /// Of events that were erased; not stored.
    pub erased: u64,
}

/// The key of the features' fingerprint in a file's metadata.
const SCHEMA: &str = "devmatrix_ml.schema";

fn digits(number: u64) -> String {
    format!("{number:016x}")
}

#[cfg(test)]
mod tests {
    use super::column::{Holds, Spec};
    use crate::features::FEATURES;
    use std::collections::HashSet;

    /// The names and types that the table under `heading` documents.
    fn documented(heading: &str) -> Vec<(String, String)> {
        let text = include_str!("mod.rs");
        let part = text.split(&format!("//! # {heading}\n")).nth(1).unwrap().split("//! # ").next().unwrap();
        let rows = part.lines().filter_map(|line| line.strip_prefix("//! | "));
        let cells = rows.map(|row| row.split(" | ").map(|cell| cell.trim_matches('`').to_owned()));
        cells.map(|mut c| (c.next().unwrap(), c.next().unwrap())).filter(|c| c.0 != "Column").collect()
    }

    fn type_of(spec: &Spec) -> &'static str {
        match spec.holds {
            Holds::Text => "string",
            Holds::Json => "JSON",
            Holds::Bool => "boolean",
            Holds::Int => "int64",
            Holds::Unsigned => "uint64",
            Holds::Time => "timestamp",
            Holds::Double => "double",
            Holds::Float => "float",
            Holds::Ints => "list of int32",
            Holds::Floats => "list of float",
        }
    }

    #[test]
    fn every_column_is_documented_in_its_order_with_its_type() {
        let tables = [
            ("Events", super::events::specs()),
            ("Features", super::features::specs()),
            ("Training sets", super::dataset::specs()),
        ];
        for (heading, specs) in tables {
            let names: HashSet<_> = specs.iter().map(|spec| spec.name).collect();
            assert_eq!(names.len(), specs.len(), "{heading}: two columns of one name");
            let mut actual: Vec<_> =
                specs.iter().map(|spec| (spec.name.to_owned(), type_of(spec).to_owned())).collect();
            if let Some(first) = actual.iter().position(|(name, _)| name == FEATURES[0].name) {
                let features = ("one a feature".to_owned(), "float".to_owned());
                actual.splice(first..first + FEATURES.len(), [features]);
            }
            assert_eq!(documented(heading), actual);
        }
    }
}
