//! OpenTelemetry: GenAI spans and logs (`gen_ai.*` since 1.27, OpenLLMetry, OpenInference) as OTLP JSON, as protobuf's
//! `MessageToDict` writes it, and as the SDK's `to_json`.

use super::Reader;
use super::draft::{Draft, Tokens};
use super::field::{at, count, embedded, list, number, text, time};
use super::message::{answer, prompt};
use super::out::Out;
use super::source::{Place, Row};
use crate::error::{Error, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// Spans whose texts, and traces whose calls, are kept until the others are read.
const KEPT: usize = 1_000_000;

#[derive(Default)]
pub(super) struct Otlp {
    /// Traces in which a call of an LLM was seen: a span around them repeats their tokens.
    traces: HashSet<String>,
    /// Prompt and answer of spans from log records.
    texts: HashMap<String, [Option<String>; 2]>,
}

impl Reader for Otlp {
    fn read(&mut self, row: Row, place: &Place<'_>, out: &mut Out) -> Result<()> {
        let value = row.into_value()?;
        let mut spans = Vec::new();
        for (resources, scopes, items) in [
            (["resourceSpans", "resource_spans"], ["scopeSpans", "scope_spans"], "spans"),
            (["resourceLogs", "resource_logs"], ["scopeLogs", "scope_logs"], "logRecords"),
        ] {
            for resource in list(&value, &resources) {
                let of = attributes(at(resource, &["resource.attributes"]));
                for scope in list(resource, &scopes) {
                    for item in list(scope, &[items, "log_records"]) {
                        if items == "spans" {
                            spans.push(Span::new(item, of.clone()));
                        } else {
                            self.log(item);
                        }
                    }
                }
            }
        }
        if at(&value, &["context.span_id"]).is_some() {
            spans.push(Span::new(&value, attributes(at(&value, &["resource.attributes"]))));
        } else if at(&value, &["event_name"]).is_some() {
            self.log(&value);
            return Ok(());
        } else if spans.is_empty()
            && !["resourceSpans", "resource_spans", "resourceLogs", "resource_logs"]
                .iter()
                .any(|key| value.get(*key).is_some())
        {
            return Err(Error::invalid("no span and no log record"));
        }
        // Calls before the spans around them.
        let (calls, around): (Vec<_>, Vec<_>) = spans.into_iter().partition(Span::is_call);
        for span in &calls {
            if self.traces.len() < KEPT {
                self.traces.insert(span.trace.clone());
            }
        }
        for span in calls.iter().chain(&around) {
            if let Err(error) = self.span(span, place, out) {
                out.skip(place, &error);
            }
        }
        Ok(())
    }
}

/// A span, whatever wrote it.
struct Span<'a> {
    value: &'a Value,
    trace: String,
    name: String,
    own: Value,
    resource: Value,
}

impl<'a> Span<'a> {
    fn new(span: &'a Value, resource: Value) -> Self {
        let trace = hex(&text(span, &["traceId", "trace_id", "context.trace_id"]).unwrap_or_default());
        let name = hex(&text(span, &["spanId", "span_id", "context.span_id"]).unwrap_or_default());
        Self { value: span, trace, name, own: attributes(at(span, &["attributes"])), resource }
    }

    fn text(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| text(&self.own, &[name]))
    }

    fn operation(&self) -> String {
        let names = [
            "gen_ai.operation.name",
            "openinference.span.kind",
            "langfuse.observation.type",
            "llm.request.type",
            "traceloop.span.kind",
        ];
        self.text(&names).unwrap_or_default().to_lowercase()
    }

    fn is_genai(&self) -> bool {
        let names = [
            "gen_ai.operation.name",
            "gen_ai.system",
            "gen_ai.provider.name",
            "gen_ai.request.model",
            "llm.system",
            "llm.model_name",
            "llm.request.type",
            "openinference.span.kind",
        ];
        names.iter().any(|name| self.own.get(*name).is_some()) || self.operation() == "generation"
    }

    /// Returns whether it is a call of an LLM, and not a span around some.
    fn is_call(&self) -> bool {
        let around =
            ["invoke_agent", "create_agent", "agent", "chain", "workflow", "task", "invoke_workflow"];
        let other = [
            "execute_tool",
            "tool",
            "embeddings",
            "embedding",
            "retriever",
            "reranker",
            "rerank",
            "guardrail",
            "evaluator",
        ];
        let operation = self.operation();
        self.is_genai() && !around.contains(&operation.as_str()) && !other.contains(&operation.as_str())
    }
}

