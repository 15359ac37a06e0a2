//! What a host says about its files.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options of [`import`](super::import).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ImportOptions {
    /// Where fields of the flat form stand in the files: for CSV and JSON of one's own the column, or keys with dots between them
    /// (`{"task_id": "issue", "success": "result.passed"}`). `=word` is a constant; for every other format constants alone fill
    /// in what the file does not say (`{"agent_type": "=openhands"}`).
    pub mapping: BTreeMap<String, String>,
    /// Agents by the marks of their pull requests, before those that are known anyway: `author:my-bot`, `branch:bot/`,
    /// `body:made by bot`, `commit:bot@example.org` (an author or trailer), `label:bot`.
    pub agents: BTreeMap<String, Vec<String>>,
    /// Whether pull requests are imported too whose agent is not recognized.
    pub all_authors: bool,
    /// Scores and feedback of these names are verdicts, beside `success`, `merged`, `approved`, `resolved` and the like.
    pub verdicts: Vec<String>,
    /// Whether personal data and secrets are taken out of texts, and persons' names replaced by digests.
    pub redact: bool,
    /// When events of files without times started; by default 2000-01-01. They are marked.
    pub started_at: Option<DateTime<Utc>>,
    /// The present, beyond which a time is a wrong clock's; by default the system's.
    pub now: Option<DateTime<Utc>>,
}

/// Names of verdicts in scores and feedback.
const VERDICTS: [&str; 16] = [
    "success",
    "succeeded",
    "merged",
    "accepted",
    "approved",
    "resolved",
    "solved",
    "passed",
    "tests_passed",
    "correct",
    "is_correct",
    "thumbs_up",
    "user_feedback",
    "helpful",
    "task_success",
    "outcome",
];

impl ImportOptions {
    pub(super) fn stated_time(&self) -> DateTime<Utc> {
        self.started_at.unwrap_or(DateTime::from_timestamp(946_684_800, 0).unwrap_or_default())
    }

    /// Returns whether a score of this name says if the generation succeeded.
    pub(super) fn is_verdict(&self, name: &str) -> bool {
        let name = name.trim().to_lowercase().replace(['-', ' '], "_");
        VERDICTS.contains(&name.as_str()) || self.verdicts.iter().any(|own| own.to_lowercase() == name)
    }
}

/// Returns the action that a verdict in words or as yes and no tells of.
pub(super) fn action_of(value: &serde_json::Value) -> Option<&'static str> {
    if let Some(flag) = super::field::as_flag(value) {
        return Some(if flag { "approve" } else { "reject" });
    }
    let word = value.as_str()?.trim().to_lowercase();
    Some(match word.as_str() {
        "approve" | "approved" | "accept" | "accepted" | "merge" | "merged" | "pass" | "passed"
        | "success" | "yes" | "good" | "correct" | "resolved" | "thumbs_up" => "approve",
        "modify" | "modified" | "edited" | "reworked" | "changed" | "changes_requested" | "partial" => {
            "modify"
        }
        "reject" | "rejected" | "closed" | "discard" | "discarded" | "fail" | "failed" | "failure" | "no"
        | "bad" | "incorrect" | "reverted" | "unresolved" | "thumbs_down" => "reject",
        _ => return None,
    })
}
