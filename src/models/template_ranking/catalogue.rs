//! The host's templates, checked and made ready to be compared with tasks.

use super::profile::TemplateProfile;
use crate::config;
use crate::error::{Error, Result};
use crate::event::TemplateId;
use crate::history::category;
use crate::text::SparseText;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The templates that a host has, in the order of their ids however they were given.
///
/// Its JSON form is a list of [`TemplateProfile`]s.
///
/// ```
/// use devmatrix_ml::models::TemplateCatalogue;
/// let catalogue = TemplateCatalogue::from_json(
///     r#"[{"template_id": "rest-crud", "task_types": ["backend"], "tags": ["rest"]},
///         {"template_id": "form-page", "task_types": ["frontend"], "complexity": 3.5}]"#,
/// )?;
/// assert_eq!(catalogue.iter().count(), 2);
/// let error = TemplateCatalogue::from_json(r#"[{"template_id": "a", "complexity": 11}]"#).unwrap_err();
/// assert!(error.to_string().contains("template a: complexity is 11"));
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<TemplateProfile>", into = "Vec<TemplateProfile>")]
pub struct TemplateCatalogue {
    templates: Vec<Arc<Prepared>>,
}

/// Most templates of a catalogue: relatives are found by comparing each with each.
const MOST_TEMPLATES: usize = 2_000;

/// Most relatives that speak for a template.
const MOST_RELATIVES: usize = 32;

/// What sharing a task type counts among relatives; the rest is the share of tags in common.
const SAME_TYPE: f64 = 0.5;

impl TemplateCatalogue {
    /// A catalogue of these templates; their order does not matter.
    ///
    /// # Errors
    /// `InvalidInput` naming the template and the field that is out of range, an id that comes
    /// twice, or more than 2,000 templates.
    pub fn new(profiles: impl IntoIterator<Item = TemplateProfile>) -> Result<Self> {
        let mut profiles: Vec<_> = profiles.into_iter().collect();
        if profiles.len() > MOST_TEMPLATES {
            return Err(Error::invalid(format!(
                "a catalogue of {} templates, at most {MOST_TEMPLATES} are taken",
                profiles.len()
            )));
        }
        profiles.iter().try_for_each(TemplateProfile::validate)?;
        profiles.sort_by(|a, b| a.template_id.cmp(&b.template_id));
        if let Some(twice) = profiles.windows(2).find(|w| w[0].template_id == w[1].template_id) {
            return Err(Error::invalid(format!(
                "template {} is in the catalogue twice: give each its own id",
                twice[0].template_id
            )));
        }
        let mut prepared: Vec<_> = profiles.into_iter().map(Prepared::new).collect();
        let relatives: Vec<_> = (0..prepared.len()).map(|at| relatives(&prepared, at)).collect();
        prepared.iter_mut().zip(relatives).for_each(|(template, found)| template.relatives = found);
        Ok(Self { templates: prepared.into_iter().map(Arc::new).collect() })
    }

    /// Reads a JSON list of profiles.
    ///
    /// # Errors
    /// `InvalidInput` with the place where the JSON is broken, for an unknown key with the nearest right one, or as [`TemplateCatalogue::new`].
    pub fn from_json(json: &str) -> Result<Self> {
        config::from_json(json)
    }

    /// The template of that id.
    pub(crate) fn get(&self, id: &TemplateId) -> Option<&TemplateProfile> {
        self.prepared(id).map(|template| &template.profile)
    }

    /// The templates, ascending by id.
    pub fn iter(&self) -> impl Iterator<Item = &TemplateProfile> {
        self.templates.iter().map(|template| &template.profile)
    }

    /// How many templates there are.
    pub(crate) fn len(&self) -> usize {
        self.templates.len()
    }

    pub(super) fn prepared(&self, id: &TemplateId) -> Option<&Arc<Prepared>> {
        let found = self.templates.binary_search_by(|template| template.profile.template_id.cmp(id));
        self.templates.get(found.ok()?)
    }

    pub(super) fn all(&self) -> &[Arc<Prepared>] {
        &self.templates
    }
}

impl TryFrom<Vec<TemplateProfile>> for TemplateCatalogue {
    type Error = Error;
    fn try_from(profiles: Vec<TemplateProfile>) -> Result<Self> {
        Self::new(profiles)
    }
}

impl From<TemplateCatalogue> for Vec<TemplateProfile> {
    fn from(catalogue: TemplateCatalogue) -> Self {
        catalogue.iter().cloned().collect()
    }
}

/// A template with what is compared of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Prepared {
    pub(super) profile: TemplateProfile,
    /// The n-grams of its description and tags.
    pub(super) text: SparseText,
    /// The sum of the squares of their weights.
    pub(super) square: f32,
    /// The n-grams of each tag.
    pub(super) tags: Vec<SparseText>,
    pub(super) task_types: BTreeSet<u64>,
    pub(super) languages: BTreeSet<u64>,
    pub(super) frameworks: BTreeSet<u64>,
    tag_names: BTreeSet<u64>,
    /// Templates alike, the closest first, with how much each speaks for this one (0 to 1).
    pub(super) relatives: Vec<(TemplateId, f64)>,
}