impl Otlp {
    fn span(&mut self, span: &Span<'_>, place: &Place<'_>, out: &mut Out) -> Result<()> {
        if !span.is_genai() {
            return Err(Error::invalid("a span that is no call of an LLM"));
        }
        if !span.is_call() {
            let operation = span.operation();
            let tokens = tokens(&span.own);
            if self.traces.contains(&span.trace) || tokens == Tokens::default() {
                return Err(Error::invalid(format!("a span around calls or of a tool: {operation}")));
            }
        }
        if span.trace.is_empty() || span.name.is_empty() {
            return Err(Error::invalid("traceId or spanId is missing"));
        }
        let task =
            span.text(&["task.id", "task_id", "devmatrix.task_id"]).unwrap_or_else(|| span.trace.clone());
        let event_id = format!("{}-{}", span.trace, span.name);
        let mut draft = Draft::new(&event_id, &task);
        draft.set_id(
            "session_id",
            span.text(&["gen_ai.conversation.id", "session.id", "langfuse.session.id"]),
        );
        draft.set_id("user_id", span.text(&["user.id", "enduser.id", "langfuse.user.id"]));
        let service =
            text(&span.resource, &["service.name"]).filter(|name| !name.starts_with("unknown_service"));
        draft.set_id("project_id", service);
        draft.set("agent_type", span.text(&["gen_ai.agent.name", "agent.name"]));
        draft.set(
            "model_used",
            span.text(&[
                "gen_ai.response.model",
                "llm.model_name",
                "gen_ai.request.model",
                "llm.request.model",
            ]),
        );
        settings(&mut draft, &span.own);
        let (start, end) = (
            time(span.value, &["startTimeUnixNano", "start_time_unix_nano", "start_time"]),
            time(span.value, &["endTimeUnixNano", "end_time_unix_nano", "end_time"]),
        );
        draft.set_time(
            "started_at",
            Some(start.ok_or_else(|| Error::invalid("startTimeUnixNano is missing"))?),
        );
        draft.set_time("completed_at", end);
        let seconds =
            start.zip(end).map(|(start, end)| (end - start).num_microseconds().unwrap_or(0) as f64 / 1e6);
        draft.set("generation_time_seconds", seconds.filter(|s| *s >= 0.0));
        draft.set_tokens(tokens(&span.own));
        let [logged_prompt, logged_answer] = self.texts.remove(&event_id).unwrap_or_default();
        draft.set("task_description", words(span, true).or(logged_prompt));
        draft.set("generated_code", words(span, false).or(logged_answer));
        draft.note("source", Some("opentelemetry"));
        draft.note("provider", span.text(&["gen_ai.provider.name", "gen_ai.system", "llm.system"]));
        draft.note_end("error_type", error_type(span));
        out.add(draft, place);
        Ok(())
    }

    /// Keeps the text of a log record for its span.
    fn log(&mut self, log: &Value) {
        let own = attributes(at(log, &["attributes"]));
        let name = text(log, &["eventName", "event_name"])
            .or_else(|| text(&own, &["event.name"]))
            .unwrap_or_default();
        let key = |paths: &[&str]| text(log, paths).map(|id| hex(&id)).unwrap_or_default();
        let span = format!("{}-{}", key(&["traceId", "trace_id"]), key(&["spanId", "span_id"]));
        let body = log.get("body").map(plain).unwrap_or_default();
        if self.texts.len() >= KEPT && !self.texts.contains_key(&span) {
            return;
        }
        let [asked, answered] = self.texts.entry(span).or_default();
        match name.as_str() {
            "gen_ai.user.message" if asked.is_none() => *asked = prompt(&body),
            "gen_ai.choice" | "gen_ai.assistant.message" => *answered = answer(&body),
            "gen_ai.client.inference.operation.details" => {
                let of = |name: &str| embedded(&own, &[name]).or_else(|| embedded(&body, &[name]));
                *asked = of("gen_ai.input.messages").and_then(|m| prompt(&m));
                *answered = of("gen_ai.output.messages").and_then(|m| answer(&m));
            }
            _ => {}
        }
    }
}

fn settings(draft: &mut Draft, own: &Value) {
    let json = embedded(own, &["llm.invocation_parameters", "langfuse.observation.model.parameters"])
        .unwrap_or_default();
    let one = |name: &str, also: &[&str]| number(own, &[name]).or_else(|| number(&json, also));
    draft.set("temperature", one("gen_ai.request.temperature", &["temperature"]));
    let most = one("gen_ai.request.max_tokens", &["max_tokens", "max_completion_tokens"]);
    draft.set(
        "max_tokens",
        most.filter(|n| n.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(n)).map(|n| n as u32),
    );
    draft.set(
        "effort",
        text(own, &["gen_ai.request.reasoning.level", "gen_ai.openai.request.reasoning_effort"])
            .or_else(|| text(&json, &["reasoning_effort"])),
    );
}

