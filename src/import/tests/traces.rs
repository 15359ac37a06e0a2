//! Traces of LLM calls.

use super::*;
use serde_json::json;

const TRACE: &str = "7a5676b33962c8975268624412a3be37";
const SPAN: &str = "e94298b5185fe1a6";

/// One call in the three encodings: attributes as pairs, with ids in Base64, as the SDK prints it.
fn encodings(own: &Value, span: &str, parent: Option<&str>) -> [Value; 3] {
    use base64::Engine;
    let typed = |value: &Value| match value {
        Value::String(text) => json!({"stringValue": text}),
        Value::Bool(flag) => json!({"boolValue": flag}),
        Value::Number(n) if n.is_f64() => json!({"doubleValue": n}),
        Value::Number(n) => json!({"intValue": n.to_string()}),
        Value::Array(items) => {
            json!({"arrayValue": {"values": items.iter().map(|i| json!({"stringValue": i})).collect::<Vec<_>>()}})
        }
        _ => json!({}),
    };
    let pairs: Vec<_> = own
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| json!({"key": key, "value": typed(value)}))
        .collect();
    let base64 = |hex: &str| {
        let bytes: Vec<u8> =
            (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
        base64::prelude::BASE64_STANDARD.encode(bytes)
    };
    let service = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]});
    let otlp = |trace: String, span: String, parent: Option<String>, kind: Value, status: Value| {
        let span = json!({"traceId": trace, "spanId": span, "parentSpanId": parent, "name": "chat", "kind": kind, "status": status,
            "startTimeUnixNano": "1796031089910417512", "endTimeUnixNano": "1796031091910417512", "attributes": pairs});
        json!({"resourceSpans": [{"resource": service, "scopeSpans": [{"spans": [span]}]}]})
    };
    [
        otlp(TRACE.into(), span.into(), parent.map(str::to_owned), 3.into(), json!({})),
        otlp(
            base64(TRACE),
            base64(span),
            parent.map(base64),
            "SPAN_KIND_CLIENT".into(),
            json!({"code": "STATUS_CODE_OK"}),
        ),
        json!({"name": "chat", "context": {"trace_id": format!("0x{TRACE}"), "span_id": format!("0x{span}")}, "parent_id": parent.map(|p| format!("0x{p}")),
            "kind": "SpanKind.CLIENT", "start_time": "2026-11-30T09:31:29.910417Z", "end_time": "2026-11-30T09:31:31.910417Z",
            "attributes": own, "status": {"status_code": "UNSET"}, "resource": {"attributes": {"service.name": "shop"}}}),
    ]
}

#[test]
fn three_encodings_of_one_span_are_one_event() {
    let own = json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4.1",
        "gen_ai.response.model": "gpt-4.1-2026", "gen_ai.request.temperature": 0.2, "gen_ai.request.max_tokens": 64,
        "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 50, "gen_ai.usage.cache_read.input_tokens": 64,
        "gen_ai.usage.reasoning.output_tokens": 30, "gen_ai.conversation.id": "s-1",
        "gen_ai.input.messages": r#"[{"role":"user","parts":[{"type":"text","content":"Write f."}]}]"#,
        "gen_ai.output.messages": r#"[{"role":"assistant","parts":[{"type":"text","content":"def f(): pass"}]}]"#});
    let all = encodings(&own, SPAN, None);
    for value in &all {
        let flat = read(Format::Otlp, &value.to_string()).flat(&format!("{TRACE}-{SPAN}"));
        assert_eq!(
            (&flat["task_id"], &flat["session_id"], &flat["project_id"]),
            (&TRACE.into(), &"s-1".into(), &"shop".into())
        );
        assert_eq!(
            (&flat["model_used"], &flat["temperature"], &flat["max_tokens"]),
            (&"gpt-4.1-2026".into(), &0.2.into(), &64.into())
        );
        assert_eq!(
            (&flat["tokens_used"], &flat["input_tokens"], &flat["cache_read_tokens"]),
            (&150.into(), &36.into(), &64.into())
        );
        assert_eq!(
            (&flat["task_description"], &flat["generated_code"]),
            (&"Write f.".into(), &"def f(): pass".into())
        );
        assert_eq!(
            (&flat["started_at"], &flat["generation_time_seconds"]),
            (&"2026-11-30T09:31:29.910417Z".into(), &2.0.into())
        );
        assert!(flat.get("success").is_none() && flat.get("cost_usd").is_none());
    }
    let both = format!("{}\n{}\n", all[0], all[1]);
    assert_eq!(read(Format::Otlp, &both).count("repeated"), 1);
}

