//! Decisions on comparisons whose result is known.
#![allow(clippy::unwrap_used)] // helpers of tests may fail by unwrapping

use super::*;
use crate::ml::metrics::{compare_auc, compare_paired};

fn scores(accuracy: f64, auc: f64) -> BTreeMap<String, f64> {
    [("accuracy".to_owned(), accuracy), ("auc".to_owned(), auc)].into()
}

/// Losses of about 0.5, the first higher by `shift`, with some noise.
fn comparison(shift: f64) -> PairedComparison {
    let first: Vec<_> = (0..200).map(|i| 0.5 + shift + 0.01 * f64::from(i % 5 - 2)).collect();
    compare_paired(&first, &[0.5; 200], &(0..200).collect::<Vec<_>>(), 0.95, 1).unwrap()
}

fn against(shift: f64) -> AgainstChampion {
    AgainstChampion { loss: comparison(shift), champion_loss: 0.5, auc: None }
}

#[test]
fn floors_must_be_exceeded() {
    let better = BTreeMap::from([("constant".to_owned(), comparison(-0.1))]);
    let evaluate = |a, b| Gate::with_floors().evaluate(&scores(a, b), &better, Champion::None);
    assert!(evaluate(0.76, 0.81).promotes());
    let rejected = evaluate(0.75, 0.81);
    assert_eq!(rejected.decision, GateDecision::Reject);
    assert!(rejected.reasons[0].contains("accuracy 0.750 is not above its floor of 0.750"));
    let undefined = Gate::with_floors().evaluate(&BTreeMap::new(), &better, Champion::None);
    assert_eq!(undefined.decision, GateDecision::Reject);
}

#[test]
fn better_is_promoted_worse_rejected_and_the_rest_inconclusive() {
    let evaluate = |shift| {
        let champion = against(shift);
        Gate::default().evaluate(&BTreeMap::new(), &BTreeMap::new(), Champion::Compared(&champion))
    };
    assert_eq!(evaluate(0.1).decision, GateDecision::Reject);
    assert_eq!(evaluate(-0.1).decision, GateDecision::Promote);
    let undecided = evaluate(0.0);
    assert_eq!((undecided.decision, undecided.more_outcomes), (GateDecision::Inconclusive, None));
    let nearly = evaluate(-0.0015);
    assert_eq!(nearly.decision, GateDecision::Inconclusive, "{nearly:?}");
    assert!(nearly.more_outcomes.is_some_and(|n| n > 0), "{nearly:?}");
    assert!(nearly.reasons[0].contains("more outcomes may decide"));
}

#[test]
fn a_refreshing_gate_lets_equals_pass_and_no_worse_ones() {
    let evaluate = |shift| {
        let champion = against(shift);
        Gate::refreshing().evaluate(&BTreeMap::new(), &BTreeMap::new(), Champion::Compared(&champion))
    };
    assert!(evaluate(0.0).promotes() && !evaluate(0.03).promotes());
}

#[test]
fn worse_than_a_baseline_or_a_worse_ranking_is_rejected() {
    let champion = against(-0.1);
    let lost = BTreeMap::from([("constant".to_owned(), comparison(0.1))]);
    let verdict = Gate::default().evaluate(&BTreeMap::new(), &lost, Champion::Compared(&champion));
    assert_eq!(verdict.decision, GateDecision::Reject);
    let y: Vec<_> = (0..200).map(|i| i % 2 == 0).collect();
    let good: Vec<_> = (0..200).map(|i| f64::from(u8::from(i % 2 == 0 || i % 5 == 0))).collect();
    let bad: Vec<_> = (0..200).map(|i| f64::from(i % 7)).collect();
    let auc = compare_auc(&bad, &good, &y).unwrap();
    let champion = AgainstChampion { auc, ..against(-0.1) };
    let verdict = Gate::default().evaluate(&BTreeMap::new(), &BTreeMap::new(), Champion::Compared(&champion));
    assert_eq!(verdict.decision, GateDecision::Reject, "{verdict:?}");
}

#[test]
fn a_first_model_must_be_better_than_a_baseline() {
    let evaluate = |shift| {
        let baselines = BTreeMap::from([("constant".to_owned(), comparison(shift))]);
        Gate::default().evaluate(&BTreeMap::new(), &baselines, Champion::None).decision
    };
    assert_eq!(
        [evaluate(-0.1), evaluate(0.0), evaluate(0.1)],
        [GateDecision::Promote, GateDecision::Inconclusive, GateDecision::Reject]
    );
    let beside_one_that_fails = |shift| {
        let constant = ("constant".to_owned(), comparison(shift));
        let baselines = [constant, ("past".to_owned(), comparison(-0.3))].into();
        Gate::default().evaluate(&BTreeMap::new(), &baselines, Champion::None)
    };
    assert!(beside_one_that_fails(-0.0001).promotes());
    let undecided = beside_one_that_fails(0.0004);
    assert_eq!(undecided.decision, GateDecision::Inconclusive);
    assert!(
        undecided.reasons[0].contains("inconclusive: may be worse than the baseline constant: loss +0.0004"),
        "{undecided:?}"
    );
    let few = Gate::default().evaluate(&BTreeMap::new(), &BTreeMap::new(), Champion::TooFewRows(7));
    assert_eq!(few.decision, GateDecision::Inconclusive);
}

#[test]
fn the_reasons_of_a_verdict_do_not_contradict_each_other() {
    for shift in [-0.1, -0.0015, 0.0, 0.002, 0.1] {
        for gate in [Gate::default(), Gate::refreshing()] {
            let (champion, baselines) = (against(shift), [("past".to_owned(), comparison(shift))].into());
            for champion in [Champion::Compared(&champion), Champion::None] {
                let GateVerdict { decision, reasons, .. } =
                    gate.evaluate(&BTreeMap::new(), &baselines, champion);
                let any = |word: &str| reasons.iter().any(|reason| reason.starts_with(word));
                assert_eq!(any("rejected"), decision == GateDecision::Reject, "{reasons:?}");
                assert!(decision != GateDecision::Inconclusive || any("inconclusive"), "{reasons:?}");
                let about = reasons.iter().filter(|reason| reason.contains("the baseline past"));
                assert_eq!(about.count(), 1, "one reason a baseline: {reasons:?}");
                let better = reasons.iter().any(|r| r.starts_with("significantly better"));
                assert!(!(better && shift >= 0.0), "{reasons:?}");
            }
        }
    }
}

#[test]
fn verdicts_of_earlier_releases_are_read() {
    let decision = |text: &str| serde_json::from_str::<GateDecision>(text).unwrap();
    assert_eq!(decision(r#""hold""#), GateDecision::Inconclusive);
    assert_eq!(decision(r#""refuse""#), GateDecision::Reject);
    assert_eq!(decision(r#""inconclusive""#), GateDecision::Inconclusive);
}

#[test]
fn options_out_of_range_are_named() {
    let wrong = |gate: Gate| gate.validate().unwrap_err().to_string();
    let nan = f64::NAN;
    assert!(wrong(Gate { floors: [("auc".to_owned(), nan)].into(), ..Gate::default() }).contains("auc"));
    assert!(wrong(Gate { margin: nan, ..Gate::default() }).contains("margin is NaN"));
    assert!(wrong(Gate { confidence: 1.0, ..Gate::default() }).contains("confidence is 1"));
}