/// Reads tokens by their names of all releases; reasoning is within the output.
fn tokens(own: &Value) -> Tokens {
    let known = |n: &u64| *n > 0;
    Tokens {
        input: count(
            own,
            &[
                "gen_ai.usage.input_tokens",
                "gen_ai.usage.prompt_tokens",
                "llm.token_count.prompt",
                "llm.usage.prompt_tokens",
            ],
        ),
        output: count(
            own,
            &[
                "gen_ai.usage.output_tokens",
                "gen_ai.usage.completion_tokens",
                "llm.token_count.completion",
                "llm.usage.completion_tokens",
            ],
        ),
        cache_read: count(
            own,
            &[
                "gen_ai.usage.cache_read.input_tokens",
                "gen_ai.usage.cache_read_input_tokens",
                "llm.token_count.prompt_details.cache_read",
            ],
        )
        .filter(known),
        cache_write: count(
            own,
            &[
                "gen_ai.usage.cache_creation.input_tokens",
                "gen_ai.usage.cache_creation_input_tokens",
                "llm.token_count.prompt_details.cache_write",
            ],
        )
        .filter(known),
        disjoint: false,
    }
}

/// Returns the prompt or the answer from attributes and events.
fn words(span: &Span<'_>, asked: bool) -> Option<String> {
    let say = |value: &Value| if asked { prompt(value) } else { answer(value) };
    let whole: &[&str] = if asked {
        &["gen_ai.input.messages", "gen_ai.prompt", "langfuse.observation.input"]
    } else {
        &["gen_ai.output.messages", "gen_ai.completion", "langfuse.observation.output"]
    };
    if let Some(words) = whole.iter().find_map(|name| span.own.get(*name)).and_then(say) {
        return Some(words);
    }
    // `llm.input_messages.0.message.role` and the like.
    let flat: [(&str, &str); 2] = if asked {
        [("llm.input_messages.", ".message"), ("gen_ai.prompt.", "")]
    } else {
        [("llm.output_messages.", ".message"), ("gen_ai.completion.", "")]
    };
    for (start, middle) in flat {
        let roles: &[&str] = if asked { &["user", "human"] } else { &["assistant", "model"] };
        let found = (0..1000)
            .map_while(|n| text(&span.own, &[&format!("{start}{n}{middle}.role")]).map(|role| (n, role)))
            .filter(|(_, role)| roles.contains(&role.as_str()))
            .find_map(|(n, _)| text(&span.own, &[&format!("{start}{n}{middle}.content")]));
        if found.is_some() {
            return found;
        }
    }
    let events = list(span.value, &["events"]).into_iter().filter_map(|event| {
        let name = text(event, &["name"])?;
        let of = attributes(at(event, &["attributes"]));
        match (asked, name.as_str()) {
            (true, "gen_ai.user.message") | (false, "gen_ai.choice" | "gen_ai.assistant.message") => say(&of),
            (true, "gen_ai.content.prompt") => of.get("gen_ai.prompt").and_then(say),
            (false, "gen_ai.content.completion") => of.get("gen_ai.completion").and_then(say),
            _ => None,
        }
    });
    events.into_iter().next().or_else(|| {
        let whole = if asked { "input.value" } else { "output.value" };
        span.own.get(whole).and_then(say)
    })
}

fn error_type(span: &Span<'_>) -> Option<String> {
    let exception = || {
        let events = list(span.value, &["events"]).into_iter();
        let mut of = events.filter(|event| text(event, &["name"]).is_some_and(|name| name == "exception"));
        of.find_map(|event| text(&attributes(at(event, &["attributes"])), &["exception.type"]))
    };
    span.text(&["error.type"]).or_else(exception)
}

/// Returns attributes as an object: OTLP lists them as key and typed value.
fn attributes(given: Option<&Value>) -> Value {
    match given {
        Some(Value::Array(pairs)) => {
            let pair = |pair: &Value| Some((text(pair, &["key"])?, plain(pair.get("value")?)));
            pairs.iter().filter_map(pair).collect::<Map<_, _>>().into()
        }
        Some(Value::Object(map)) => map.clone().into(),
        _ => Map::new().into(),
    }
}

/// Returns a typed value (`{"intValue": "12"}`) as it is.
fn plain(value: &Value) -> Value {
    let Value::Object(map) = value else { return value.clone() };
    let Some((kind, inner)) = map.iter().next().filter(|_| map.len() == 1) else { return value.clone() };
    match (kind.as_str(), inner) {
        ("intValue", Value::String(text)) => text.parse::<i64>().map_or(Value::Null, Value::from),
        ("doubleValue", Value::String(text)) => text.parse::<f64>().map_or(Value::Null, Value::from),
        ("stringValue" | "boolValue" | "bytesValue" | "intValue" | "doubleValue", inner) => inner.clone(),
        ("arrayValue", inner) => list(inner, &["values"]).into_iter().map(plain).collect(),
        ("kvlistValue", inner) => attributes(inner.get("values")),
        _ => value.clone(),
    }
}

/// Returns an id in hexadecimal digits: by its length it is that, or Base64; the SDK puts 0x before it.
fn hex(given: &str) -> String {
    let given = given.trim().trim_start_matches("0x");
    if matches!(given.len(), 24 | 12)
        && let Ok(bytes) = BASE64_STANDARD.decode(given)
    {
        return bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    }
    given.to_lowercase()
}
