//! Pull requests of GitHub: `gh pr list --json` (gh 2.23 to 2.60), pages of REST and GraphQL.
//!
//! A merged request was approved, or modified where a person asked for changes or committed before; one closed unmerged was
//! rejected; a merged request that reverts another rejects that one from then on.

mod agent;
mod person;

use super::Reader;
use super::draft::{Draft, Verdict};
use super::field::{at, count, flag, list, text, time};
use super::out::Out;
use super::source::{Place, Row};
use crate::error::{Error, Result};
use agent::Agents;
use chrono::{DateTime, Utc};
use person::Person;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Merge commits by which a later revert finds its request.
const MERGES: usize = 1_000_000;

#[derive(Default)]
pub(super) struct Github {
    agents: Option<Agents>,
    /// Requests by the first digits of their merge commit: the repository's number and the request's.
    merges: HashMap<u64, (u32, u32)>,
    repositories: Vec<String>,
    places: HashMap<String, u32>,
    /// Reverts by a commit that is not known yet.
    reverted: HashMap<u64, Verdict>,
}

impl Reader for Github {
    fn read(&mut self, row: Row, place: &Place<'_>, out: &mut Out) -> Result<()> {
        let value = row.into_value()?;
        if self.agents.is_none() {
            self.agents = Some(Agents::new(&out.options.agents)?);
        }
        let pulls = pulls(&value, 0);
        if pulls.is_empty() {
            return Err(Error::invalid("no pull request: no url of one, no page of them"));
        }
        for pull in pulls {
            if let Err(error) = self.pull(pull, place, out) {
                out.skip(place, &error);
            }
        }
        Ok(())
    }
}

/// Returns the pull requests of a page, or the one that the value is.
fn pulls(value: &Value, depth: usize) -> Vec<&Value> {
    match value {
        Value::Object(map) if at(value, &["createdAt", "created_at"]).is_none() && depth < 6 => {
            let nested = map.iter().filter(|(_, value)| value.is_object() || value.is_array());
            let pages = nested.filter(|(key, _)| {
                [
                    "data",
                    "repository",
                    "pullRequests",
                    "pullRequest",
                    "nodes",
                    "items",
                    "search",
                    "edges",
                    "node",
                    "viewer",
                    "organization",
                    "repositories",
                ]
                .contains(&key.as_str())
            });
            pages.flat_map(|(_, value)| pulls(value, depth + 1)).collect()
        }
        Value::Array(items) if depth < 6 => items.iter().flat_map(|item| pulls(item, depth + 1)).collect(),
        Value::Object(_) => vec![value],
        _ => Vec::new(),
    }
}

/// A request's end.
struct End {
    merged: bool,
    at: DateTime<Utc>,
}

impl Github {
    fn pull(&mut self, pull: &Value, place: &Place<'_>, out: &mut Out) -> Result<()> {
        let (url, repository, number) = identity(pull)?;
        let created = time(pull, &["createdAt", "created_at"]);
        let created = created.ok_or_else(|| Error::invalid("createdAt is missing: add it to --json"))?;
        let end = end_of(pull)?;
        // What a person reverts by hand reverts a generation too.
        if let Some(end) = end.as_ref().filter(|end| end.merged) {
            self.note_revert(pull, &url, &repository, end.at, out);
            self.note_merge(pull, &url, number, out);
        }
        let author = Person::of_author(at(pull, &["author", "user"]));
        let agent = self.agents.as_ref().and_then(|agents| agents.of(pull, &author));
        if agent.is_none() && !out.options.all_authors {
            return Err(Error::invalid("no agent is recognized by author, branch, text, commits or labels"));
        }
        let issue =
            list(pull, &["closingIssuesReferences"]).into_iter().find_map(|issue| text(issue, &["url"]));
        let mut draft = Draft::new(&url, issue.as_deref().unwrap_or(&url));
        draft.set_id("project_id", Some(repository));
        draft.set_id("user_id", Some(author.login.clone()).filter(|_| author.is_human()));
        draft.set_time("started_at", Some(created));
        let title = text(pull, &["title"]).unwrap_or_default();
        draft.set("task_type", kind_of_title(&title));
        draft.set("task_description", Some(described(&title, text(pull, &["body"]).as_deref())));
        draft.set("language", language(pull));
        draft.set("agent_type", agent);
        draft.note("source", Some("github"));
        draft.note("author_is_bot", Some(!author.is_human()));
        draft.note("branch", text(pull, &["headRefName", "head.ref"]));
        if let Some(end) = end {
            let edits = person::Edits::of(pull, &author, created, end.at);
            close(&mut draft, pull, &end, &edits);
        }
        out.add(draft, place);
        Ok(())
    }

