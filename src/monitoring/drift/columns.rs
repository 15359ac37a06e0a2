//! The host's own columns watched window by window, by their names: their declaration is not known here.

use super::distance::{of_categories, of_numbers};
use super::features::{
    Context, LEAST_MICROS, LEAST_WINDOWS, MEMORY_WINDOWS, Pair, benjamini_hochberg, most_moved,
};
use super::finding::{ChangeSize, DriftKind, Finding};
use super::since_words;
use crate::event::{ColumnValue, Columns};
use crate::monitoring::histogram::Histogram;
use crate::monitoring::options::MonitorOptions;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Of more columns those are watched that came first.
const MOST_COLUMNS: usize = 1_000;
/// Values of a column that are told apart; later ones are others.
const MOST_VALUES: usize = 64;
/// Places of a column's counts before those of its values: missing, and others.
const MISSING: usize = 0;
const OTHERS: usize = 1;
const FIRST: usize = 2;

/// The columns of one kind of record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::monitoring) struct ColumnWatch {
    columns: BTreeMap<String, Watched>,
    /// Events in the window.
    events: u32,
    /// When its first became known.
    from: i64,
}

/// A column with the windows that tell what is usual.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Watched {
    windows: u64,
    values: Seen,
}

/// What kind a column is of, its first value says; one of another kind is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Seen {
    Numbers(Pair<Histogram>),
    Names(Vec<String>, Pair<Vec<u32>>),
}

