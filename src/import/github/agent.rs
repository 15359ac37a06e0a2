//! Which agent opened a pull request.

use super::person::{Person, same_login};
use crate::error::{Error, Result};
use crate::import::field::{list, text};
use serde_json::Value;
use std::collections::BTreeMap;

/// Marks are sought in this order: the first that some agent's mark is found in decides.
const KINDS: [&str; 5] = ["author", "branch", "body", "commit", "label"];

/// Marks of the known agents, seen in public pull requests: an author, the start of a branch, words of the body, an author or
/// a trailer of a commit, a label.
const KNOWN: [(&str, &[&str]); 9] = [
    (
        "Copilot",
        &["author:copilot", "author:copilot-swe-agent", "branch:copilot/", "commit:copilot-swe-agent"],
    ),
    (
        "Devin",
        &[
            "author:devin-ai-integration",
            "branch:devin/",
            "body:app.devin.ai",
            "commit:devin-ai-integration",
            "label:devin",
        ],
    ),
    (
        "OpenAI_Codex",
        &[
            "author:chatgpt-codex-connector",
            "author:codex",
            "branch:codex/",
            "body:chatgpt.com/codex",
            "commit:codex@openai.com",
            "label:codex",
        ],
    ),
    (
        "Cursor",
        &[
            "author:cursor",
            "author:cursoragent",
            "branch:cursor/",
            "body:cursor.com/agents",
            "commit:cursoragent",
            "label:cursor",
        ],
    ),
    (
        "Claude_Code",
        &[
            "author:claude",
            "branch:claude/",
            "body:generated with claude code",
            "body:generated with [claude code]",
            "commit:noreply@anthropic.com",
            "commit:co-authored-by: claude",
            "label:claude",
            "label:claude-code",
        ],
    ),
    (
        "Jules",
        &[
            "author:google-labs-jules",
            "branch:jules/",
            "body:jules.google.com",
            "commit:google-labs-jules",
            "label:jules",
        ],
    ),
    (
        "OpenHands",
        &["author:openhands-agent", "branch:openhands/", "commit:openhands@all-hands.dev", "label:openhands"],
    ),
    ("Aider", &["branch:aider/", "commit:co-authored-by: aider", "label:aider"]),
    ("Gemini_CLI", &["branch:gemini/", "commit:co-authored-by: gemini", "label:gemini"]),
];

/// The table of agents.
pub(super) struct Agents {
    /// Name, kind and text of each mark.
    marks: Vec<(String, usize, String)>,
}

impl Agents {
    /// Reads a host's own marks, which go before the known ones.
    ///
    /// # Errors
    /// `InvalidInput` naming a mark of another kind.
    pub(super) fn new(own: &BTreeMap<String, Vec<String>>) -> Result<Self> {
        let own =
            own.iter().flat_map(|(name, marks)| marks.iter().map(move |mark| (name.as_str(), mark.as_str())));
        let known = KNOWN.iter().flat_map(|(name, marks)| marks.iter().map(move |mark| (*name, *mark)));
        let marks = own.chain(known).map(|(name, mark)| {
            let parts =
                mark.split_once(':').map(|(kind, text)| (KINDS.iter().position(|k| *k == kind), text.trim()));
            match parts {
                Some((Some(kind), text)) if !text.is_empty() => {
                    Ok((name.to_owned(), kind, text.to_lowercase()))
                }
                _ => Err(Error::invalid(format!(
                    "the mark {mark:?} of the agent {name}: expected one of {} and a text, like branch:bot/",
                    KINDS.map(|k| format!("{k}:")).join(", ")
                ))),
            }
        });
        Ok(Self { marks: marks.collect::<Result<_>>()? })
    }

    /// Returns the agent of a pull request.
    pub(super) fn of(&self, pull: &Value, author: &Person) -> Option<String> {
        (0..KINDS.len()).find_map(|kind| {
            let said = said(kind, pull, author);
            let fits = |mark: &str, said: &str| match KINDS[kind] {
                "author" => same_login(mark, said),
                "branch" => said.starts_with(mark) || said.contains(&format!(":{mark}")),
                "label" => said == mark,
                _ => said.contains(mark),
            };
            let marks = self.marks.iter().filter(|(_, of, _)| *of == kind);
            marks
                .into_iter()
                .find(|(_, _, mark)| said.iter().any(|said| fits(mark, said)))
                .map(|(name, ..)| name.clone())
        })
    }
}

/// Returns the texts of a kind, in small letters.
fn said(kind: usize, pull: &Value, author: &Person) -> Vec<String> {
    let found: Vec<Option<String>> = match KINDS[kind] {
        "author" => vec![Some(author.login.clone())],
        "branch" => vec![text(pull, &["headRefName", "head.ref"])],
        "body" => vec![text(pull, &["body"])],
        "label" => list(pull, &["labels"]).into_iter().map(|label| text(label, &["name"])).collect(),
        _ => list(pull, &["commits"])
            .into_iter()
            .flat_map(|commit| {
                let of = commit.get("commit").unwrap_or(commit);
                let message = text(of, &["messageBody"]).or_else(|| text(of, &["message"]));
                let mut all = vec![message];
                for person in
                    list(of, &["authors"]).into_iter().chain(of.get("author")).chain(commit.get("author"))
                {
                    // The login of a person, or of a commit's user.
                    all.extend([text(person, &["login", "user.login"]), text(person, &["email"])]);
                }
                all
            })
            .collect(),
    };
    found.into_iter().flatten().map(|text| text.to_lowercase()).collect()
}
