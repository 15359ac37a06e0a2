//! A suite that proves a store right: run it in a test of your own store.

mod samples;

use super::{Appended, Cursor, EventStore, EventStoreExt, Page, ScanOrder, Subject};
use crate::error::{ErrorKind, Result};
use crate::event::FeatureVector;
use crate::event::{EventId, Fact, Feedback, GenerationEvent, Record, ShownPrediction, Started, UserAction};
use chrono::{DateTime, Utc};
use samples::{
    at, completed, event_id, feedback, full_event, hostile_record, hostile_texts, judged_by, object, owned,
    project, started, task, to_be_judged_by, user,
};
use serde_json::json;
use std::future::Future;

/// Runs every rule of [`EventStore`] on stores that `fresh` makes, each empty.
///
/// It only awaits, so any runtime will do. What it cannot see is what becomes of an acknowledged
/// write when the process dies: test that on the real storage.
///
/// ```
/// use devmatrix_ml::store::{MemoryStore, conformance};
/// futures_executor::block_on(conformance::check(|| async { MemoryStore::new() }));
/// ```
///
/// # Panics
/// With the rule's name and what was found, at the first rule that the store breaks.
pub async fn check<F, Fut, S>(fresh: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = S>,
    S: EventStore,
{
    an_empty_store_is_empty(&fresh().await).await;
    every_field_comes_back(&fresh().await).await;
    the_same_record_is_kept_once(&fresh().await).await;
    another_record_under_the_same_key_is_refused(&fresh().await).await;
    a_batch_says_of_each_record_what_became_of_it(&fresh().await).await;
    facts_may_arrive_in_any_order(&fresh().await).await;
    feedback_is_revised_by_later_feedback(&fresh().await).await;
    get_keeps_the_order_asked_for(&fresh().await).await;
    scans_are_ordered_and_resume(&fresh().await).await;
    scans_resume_after_records_are_added(&fresh().await).await;
    a_late_record_is_seen_by_who_catches_up(&fresh().await).await;
    a_cursor_of_the_other_order_is_refused(&fresh().await).await;
    features_are_put_replaced_and_read(&fresh().await).await;
    events_without_features_are_listed(&fresh().await).await;
    checkpoints_are_put_replaced_and_removed(&fresh().await).await;
    a_lease_has_one_holder_at_a_time(&fresh().await).await;
    erasing_a_user_leaves_nothing(&fresh().await).await;
    erasing_a_project_leaves_nothing(&fresh().await).await;
    erasing_a_person_erases_what_was_judged(&fresh().await).await;
    cursors_survive_an_erasure(&fresh().await).await;
    hostile_text_comes_back(&fresh().await).await;
    extreme_times_and_numbers_come_back(&fresh().await).await;
    let mut states = Vec::new();
    for order in PERMUTATIONS {
        states.push(state_after(&fresh().await, order).await);
    }
    the_order_of_arrival_changes_nothing(&states);
}

async fn an_empty_store_is_empty(store: &dyn EventStore) {
    let rule = "an empty store is empty";
    for order in [ScanOrder::Known, ScanOrder::Arrival] {
        let page = ok(rule, store.scan(order, None, 10).await);
        same(rule, &page, &Page { records: Vec::new(), next: None });
    }
    same(rule, &ok(rule, store.get(&[event_id("e")]).await), &vec![None]);
    same(rule, &ok(rule, store.append(Vec::new()).await), &Vec::new());
    same(rule, &ok(rule, store.erasures().await), &0);
    same(rule, &ok(rule, store.erase(&user("nobody")).await).events, &0);
    same(rule, &ok(rule, store.erasures().await), &0);
}

async fn every_field_comes_back(store: &dyn EventStore) {
    let rule = "every field comes back";
    let event = full_event("e");
    let records = ok(rule, event.clone().into_records());
    append(rule, store, &records).await;
    same(rule, &ok(rule, store.get(&[event_id("e")]).await), &vec![Some(event)]);
    for order in [ScanOrder::Known, ScanOrder::Arrival] {
        same(rule, &ok(rule, store.scan(order, None, 10).await).records, &records);
    }
}

async fn the_same_record_is_kept_once(store: &dyn EventStore) {
    let rule = "the same record is kept once";
    let records = ok(rule, full_event("e").into_records());
    append(rule, store, &records).await;
    let again = ok(rule, store.append(records.clone()).await);
    same(rule, &again, &vec![Appended::Duplicate; records.len()]);
    // When it became known does not make it another; what was stored first stays.
    let later = ok(rule, Record::new(event_id("e"), at(900), records[0].fact().clone()));
    same(rule, &ok(rule, store.append(vec![later]).await), &vec![Appended::Duplicate]);
    same(rule, &scan_all(rule, store, ScanOrder::Known, 10).await, &records);
    same(rule, &scan_all(rule, store, ScanOrder::Arrival, 10).await, &records);
}

async fn another_record_under_the_same_key_is_refused(store: &dyn EventStore) {
    let rule = "another record under the same key is refused";
    let first = [started("e", 1, "one"), completed("e", 2, 1.0), feedback("e", 3, "f", UserAction::Approve)];
    let other = [started("e", 1, "two"), completed("e", 2, 2.0), feedback("e", 3, "f", UserAction::Reject)];
    append(rule, store, &first).await;
    same(rule, &ok(rule, store.append(other.to_vec()).await), &vec![Appended::Conflict; 3]);
    same(rule, &scan_all(rule, store, ScanOrder::Known, 10).await, &first.to_vec());
    let refused = store.append_one(other[0].clone()).await.map_err(|e| e.kind());
    same(rule, &refused, &Err(ErrorKind::Conflict));
}

async fn a_batch_says_of_each_record_what_became_of_it(store: &dyn EventStore) {
    use Appended::{Conflict, Duplicate, New};
    let rule = "a batch says of each record what became of it";
    append(rule, store, &[started("a", 1, "one")]).await;
    let batch = vec![
        started("a", 1, "one"),
        started("b", 2, "new"),
        started("a", 1, "two"),
        // Within the batch too.
        started("b", 2, "new"),
        started("b", 2, "other"),
        completed("b", 3, 1.0),
    ];
    let expected = vec![Duplicate, New, Conflict, Duplicate, Conflict, New];
    same(rule, &ok(rule, store.append(batch).await), &expected);
    same(rule, &scan_all(rule, store, ScanOrder::Arrival, 10).await.len(), &3);
}

async fn facts_may_arrive_in_any_order(store: &dyn EventStore) {
    let rule = "facts may arrive in any order";
    let judged = feedback("e", 3, "f", UserAction::Modify);
    append(rule, store, std::slice::from_ref(&judged)).await;
    same(rule, &ok(rule, store.get(&[event_id("e")]).await), &vec![None]);
    append(rule, store, &[completed("e", 2, 4.0)]).await;
    append(rule, store, &[started("e", 1, "late start")]).await;
    let event = ok(rule, store.event(&event_id("e")).await);
    same(rule, &event.started.known_at, &at(1));
    same(rule, &event.completion.map(|c| c.value.generation_time_seconds), &Some(Some(4.0)));
    same(rule, &event.feedback.len(), &1);
    let known: Vec<_> = scan_all(rule, store, ScanOrder::Known, 10).await;
    same(rule, &known, &vec![started("e", 1, "late start"), completed("e", 2, 4.0), judged]);
}

async fn feedback_is_revised_by_later_feedback(store: &dyn EventStore) {
    let rule = "feedback is revised by later feedback";
    append(rule, store, &[started("e", 1, ""), feedback("e", 50, "second", UserAction::Approve)]).await;
    append(rule, store, &[feedback("e", 9, "first", UserAction::Reject)]).await;
    let event = ok(rule, store.event(&event_id("e")).await);
    let actions: Vec<_> = event.feedback.iter().map(|f| f.value.user_action).collect();
    same(rule, &actions, &vec![UserAction::Reject, UserAction::Approve]);
    same(rule, &event.outcome().and_then(|o| o.success), &Some(true));
    // Without an id it is known by its time, so that two judgements are two.
    let unnamed = |micros, action| {
        let fact = Fact::Feedback(Box::new(Feedback::new(action)));
        ok(rule, Record::new(event_id("e"), at(micros), fact))
    };
    append(rule, store, &[unnamed(60, UserAction::Reject), unnamed(61, UserAction::Approve)]).await;
    let repeated = ok(rule, store.append(vec![unnamed(60, UserAction::Reject)]).await);
    same(rule, &repeated, &vec![Appended::Duplicate]);
    same(rule, &ok(rule, store.event(&event_id("e")).await).feedback.len(), &4);
}

async fn get_keeps_the_order_asked_for(store: &dyn EventStore) {
    let rule = "get keeps the order asked for";
    append(rule, store, &[started("a", 1, ""), started("b", 2, ""), completed("no start", 3, 1.0)]).await;
    let asked = ["b", "missing", "a", "b", "no start"].map(event_id);
    let found = ok(rule, store.get(&asked).await);
    let found: Vec<_> = found.iter().map(|e| e.as_ref().map(|e| e.event_id.as_str())).collect();
    same(rule, &found, &vec![Some("b"), None, Some("a"), Some("b"), None]);
    same(rule, &ok(rule, store.get(&[]).await), &Vec::new());
    let missing = store.event(&event_id("missing")).await.map_err(|e| e.kind());
    same(rule, &missing, &Err(ErrorKind::NotFound));
}

async fn scans_are_ordered_and_resume(store: &dyn EventStore) {
    let rule = "scans are ordered and resume";
    // Many ties; ids that a locale or a blank-padding comparison would sort otherwise.
    let ids = ["b", "a", "B", "ä", "a b", "Z", "z", "a\u{FFFD}", "10", "9", "😀", "\u{FB01}", "aa", "A"];
    let arrived: Vec<_> = ids
        .iter()
        .enumerate()
        .flat_map(|(n, id)| {
            let tie = (n as i64 % 3) * 10;
            [
                feedback(id, tie, "f2", UserAction::Approve),
                completed(id, tie, 1.0),
                feedback(id, tie, "F10", UserAction::Reject),
                started(id, tie, ""),
            ]
        })
        .collect();
    append(rule, store, &arrived).await;
    let mut known = arrived.clone();
    known.sort_by_key(|r| (r.known_at(), r.key()));
    for limit in [1, 2, 7, arrived.len(), 1000, usize::MAX] {
        same(rule, &scan_all(rule, store, ScanOrder::Known, limit).await, &known);
        same(rule, &scan_all(rule, store, ScanOrder::Arrival, limit).await, &arrived);
    }
    let page = ok(rule, store.scan(ScanOrder::Known, None, 5).await);
    same(rule, &page.next, &page.records.last().map(Cursor::after_known));
    let none = ok(rule, store.scan(ScanOrder::Known, page.next.as_ref(), 0).await);
    same(rule, &none, &Page { records: Vec::new(), next: page.next });
}

async fn scans_resume_after_records_are_added(store: &dyn EventStore) {
    let rule = "scans resume after records are added";
    append(rule, store, &[started("a", 10, ""), started("c", 10, ""), started("e", 30, "")]).await;
    let known = ok(rule, store.scan(ScanOrder::Known, None, 2).await);
    let arrival = ok(rule, store.scan(ScanOrder::Arrival, None, 2).await);
    // One before the cursor, one tied with it, one after.
    let added = [started("b", 10, ""), started("d", 10, ""), started("f", 20, "")];
    append(rule, store, &added).await;
    let rest = ok(rule, store.scan(ScanOrder::Known, known.next.as_ref(), 10).await);
    same(rule, &names(&rest.records), &vec!["d", "f", "e"]);
    let rest = ok(rule, store.scan(ScanOrder::Arrival, arrival.next.as_ref(), 10).await);
    same(rule, &names(&rest.records), &vec!["e", "b", "d", "f"]);
    let end = ok(rule, store.scan(ScanOrder::Arrival, rest.next.as_ref(), 10).await);
    same(rule, &end, &Page { records: Vec::new(), next: rest.next });
}

async fn a_late_record_is_seen_by_who_catches_up(store: &dyn EventStore) {
    let rule = "a late record is seen by who catches up";
    append(rule, store, &[started("e", 1000, "")]).await;
    let caught_up = ok(rule, store.scan(ScanOrder::Arrival, None, 10).await).next;
    append(rule, store, &[started("late", 5, "")]).await;
    // Neither a duplicate nor a conflict arrives.
    ok(rule, store.append(vec![started("e", 1000, ""), started("e", 1000, "other")]).await);
    let new = ok(rule, store.scan(ScanOrder::Arrival, caught_up.as_ref(), 10).await);
    same(rule, &names(&new.records), &vec!["late"]);
    same(rule, &names(&scan_all(rule, store, ScanOrder::Known, 10).await), &vec!["late", "e"]);
}

async fn a_cursor_of_the_other_order_is_refused(store: &dyn EventStore) {
    let rule = "a cursor of the other order is refused";
    append(rule, store, &[started("e", 1, "")]).await;
    for (made, used) in [(ScanOrder::Known, ScanOrder::Arrival), (ScanOrder::Arrival, ScanOrder::Known)] {
        let cursor = ok(rule, store.scan(made, None, 1).await).next;
        let refused = store.scan(used, cursor.as_ref(), 1).await.map_err(|e| e.kind());
        same(rule, &refused, &Err(ErrorKind::InvalidInput));
    }
}

async fn features_are_put_replaced_and_read(store: &dyn EventStore) {
    let rule = "features are put, replaced and read";
    let mut first = FeatureVector::new(event_id("a"), u64::MAX, &[1.5, f32::NAN, -0.1, f32::MAX]);
    first.target_success = Some(false);
    first.target_quality_score = Some(0.1);
    first.target_time_seconds = Some(1e9);
    let second = FeatureVector::new(event_id("b"), 1, &[f32::MIN_POSITIVE, 16_777_217.0]);
    ok(rule, store.put_features(vec![first.clone(), second.clone()]).await);
    let asked = ["b", "missing", "a"].map(event_id);
    same(rule, &ok(rule, store.features(&asked).await), &vec![Some(second.clone()), None, Some(first)]);
    let newer = FeatureVector::new(event_id("a"), 2, &[]);
    ok(rule, store.put_features(vec![newer.clone()]).await);
    same(rule, &ok(rule, store.features(&asked).await), &vec![Some(second), None, Some(newer)]);
}

async fn events_without_features_are_listed(store: &dyn EventStore) {
    let rule = "events judged since their features were put are listed";
    let judged = |id| feedback(id, 5, "f", UserAction::Approve);
    let again = feedback("c", 6, "g", UserAction::Reject);
    append(rule, store, &[judged("c"), started("a", 1, ""), judged("b"), judged("d"), again]).await;
    same(rule, &ok(rule, store.without_features(None, 10).await), &["b", "c", "d"].map(event_id).to_vec());
    same(rule, &ok(rule, store.without_features(None, 2).await), &["b", "c"].map(event_id).to_vec());
    let after = ok(rule, store.without_features(Some(&event_id("b")), 1).await);
    same(rule, &after, &vec![event_id("c")]);
    let vectors = ["c", "early"].map(|id| FeatureVector::new(event_id(id), 1, &[1.0]));
    ok(rule, store.put_features(vectors.to_vec()).await);
    same(rule, &ok(rule, store.without_features(None, 10).await), &["b", "d"].map(event_id).to_vec());
    // A repeated judgement is none; a new one makes the features' outcome old.
    ok(rule, store.append(vec![judged("c")]).await);
    same(rule, &ok(rule, store.without_features(None, 10).await), &["b", "d"].map(event_id).to_vec());
    append(rule, store, &[judged("early"), feedback("c", 7, "h", UserAction::Approve)]).await;
    same(
        rule,
        &ok(rule, store.without_features(None, 10).await),
        &["b", "c", "d", "early"].map(event_id).to_vec(),
    );
}

async fn a_lease_has_one_holder_at_a_time(store: &dyn EventStore) {
    let rule = "a lease has one holder at a time";
    let ask = |holder: &'static str, now: i64, until: i64| store.lease("train", holder, at(now), at(until));
    same(rule, &ok(rule, ask("a", 0, 2).await), &true);
    same(rule, &ok(rule, ask("b", 1, 3).await), &false);
    // Asked for again by its holder it lasts longer; it ends at its end.
    same(rule, &ok(rule, ask("a", 1, 4).await), &true);
    same(rule, &ok(rule, ask("b", 3, 5).await), &false);
    same(rule, &ok(rule, ask("b", 4, 6).await), &true);
    same(rule, &ok(rule, ask("a", 5, 7).await), &false);
    // Given back, it is anybody's.
    same(rule, &ok(rule, ask("b", 5, 5).await), &true);
    same(rule, &ok(rule, ask("a", 5, 7).await), &true);
    let another = store.lease("other '\"; ✓", "b", at(5), at(7)).await;
    same(rule, &ok(rule, another), &true);
}

async fn checkpoints_are_put_replaced_and_removed(store: &dyn EventStore) {
    let rule = "checkpoints are put, replaced and removed";
    let every_byte: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    ok(rule, store.put_checkpoint("history", Some(every_byte.clone())).await);
    ok(rule, store.put_checkpoint("empty '\"; ✓", Some(Vec::new())).await);
    same(rule, &ok(rule, store.checkpoint("history").await), &Some(every_byte));
    same(rule, &ok(rule, store.checkpoint("empty '\"; ✓").await), &Some(Vec::new()));
    same(rule, &ok(rule, store.checkpoint("HISTORY").await), &None);
    ok(rule, store.put_checkpoint("history", Some(vec![1])).await);
    same(rule, &ok(rule, store.checkpoint("history").await), &Some(vec![1]));
    ok(rule, store.put_checkpoint("history", None).await);
    ok(rule, store.put_checkpoint("never there", None).await);
    same(rule, &ok(rule, store.checkpoint("history").await), &None);
    same(rule, &ok(rule, store.checkpoint("empty '\"; ✓").await), &Some(Vec::new()));
}

async fn erasing_a_user_leaves_nothing(store: &dyn EventStore) {
    erasing_leaves_nothing(store, "erasing a user leaves nothing", &user("ann"), &user("bob")).await;
}

async fn erasing_a_project_leaves_nothing(store: &dyn EventStore) {
    let (own, other) = (project("ann's"), project("bob's"));
    erasing_leaves_nothing(store, "erasing a project leaves nothing", &own, &other).await;
}

async fn erasing_leaves_nothing(store: &dyn EventStore, rule: &str, doomed: &Subject, kept: &Subject) {
    let own = [
        owned("a1", 1, doomed),
        completed("a1", 2, 1.0),
        feedback("a1", 3, "f", UserAction::Approve),
        owned("a2", 4, doomed),
        feedback("a2", 5, "f", UserAction::Approve),
    ];
    let other = [owned("b", 3, kept), feedback("b", 6, "f", UserAction::Approve), started("c", 7, "")];
    append(rule, store, &own).await;
    append(rule, store, &other).await;
    let vectors = ["a1", "b"].map(|id| FeatureVector::new(event_id(id), 1, &[1.0]));
    ok(rule, store.put_features(vectors.to_vec()).await);
    ok(rule, store.put_checkpoint("history", Some(vec![1])).await);

    same(rule, &ok(rule, store.erase(doomed).await).events, &2);
    same(rule, &ok(rule, store.erasures().await), &1);
    same(rule, &scan_all(rule, store, ScanOrder::Known, 2).await, &other.to_vec());
    same(rule, &scan_all(rule, store, ScanOrder::Arrival, 2).await, &other.to_vec());
    let found = ok(rule, store.get(&["a1", "a2", "b"].map(event_id)).await);
    same(rule, &found.iter().map(Option::is_some).collect(), &vec![false, false, true]);
    let found = ok(rule, store.features(&["a1", "b"].map(event_id)).await);
    same(rule, &found.iter().map(Option::is_some).collect(), &vec![false, true]);
    same(rule, &ok(rule, store.without_features(None, 10).await), &Vec::new());
    same(rule, &ok(rule, store.checkpoint("history").await), &None);

    // What comes later of these events is refused, new facts and features too.
    same(rule, &ok(rule, store.append(own.to_vec()).await), &vec![Appended::Erased; own.len()]);
    let late = vec![feedback("a2", 9, "late", UserAction::Reject), completed("b", 9, 1.0)];
    same(rule, &ok(rule, store.append(late).await), &vec![Appended::Erased, Appended::New]);
    ok(rule, store.put_features(vec![FeatureVector::new(event_id("a1"), 1, &[1.0])]).await);
    same(rule, &ok(rule, store.features(&[event_id("a1")]).await), &vec![None]);

    // Nothing is left to erase, so summaries made since stay good; checkpoints too.
    ok(rule, store.put_checkpoint("history", Some(vec![2])).await);
    same(rule, &ok(rule, store.erase(doomed).await).events, &0);
    same(rule, &ok(rule, store.erasures().await), &1);
    same(rule, &ok(rule, store.checkpoint("history").await), &Some(vec![2]));
    same(rule, &ok(rule, store.erase(kept).await).events, &1);
    same(rule, &ok(rule, store.erasures().await), &2);
}

async fn erasing_a_person_erases_what_was_judged(store: &dyn EventStore) {
    let rule = "erasing a person erases what this person judged or was to judge";
    let own = [
        // Asked by another, judged by this person.
        owned("a", 1, &user("bob")),
        judged_by("a", 2, "ann"),
        // Named beforehand, judged by another.
        to_be_judged_by("b", 3, "ann"),
        judged_by("b", 4, "bob"),
        // All of it.
        owned("c", 5, &user("ann")),
        judged_by("c", 6, "ann"),
        // Judged before it is known to have begun.
        judged_by("d", 7, "ann"),
    ];
    let other = [owned("e", 8, &user("bob")), judged_by("e", 9, "cleo")];
    append(rule, store, &own).await;
    append(rule, store, &other).await;
    same(rule, &ok(rule, store.erase(&user("ann")).await).events, &4);
    same(rule, &scan_all(rule, store, ScanOrder::Known, 10).await, &other.to_vec());
    same(rule, &ok(rule, store.append(own.to_vec()).await), &vec![Appended::Erased; own.len()]);
    same(rule, &ok(rule, store.erase(&user("cleo")).await).events, &1);
}

async fn cursors_survive_an_erasure(store: &dyn EventStore) {
    let rule = "cursors survive an erasure";
    append(rule, store, &[started("a", 1, ""), owned("b", 2, &user("ann"))]).await;
    let known = ok(rule, store.scan(ScanOrder::Known, None, 10).await).next;
    let arrival = ok(rule, store.scan(ScanOrder::Arrival, None, 10).await).next;
    // The last that arrived goes: its place must not be given again.
    ok(rule, store.erase(&user("ann")).await);
    append(rule, store, &[started("c", 3, ""), started("d", 0, "")]).await;
    let rest = ok(rule, store.scan(ScanOrder::Arrival, arrival.as_ref(), 10).await);
    same(rule, &names(&rest.records), &vec!["c", "d"]);
    let rest = ok(rule, store.scan(ScanOrder::Known, known.as_ref(), 10).await);
    same(rule, &names(&rest.records), &vec!["c"]);
}

async fn hostile_text_comes_back(store: &dyn EventStore) {
    let rule = "hostile text comes back";
    for (n, text) in hostile_texts().into_iter().enumerate() {
        let id = event_id(&format!("hostile-{n}"));
        let record = hostile_record(&id, &text);
        append(rule, store, std::slice::from_ref(&record)).await;
        let found = ok(rule, store.event(&id).await).into_records();
        same(rule, &ok(rule, found), &vec![record.clone()]);
        same(rule, &ok(rule, store.append(vec![record]).await), &vec![Appended::Duplicate]);
    }
    // As identifiers, where control characters are refused from the start.
    for text in hostile_texts().iter().filter(|t| EventId::new(t).is_ok()) {
        let record = feedback(text, 1, text, UserAction::Modify);
        append(rule, store, &[started(text, 1, text), record]).await;
        same(rule, &ok(rule, store.event(&event_id(text)).await).feedback.len(), &1);
        ok(rule, store.put_features(vec![FeatureVector::new(event_id(text), 1, &[1.0])]).await);
        same(rule, &ok(rule, store.features(&[event_id(text)]).await).len(), &1);
    }
    same(rule, &ok(rule, store.without_features(None, 10).await), &Vec::new());
}

async fn extreme_times_and_numbers_come_back(store: &dyn EventStore) {
    let rule = "extreme times and numbers come back";
    let times = ["1900-01-01T00:00:00Z", "1969-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999Z"];
    let mut expected = Vec::new();
    for (n, time) in times.iter().enumerate() {
        let time: DateTime<Utc> = time.parse().unwrap_or_default();
        let mut context = task("extreme");
        context.started_at = Some(time);
        context.system_load = Some([0.1 + 0.2, f64::MIN_POSITIVE, 1e6][n]);
        context.rag_avg_similarity = Some([-1.0, -0.0, f64::EPSILON][n]);
        context.max_tokens = Some(u32::MAX);
        context.attempt = u32::MAX;
        let mut start = Started::from(context);
        start.predictions =
            vec![ShownPrediction::new("time", f64::MAX, (f64::MIN, 5e-324), "Calibrated", u64::MAX)];
        start.metadata = object(json!({
            "numbers": [i64::MIN, u64::MAX, 1.797_693_134_862_315_7e308, 5e-324, 0.1 + 0.2, -0.0, 1e21]
        }));
        let id = event_id(&format!("extreme-{n}"));
        expected.push(ok(rule, Record::new(id, time, Fact::Started(Box::new(start)))));
    }
    append(rule, store, &expected).await;
    same(rule, &scan_all(rule, store, ScanOrder::Known, 1).await, &expected);
    same(rule, &scan_all(rule, store, ScanOrder::Arrival, 1).await, &expected);
    for record in expected {
        let found = ok(rule, store.event(record.event_id()).await);
        same(rule, &ok(rule, found.into_records()), &vec![record]);
    }
}

/// Orders in which six records arrive.
const PERMUTATIONS: [[usize; 6]; 5] =
    [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2], [2, 5, 0, 4, 1, 3], [4, 2, 1, 5, 3, 0]];

