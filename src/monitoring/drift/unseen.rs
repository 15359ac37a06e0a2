//! Predicted values that are unlike all that their models were trained on.

use super::finding::{ChangeSize, DriftKind, Finding, Severity};
use super::since_words;
use crate::models::UnseenValue;
use chrono::{DateTime, TimeDelta, Utc};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Counts those that are far beyond by feature, missing ones apart, until none has come for a day.
#[derive(Debug, Default)]
pub(crate) struct UnseenCounts {
    features: BTreeMap<(Cow<'static, str>, bool), Count>,
}

#[derive(Debug)]
struct Count {
    since: DateTime<Utc>,
    last: DateTime<Utc>,
    predictions: u64,
    range: (f32, f32),
    /// The value farthest beyond.
    farthest: f32,
}

/// Features that are counted at most; a host's own have names of its own.
const MOST_FEATURES: usize = 1_000;

fn kept() -> TimeDelta {
    TimeDelta::days(1)
}

impl UnseenCounts {
    /// Counts the unseen values of a prediction.
    pub(crate) fn add(&mut self, unseen: &[UnseenValue], now: DateTime<Utc>) {
        for UnseenValue { feature, value, range } in unseen.iter().filter(|one| one.is_far()) {
            let key = (feature.clone(), value.is_nan());
            if self.features.len() >= MOST_FEATURES && !self.features.contains_key(&key) {
                continue;
            }
            let new = || Count { since: now, last: now, predictions: 0, range: *range, farthest: *value };
            let count = self.features.entry(key).or_insert_with(new);
            (count.predictions, count.last, count.range) = (count.predictions + 1, now, *range);
            let beyond = |value: f32| (range.0 - value).max(value - range.1);
            if beyond(*value) > beyond(count.farthest) {
                count.farthest = *value;
            }
        }
    }

    /// Returns a finding a feature, and forgets those of which none has come for a day.
    pub(crate) fn findings(&mut self, now: DateTime<Utc>) -> Vec<Finding> {
        self.features.retain(|_, count| now - count.last <= kept());
        let finding = |((feature, missing), count): (&(Cow<'static, str>, bool), &Count)| {
            let (least, greatest) = count.range;
            let (n, since) = (count.predictions, since_words(count.since));
            let nearest = count.farthest.clamp(least, greatest);
            let (text, before, after) = if *missing {
                let text = format!(
                    "{feature} was missing in {n} predictions since {since}, and never in the training data: they are answered \
                     as most of its rows."
                );
                (text, 0.0, n as f64)
            } else {
                let text = format!(
                    "{feature} lay beyond the training data ({least} to {greatest}) in {n} predictions since {since}, at {} \
                     farthest: it counts as {nearest} there.",
                    count.farthest
                );
                (text, f64::from(nearest), f64::from(count.farthest))
            };
            Finding {
                kind: DriftKind::Feature,
                subject: feature.to_string(),
                slice: None,
                within: None,
                since: count.since,
                found_at: count.last,
                events: n,
                before,
                after,
                size: ChangeSize::default(),
                severity: Severity::Info,
                text,
                advice:
                    "See whether the host records it otherwise now; retrain, so that models know such values."
                        .into(),
            }
        };
        self.features.iter().map(finding).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_until_none_comes() {
        let at = |hours| DateTime::UNIX_EPOCH + TimeDelta::hours(hours);
        let value = |value| UnseenValue { feature: "user_outcomes".into(), value, range: (0.0, 149.0) };
        let mut counts = UnseenCounts::default();
        counts.add(&[value(300.0)], at(0));
        counts.add(&[value(319.0)], at(1));
        counts.add(&[value(150.0), value(f32::NAN)], at(2));
        let found = counts.findings(at(3));
        let figures: Vec<_> = found.iter().map(|f| (f.events, f.before, f.after)).collect();
        assert_eq!(figures, [(2, 149.0, 319.0), (1, 0.0, 1.0)]);
        assert!(found[0].text.contains("(0 to 149) in 2 predictions") && found[0].subject == "user_outcomes");
        assert_eq!(counts.findings(at(26)).len(), 1);
        assert!(counts.findings(at(40)).is_empty());
    }
}