    /// Rejects what a merged request reverts.
    fn note_revert(&mut self, pull: &Value, url: &str, repository: &str, at: DateTime<Utc>, out: &mut Out) {
        let title = text(pull, &["title"]).unwrap_or_default();
        let body = text(pull, &["body"]).unwrap_or_default();
        let verdict = |of: &str| Verdict {
            id: format!("revert-{url}-{of}"),
            action: "reject",
            known_at: Some(at),
            reviewer: None,
            words: None,
            success: Some(false),
        };
        let button = format!("Reverts {repository}#");
        let of_number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
        if let Some((_, after)) = body
            .split_once(&button)
            .or_else(|| body.split_once("Reverts #").filter(|_| title.starts_with("Revert ")))
        {
            let number = of_number(after);
            if let Some((base, _)) = url.rsplit_once('/').filter(|_| !number.is_empty()) {
                out.judge(&format!("{base}/{number}"), verdict(&number));
            }
        }
        for after in body.split("This reverts commit ").skip(1).take(100) {
            let Some(key) = commit(after) else { continue };
            if let Some((repository, number)) = self.merges.get(&key) {
                let base = &self.repositories[*repository as usize];
                out.judge(&format!("{base}/{number}"), verdict(&format!("{key:x}")));
            } else if self.reverted.len() < MERGES {
                self.reverted.insert(key, verdict(&format!("{key:x}")));
            }
        }
    }

    /// Remembers a merge commit, and rejects its request where it is known to be reverted.
    fn note_merge(&mut self, pull: &Value, url: &str, number: u32, out: &mut Out) {
        let sha = text(pull, &["mergeCommit.oid", "merge_commit_sha"]);
        let (Some(key), Some((base, _))) = (sha.as_deref().and_then(commit), url.rsplit_once('/')) else {
            return;
        };
        if let Some(verdict) = self.reverted.remove(&key) {
            out.judge(url, verdict);
        }
        if self.merges.len() < MERGES {
            let place = self.places.get(base).copied().unwrap_or_else(|| {
                let place = self.repositories.len() as u32;
                self.repositories.push(base.to_owned());
                self.places.insert(base.to_owned(), place);
                place
            });
            self.merges.insert(key, (place, number));
        }
    }
}

/// Returns the first 16 digits of a commit.
fn commit(text: &str) -> Option<u64> {
    u64::from_str_radix(text.get(..16)?, 16).ok()
}

/// Returns url, repository and number.
fn identity(pull: &Value) -> Result<(String, String, u32)> {
    let named = || {
        Some(format!(
            "https://github.com/{}/pull/{}",
            text(pull, &["base.repo.full_name"])?,
            count(pull, &["number"])?
        ))
    };
    let urls = [text(pull, &["html_url"]), text(pull, &["url"]), named()];
    urls.into_iter()
        .flatten()
        .find_map(|url| {
            let (base, number) = url.split_once("/pull/")?;
            let number = number.split(['/', '#', '?']).next()?.parse().ok()?;
            let mut parts = base.rsplit('/');
            let (name, owner) = (parts.next()?, parts.next()?);
            Some((format!("{base}/pull/{number}"), format!("{owner}/{name}"), number))
        })
        .ok_or_else(|| Error::invalid("url is missing or not that of a pull request: add url to --json"))
}

/// Returns how and when a request ended; `None` while it is open.
fn end_of(pull: &Value) -> Result<Option<End>> {
    let state = text(pull, &["state"]).unwrap_or_default().to_uppercase();
    let merged_at = time(pull, &["mergedAt", "merged_at", "pull_request.merged_at"]);
    let closed_at = time(pull, &["closedAt", "closed_at"]);
    if let Some(at) = merged_at {
        return Ok(Some(End { merged: true, at }));
    }
    let merged = state == "MERGED" || flag(pull, &["merged"]) == Some(true);
    let closed = state == "CLOSED" || flag(pull, &["closed"]) == Some(true) || closed_at.is_some();
    if !merged && !closed {
        return Ok(None);
    }
    let told = pull.get("mergedAt").is_some()
        || pull.get("merged_at").is_some()
        || at(pull, &["merged", "pull_request"]).is_some()
        || state == "MERGED"
        // gh has a state of its own for merged ones; REST says closed of both.
        || (state == "CLOSED" && pull.get("createdAt").is_some());
    match closed_at {
        Some(at) if merged || told => Ok(Some(End { merged, at })),
        _ => Err(Error::invalid(
            "closed, but whether it was merged and when is missing: add mergedAt, closedAt to --json",
        )),
    }
}