/// All that can be read, but for the order of arrival.
type State = (Vec<Record>, Vec<Option<GenerationEvent>>, Vec<EventId>);

async fn state_after(store: &dyn EventStore, order: [usize; 6]) -> State {
    let rule = "the order of arrival changes nothing";
    let records = [
        started("a", 1, "first"),
        completed("a", 7, 2.0),
        feedback("a", 7, "f1", UserAction::Modify),
        feedback("a", 7, "f2", UserAction::Approve),
        started("b", 1, "second"),
        feedback("b", 3, "f1", UserAction::Reject),
    ];
    for (step, at) in order.into_iter().enumerate() {
        append(rule, store, std::slice::from_ref(&records[at])).await;
        // Deliveries repeat at any time.
        let repeated = records[order[step / 2]].clone();
        same(rule, &ok(rule, store.append(vec![repeated]).await), &vec![Appended::Duplicate]);
    }
    let known = scan_all(rule, store, ScanOrder::Known, 4).await;
    let events = ok(rule, store.get(&["a", "b"].map(event_id)).await);
    (known, events, ok(rule, store.without_features(None, 10).await))
}

fn the_order_of_arrival_changes_nothing(states: &[State]) {
    for state in states {
        same("the order of arrival changes nothing", state, &states[0]);
    }
}

