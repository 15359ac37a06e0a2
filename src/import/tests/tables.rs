//! Tables, LiteLLM's among them.

use super::*;
use serde_json::json;

#[test]
fn a_matrix_is_a_row_or_a_column_for_each_llm() {
    let long = read(
        Format::Matrix,
        "task,arm,success,cost\nt1,small,1,0.002\nt1,large,True,0.04\nt2,small,0.0,\nt2,large,,\nt2,large,0.5,0\n",
    );
    let flat = |id: &str| long.flat(id);
    assert_eq!((&flat("t1/small")["success"], &flat("t1/small")["cost_usd"]), (&true.into(), &0.002.into()));
    assert_eq!(
        (&flat("t1/large")["model_used"], &flat("t1/large")["success"]),
        (&"large".into(), &true.into())
    );
    assert!(
        flat("t2/small")["success"] == false && flat("t2/small").get("cost_usd").is_none(),
        "an empty cost is not 0"
    );
    assert!(flat("t2/large").get("success").is_none(), "an empty cell is no failure");
    // Another try, partly right.
    let second = flat("t2/large#2");
    assert_eq!(
        (&second["attempt"], &second["final_quality_score"], &second["cost_usd"]),
        (&1.into(), &5.0.into(), &0.0.into())
    );
    assert!(second.get("success").is_none() && second["metadata"]["started_at_precision"] == "stated");
    let wide = read(
        Format::Matrix,
        "sample_id,eval_name,small,large,small|total_cost,large|total_cost\nq1,mmlu,1.0,False,0.0001,0.02\nq2,mmlu,,1,,\n",
    );
    assert_eq!(wide.events.keys().collect::<Vec<_>>(), ["q1/large", "q1/small", "q2/large"]);
    assert_eq!(
        (&wide.flat("q1/large")["success"], &wide.flat("q1/large")["cost_usd"]),
        (&false.into(), &0.02.into())
    );
    assert_eq!(wide.flat("q1/small")["project_id"], "mmlu");
    let none = read(Format::Matrix, "task,note\nt,hello\n");
    assert!(none.text.contains("no column of an LLM"), "{}", none.text);
}

