//! Who is a person, what persons asked for and did.

use crate::import::field::{at, flag, list, text, time};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::HashMap;

/// Apps whose reviews and commits come without a mark of an app.
const APPS: [&str; 27] = [
    "copilot",
    "copilot-swe-agent",
    "copilot-pull-request-reviewer",
    "devin-ai-integration",
    "cursor",
    "cursoragent",
    "chatgpt-codex-connector",
    "claude",
    "google-labs-jules",
    "openhands-agent",
    "coderabbitai",
    "github-actions",
    "sourcery-ai",
    "greptile-apps",
    "codecov",
    "codecov-commenter",
    "sonarcloud",
    "sonarqubecloud",
    "dependabot",
    "renovate",
    "gemini-code-assist",
    "qodo-merge-pro",
    "ellipsis-dev",
    "graphite-app",
    "web-flow",
    "vercel",
    "netlify",
];

/// An account; of one that is deleted, or of an app, nobody knows a verdict.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) login: String,
    app: bool,
}

impl Person {
    /// Reads an account as gh, REST or GraphQL writes it.
    pub(super) fn of_author(author: Option<&Value>) -> Self {
        let author = author.unwrap_or(&Value::Null);
        // Some tables hold the login alone.
        let login =
            text(author, &["login"]).or_else(|| author.as_str().map(str::to_owned)).unwrap_or_default();
        let named = login.starts_with("app/")
            || login.ends_with("[bot]")
            || APPS.iter().any(|app| same_login(app, &login));
        let said = flag(author, &["is_bot"]) == Some(true)
            || text(author, &["type", "__typename"])
                .is_some_and(|kind| matches!(kind.as_str(), "Bot" | "Mannequin"));
        Self { login: bare(&login).to_owned(), app: named || said }
    }

    pub(super) fn is_human(&self) -> bool {
        !self.app && !self.login.is_empty()
    }
}

/// Returns a login without the marks of an app.
fn bare(login: &str) -> &str {
    login.trim_start_matches("app/").trim_end_matches("[bot]")
}

/// Returns whether two logins are one account's.
pub(super) fn same_login(a: &str, b: &str) -> bool {
    bare(a).eq_ignore_ascii_case(bare(b))
}

/// What persons other than the author asked for and did before a request ended.
#[derive(Debug, Default)]
pub(super) struct Edits {
    /// Requests for changes.
    pub(super) requests: u32,
    /// Commits.
    pub(super) commits: u32,
    /// Who gave the last verdict.
    pub(super) reviewer: Option<String>,
    /// Words of the last request.
    pub(super) words: Option<String>,
}

impl Edits {
    pub(super) fn of(pull: &Value, author: &Person, created: DateTime<Utc>, end: DateTime<Utc>) -> Self {
        let mut edits = Self::default();
        // Each person's last verdict counts as such; that changes were once asked for stays true.
        let mut verdicts = HashMap::<String, DateTime<Utc>>::new();
        for review in list(pull, &["reviews", "latestReviews"]) {
            let who = Person::of_author(at(review, &["author", "user"]));
            let state = text(review, &["state"]).unwrap_or_default();
            // A review that waits has no time; one that was dismissed says nothing any more.
            let given = time(review, &["submittedAt", "submitted_at"]).filter(|given| *given <= end);
            let (Some(given), true) = (given, who.is_human() && !same_login(&who.login, &author.login))
            else {
                continue;
            };
            if !matches!(state.as_str(), "APPROVED" | "CHANGES_REQUESTED") {
                continue;
            }
            if state == "CHANGES_REQUESTED" {
                edits.requests += 1;
                edits.words = text(review, &["body"]).or(edits.words);
            }
            let last = verdicts.entry(who.login).or_insert(given);
            *last = given.max(*last);
        }
        edits.reviewer =
            verdicts.into_iter().max_by(|a, b| (a.1, &b.0).cmp(&(b.1, &a.0))).map(|(who, _)| who);
        edits.commits =
            list(pull, &["commits"]).into_iter().filter(|c| is_edit(c, author, created, end)).count() as u32;
        edits
    }

    pub(super) fn any(&self) -> bool {
        self.requests > 0 || self.commits > 0
    }
}

/// Returns whether a person other than the author wrote a commit after the request was opened. Trailers name the person for whom
/// an agent works: only the first author counts. A rebase rewrites the commit's own time.
fn is_edit(commit: &Value, author: &Person, created: DateTime<Utc>, end: DateTime<Utc>) -> bool {
    let of = commit.get("commit").unwrap_or(commit);
    let headline = text(of, &["messageHeadline", "message"]).unwrap_or_default();
    if ["Merge branch ", "Merge remote", "Merge pull request "]
        .iter()
        .any(|start| headline.starts_with(start))
    {
        return false;
    }
    let first = list(of, &["authors"]).into_iter().next().or_else(|| of.get("author"));
    let first = commit.get("author").filter(|author| author.is_object()).or(first);
    let who = Person::of_author(
        first.map(|first| first.get("user").filter(|user| user.is_object()).unwrap_or(first)),
    );
    let written = time(of, &["authoredDate", "author.date", "committedDate"]);
    let after = written.is_some_and(|written| created < written && written <= end);
    who.is_human() && !same_login(&who.login, &author.login) && after
}
