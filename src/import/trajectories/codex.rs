//! Rollouts of Codex: JSON Lines whose token counts add up over the session.

use crate::import::draft::{Draft, Tokens};
use crate::import::field::{at, count, text, time};
use crate::import::message::prompt;
use crate::import::out::Out;
use crate::import::source::Place;
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Sessions whose totals are kept for their forks.
const SESSIONS: usize = 1_000_000;

#[derive(Default)]
pub(super) struct Rollouts {
    open: Option<Rollout>,
    /// The last totals of sessions of earlier files.
    totals: HashMap<String, Usage>,
}

#[derive(Default)]
struct Rollout {
    id: Option<String>,
    parent: Option<String>,
    cwd: Option<String>,
    branch: Option<String>,
    version: Option<String>,
    model: Option<String>,
    effort: Option<String>,
    asked: Option<String>,
    times: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Totals in their order, without repetitions.
    first: Option<Usage>,
    last: Option<Usage>,
    /// Set once the parent's last total was passed.
    passed: bool,
    /// Newer records, which add up within a turn.
    turns: BTreeMap<String, Usage>,
}

/// Input, cached input, output.
type Usage = [u64; 3];

impl Rollouts {
    /// Returns whether the value is a line of a rollout.
    pub(super) fn knows(value: &Value) -> bool {
        let kinds =
            ["session_meta", "turn_context", "response_item", "event_msg", "compacted", "token_usage_record"];
        value.get("payload").is_some()
            && text(value, &["type"]).is_some_and(|kind| kinds.contains(&kind.as_str()))
    }

    pub(super) fn line(&mut self, line: &Value) {
        let rollout = self.open.get_or_insert_default();
        if let Some(at) = time(line, &["timestamp"]) {
            let (first, last) = rollout.times.unwrap_or((at, at));
            rollout.times = Some((first.min(at), last.max(at)));
        }
        let payload = &line["payload"];
        let kind = text(line, &["type"]).unwrap_or_default();
        match (kind.as_str(), text(payload, &["type"]).as_deref()) {
            ("session_meta", _) if rollout.id.is_none() => {
                // A fork repeats the session_meta of its parent below its own.
                rollout.id = text(payload, &["id"]);
                rollout.parent = text(
                    payload,
                    &["forked_from_id", "parent_thread_id", "source.subagent.thread_spawn.parent_thread_id"],
                );
                rollout.cwd = text(payload, &["cwd"]);
                rollout.branch = text(payload, &["git.branch"]);
                rollout.version = text(payload, &["cli_version"]);
            }
            ("turn_context", _) => {
                rollout.model = text(payload, &["model"]).or(rollout.model.take());
                rollout.effort = text(payload, &["effort"]).or(rollout.effort.take());
            }
            ("response_item", Some("message")) if rollout.asked.is_none() => {
                rollout.asked = prompt(&Value::Array(vec![payload.clone()]))
                    .filter(|asked| !asked.trim_start().starts_with('<'));
            }
            ("event_msg", Some("token_count")) => {
                if let Some(total) = at(payload, &["info.total_token_usage"]).map(usage) {
                    let parent = rollout.parent.as_ref().and_then(|parent| self.totals.get(parent));
                    rollout.passed |= parent == Some(&total);
                    rollout.first.get_or_insert(total);
                    rollout.last = Some(total);
                }
            }
            ("token_usage_record", _) | (_, Some("token_usage_record")) => {
                let turn = text(payload, &["turn_id"]).unwrap_or_default();
                let usage =
                    usage(at(payload, &["usage", "token_usage", "total_token_usage"]).unwrap_or(payload));
                let known = rollout.turns.entry(turn).or_default();
                *known = std::array::from_fn(|i| known[i].max(usage[i]));
            }
            _ => {}
        }
    }

    pub(super) fn end_file(&mut self, place: &Place<'_>, out: &mut Out) {
        let Some(rollout) = self.open.take() else { return };
        let parent = rollout
            .parent
            .as_ref()
            .and_then(|parent| self.totals.get(parent))
            .filter(|_| rollout.passed)
            .copied();
        if let (Some(id), Some(last)) = (&rollout.id, rollout.last)
            && self.totals.len() < SESSIONS
        {
            self.totals.insert(id.clone(), last);
        }
        let draft = rollout.draft(parent, place, out);
        out.add(draft, place);
    }
}

fn usage(of: &Value) -> Usage {
    let read = |name| count(of, &[name]).unwrap_or(0);
    [read("input_tokens"), read("cached_input_tokens"), read("output_tokens")]
}

impl Rollout {
    /// Returns the usage of this session alone: without what its parent had used, which it repeats.
    fn own_usage(&self, parent: Option<Usage>) -> Option<Usage> {
        let Some(last) = self.last else {
            let sum = |i: usize| self.turns.values().fold(0_u64, |sum, usage| sum.saturating_add(usage[i]));
            return (!self.turns.is_empty()).then(|| [sum(0), sum(1), sum(2)]);
        };
        let before = match (&self.parent, parent) {
            (None, _) => [0; 3],
            (Some(_), Some(parent)) => parent,
            (Some(_), None) => self.first.unwrap_or_default(),
        };
        Some(std::array::from_fn(|i| last[i].saturating_sub(before[i])))
    }

    fn draft(self, parent: Option<Usage>, place: &Place<'_>, out: &Out) -> Draft {
        let id = self.id.clone().unwrap_or_else(|| crate::import::out::run_of(place.file));
        let project = self
            .cwd
            .as_deref()
            .and_then(|cwd| cwd.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next())
            .map(str::to_owned);
        let branch =
            self.branch.clone().filter(|branch| !matches!(branch.as_str(), "main" | "master" | "HEAD"));
        let task =
            project.as_ref().zip(branch.as_ref()).map(|(project, branch)| format!("{project}:{branch}"));
        let mut draft = Draft::new(&id, task.as_deref().unwrap_or(&id));
        draft.set_id("session_id", Some(id.clone()));
        draft.set_id("project_id", project);
        draft.set("agent_type", Some("codex"));
        if let Some([input, cached, output]) = self.own_usage(parent) {
            draft.set_tokens(Tokens {
                input: Some(input),
                output: Some(output),
                cache_read: Some(cached).filter(|n| *n > 0),
                ..Tokens::default()
            });
        }
        draft.set("model_used", self.model);
        draft.set("effort", self.effort);
        draft.set("task_description", self.asked);
        if let Some((first, last)) = self.times {
            draft.set_time("started_at", Some(first));
            draft.set_time("completed_at", Some(last));
            draft.set("generation_time_seconds", Some((last - first).num_milliseconds() as f64 / 1e3));
        }
        draft.state_time(out.options.stated_time());
        draft.note("source", Some("codex"));
        draft.note("branch", branch);
        draft.note("agent_version", self.version);
        draft.note("forked_from", self.parent);
        draft
    }
}