/// A column as a report shows it.
pub(in crate::monitoring) enum Recent<'a> {
    Numbers(Histogram),
    /// Missing, and each value with its count.
    Names(u64, Vec<(&'a str, u64)>),
}

impl ColumnWatch {
    pub(in crate::monitoring) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Takes in the columns of an event; returns what has changed where its window is full.
    pub(in crate::monitoring) fn add(
        &mut self,
        columns: &Columns,
        known_at: DateTime<Utc>,
        options: &MonitorOptions,
    ) -> Vec<Finding> {
        if columns.is_empty() && self.columns.is_empty() {
            return Vec::new();
        }
        let micros = known_at.timestamp_micros();
        if self.events == 0 {
            self.from = micros;
        }
        self.events += 1;
        for (name, value) in columns {
            if self.columns.len() < MOST_COLUMNS && !self.columns.contains_key(name) {
                self.columns.insert(name.clone(), Watched { windows: 0, values: Seen::like(value) });
            }
        }
        self.columns.iter_mut().for_each(|(name, watched)| watched.values.add(columns.get(name)));
        let full = self.events >= options.window && micros - self.from >= LEAST_MICROS;
        if full { self.close(options, known_at) } else { Vec::new() }
    }

    /// Returns each column's name with its recent values.
    pub(in crate::monitoring) fn recent(&self) -> impl Iterator<Item = (&str, Recent<'_>)> {
        self.columns.iter().map(|(name, watched)| (name.as_str(), watched.values.recent()))
    }

    fn close(&mut self, options: &MonitorOptions, now: DateTime<Utc>) -> Vec<Finding> {
        let since = DateTime::from_timestamp_micros(self.from).unwrap_or(now);
        let context = Context { since, now, events: u64::from(self.events) };
        let usual = self.columns.iter().enumerate().filter(|(_, (_, w))| w.windows >= LEAST_WINDOWS);
        let tests = usual.filter_map(|(at, (name, w))| Some((at, w.values.test(name, &context)?))).collect();
        // As often as the windows of starts may err, all columns together may.
        let level = options.false_alarms * f64::from(self.events) / 10_000.0 / 2.0;
        let mut found = Vec::new();
        let mut changed = vec![false; self.columns.len()];
        for (at, finding) in benjamini_hochberg(tests, level.min(0.2)) {
            if finding.size.psi.is_some_and(|psi| psi >= options.least_psi) {
                changed[at] = true;
                found.push(finding);
            }
        }
        for (watched, changed) in self.columns.values_mut().zip(changed) {
            watched.keep(changed);
        }
        self.events = 0;
        found
    }
}

impl Watched {
    /// The window becomes a part of what is usual; where it differs, all of it.
    fn keep(&mut self, changed: bool) {
        let fade = self.windows >= MEMORY_WINDOWS;
        match &mut self.values {
            Seen::Numbers(pair) => {
                let window = std::mem::take(&mut pair.window);
                if changed {
                    pair.usual = window;
                } else {
                    if fade {
                        pair.usual.halve();
                    }
                    pair.usual.merge(&window);
                }
            }
            Seen::Names(_, pair) => {
                let window = std::mem::take(&mut pair.window);
                if changed {
                    pair.usual = window;
                } else {
                    pair.usual.resize(pair.usual.len().max(window.len()), 0);
                    for (at, usual) in pair.usual.iter_mut().enumerate() {
                        *usual = (if fade { *usual / 2 } else { *usual }) + count(&window, at);
                    }
                }
            }
        }
        self.windows = if fade { MEMORY_WINDOWS / 2 } else { self.windows } + 1;
    }
}

impl Seen {
    fn like(value: &ColumnValue) -> Self {
        match value {
            ColumnValue::Number(_) => Self::Numbers(Pair::default()),
            ColumnValue::Flag(_) | ColumnValue::Category(_) => Self::Names(Vec::new(), Pair::default()),
        }
    }

    fn add(&mut self, value: Option<&ColumnValue>) {
        match self {
            Self::Numbers(pair) => pair.window.add(match value {
                Some(ColumnValue::Number(number)) => *number,
                _ => f64::NAN,
            }),
            Self::Names(names, pair) => {
                let at = match value {
                    Some(ColumnValue::Flag(yes)) => place(names, if *yes { "true" } else { "false" }),
                    Some(ColumnValue::Category(name)) => place(names, name),
                    Some(ColumnValue::Number(_)) | None => MISSING,
                };
                if pair.window.len() <= at {
                    pair.window.resize(at + 1, 0);
                }
                pair.window[at] = pair.window[at].saturating_add(1);
            }
        }
    }

    fn test(&self, name: &str, context: &Context) -> Option<Finding> {
        let since = since_words(context.since);
        let subject = format!("columns.{name}");
        match self {
            Self::Numbers(pair) => {
                let distance = of_numbers(&pair.usual, &pair.window)?;
                let size = ChangeSize {
                    psi: Some(distance.psi),
                    ks: Some(distance.ks),
                    wasserstein: Some(distance.wasserstein),
                    p_value: Some(distance.p_value),
                    ..ChangeSize::default()
                };
                let middle = |h: &Histogram| h.quantile(0.5).unwrap_or(0.0);
                let missing =
                    |h: &Histogram| 100.0 * h.unknown() as f64 / (h.n() + h.unknown()).max(1) as f64;
                let (before, after) = (middle(&pair.usual), middle(&pair.window));
                let text = format!(
                    "The column {name} is distributed otherwise: median {before:.3} before, {after:.3} since {since}; missing \
                     {:.0} % before, {:.0} % since (PSI {:.2}).",
                    missing(&pair.usual),
                    missing(&pair.window),
                    distance.psi
                );
                Some(context.finding(DriftKind::Feature, &subject, (before, after), size, text))
            }
            Self::Names(names, pair) => {
                let distance = of_categories(&pair.usual, &pair.window)?;
                let size = ChangeSize {
                    psi: Some(distance.psi),
                    jensen_shannon: Some(distance.jensen_shannon),
                    p_value: Some(distance.p_value),
                    ..ChangeSize::default()
                };
                let (at, before, after) = most_moved(&pair.usual, &pair.window);
                let text = format!(
                    "The mix of the column {name} has changed: {} was {:.0} %, is {:.0} % since {since} (Jensen-Shannon {:.2} \
                     bits).",
                    value_at(names, usize::from(at)),
                    before * 100.0,
                    after * 100.0,
                    distance.jensen_shannon
                );
                Some(context.finding(DriftKind::Feature, &subject, (before, after), size, text))
            }
        }
    }

    fn recent(&self) -> Recent<'_> {
        match self {
            Self::Numbers(pair) => {
                let mut sum = pair.usual.clone();
                sum.merge(&pair.window);
                Recent::Numbers(sum)
            }
            Self::Names(names, pair) => {
                let n = |at: usize| u64::from(count(&pair.usual, at)) + u64::from(count(&pair.window, at));
                let values = (OTHERS..FIRST + names.len()).map(|at| (value_at(names, at), n(at)));
                Recent::Names(n(MISSING), values.filter(|(_, n)| *n > 0).collect())
            }
        }
    }
}

