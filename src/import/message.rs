//! The task and the answer in what was sent to an LLM and came back.

use super::field::text;
use serde_json::Value;

/// Most levels that are looked through.
const DEPTH: usize = 8;

/// Returns the task: the first message of a user, or what else the value says in words.
pub(super) fn prompt(value: &Value) -> Option<String> {
    said(value, &["user", "human"], false, 0)
}

/// Returns the answer: the last message of the LLM, or what else the value says in words.
pub(super) fn answer(value: &Value) -> Option<String> {
    said(value, &["assistant", "model", "ai"], true, 0)
}

fn said(value: &Value, roles: &[&str], last: bool, depth: usize) -> Option<String> {
    if depth > DEPTH {
        return None;
    }
    let within = |value| said(value, roles, last, depth + 1);
    match value {
        Value::String(words) => match words.trim_start().as_bytes().first()? {
            b'{' | b'[' => match serde_json::from_str::<Value>(words) {
                // A call of a tool alone says nothing in words.
                Ok(value) => within(&value),
                Err(_) => Some(words.clone()),
            },
            _ => Some(words.clone()),
        },
        Value::Array(items) => {
            let role =
                |item: &&Value| text(item, &["role", "type"]).is_some_and(|r| roles.contains(&r.as_str()));
            let by_role: Vec<_> = items.iter().filter(role).collect();
            let one = if last { by_role.last() } else { by_role.first() };
            if let Some(one) = one {
                return content(one, depth + 1);
            }
            if items.iter().any(|item| item.get("role").is_some()) {
                return None;
            }
            parts(items)
        }
        Value::Object(map) => {
            if map.contains_key("role") || map.contains_key("parts") {
                return content(value, depth + 1);
            }
            let keys: &[&str] = if last {
                &[
                    "choices", "output", "content", "message", "messages", "text", "answer", "result",
                    "response",
                ]
            } else {
                &[
                    "messages",
                    "input",
                    "task",
                    "prompt",
                    "question",
                    "query",
                    "instruction",
                    "problem_statement",
                    "contents",
                    "content",
                    "text",
                    "message",
                ]
            };
            keys.iter().find_map(|key| map.get(*key).and_then(within))
        }
        _ => None,
    }
}

/// Returns the words of one message.
fn content(message: &Value, depth: usize) -> Option<String> {
    if depth > DEPTH {
        return None;
    }
    match message.get("content").or_else(|| message.get("parts"))? {
        Value::String(words) => Some(words.clone()).filter(|words| !words.is_empty()),
        Value::Array(items) => parts(items),
        _ => None,
    }
}

/// Returns the texts of a message's parts, one below the other; tool calls and thoughts are none.
fn parts(items: &[Value]) -> Option<String> {
    let words: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            Value::String(words) => Some(words.clone()),
            Value::Object(_) => match text(item, &["type"]).as_deref() {
                None | Some("text" | "input_text" | "output_text") => {
                    text(item, &["text", "content"]).or_else(|| content(item.get("message")?, DEPTH))
                }
                Some("message") => content(item, DEPTH),
                Some(_) => None,
            },
            _ => None,
        })
        .collect();
    (!words.is_empty()).then(|| words.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_task_is_what_the_user_says_first_and_the_answer_what_the_llm_says_last() {
        let messages = json!([
            {"role": "system", "content": "You write code."}, {"role": "user", "content": [{"type": "text", "text": "Write f."}]},
            {"role": "assistant", "content": "a"}, {"role": "user", "content": "again"}, {"role": "assistant", "content": "b"}]);
        let text = json!(messages.to_string());
        for value in [&messages, &text, &json!({"messages": messages}), &json!({"input": {"messages": text}})]
        {
            assert_eq!(prompt(value).as_deref(), Some("Write f."), "{value}");
        }
        assert_eq!(answer(&messages).as_deref(), Some("b"));
        let parts = json!([{"role": "user", "parts": [{"type": "text", "content": "Write f."}]}]);
        assert_eq!(prompt(&parts).as_deref(), Some("Write f."));
        let choices = json!({"choices": [{"message": {"role": "assistant", "content": "def f(): pass"}}]});
        assert_eq!(answer(&choices).as_deref(), Some("def f(): pass"));
        assert_eq!(prompt(&json!({"task": "Write f."})).as_deref(), Some("Write f."));
        assert_eq!(prompt(&json!([{"role": "system", "content": "x"}])), None);
        let call = json!([{"role": "assistant", "parts": [{"type": "tool_call", "name": "f"}]}]).to_string();
        assert_eq!(answer(&json!(call)), None);
        let tool = json!([{"role": "user", "content": [{"type": "tool_result", "content": "ok"}]}]);
        assert_eq!(prompt(&tool), None);
        let mut deep = json!("x");
        for _ in 0..100 {
            deep = json!({"messages": deep});
        }
        assert_eq!(prompt(&deep), None);
    }
}