/// Adds the verdict and what is known at the end.
fn close(draft: &mut Draft, pull: &Value, end: &End, edits: &person::Edits) {
    let action = match (end.merged, edits.any()) {
        (false, _) => "reject",
        (true, true) => "modify",
        (true, false) => "approve",
    };
    let name = if end.merged { "merged" } else { "closed" };
    let merger = Person::of_author(at(pull, &["mergedBy", "merged_by"]));
    draft.judge(Verdict {
        id: format!("{name}-{}", end.at.timestamp()),
        action,
        known_at: Some(end.at),
        reviewer: edits.reviewer.clone().or_else(|| Some(merger.login.clone()).filter(|_| merger.is_human())),
        words: edits.words.clone(),
        success: Some(end.merged),
    });
    draft.set_time("completion_known_at", Some(end.at));
    draft.set("lines_of_code", count(pull, &["additions"]).filter(|n| u32::try_from(*n).is_ok()));
    draft.note_end("deletions", count(pull, &["deletions"]));
    draft.note_end("changed_files", count(pull, &["changedFiles", "changed_files"]));
    draft.note_end("commits_by_others", Some(edits.commits).filter(|n| *n > 0));
    draft.note_end("changes_requested", Some(edits.requests).filter(|n| *n > 0));
    draft.note_end("checks", checks(pull));
}

/// Counts the checks of the last commit. Neutral and skipped ones are no failure; those that run on have a year-1 end.
fn checks(pull: &Value) -> Option<Value> {
    let last = list(pull, &["commits"]).last().copied().cloned().unwrap_or_default();
    let mut all = list(pull, &["statusCheckRollup", "statusCheckRollup.contexts"]);
    if all.is_empty() {
        all = list(&last, &["commit.statusCheckRollup.contexts"]);
    }
    if all.is_empty() {
        return None;
    }
    let mut counts = [0_u32; 3];
    for check in all {
        let conclusion = text(check, &["conclusion", "state"]).unwrap_or_default().to_uppercase();
        counts[match conclusion.as_str() {
            "SUCCESS" | "NEUTRAL" | "SKIPPED" => 0,
            "FAILURE" | "ERROR" | "TIMED_OUT" | "STARTUP_FAILURE" | "ACTION_REQUIRED" | "CANCELLED" => 1,
            _ => 2,
        }] += 1;
    }
    Some(json!({"passed": counts[0], "failed": counts[1], "pending": counts[2]}))
}

fn described(title: &str, body: Option<&str>) -> String {
    match body {
        Some(body) if !body.trim().is_empty() => format!("{title}\n\n{body}"),
        _ => title.to_owned(),
    }
}

/// Returns the kind of a conventional commit: `fix(cart): totals` is a fix.
fn kind_of_title(title: &str) -> Option<String> {
    let (kind, _) = title.split_once(':')?;
    let kind = kind.split('(').next()?.trim().trim_end_matches('!').to_lowercase();
    let kinds =
        ["feat", "fix", "docs", "refactor", "test", "chore", "build", "ci", "perf", "style", "revert"];
    kinds.contains(&kind.as_str()).then_some(kind)
}

/// Returns the repository's language, else that of most of the files.
fn language(pull: &Value) -> Option<String> {
    let own =
        ["base.repo.language", "baseRepository.primaryLanguage.name", "repository.primaryLanguage.name"];
    text(pull, &own).or_else(|| {
        let mut counts = HashMap::<&str, u64>::new();
        for file in list(pull, &["files"]) {
            let path = text(file, &["path", "filename"]).unwrap_or_default();
            if let Some(language) = path.rsplit_once('.').and_then(|(_, extension)| language_of(extension)) {
                let lines = counts.entry(language).or_default();
                *lines = lines.saturating_add(count(file, &["additions"]).unwrap_or(0)).saturating_add(1);
            }
        }
        counts
            .into_iter()
            .max_by_key(|(name, n)| (*n, std::cmp::Reverse(*name)))
            .map(|(name, _)| name.to_owned())
    })
}

fn language_of(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "py" => "Python",
        "rs" => "Rust",
        "ts" | "tsx" => "TypeScript",
        "js" | "jsx" | "mjs" => "JavaScript",
        "go" => "Go",
        "java" => "Java",
        "kt" => "Kotlin",
        "cs" => "C#",
        "cpp" | "cc" | "hpp" => "C++",
        "c" | "h" => "C",
        "rb" => "Ruby",
        "php" => "PHP",
        "swift" => "Swift",
        "scala" => "Scala",
        "dart" => "Dart",
        "sql" => "SQL",
        "sh" => "Shell",
        "html" => "HTML",
        "css" | "scss" => "CSS",
        _ => return None,
    })
}
