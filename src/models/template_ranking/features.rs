//! What the ranking looks at of a template, for one task at one moment.

use super::catalogue::Prepared;
use super::rates::Rates;
use super::view::{Past, TemplateView};
use crate::event::TaskContext;
use crate::history::category;
use crate::text::SparseText;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// One feature of a template.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) struct TemplateFeature {
    /// Its name, as the design gives it where it does.
    pub(crate) name: &'static str,
    /// The unit of its values.
    pub(crate) unit: &'static str,
    make: fn(&Inputs<'_>) -> f32,
}

const fn feature(name: &'static str, unit: &'static str, make: fn(&Inputs<'_>) -> f32) -> TemplateFeature {
    TemplateFeature { name, unit, make }
}

const SHARE: &str = "share of outcomes";

/// Every feature, in the order of a row's values; missing is NaN.
///
/// Rates are shrunk toward those of their parents, the more the fewer outcomes they have: the template's
/// toward the task type's, its recent rate toward its overall rate, its rate for this type toward that of
/// its relatives, its rate for tasks of this type, language and framework toward that for the type.
pub(crate) static TEMPLATE_FEATURES: &[TemplateFeature] = &[
    feature("template_complexity", "0 to 10", |i| {
        i.template.profile.complexity.map_or(f32::NAN, |complexity| complexity as f32)
    }),
    feature("template_usage_count", "generations", |i| (i.past.seen.all.all.n + i.past.seen.all.open) as f32),
    feature("template_success_rate", SHARE, |i| i.rates.template as f32),
    feature("template_avg_quality", "0 to 10", |i| {
        i.past.seen.all.quality.value().map_or(f32::NAN, |v| v as f32)
    }),
    feature("template_avg_time", "ln(1 + seconds)", |i| {
        i.past.seen.all.log_seconds.value().map_or(f32::NAN, |v| v as f32)
    }),
    feature("semantic_similarity", "cosine", |i| {
        similarity((&i.task.text, i.task.square), (&i.template.text, i.template.square))
    }),
    feature("task_type_match", "0 or 1", |i| matches(i.task.kind, &i.template.task_types)),
    feature("language_match", "0 or 1", |i| matches(i.task.language, &i.template.languages)),
    feature("framework_match", "0 or 1", |i| matches(i.task.framework, &i.template.frameworks)),
    feature("tags_overlap", "share of tags", |i| tags_overlap(i.task, i.template)),
    feature("recent_usage_success", SHARE, |i| i.rates.recent as f32),
    feature("user_preference", "share of the user's approvals", |i| {
        i.rates.preference.map_or(f32::NAN, |share| share as f32)
    }),
    feature("template_type_success_rate", SHARE, |i| i.rates.at_type as f32),
    feature("template_similar_success_rate", SHARE, |i| i.rates.similar as f32),
    feature("template_type_outcomes", "outcomes", |i| i.past.seen.of_type.all.n as f32),
];

/// Places of features that are read by name elsewhere; a test checks them.
pub(super) const SEMANTIC_SIMILARITY: usize = 5;
pub(super) const TASK_TYPE_MATCH: usize = 6;
pub(super) const LANGUAGE_MATCH: usize = 7;
pub(super) const FRAMEWORK_MATCH: usize = 8;
pub(super) const SIMILAR: usize = 13;
pub(super) const TYPE_OUTCOMES: usize = 14;

/// Returns the fingerprint of the feature schema; rows with different fingerprints must not be mixed.
pub(crate) fn template_schema() -> u64 {
    // Every ranking by the past alone asks for it.
    static SCHEMA: LazyLock<u64> = LazyLock::new(|| {
        let mut hash = Sha256::new();
        hash.update("template features 1");
        TEMPLATE_FEATURES.iter().for_each(|f| hash.update(format!("\n{} {}", f.name, f.unit)));
        let digest = hash.finalize();
        u64::from_be_bytes(std::array::from_fn(|i| digest[i]))
    });
    *SCHEMA
}

/// The parts of a task that are compared with template profiles.
pub(super) struct Reading {
    /// The description's n-grams.
    text: SparseText,
    square: f32,
    /// Everything that a tag may be found in.
    words: BTreeSet<usize>,
    pub(super) kind: Option<u64>,
    pub(super) language: Option<u64>,
    pub(super) framework: Option<u64>,
    pub(super) truncated: bool,
}

impl Reading {
    pub(super) fn of(task: &TaskContext) -> Self {
        let (facts, text) = SparseText::read(&task.task_description);
        Self::with_text(task, text, facts.truncated)
    }

    /// A task whose description was read before; n-grams are the same with any lexicon.
    pub(super) fn with_text(task: &TaskContext, text: SparseText, truncated: bool) -> Self {
        let named = [&task.task_type, &task.language, &task.framework];
        let mut words: BTreeSet<_> = text.iter().map(|(bucket, _)| bucket).collect();
        for name in named.into_iter().flatten() {
            words.extend(SparseText::read(name).1.iter().map(|(bucket, _)| bucket));
        }
        let [kind, language, framework] = named.map(|name| category(name.as_deref()));
        Self { square: text.square(), text, words, kind, language, framework, truncated }
    }
}

/// The features of `template`, had `task` used it.
pub(super) fn row(task: &Reading, template: &Prepared, view: &TemplateView) -> Vec<f32> {
    let past = view.past(&template.profile.template_id);
    let matches = [
        matches(task.kind, &template.task_types),
        matches(task.language, &template.languages),
        matches(task.framework, &template.frameworks),
    ];
    let rates = Rates::of(view, &past, template, matches);
    let inputs = Inputs { task, template, past: &past, rates };
    TEMPLATE_FEATURES.iter().map(|feature| (feature.make)(&inputs)).collect()
}

/// All that a feature may look at.
struct Inputs<'a> {
    task: &'a Reading,
    template: &'a Prepared,
    past: &'a Past,
    rates: Rates,
}

