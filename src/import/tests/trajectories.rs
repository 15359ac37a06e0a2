//! What agents leave behind.

use super::*;
use serde_json::json;

#[test]
fn a_mini_swe_agent_tells_cost_and_tokens_but_no_verdict_and_no_keys() {
    let answer = |at: f64| {
        json!({"role": "assistant", "content": null, "extra": {"timestamp": at,
        "response": {"usage": {"prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 64}}}}})
    };
    let trajectory = |cost: f64| {
        json!({"trajectory_format": "mini-swe-agent-1.1",
        "info": {"model_stats": {"instance_cost": cost, "api_calls": 2}, "exit_status": "Submitted", "submission": "patch\n", "mini_version": "2.4.6",
            "config": {"model": {"model_name": "openai/m", "model_kwargs": {"api_key": "hush", "temperature": 0.0}}}},
        "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "Solve: f"}, answer(1_796_031_465.5), {"role": "tool", "content": "ok"}, answer(1_796_031_467.5)]}).to_string()
    };
    let read_as = |text: &str| {
        read_all(Format::Trajectories, &[("runs/a/django__1.traj.json", text)], &ImportOptions::default())
    };
    let imported = read_as(&trajectory(0.001));
    let flat = imported.flat("a/django__1");
    assert_eq!(
        (&flat["task_id"], &flat["agent_type"], &flat["model_used"]),
        (&"django__1".into(), &"mini-swe-agent".into(), &"openai/m".into())
    );
    assert_eq!(
        (&flat["tokens_used"], &flat["cache_read_tokens"], &flat["cost_usd"]),
        (&300.into(), &128.into(), &0.001.into())
    );
    assert_eq!(
        (&flat["generation_time_seconds"], &flat["task_description"]),
        (&2.0.into(), &"Solve: f".into())
    );
    assert_eq!(
        (&flat["generated_code"], &flat["completion_metadata"]["exit_status"]),
        (&"patch\n".into(), &"Submitted".into())
    );
    assert!(flat.get("success").is_none() && !flat.to_string().contains("hush"));
    assert!(read_as(&trajectory(0.0)).flat("a/django__1").get("cost_usd").is_none(), "no price");
    let evaluation = json!({"resolved_ids": ["django__1"], "unresolved_ids": []}).to_string();
    let files = [("runs/a/django__1.traj.json", trajectory(0.0)), ("runs/a/report.json", evaluation)];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let imported = read_all(Format::Trajectories, &files, &ImportOptions::default());
    assert_eq!(imported.one().outcome().unwrap().success, Some(true), "{}", imported.text);
}

#[test]
fn a_swe_agent_has_no_time_which_is_marked() {
    let text = json!({"environment": "swe_main", "trajectory": [], "history": [{"role": "user", "content": "Fix."}], "info": {"model_stats":
        {"instance_cost": 0.42, "tokens_sent": 90000, "tokens_received": 1500, "api_calls": 12}, "exit_status": "submitted", "submission": "diff"}}).to_string();
    let imported = read_all(Format::Trajectories, &[("x.traj", &text)], &ImportOptions::default());
    let flat = imported.flat("swe-agent/x");
    assert_eq!(
        (&flat["tokens_used"], &flat["cost_usd"], &flat["started_at"]),
        (&91500.into(), &0.42.into(), &"2000-01-01T00:00:00Z".into())
    );
    assert_eq!(flat["metadata"]["started_at_precision"], "stated");
}

fn claude(session: &str, id: &str, output: u64, at: u32) -> String {
    json!({"sessionId": session, "cwd": "/home/dev/shop", "gitBranch": "claude/totals", "version": "2.1", "type": "assistant", "uuid": format!("u{at}"),
        "timestamp": format!("2026-11-01T10:00:{at:02}.000Z"), "isSidechain": false, "message": {"id": id, "role": "assistant", "model": "m", "content": [],
        "usage": {"input_tokens": 3, "cache_creation_input_tokens": 1200, "cache_read_input_tokens": 8000, "output_tokens": output}}}).to_string() + "\n"
}

#[test]
fn repeated_usage_of_one_answer_counts_once_in_claude_code() {
    let asked = json!({"sessionId": "s1", "type": "user", "uuid": "u1", "timestamp": "2026-11-01T10:00:00.000Z", "message": {"role": "user", "content": "Fix."}}).to_string() + "\n";
    let text = [
        asked,
        claude("s1", "msg_1", 1, 4),
        claude("s1", "msg_1", 410, 5),
        claude("s1", "msg_1", 410, 6),
        claude("s1", "msg_2", 10, 7),
    ]
    .concat();
    let flat = read(Format::Trajectories, &text).flat("s1");
    // The input leaves out what the cache had.
    assert_eq!(
        (&flat["tokens_used"], &flat["input_tokens"], &flat["output_tokens"]),
        (&(2 * 9203 + 420).into(), &6.into(), &420.into())
    );
    assert_eq!(
        (&flat["task_id"], &flat["project_id"], &flat["task_description"]),
        (&"shop:claude/totals".into(), &"shop".into(), &"Fix.".into())
    );
    assert_eq!(
        (&flat["started_at"], &flat["completed_at"]),
        (&"2026-11-01T10:00:00Z".into(), &"2026-11-01T10:00:07Z".into())
    );
    assert!(flat.get("cost_usd").is_none() && flat.get("success").is_none());
    // A session that goes on from another repeats its answers.
    let fork = [claude("s2", "msg_1", 410, 8), claude("s2", "msg_3", 5, 9)].concat();
    let imported =
        read_all(Format::Trajectories, &[("a.jsonl", &text), ("b.jsonl", &fork)], &ImportOptions::default());
    assert_eq!(imported.flat("s2")["tokens_used"], 9208);
}

fn codex(own: &str, parent: Option<&str>, totals: &[(u64, u64, u64)]) -> String {
    let line = |kind: &str, payload: Value| {
        json!({"timestamp": "2026-11-01T10:00:09.000Z", "type": kind, "payload": payload}).to_string() + "\n"
    };
    let mut text = line(
        "session_meta",
        json!({"id": own, "forked_from_id": parent, "cwd": "/home/dev/shop", "git": {"branch": "codex/totals"}}),
    );
    text += &line("turn_context", json!({"model": "m", "effort": "medium"}));
    text += &line(
        "response_item",
        json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix."}]}),
    );
    text += &line("event_msg", json!({"type": "token_count", "info": null}));
    for (input, cached, output) in totals {
        let usage = json!({"input_tokens": input, "cached_input_tokens": cached, "output_tokens": output, "reasoning_output_tokens": output / 2});
        text += &line(
            "event_msg",
            json!({"type": "token_count", "info": {"total_token_usage": usage, "last_token_usage": usage}}),
        );
    }
    text
}

#[test]
fn totals_of_codex_add_up_and_a_fork_does_not_count_its_parent() {
    let parent = codex("p", None, &[(5000, 4000, 300), (5000, 4000, 300), (11000, 9200, 700)]);
    let flat = read(Format::Trajectories, &parent).flat("p");
    assert_eq!(
        (&flat["tokens_used"], &flat["input_tokens"], &flat["cache_read_tokens"]),
        (&11700.into(), &1800.into(), &9200.into())
    );
    assert_eq!(
        (&flat["effort"], &flat["model_used"], &flat["task_description"]),
        (&"medium".into(), &"m".into(), &"Fix.".into())
    );
    let alone = codex("f", Some("p"), &[(11000, 9200, 700), (12000, 9900, 800)]);
    assert_eq!(read(Format::Trajectories, &alone).flat("f")["tokens_used"], 1100, "less the first total");
    let whole = codex("f", Some("p"), &[(5000, 4000, 300), (11000, 9200, 700), (12000, 9900, 800)]);
    let imported = read_all(
        Format::Trajectories,
        &[("p.jsonl", &parent), ("f.jsonl", &whole)],
        &ImportOptions::default(),
    );
    assert_eq!(imported.flat("f")["tokens_used"], 1100, "less what its parent had in the end");
}

#[test]
fn a_trial_that_was_not_tested_is_no_failure_and_zeros_are_unknown() {
    let trial = |id: &str, resolved: Value, mode: &str, tokens: Value| {
        json!({"id": id, "trial_name": "sort.1-of-4", "task_id": "sort", "instruction": "Sort.", "is_resolved": resolved,
        "failure_mode": mode, "parser_results": {"a": "passed", "b": "failed"}, "total_input_tokens": tokens, "total_output_tokens": tokens,
        "agent_started_at": "2025-08-14T19:40:00+00:00", "agent_ended_at": "2025-08-14T19:48:00+00:00", "test_ended_at": "2025-08-14T19:49:30+00:00"})
    };
    let mut timeless = trial("d", json!(false), "unset", Value::Null);
    for key in ["agent_started_at", "agent_ended_at", "test_ended_at"] {
        timeless[key] = Value::Null;
    }
    let all = json!({"id": "r1", "resolved_ids": ["sort"], "results": [trial("a", json!(true), "agent_timeout", json!(0)), trial("b", Value::Null, "test_timeout", json!(12)),
        trial("c", json!(false), "unset", Value::Null), timeless]}).to_string();
    let imported = read(Format::Trajectories, &all);
    let flat = |id: &str| imported.flat(id);
    assert_eq!((&flat("a")["success"], flat("a").get("tokens_used")), (&true.into(), None));
    assert_eq!((flat("b").get("success"), &flat("b")["tokens_used"]), (None, &24.into()));
    assert_eq!((&flat("c")["success"], &flat("c")["final_quality_score"]), (&false.into(), &5.0.into()));
    assert_eq!(
        (&flat("a")["completion_known_at"], &flat("a")["generation_time_seconds"]),
        (&"2025-08-14T19:49:30Z".into(), &480.0.into())
    );
    assert_eq!(flat("d")["metadata"]["started_at_precision"], "stated");
    let harbor = json!({"id": "h", "task_name": "sort", "trial_name": "sort__x", "verifier_result": {"rewards": {"reward": 1.0}},
        "agent_result": {"n_input_tokens": 10, "n_output_tokens": 5, "cost_usd": 0.5}, "agent_info": {"name": "claude-code", "model_info": {"name": "m"}},
        "started_at": "2026-08-14T19:40:00Z", "finished_at": "2026-08-14T19:48:00Z"}).to_string();
    let flat = read(Format::Trajectories, &harbor).flat("h");
    assert_eq!(
        (&flat["success"], &flat["tokens_used"], &flat["cost_usd"], &flat["agent_type"]),
        (&true.into(), &15.into(), &0.5.into(), &"claude-code".into())
    );
}

#[test]
fn unknown_results_of_openhands_stay_unknown() {
    let index = json!({"a__1": {"cost": 0.41, "resolved": true}, "a__2": {"cost": null, "resolved": null}, "a__3": {"cost": 1.2, "resolved": false}}).to_string();
    let mut options = ImportOptions::default();
    options.started_at = Some("2026-01-01T00:00:00Z".parse().unwrap());
    options.mapping.insert("model_used".into(), "=m".into());
    let imported = read_all(Format::Trajectories, &[("gpt/results.json", &index)], &options);
    let flat = |id: &str| imported.flat(&format!("gpt/results/{id}"));
    assert_eq!(
        (&flat("a__1")["success"], &flat("a__1")["cost_usd"], &flat("a__1")["model_used"]),
        (&true.into(), &0.41.into(), &"m".into())
    );
    assert!(flat("a__2").get("success").is_none() && flat("a__2").get("cost_usd").is_none());
    assert_eq!(
        (&flat("a__3")["success"], &flat("a__3")["started_at"]),
        (&false.into(), &"2026-01-01T00:00:00Z".into())
    );
    let output = json!({"instance_id": "a__1", "instance": {"problem_statement": "Fix."}, "test_result": {"git_patch": "diff"}, "metadata": {"llm_config": {"model": "m"}},
        "metrics": {"accumulated_cost": 0.5, "accumulated_token_usage": {"prompt_tokens": 100, "completion_tokens": 50, "cache_read_tokens": 64}},
        "history": [{"timestamp": "2026-01-01T10:00:00.5"}, {"timestamp": "2026-01-01T10:01:00"}]}).to_string();
    let flat = read(Format::Trajectories, &output).flat("run/file/a__1");
    assert_eq!(
        (&flat["tokens_used"], &flat["generated_code"], &flat["task_description"]),
        (&150.into(), &"diff".into(), &"Fix.".into())
    );
    assert_eq!(flat["completed_at"], "2026-01-01T10:01:00Z");
}
