//! Pull requests.

use super::*;
use serde_json::json;

/// A pull request as gh writes it, with what is different.
#[allow(clippy::needless_pass_by_value)] // what json! makes
fn gh(number: u32, more: Value) -> Value {
    let mut pull = json!({
        "url": format!("https://github.example/o/r/pull/{number}"), "title": "fix(cart): totals", "body": "Because.",
        "author": {"id": "A", "is_bot": true, "login": "app/copilot-swe-agent"}, "state": "MERGED",
        "createdAt": "2026-11-01T10:00:00Z", "mergedAt": "2026-11-02T11:00:00Z", "closedAt": "2026-11-02T11:00:01Z",
        "headRefName": "copilot/fix-3", "labels": [], "reviews": [], "commits": [], "statusCheckRollup": []
    });
    for (key, value) in more.as_object().unwrap() {
        pull[key] = value.clone();
    }
    pull
}

fn flat_of(more: Value) -> Value {
    let imported = read(Format::Github, &json!([gh(7, more)]).to_string());
    serde_json::to_value(imported.one()).unwrap()
}

#[test]
fn a_request_becomes_an_event() {
    let flat = flat_of(json!({
        "closingIssuesReferences": [{"number": 3, "url": "https://github.example/o/r/issues/3"}], "additions": 12, "deletions": 3,
        "files": [{"path": "a.rs", "additions": 12}, {"path": "b.py", "additions": 1}], "mergedBy": {"login": "rev", "is_bot": false}}));
    assert_eq!(flat["event_id"], "https://github.example/o/r/pull/7");
    assert_eq!(flat["task_id"], "https://github.example/o/r/issues/3");
    assert_eq!((&flat["project_id"], &flat["agent_type"]), (&"o/r".into(), &"Copilot".into()));
    assert_eq!((&flat["task_type"], &flat["language"]), (&"fix".into(), &"Rust".into()));
    assert_eq!(flat["task_description"], "fix(cart): totals\n\nBecause.");
    assert_eq!(
        (&flat["started_at"], &flat["approved_at"]),
        (&"2026-11-01T10:00:00Z".into(), &"2026-11-02T11:00:00Z".into())
    );
    // The agent's end is not known; a close is not it.
    assert!(flat.get("completed_at").is_none(), "{flat}");
    assert_eq!(
        (&flat["success"], &flat["approved"], &flat["user_action"]),
        (&true.into(), &true.into(), &"approve".into())
    );
    assert_eq!((&flat["feedback_reviewer_id"], &flat["lines_of_code"]), (&"rev".into(), &12.into()));
}

#[test]
fn open_ones_have_no_outcome_and_closed_ones_are_rejected() {
    let open = flat_of(json!({"state": "OPEN", "mergedAt": null, "closedAt": null}));
    assert!(open.get("success").is_none() && open.get("user_action").is_none(), "{open}");
    let closed = flat_of(json!({"state": "CLOSED", "mergedAt": null}));
    assert_eq!((&closed["success"], &closed["user_action"]), (&false.into(), &"reject".into()));
    assert_eq!(closed["feedback"][0]["known_at"], "2026-11-02T11:00:01Z");
    // REST says closed of merged ones too: without merged_at nobody knows.
    let rest = json!({"html_url": "https://github.example/o/r/pull/7", "state": "closed", "user": {"login": "Copilot"},
        "created_at": "2026-11-01T10:00:00Z", "closed_at": "2026-11-02T10:00:00Z"});
    let imported = read(Format::Github, &rest.to_string());
    assert!(
        imported.events.is_empty() && imported.text.contains("whether it was merged"),
        "{}",
        imported.text
    );
}

#[test]
fn checks_that_run_on_have_a_year_1_end_and_neutral_is_no_failure() {
    let flat = flat_of(json!({"statusCheckRollup": [
        {"__typename": "CheckRun", "completedAt": "0001-01-01T00:00:00Z", "conclusion": "", "status": "IN_PROGRESS"},
        {"__typename": "CheckRun", "completedAt": "2026-11-01T10:02:00Z", "conclusion": "NEUTRAL", "status": "COMPLETED"},
        {"__typename": "StatusContext", "context": "old", "startedAt": "2026-11-01T10:01:00Z", "state": "FAILURE"}]}));
    assert_eq!(flat["completion_metadata"]["checks"], json!({"passed": 1, "failed": 1, "pending": 1}));
}