#[test]
fn names_of_all_releases_and_writers_are_read() {
    let tokens = |own: Value| {
        let flat =
            read(Format::Otlp, &encodings(&own, SPAN, None)[0].to_string()).flat(&format!("{TRACE}-{SPAN}"));
        (
            flat["tokens_used"].clone(),
            flat["model_used"].clone(),
            flat["temperature"].clone(),
            flat["task_description"].clone(),
        )
    };
    let expected = (json!(150), json!("m"), json!(0.5), json!("Write f."));
    for own in [
        json!({"gen_ai.system": "openai", "gen_ai.request.model": "m", "gen_ai.usage.prompt_tokens": 100, "gen_ai.usage.completion_tokens": 50,
            "gen_ai.request.temperature": 0.5, "gen_ai.prompt": r#"[{"role":"user","content":"Write f."}]"#}),
        json!({"llm.request.type": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 50,
            "gen_ai.request.temperature": 0.5, "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "x", "gen_ai.prompt.1.role": "user", "gen_ai.prompt.1.content": "Write f."}),
        json!({"openinference.span.kind": "LLM", "llm.model_name": "m", "llm.token_count.prompt": 100, "llm.token_count.completion": 50, "llm.token_count.total": 150,
            "llm.token_count.prompt_details.cache_read": 64, "llm.invocation_parameters": r#"{"temperature": 0.5}"#,
            "llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "Write f."}),
    ] {
        assert_eq!(tokens(own.clone()), expected, "{own}");
    }
    // Streams without usage have no tokens: not known.
    assert_eq!(tokens(json!({"gen_ai.system": "openai", "gen_ai.request.model": "m"})).0, Value::Null);
    let text = r#"{"name":"chat","context":{"trace_id":"0x1","span_id":"0x2"},"start_time":"2026-11-30T09:31:29Z","attributes":{"gen_ai.system":"x\ud83d","gen_ai.usage.input_tokens":3,"gen_ai.usage.output_tokens":4,"y":NaN}}"#;
    assert_eq!(read(Format::Otlp, text).flat("1-2")["tokens_used"], 7, "a lone surrogate and a NaN");
}

#[test]
fn a_span_around_calls_does_not_repeat_their_tokens() {
    let call = json!({"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 50});
    let agent = json!({"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 50});
    for encoding in 0..3 {
        let call = &encodings(&call, SPAN, Some("1111111111111111"))[encoding];
        let agent = &encodings(&agent, "1111111111111111", None)[encoding];
        let imported = read(Format::Otlp, &format!("{call}\n{agent}\n"));
        assert_eq!((imported.events.len(), imported.count("skipped")), (1, 1), "{}", imported.text);
        // Alone it is all that there is.
        assert_eq!(read(Format::Otlp, &agent.to_string()).events.len(), 1);
    }
    let tool = json!({"gen_ai.operation.name": "execute_tool"});
    assert_eq!(read(Format::Otlp, &encodings(&tool, SPAN, None)[0].to_string()).count("skipped"), 1);
}

#[test]
fn texts_of_log_records_join_their_spans() {
    let log = |name: &str, body: Value| {
        json!({"body": body, "event_name": name, "trace_id": format!("0x{TRACE}"), "span_id": format!("0x{SPAN}"),
        "timestamp": null, "observed_timestamp": "2026-11-30T09:29:38.050601Z", "attributes": {"gen_ai.system": "openai"}})
    };
    let logs = json!([
        log("gen_ai.system.message", json!({"content": "x"})),
        log("gen_ai.user.message", json!({"content": "Write f."})),
        log(
            "gen_ai.choice",
            json!({"index": 0, "message": {"role": "assistant", "content": "def f(): pass"}})
        )
    ])
    .to_string();
    let call = json!({"gen_ai.operation.name": "chat", "error.type": "RateLimitError"});
    let span = encodings(&call, SPAN, None)[2].to_string();
    let imported = read_all(Format::Otlp, &[("logs", &logs), ("spans", &span)], &ImportOptions::default());
    let flat = imported.flat(&format!("{TRACE}-{SPAN}"));
    assert_eq!(
        (&flat["task_description"], &flat["generated_code"]),
        (&"Write f.".into(), &"def f(): pass".into())
    );
    assert_eq!(flat["completion_metadata"]["error_type"], "RateLimitError");
}

#[test]
fn usage_of_langfuse_is_disjoint_unless_its_total_says_otherwise() {
    let of = |usage: Value, more: Value| {
        let mut call = json!({"id": "o1", "traceId": "t1", "startTime": "2026-11-01T10:00:00.123Z", "endTime": "2026-11-01T10:00:01.623Z", "type": "GENERATION",
            "model": "m", "modelParameters": {"temperature": 0.2}, "usageDetails": usage, "totalCost": 0.0005, "userId": "u", "sessionId": "s", "tags": ["task:7"]});
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(Format::Langfuse, &json!({"data": [call], "meta": {"cursor": "x"}}).to_string()).flat("o1")
    };
    let flat = of(
        json!({"input": 36, "input_cached_tokens": 64, "output": 20, "output_reasoning_tokens": 30, "total": 150}),
        json!({}),
    );
    assert_eq!(
        (&flat["tokens_used"], &flat["input_tokens"], &flat["output_tokens"], &flat["cache_read_tokens"]),
        (&150.into(), &36.into(), &50.into(), &64.into())
    );
    assert_eq!(
        (&flat["task_id"], &flat["session_id"], &flat["cost_usd"], &flat["generation_time_seconds"]),
        (&"7".into(), &"s".into(), &0.0005.into(), &1.5.into())
    );
    let flat = of(
        json!({"input": 100, "input_cached_tokens": 64, "output": 50, "output_reasoning_tokens": 30, "total": 150}),
        json!({}),
    );
    assert_eq!(
        (&flat["tokens_used"], &flat["input_tokens"], &flat["output_tokens"]),
        (&150.into(), &36.into(), &50.into()),
        "some writers overlap them"
    );
    let flat = of(
        json!({"input": 36, "cache_read_input_tokens": 64, "output": 50}),
        json!({"totalCost": "0.25", "costDetails": {}}),
    );
    assert_eq!((&flat["tokens_used"], &flat["cost_usd"]), (&150.into(), &0.25.into()));
    assert!(of(json!({}), json!({"totalCost": 0})).get("cost_usd").is_none(), "no price");
    let blob = json!({"id": "o2", "trace_id": "t1", "start_time": "2026-11-01 10:00:00.123000", "end_time": "2026-11-01 10:00:01.623000", "type": "GENERATION",
        "usage_details": {"input": 1, "output": 2}, "provided_model_name": "m"}).to_string();
    let flat = read(Format::Langfuse, &blob).flat("o2");
    assert_eq!(
        (&flat["started_at"], &flat["tokens_used"], &flat["model_used"]),
        (&"2026-11-01T10:00:00.123Z".into(), &3.into(), &"m".into())
    );
}

#[test]
fn scores_of_langfuse_are_verdicts_from_their_own_time() {
    let call =
        json!({"id": "o1", "traceId": "t1", "startTime": "2026-11-01T10:00:00Z", "type": "GENERATION"});
    let span = json!({"id": "o0", "traceId": "t1", "startTime": "2026-11-01T10:00:00Z", "type": "SPAN"});
    let score = |more: Value| {
        let mut score =
            json!({"id": "s1", "name": "merged", "source": "API", "timestamp": "2026-11-02T10:00:00Z"});
        score.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        score
    };
    for (more, action) in [
        (json!({"dataType": "BOOLEAN", "value": 1, "stringValue": "True", "traceId": "t1"}), Some("approve")),
        (
            json!({"dataType": "CATEGORICAL", "value": 0, "stringValue": "reworked", "traceId": "t1", "observationId": "o1"}),
            Some("modify"),
        ),
        (
            json!({"dataType": "BOOLEAN", "value": false, "subject": {"kind": "trace", "id": "t1"}}),
            Some("reject"),
        ),
        (
            json!({"dataType": "CATEGORICAL", "value": "merged", "subject": {"kind": "observation", "id": "o1", "traceId": "t1"}}),
            Some("approve"),
        ),
        (json!({"dataType": "NUMERIC", "value": 0.7}), None),
        (json!({"dataType": "NUMERIC", "value": 0.7, "traceId": "t1"}), None),
        (json!({"dataType": "BOOLEAN", "value": 1, "traceId": "t1", "source": "EVAL"}), None),
        (json!({"dataType": "BOOLEAN", "value": 1, "traceId": "t1", "name": "toxic"}), None),
    ] {
        // In any order of files, and in one trace as the UI exports it.
        let scores = json!({"data": [score(more.clone())], "meta": {}}).to_string();
        let calls = json!([call, span]).to_string();
        let whole = json!({"id": "t1", "timestamp": "2026-11-01T10:00:00Z", "userId": "u", "observations": [call, span], "scores": [score(more.clone())]}).to_string();
        for files in
            [vec![("a", &scores), ("b", &calls)], vec![("b", &calls), ("a", &scores)], vec![("c", &whole)]]
        {
            let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
            let imported = read_all(Format::Langfuse, &files, &ImportOptions::default());
            let flat = imported.flat("o1");
            assert_eq!(flat["user_action"].as_str(), action, "{more}");
            let kind = action.unwrap_or("open");
            assert_eq!(imported.report["outcomes"][kind], 1, "{}", imported.text);
            assert_eq!((imported.count("imported"), imported.count("updated")), (1, 0));
            if action.is_some() {
                assert_eq!(flat["feedback"][0]["known_at"], "2026-11-02T10:00:00Z");
            }
        }
    }
}

#[allow(clippy::needless_pass_by_value)] // what json! makes
fn mlflow(assessments: Value) -> Value {
    let span = |attributes: Value| json!({"span_id": "trq/pTtCinw=", "attributes": attributes});
    json!({"info": {"trace_id": "tr-1", "trace_location": {"mlflow_experiment": {"experiment_id": "1"}}, "request_time": "2026-11-30T09:27:52.207Z",
        "state": "OK", "execution_duration_ms": 49, "tags": {"task": "task-7"}, "assessments": assessments,
        "trace_metadata": {"mlflow.trace.tokenUsage": r#"{"input_tokens": 100, "output_tokens": 20, "total_tokens": 120, "cache_read_input_tokens": 60}"#,
            "mlflow.trace.session": "s", "mlflow.trace.user": "u", "mlflow.trace.cost": r#"{"total_cost": 5.4e-05}"#}},
        "data": {"spans": [span(json!({"mlflow.spanType": "\"AGENT\"", "mlflow.spanInputs": "{\"task\": \"Write f.\"}"})),
            span(json!({"mlflow.spanType": "\"CHAT_MODEL\"", "mlflow.llm.model": "\"m\"", "mlflow.spanInputs": "{\"temperature\": 0.2}",
                "mlflow.spanOutputs": "{\"choices\": [{\"message\": {\"role\": \"assistant\", \"content\": \"def f(): pass\"}}]}"}))]}})
}

#[test]
fn a_trace_of_mlflow_is_an_event_whose_state_is_no_verdict() {
    let trace = mlflow(json!([]));
    let flat = read(Format::Mlflow, &trace.to_string()).flat("tr-1");
    assert_eq!(
        (&flat["task_id"], &flat["session_id"], &flat["project_id"], &flat["user_id"]),
        (&"task-7".into(), &"s".into(), &"1".into(), &"u".into())
    );
    assert_eq!(
        (&flat["tokens_used"], &flat["input_tokens"], &flat["cost_usd"]),
        (&120.into(), &40.into(), &5.4e-05.into())
    );
    assert_eq!(
        (&flat["model_used"], &flat["temperature"], &flat["task_description"]),
        (&"m".into(), &0.2.into(), &"Write f.".into())
    );
    assert_eq!(
        (&flat["generated_code"], &flat["completed_at"]),
        (&"def f(): pass".into(), &"2026-11-30T09:27:52.256Z".into())
    );
    assert!(flat.get("success").is_none());
    let row = json!({"trace_id": "tr-1", "trace": trace.to_string(), "request_time": 1_796_030_872_207_i64});
    assert_eq!(read(Format::Mlflow, &row.to_string()).flat("tr-1"), flat, "a row of the table");
    let bare = json!({"trace_id": "tr-2", "request_time": 1_796_030_872_207_i64, "execution_duration": 49, "trace_metadata": {}});
    assert_eq!(
        read(Format::Mlflow, &bare.to_string()).flat("tr-2")["started_at"],
        "2026-11-30T09:27:52.207Z"
    );
}

#[test]
fn only_valid_feedback_by_persons_and_code_is_a_verdict() {
    let by = |kind: &str, value: Value, more: Value| {
        let mut all = json!({"assessment_id": format!("a-{kind}-{value}"), "assessment_name": "merged", "source": {"source_type": kind, "source_id": "rev"},
            "create_time": "2026-11-30T09:28:00.982Z", "feedback": {"value": value}, "valid": true});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    for (assessments, action) in [
        (json!([by("HUMAN", json!(true), json!({}))]), Some("approve")),
        // Numbers are written as doubles.
        (json!([by("CODE", json!(1.0), json!({}))]), Some("approve")),
        (
            json!([
                by("HUMAN", json!(true), json!({"valid": false})),
                by("CODE", json!(false), json!({"overrides": "a"}))
            ]),
            Some("reject"),
        ),
        (json!([by("LLM_JUDGE", json!(true), json!({}))]), None),
        (
            json!([by(
                "CODE",
                Value::Null,
                json!({"feedback": {"value": null, "error": {"error_code": "x"}}})
            )]),
            None,
        ),
        (
            json!([by(
                "HUMAN",
                json!(true),
                json!({"assessment_name": "expected", "feedback": null, "expectation": {"value": true}})
            )]),
            None,
        ),
        (json!([by("HUMAN", json!(0.7), json!({}))]), None),
    ] {
        let flat = read(Format::Mlflow, &mlflow(assessments.clone()).to_string()).flat("tr-1");
        assert_eq!(flat["user_action"].as_str(), action, "{assessments}");
        assert!(action.is_none() || flat["feedback"][0]["known_at"] == "2026-11-30T09:28:00.982Z");
    }
}

#[test]
fn inferences_of_tensorzero_add_up_their_calls_and_tell_their_time() {
    // The first 48 bits of a UUID of version 7 are milliseconds.
    let (own, episode) = ("019a4f00-0000-7000-8000-000000000001", "019a4f00-0000-7000-8000-00000000000e");
    let inference = json!({"id": own, "function_name": "write", "variant_name": "v1", "episode_id": episode, "processing_time_ms": 1500,
        "tags": "{\"task\": \"7\"}", "inference_params": {"chat_completion": {"temperature": 0.2}}}).to_string();
    let call = |cached: bool, cost: f64| {
        json!({"inference_id": own, "model_name": "m", "input_tokens": 10, "output_tokens": 5, "cached": cached, "cost": cost}).to_string()
    };
    let calls = format!("{}\n{}\n", call(false, 0.5), call(true, 0.25));
    let feedback = |target: &str, value: bool, id: &str| {
        json!({"id": id, "target_id": target, "metric_name": "task_success", "value": value}).to_string()
    };
    let (early, late) = ("019a4f10-0000-7000-8000-000000000001", "019a4f20-0000-7000-8000-000000000001");
    let told = format!("{}\n{}\n", feedback(episode, true, early), feedback(own, false, late));
    for files in
        [[("i", &inference), ("m", &calls), ("f", &told)], [("f", &told), ("m", &calls), ("i", &inference)]]
    {
        let files = files.map(|(name, text)| (name, text.as_str()));
        let imported = read_all(Format::Tensorzero, &files, &ImportOptions::default());
        let flat = imported.flat(own);
        assert_eq!(
            (&flat["task_id"], &flat["template_id"], &flat["session_id"]),
            (&"write/7".into(), &"v1".into(), &episode.into())
        );
        assert_eq!(
            (&flat["tokens_used"], &flat["cost_usd"], &flat["model_used"]),
            (&30.into(), &0.5.into(), &"m".into())
        );
        assert!(flat["started_at"].as_str().unwrap().starts_with("2025-11-0"), "{flat}");
        assert_eq!(
            (&flat["user_action"], flat["feedback"].as_array().unwrap().len()),
            (&"reject".into(), 2),
            "the latest counts"
        );
    }
}