#[test]
fn any_table_is_read_by_a_mapping() {
    let mut options = ImportOptions::default();
    for (field, from) in [
        ("task_id", "Issue"),
        ("success", "ok"),
        ("started_at", "when"),
        ("max_tokens", "most"),
        ("agent_type", "=house"),
        ("user_action", "verdict"),
    ] {
        options.mapping.insert(field.into(), from.into());
    }
    let table = "\u{FEFF}Issue,ok,when,most,cost_usd,verdict,team\r\nT-1,True,2026-11-01 10:00:00,64.0,0.5,Merged,red\r\nT-2,0,2026-11-02,1e3,nan,no,\r\n";
    let imported = read_all(Format::Csv, &[("f.csv", table)], &options);
    let all: Vec<_> = imported.events.keys().map(|id| imported.flat(id)).collect();
    assert_eq!(all.len(), 1, "{}", imported.text);
    let first = &all[0];
    assert_eq!(
        (&first["success"], &first["max_tokens"], &first["cost_usd"]),
        (&true.into(), &64.into(), &0.5.into())
    );
    assert_eq!(
        (&first["user_action"], &first["agent_type"], &first["metadata"]["team"]),
        (&"approve".into(), &"house".into(), &"red".into())
    );
    // A day is no moment.
    assert!(
        imported.text.contains("f.csv, line 3: ") && imported.text.contains("started_at"),
        "{}",
        imported.text
    );
    let json = read_all(
        Format::Csv,
        &[("f", r#"[{"Issue":"T-1","ok":1,"verdict":null,"deep":{"x":1}}]"#)],
        &options,
    );
    assert_eq!(serde_json::to_value(json.one()).unwrap()["metadata"]["deep"]["x"], 1);
    let unmapped = read(Format::Csv, "a,b\n1,2\n");
    assert!(unmapped.text.contains("no column for task_id: map one of a, b to it"), "{}", unmapped.text);
}

fn row() -> Value {
    json!({"request_id": "chatcmpl-1", "litellm_call_id": "c-1", "cache_hit": "None", "startTime": "2026-11-30T09:35:41.430842+00:00",
        "endTime": "2026-11-30 09:35:41.930842+00:00", "model": "gpt-4.1", "user": "dev-1", "team_id": "",
        "metadata": json!({"usage_object": {"completion_tokens": 50, "prompt_tokens": 100, "completion_tokens_details": {"reasoning_tokens": 30},
            "prompt_tokens_details": {"cached_tokens": 64}, "cache_read_input_tokens": 64}}).to_string(),
        "spend": 0.0005, "total_tokens": 150, "prompt_tokens": 100, "completion_tokens": 50, "request_tags": "[\"task:7\"]",
        "messages": "{}", "response": "{}", "session_id": "s-1", "status": "success"})
}

#[allow(clippy::needless_pass_by_value)] // what json! makes
fn litellm(more: Value) -> Value {
    let mut row = row();
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let imported = read(Format::Litellm, &row.to_string());
    serde_json::to_value(imported.one()).unwrap()
}

#[test]
fn a_spend_log_counts_cached_and_reasoning_tokens_once() {
    let flat = litellm(json!({}));
    assert_eq!(
        (&flat["event_id"], &flat["task_id"], &flat["session_id"]),
        (&"c-1".into(), &"7".into(), &"s-1".into())
    );
    assert_eq!(
        (&flat["tokens_used"], &flat["input_tokens"], &flat["cache_read_tokens"]),
        (&150.into(), &36.into(), &64.into())
    );
    assert_eq!(
        (&flat["output_tokens"], &flat["cost_usd"], &flat["generation_time_seconds"]),
        (&50.into(), &0.0005.into(), &0.5.into())
    );
    assert!(flat.get("success").is_none(), "a call's status is no outcome");
    assert!(flat["task_description"] == "" && flat.get("generated_code").is_none(), "{{}} is nothing stored");
    // LiteLLM for Anthropic: the input holds fresh, read and written ones.
    let usage = json!({"usage_object": {"cache_read_input_tokens": 100, "cache_creation_input_tokens": 20}});
    let flat = litellm(json!({"prompt_tokens": 130, "completion_tokens": 20, "metadata": usage}));
    assert_eq!(
        (&flat["tokens_used"], &flat["input_tokens"], &flat["cache_write_tokens"]),
        (&150.into(), &10.into(), &20.into())
    );
}

#[test]
fn zeros_of_litellm_that_mean_unknown_are_unknown() {
    let unknown = litellm(
        json!({"spend": null, "response_cost": 0.0, "response_cost_failure_debug_info": {"error": "x"}}),
    );
    assert!(unknown.get("cost_usd").is_none() && unknown["tokens_used"] == 150);
    assert!(litellm(json!({"spend": 0.0})).get("cost_usd").is_none(), "a model without a price");
    let cached = litellm(
        json!({"spend": 0.0, "cache_hit": "True", "litellm_call_id": "c-2", "request_id": "chatcmpl-1_cache_hit17"}),
    );
    assert_eq!(
        (&cached["cost_usd"], &cached["completion_metadata"]["cache_hit"]),
        (&0.0.into(), &true.into())
    );
    let failed = litellm(
        json!({"status": "failure", "spend": 0.0, "prompt_tokens": 0, "completion_tokens": 0, "metadata": {"error_information": {"error_code": "429"}}}),
    );
    assert!(
        failed.get("tokens_used").is_none()
            && failed.get("cost_usd").is_none()
            && failed.get("success").is_none()
    );
    assert_eq!(failed["completion_metadata"]["error_code"], "429");
}

#[test]
fn a_payload_is_a_row_with_other_times_and_its_session_in_the_trace() {
    let flat = litellm(
        json!({"session_id": "", "trace_id": "s-9", "startTime": 1_796_031_434.945_954, "endTime": 1_796_031_435.145_585,
        "spend": null, "response_cost": 0.0002, "request_tags": [], "messages": [{"role": "user", "content": "Write f."}],
        "response": {"choices": [{"message": {"role": "assistant", "content": "def f(): pass"}}]},
        "model_parameters": {"temperature": 0.2, "max_tokens": 64}}),
    );
    assert_eq!(
        (&flat["session_id"], &flat["task_id"], &flat["cost_usd"]),
        (&"s-9".into(), &"s-9".into(), &0.0002.into())
    );
    assert_eq!(
        (&flat["task_description"], &flat["generated_code"]),
        (&"Write f.".into(), &"def f(): pass".into())
    );
    assert_eq!(
        (&flat["started_at"], &flat["max_tokens"]),
        (&"2026-11-30T09:37:14.945954Z".into(), &64.into())
    );
    let row = row();
    let columns: Vec<_> = row.as_object().unwrap().keys().collect();
    let quoted = |text: String| format!("\"{}\"", text.replace('"', "\"\""));
    let cells =
        columns.iter().map(|c| quoted(row[*c].as_str().map_or_else(|| row[*c].to_string(), str::to_owned)));
    let table = format!(
        "{}\n{}\n",
        columns.iter().map(|c| c.as_str()).collect::<Vec<_>>().join(","),
        cells.collect::<Vec<_>>().join(",")
    );
    assert_eq!(
        read(Format::Litellm, &table).events,
        read(Format::Litellm, &row.to_string()).events,
        "as CSV"
    );
}