/// Returns the place of a value, which is remembered while there is room.
fn place(names: &mut Vec<String>, name: &str) -> usize {
    match names.iter().position(|known| known == name) {
        Some(at) => FIRST + at,
        None if names.len() < MOST_VALUES => {
            names.push(name.to_owned());
            FIRST + names.len() - 1
        }
        None => OTHERS,
    }
}

fn value_at(names: &[String], at: usize) -> &str {
    match at {
        MISSING => "missing",
        OTHERS => "others",
        _ => names.get(at - FIRST).map_or("others", String::as_str),
    }
}

fn count(counts: &[u32], at: usize) -> u32 {
    counts.get(at).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    /// Observes `events` a quarter of an hour apart, and returns what has changed.
    fn observe(
        watch: &mut ColumnWatch,
        from: i64,
        events: i64,
        columns: impl Fn(i64) -> Columns,
    ) -> Vec<Finding> {
        let mut options = MonitorOptions::default();
        options.window = 200;
        let at = |i: i64| DateTime::UNIX_EPOCH + TimeDelta::minutes(15 * (from + i));
        (0..events).flat_map(|i| watch.add(&columns(from + i), at(i), &options)).collect()
    }

    fn usual(i: i64) -> Columns {
        let mut columns = Columns::from([
            ("coverage".to_owned(), ((i * 7919 % 50) as f64 + 40.0).into()),
            ("team".to_owned(), ["red", "blue"][(i * 7919 % 2) as usize].into()),
        ]);
        if i % 3 > 0 {
            columns.insert("has_design".to_owned(), (i * 7907 % 5 == 0).into());
        }
        columns
    }

    #[test]
    fn columns_that_stay_as_they_are_are_no_finding() {
        let mut watch = ColumnWatch::default();
        assert!(observe(&mut watch, 0, 4_000, usual).is_empty());
        let back: ColumnWatch = postcard::from_bytes(&postcard::to_stdvec(&watch).unwrap()).unwrap();
        assert_eq!(back, watch);
    }

    #[test]
    fn a_change_is_found_and_named() {
        type Change = fn(i64, &mut Columns);
        let changes: [(&str, Change); 4] = [
            ("columns.coverage", |_, c| {
                c.entry("coverage".into()).and_modify(|v| {
                    if let ColumnValue::Number(v) = v {
                        *v /= 100.0;
                    }
                });
            }),
            ("columns.team", |i, c| {
                c.insert("team".into(), if i % 4 > 0 { "green".into() } else { "red".into() });
            }),
            ("columns.has_design", |_, c| drop(c.remove("has_design"))),
            ("columns.coverage", |_, c| drop(c.insert("coverage".into(), "high".into()))),
        ];
        for (name, change) in changes {
            let mut watch = ColumnWatch::default();
            observe(&mut watch, 0, 1_000, usual);
            let found = observe(&mut watch, 1_000, 400, |i| {
                let mut columns = usual(i);
                change(i, &mut columns);
                columns
            });
            let subjects: Vec<_> = found.iter().map(|finding| finding.subject.as_str()).collect();
            assert_eq!(subjects, [name], "{found:?}");
            assert!(found[0].text.contains(name.trim_start_matches("columns.")), "{}", found[0].text);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut watch = ColumnWatch::default();
        let many = |i: i64| {
            Columns::from([("team".to_owned(), format!("t{i}").into()), (format!("c{i}"), true.into())])
        };
        observe(&mut watch, 0, 3_000, many);
        assert_eq!(watch.columns.len(), MOST_COLUMNS);
        let team = watch.recent().find(|(name, _)| *name == "team").map(|(_, recent)| recent);
        assert!(matches!(team, Some(Recent::Names(0, values)) if values.len() <= MOST_VALUES + 1));
    }
}
