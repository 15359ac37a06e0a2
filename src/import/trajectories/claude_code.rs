//! Sessions of Claude Code: JSON Lines, several of them for one answer, each with the answer's whole usage.

use crate::import::draft::{Draft, Tokens};
use crate::import::field::{at, count, flag, text, time};
use crate::import::message::prompt;
use crate::import::out::Out;
use crate::import::source::Place;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Answers that are remembered over files: a session that goes on from another repeats its answers.
const ANSWERS: usize = 2_000_000;

#[derive(Default)]
pub(super) struct Sessions {
    /// Sessions of the file that is read.
    open: BTreeMap<String, Session>,
    /// Digests of answers of earlier files.
    counted: HashSet<u64>,
}

#[derive(Default)]
struct Session {
    own: Option<String>,
    cwd: Option<String>,
    branch: Option<String>,
    version: Option<String>,
    asked: Option<String>,
    times: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Usage and model by answer.
    answers: HashMap<String, (Tokens, String)>,
}

impl Sessions {
    pub(super) fn line(&mut self, line: &Value) {
        let Some(name) = text(line, &["sessionId"]) else { return };
        let sub = flag(line, &["isSidechain"]) == Some(true);
        let agent = text(line, &["agentId"]).filter(|_| sub);
        // A subagent with a file of its own is a generation of its own.
        let key = agent.map_or_else(|| name.clone(), |agent| format!("{name}/{agent}"));
        let session = self.open.entry(key).or_default();
        session.own.get_or_insert(name);
        session.cwd = session.cwd.take().or_else(|| text(line, &["cwd"]));
        session.branch = session.branch.take().or_else(|| text(line, &["gitBranch"]));
        session.version = session.version.take().or_else(|| text(line, &["version"]));
        if let Some(at) = time(line, &["timestamp"]) {
            let (first, last) = session.times.unwrap_or((at, at));
            session.times = Some((first.min(at), last.max(at)));
        }
        let kind = text(line, &["type"]).unwrap_or_default();
        let Some(message) = at(line, &["message"]) else { return };
        if kind == "user" && session.asked.is_none() && flag(line, &["isMeta"]) != Some(true) {
            session.asked = prompt(&Value::Array(vec![message.clone()]));
        }
        let (Some(usage), Some(answer)) =
            (at(message, &["usage"]), text(message, &["id"]).or_else(|| text(line, &["requestId"])))
        else {
            return;
        };
        if self.counted.contains(&hash(&answer)) {
            return;
        }
        let tokens = Tokens {
            input: count(usage, &["input_tokens"]),
            output: count(usage, &["output_tokens"]),
            cache_read: count(usage, &["cache_read_input_tokens"]),
            cache_write: count(usage, &["cache_creation_input_tokens"]),
            disjoint: true,
        };
        let model = text(message, &["model"]).filter(|model| model != "<synthetic>").unwrap_or_default();
        let known = session.answers.entry(answer).or_insert((tokens, model));
        // A line written while the answer came in has a smaller output.
        if known.0.output < tokens.output {
            known.0 = tokens;
        }
    }

    pub(super) fn end_file(&mut self, place: &Place<'_>, out: &mut Out) {
        for (key, session) in std::mem::take(&mut self.open) {
            for answer in session.answers.keys() {
                if self.counted.len() < ANSWERS {
                    self.counted.insert(hash(answer));
                }
            }
            out.add(session.draft(&key, out), place);
        }
    }
}

impl Session {
    fn draft(self, key: &str, out: &Out) -> Draft {
        let project = self
            .cwd
            .as_deref()
            .and_then(|cwd| cwd.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next())
            .map(str::to_owned);
        let branch = self.branch.filter(|branch| !matches!(branch.as_str(), "main" | "master" | "HEAD"));
        // Work on one branch is one task; a main branch is everybody's.
        let task =
            project.as_ref().zip(branch.as_ref()).map(|(project, branch)| format!("{project}:{branch}"));
        let mut draft = Draft::new(key, task.as_deref().unwrap_or(key));
        draft.set_id("session_id", self.own);
        draft.set_id("project_id", project);
        draft.set("agent_type", Some("claude-code"));
        draft.set("task_description", self.asked);
        if let Some((first, last)) = self.times {
            draft.set_time("started_at", Some(first));
            draft.set_time("completed_at", Some(last));
            draft.set("generation_time_seconds", Some((last - first).num_milliseconds() as f64 / 1e3));
        }
        draft.state_time(out.options.stated_time());
        let (mut tokens, mut models) = (Tokens::default(), BTreeMap::<String, u64>::new());
        for (of, model) in self.answers.values() {
            tokens.add(*of);
            let written = models.entry(model.clone()).or_default();
            *written = written.saturating_add(of.output.unwrap_or(0)).saturating_add(1);
        }
        draft.set_tokens(tokens);
        models.remove("");
        draft.set("model_used", models.into_iter().max_by_key(|(_, n)| *n).map(|(model, _)| model));
        draft.note("source", Some("claude-code"));
        draft.note("branch", branch);
        draft.note("agent_version", self.version);
        draft.note_end("api_calls", Some(self.answers.len()).filter(|n| *n > 0));
        draft
    }
}

fn hash(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