#[test]
fn only_persons_other_than_the_author_ask_for_changes_and_edit() {
    let review = |login: &str, state: &str, at: Value| json!({"reviews": [{"author": {"login": login}, "state": state, "submittedAt": at, "body": "shorter"}]});
    let at = json!("2026-11-02T09:00:00Z");
    for (login, state, at, action) in [
        ("rev", "CHANGES_REQUESTED", at.clone(), "modify"),
        ("rev", "APPROVED", at.clone(), "approve"),
        ("rev", "COMMENTED", at.clone(), "approve"),
        ("rev", "DISMISSED", at.clone(), "approve"),
        ("rev", "PENDING", Value::Null, "approve"),
        ("rev", "CHANGES_REQUESTED", json!("2026-11-03T09:00:00Z"), "approve"),
        ("copilot-pull-request-reviewer", "CHANGES_REQUESTED", at.clone(), "approve"),
        ("copilot-swe-agent", "CHANGES_REQUESTED", at.clone(), "approve"),
        ("x[bot]", "CHANGES_REQUESTED", at.clone(), "approve"),
        ("", "CHANGES_REQUESTED", at.clone(), "approve"),
    ] {
        let flat = flat_of(review(login, state, at));
        assert_eq!(
            (&flat["user_action"], &flat["success"]),
            (&action.into(), &true.into()),
            "{login} {state}"
        );
    }
    assert_eq!(flat_of(review("rev", "CHANGES_REQUESTED", at))["modifications_requested"], "shorter");
    let commit = |authors: Value, at: &str, headline: &str| json!({"commits": [{"authors": authors, "authoredDate": at, "committedDate": "2026-11-02T08:00:00Z", "messageHeadline": headline}]});
    let (app, human) = (json!({"login": "copilot-swe-agent"}), json!({"login": "ann"}));
    for (authors, at, headline, action) in [
        (json!([human]), "2026-11-01T12:00:00Z", "Fix", "modify"),
        // Trailers name the person for whom an agent works.
        (json!([app, human]), "2026-11-01T12:00:00Z", "Fix", "approve"),
        // Rebased: the time of the author counts.
        (json!([human]), "2026-11-01T09:00:00Z", "Fix", "approve"),
        (json!([{"login": ""}]), "2026-11-01T12:00:00Z", "Fix", "approve"),
        (json!([human]), "2026-11-01T12:00:00Z", "Merge branch 'main' into copilot/fix-3", "approve"),
    ] {
        assert_eq!(
            flat_of(commit(authors.clone(), at, headline))["user_action"],
            action,
            "{authors} {at} {headline}"
        );
    }
}