/// Missing where the template or the task says nothing.
fn matches(name: Option<u64>, names: &BTreeSet<u64>) -> f32 {
    match name {
        Some(name) if !names.is_empty() => f32::from(u8::from(names.contains(&name))),
        _ => f32::NAN,
    }
}

/// The cosine of the n-grams' weights; missing where one side has none.
fn similarity((a, a_square): (&SparseText, f32), (b, b_square): (&SparseText, f32)) -> f32 {
    let norm = (a_square * b_square).sqrt();
    if norm > 0.0 { (a.dot(b) / norm).min(1.0) } else { f32::NAN }
}

/// The share of the template's tags whose words stand in the task.
fn tags_overlap(task: &Reading, template: &Prepared) -> f32 {
    let stands = |tag: &&SparseText| !tag.is_empty() && tag.iter().all(|(b, _)| task.words.contains(&b));
    let found = template.tags.iter().filter(stands).count();
    if template.tags.is_empty() { f32::NAN } else { found as f32 / template.tags.len() as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{TaskId, TemplateId};
    use crate::history::History;
    use crate::models::template_ranking::{TemplateCatalogue, TemplateProfile};

    fn values(profile: TemplateProfile, change: impl Fn(&mut TaskContext)) -> Vec<f32> {
        let mut task = TaskContext::new(TaskId::new("t").unwrap());
        change(&mut task);
        let catalogue = TemplateCatalogue::new([profile]).unwrap();
        let now = "2025-03-01T10:00:00Z".parse().unwrap();
        let view = TemplateView::of(&History::new(), &task, &catalogue, now);
        row(&Reading::of(&task), &catalogue.all()[0], &view)
    }

    fn at(values: &[f32], name: &str) -> f32 {
        values[TEMPLATE_FEATURES.iter().position(|f| f.name == name).unwrap()]
    }

    #[test]
    fn places_are_where_their_names_are() {
        let named = [
            (SEMANTIC_SIMILARITY, "semantic_similarity"),
            (TASK_TYPE_MATCH, "task_type_match"),
            (LANGUAGE_MATCH, "language_match"),
            (FRAMEWORK_MATCH, "framework_match"),
            (SIMILAR, "template_similar_success_rate"),
            (TYPE_OUTCOMES, "template_type_outcomes"),
        ];
        named.iter().for_each(|(place, name)| assert_eq!(TEMPLATE_FEATURES[*place].name, *name));
        let names: BTreeSet<_> = TEMPLATE_FEATURES.iter().map(|f| f.name).collect();
        assert_eq!(names.len(), TEMPLATE_FEATURES.len());
    }

    #[test]
    fn what_nobody_says_is_missing() {
        let plain = TemplateProfile::new(TemplateId::new("a").unwrap());
        let row = values(plain, |_| {});
        for name in ["template_complexity", "semantic_similarity", "task_type_match", "user_preference"] {
            assert!(at(&row, name).is_nan(), "{name}");
        }
        assert_eq!(at(&row, "template_success_rate"), 0.5);
    }

    #[test]
    fn matches_disregard_case_and_words_are_compared() {
        let profile = TemplateProfile::new(TemplateId::new("a").unwrap())
            .described("A REST endpoint with validation")
            .for_task_types(["Backend"])
            .for_languages(["python"])
            .tagged(["rest endpoint", "Python", "websocket"]);
        let row = values(profile, |task| {
            task.task_type = Some(" backend ".into());
            task.language = Some("Python".into());
            task.task_description = "Add the REST endpoint of the orders".into();
        });
        assert_eq!((at(&row, "task_type_match"), at(&row, "language_match")), (1.0, 1.0));
        assert!((at(&row, "tags_overlap") - 2.0 / 3.0).abs() < 1e-6);
        assert!((0.1..0.9).contains(&at(&row, "semantic_similarity")));
    }

    #[test]
    fn a_text_is_like_itself() {
        let text = SparseText::read("add a page with a table of orders").1;
        let alike = |other: &SparseText| similarity((&text, text.square()), (other, other.square()));
        assert!((alike(&text) - 1.0).abs() < 1e-6);
        assert_eq!(alike(&SparseText::read("unheard").1), 0.0);
        assert!(alike(&SparseText::default()).is_nan());
    }
}