/// Appends what must be new.
async fn append(rule: &str, store: &dyn EventStore, records: &[Record]) {
    let appended = ok(rule, store.append(records.to_vec()).await);
    same(rule, &appended, &vec![Appended::New; records.len()]);
}

/// Every record, `limit` at a time.
async fn scan_all(rule: &str, store: &dyn EventStore, order: ScanOrder, limit: usize) -> Vec<Record> {
    let (mut records, mut cursor) = (Vec::new(), None);
    loop {
        let page = ok(rule, store.scan(order, cursor.as_ref(), limit).await);
        let count = page.records.len();
        assert!(count <= limit, "store breaks the rule \"{rule}\": {count} records on a page of {limit}");
        let stuck = count > 0 && page.next == cursor;
        assert!(!stuck, "store breaks the rule \"{rule}\": the cursor {cursor:?} does not move on");
        records.extend(page.records);
        cursor = page.next;
        if count < limit {
            return records;
        }
    }
}

fn ok<T>(rule: &str, result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("store breaks the rule \"{rule}\": it failed with {error:#}"))
}

fn same<T: PartialEq + std::fmt::Debug>(rule: &str, found: &T, expected: &T) {
    assert!(
        found == expected,
        "store breaks the rule \"{rule}\":\n   found {}\nexpected {}",
        brief(found),
        brief(expected)
    );
}

/// A megabyte of text helps nobody.
fn brief(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    let start: String = text.chars().take(2000).collect();
    if start.len() < text.len() { format!("{start}… ({} bytes)", text.len()) } else { start }
}

fn names(records: &[Record]) -> Vec<&str> {
    records.iter().map(|r| r.event_id().as_str()).collect()
}