impl Prepared {
    /// A template with no relatives.
    pub(super) fn new(profile: TemplateProfile) -> Self {
        let words = format!("{}\n{}", profile.description, profile.tags.join("\n"));
        let numbers = |names: &[String]| names.iter().filter_map(|name| category(Some(name))).collect();
        let text = SparseText::read(&words).1;
        Self {
            square: text.square(),
            text,
            tags: profile.tags.iter().map(|tag| SparseText::read(tag).1).collect(),
            task_types: numbers(&profile.task_types),
            languages: numbers(&profile.languages),
            frameworks: numbers(&profile.frameworks),
            tag_names: numbers(&profile.tags),
            relatives: Vec::new(),
            profile,
        }
    }

    /// Returns true if the template exists at `now`.
    pub(super) fn exists(&self, now: DateTime<Utc>) -> bool {
        self.profile.created_at.is_none_or(|created| created <= now)
    }

    /// How much what is known of one speaks for the other, 0 to 1.
    fn relation(&self, other: &Self) -> f64 {
        let same_type = self.task_types.intersection(&other.task_types).next().is_some();
        let shared = self.tag_names.intersection(&other.tag_names).count() as f64;
        let all = (self.tag_names.len() + other.tag_names.len()) as f64 - shared;
        let tags = if all > 0.0 { shared / all } else { 0.0 };
        f64::from(u8::from(same_type)) * SAME_TYPE + (1.0 - SAME_TYPE) * tags
    }
}

fn relatives(all: &[Prepared], at: usize) -> Vec<(TemplateId, f64)> {
    let others = all.iter().enumerate().filter(|(i, _)| *i != at);
    let related = others.map(|(_, other)| (other.profile.template_id.clone(), all[at].relation(other)));
    let mut related: Vec<_> = related.filter(|(_, relation)| *relation > 0.0).collect();
    // The order of ids decides between equals: sorting is stable.
    related.sort_by(|a, b| b.1.total_cmp(&a.1));
    related.truncate(MOST_RELATIVES);
    related
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(id: &str) -> TemplateProfile {
        TemplateProfile::new(TemplateId::new(id).unwrap())
    }

    fn refusal(profiles: Vec<TemplateProfile>) -> String {
        format!("{:#}", TemplateCatalogue::new(profiles).unwrap_err())
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(
            refusal(vec![profile("a"), profile("b"), profile("a")]).contains("a is in the catalogue twice")
        );
        let wrong = profile("a").of_complexity(f64::NAN);
        assert!(refusal(vec![wrong]).contains("template a: complexity is NaN"));
        let wrong = profile("a").tagged(["x", " "]);
        assert!(refusal(vec![wrong]).contains("template a: tags[1] is blank"));
        let wrong = profile("a").for_languages(vec!["x"; 300]);
        assert!(refusal(vec![wrong]).contains("languages has 300 names"));
        let wrong = profile("a").created_at(DateTime::<Utc>::MIN_UTC);
        assert!(refusal(vec![wrong]).contains("template a: created_at is"));
        assert!(refusal((0..2_001).map(|i| profile(&i.to_string())).collect()).contains("2001 templates"));
        let error = TemplateCatalogue::from_json(r#"[{"template_id": ""}]"#).unwrap_err();
        assert!(format!("{error:#}").contains("TemplateId is empty"), "{error:#}");
    }

    #[test]
    fn order_does_not_matter_and_json_comes_back() {
        let (a, b) = (profile("a").for_task_types(["x"]), profile("b").for_task_types(["X"]));
        let catalogue = TemplateCatalogue::new([a.clone(), b.clone()]).unwrap();
        assert_eq!(catalogue, TemplateCatalogue::new([b, a]).unwrap());
        let json = serde_json::to_string(&catalogue).unwrap();
        assert_eq!(TemplateCatalogue::from_json(&json).unwrap(), catalogue);
        assert_eq!(serde_json::from_str::<TemplateCatalogue>(&json).unwrap(), catalogue);
        assert_eq!(catalogue.all()[0].relatives, [(TemplateId::new("b").unwrap(), SAME_TYPE)]);
    }

    #[test]
    fn tags_in_common_make_relatives_closer() {
        let with = |id: &str, tags: &[&str]| profile(id).for_task_types(["x"]).tagged(tags.to_vec());
        let all = [with("a", &["rest", "crud"]), with("b", &["html"]), with("c", &["REST", "crud"])];
        let catalogue = TemplateCatalogue::new(all).unwrap();
        let ids: Vec<_> = catalogue.all()[0].relatives.iter().map(|(id, w)| (id.as_str(), *w)).collect();
        assert_eq!(ids, [("c", 1.0), ("b", 0.5)]);
    }
}