#[test]
fn the_agent_is_recognized_by_author_branch_body_commits_and_labels() {
    let by = |more: Value| {
        let mut all = json!({"author": {"login": "ann", "is_bot": false}, "headRefName": "fix"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let imported = read(Format::Github, &gh(7, all).to_string());
        imported.events.values().next().map(|e| e.started.value.context.agent_type.clone().unwrap())
    };
    for (more, agent) in [
        (
            json!({"author": {"login": "app/devin-ai-integration", "is_bot": true}, "headRefName": "codex/x"}),
            Some("Devin"),
        ),
        (json!({"author": {"login": "Copilot", "type": "Bot"}}), Some("Copilot")),
        // A deleted account.
        (json!({"author": {"login": "app/", "is_bot": true}, "headRefName": "cursor/x"}), Some("Cursor")),
        (json!({"headRefName": "codex/add-x"}), Some("OpenAI_Codex")),
        (json!({"body": "See https://chatgpt.com/codex/tasks/1"}), Some("OpenAI_Codex")),
        (json!({"body": "Generated with [Claude Code](https://claude.example)"}), Some("Claude_Code")),
        (
            json!({"commits": [{"messageBody": "Co-Authored-By: Claude <noreply@anthropic.com>", "authors": []}]}),
            Some("Claude_Code"),
        ),
        (json!({"commits": [{"authors": [{"login": "cursoragent"}]}]}), Some("Cursor")),
        (json!({"labels": [{"name": "codex"}]}), Some("OpenAI_Codex")),
        (json!({}), None),
    ] {
        assert_eq!(by(more.clone()).as_deref(), agent, "{more}");
    }
    let imported =
        read(Format::Github, &gh(7, json!({"author": {"login": "ann"}, "headRefName": "fix"})).to_string());
    assert!(imported.text.contains("skipped 1: no agent is recognized"), "{}", imported.text);
    let mut options = ImportOptions::default();
    options.agents.insert("House".into(), vec!["branch:house/".into()]);
    let own = gh(7, json!({"headRefName": "house/1", "author": {"login": "ann"}})).to_string();
    let imported = read_all(Format::Github, &[("f", &own)], &options);
    assert_eq!(imported.one().started.value.context.agent_type.as_deref(), Some("House"));
    options.all_authors = true;
    options.agents.insert("Bad".into(), vec!["brunch:house/".into()]);
    let report = read_into(&MemoryStore::new(), Format::Github, &[("f", &own)], &options).to_string();
    assert!(report.contains("brunch:house/"), "{report}");
}

#[test]
fn pages_of_any_kind_are_read() {
    let node = json!({"url": "https://github.example/o/r/pull/8", "title": "x", "author": {"__typename": "Bot", "login": "copilot-swe-agent"},
        "createdAt": "2026-11-01T10:00:00Z", "state": "MERGED", "mergedAt": "2026-11-02T11:00:00Z",
        "labels": {"nodes": []}, "closingIssuesReferences": {"nodes": [{"url": "https://github.example/o/r/issues/3"}]},
        "reviews": {"nodes": [{"author": {"__typename": "User", "login": "rev"}, "state": "CHANGES_REQUESTED", "submittedAt": "2026-11-02T10:00:00Z"}]},
        "commits": {"nodes": [{"commit": {"authoredDate": "2026-11-01T12:00:00Z", "author": {"user": {"login": "rev"}}, "messageHeadline": "x"}}]}});
    let page = json!({"data": {"repository": {"pullRequests": {"nodes": [node], "pageInfo": {"hasNextPage": false}}}}}).to_string();
    let rest = |n: u32| {
        json!({"url": format!("https://api.github.example/repos/o/r/pulls/{n}"), "html_url": format!("https://github.example/o/r/pull/{n}"),
        "user": {"login": "devin-ai-integration[bot]", "type": "Bot"}, "title": "y", "created_at": "2026-11-01T10:00:00Z",
        "state": "closed", "merged_at": null, "closed_at": "2026-11-02T10:00:00Z", "head": {"ref": "devin/1"}, "base": {"repo": {"full_name": "o/r", "language": "Go"}}})
    };
    for text in [
        page.clone() + &page,
        format!("[{}][{}]", rest(1), rest(2)),
        format!("[[{}],[{}]]", rest(1), rest(2)),
        format!("{}\n{}\n", rest(1), rest(2)),
        json!({"total_count": 2, "items": [rest(1), rest(2)]}).to_string(),
    ] {
        let imported = read(Format::Github, &text);
        if text.starts_with("{\"data\"") {
            let flat = serde_json::to_value(imported.one()).unwrap();
            assert_eq!(
                (&flat["user_action"], &flat["feedback_reviewer_id"]),
                (&"modify".into(), &"rev".into()),
                "{flat}"
            );
            assert_eq!(flat["task_id"], "https://github.example/o/r/issues/3");
        } else {
            assert_eq!(imported.events.len(), 2, "{text}");
            assert_eq!(imported.flat("https://github.example/o/r/pull/1")["language"], "Go");
        }
    }
}

#[test]
fn a_revert_rejects_what_was_merged_from_then_on() {
    let sha = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let merged = gh(7, json!({"mergeCommit": {"oid": sha}}));
    let end =
        json!({"mergedAt": "2026-11-09T11:00:00Z", "author": {"login": "ann"}, "headRefName": "revert-7"});
    let revert = |body: &str| {
        let mut pull = gh(9, end.clone());
        pull["title"] = "Revert \"fix(cart): totals\"".into();
        pull["body"] = body.into();
        pull
    };
    for body in ["Reverts o/r#7", "Reverts #7", &format!("This reverts commit {sha}.")] {
        for order in [[merged.clone(), revert(body)], [revert(body), merged.clone()]] {
            let imported = read(Format::Github, &json!(order).to_string());
            let event = imported.one();
            let outcome = event.outcome().unwrap();
            assert_eq!((outcome.success, event.feedback.len()), (Some(false), 2), "{body}");
            assert_eq!(outcome.known_at.to_rfc3339(), "2026-11-09T11:00:00+00:00");
        }
    }
    // What is not merged reverts nothing; what is not there is counted.
    let mut open = revert("Reverts o/r#7");
    (open["state"], open["mergedAt"], open["closedAt"]) = ("OPEN".into(), Value::Null, Value::Null);
    let imported = read(Format::Github, &json!([merged, open]).to_string());
    assert_eq!(imported.one().outcome().unwrap().success, Some(true));
    let imported = read(Format::Github, &json!([revert("Reverts o/r#7")]).to_string());
    assert_eq!(imported.count("unmatched_verdicts"), 1);
}
