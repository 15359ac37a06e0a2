//! What the host says of a template.

use crate::error::{Error, Result};
use crate::event::{TemplateId, is_recordable};
use crate::history::category;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// One of the host's templates.
///
/// Lists that are empty say nothing: such a template is neither for nor against any task type,
/// language or framework. Names are compared without regard to case.
///
/// ```
/// use devmatrix_ml::event::TemplateId;
/// use devmatrix_ml::models::{TemplateCatalogue, TemplateProfile};
/// let mut profile = TemplateProfile::new(TemplateId::new("rest-crud")?);
/// profile.description = "A REST resource with its four operations, validation and tests".into();
/// profile.task_types = vec!["backend".into()];
/// profile.languages = vec!["python".into(), "typescript".into()];
/// profile.frameworks = vec!["fastapi".into(), "express".into()];
/// profile.complexity = Some(4.0);
/// profile.created_at = Some("2025-03-01T00:00:00Z".parse().unwrap());
/// let catalogue = TemplateCatalogue::new([profile])?;
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TemplateProfile {
    /// Its name in events.
    pub template_id: TemplateId,
    /// A description of its output, compared with the task's description.
    #[serde(default)]
    pub description: String,
    /// The task types that it is made for.
    #[serde(default)]
    pub task_types: Vec<String>,
    /// The programming languages that it is made for.
    #[serde(default)]
    pub languages: Vec<String>,
    /// The frameworks that it is made for.
    #[serde(default)]
    pub frameworks: Vec<String>,
    /// Topic tags of a word or two each.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How complex it is, 0 to 10.
    #[serde(default)]
    pub complexity: Option<f64>,
    /// Since when it may be used; `None` for ever. A new template whose date is known is sure to be
    /// ranked first once within its first 50 tasks.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
}

/// Most names in one list of a profile.
const MOST_NAMES: usize = 256;

impl TemplateProfile {
    /// A template of which only the name is known.
    pub fn new(template_id: TemplateId) -> Self {
        Self {
            template_id,
            description: String::new(),
            task_types: Vec::new(),
            languages: Vec::new(),
            frameworks: Vec::new(),
            tags: Vec::new(),
            complexity: None,
            created_at: None,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// `InvalidInput` naming the template, the field and its value.
    pub(crate) fn validate(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::invalid(format!("template {}: {what}", self.template_id)));
        if let Some(c) = self.complexity.filter(|c| !(0.0..=10.0).contains(c)) {
            return wrong(format!("complexity is {c}, expected 0 to 10: leave it out when unknown"));
        }
        if let Some(at) = self.created_at.filter(|at| !is_recordable(*at)) {
            return wrong(format!("created_at is {at}, expected a year from 1900 to 9999"));
        }
        for (field, names) in [
            ("task_types", &self.task_types),
            ("languages", &self.languages),
            ("frameworks", &self.frameworks),
            ("tags", &self.tags),
        ] {
            if names.len() > MOST_NAMES {
                return wrong(format!("{field} has {} names, at most {MOST_NAMES} are taken", names.len()));
            }
            if let Some(at) = names.iter().position(|name| category(Some(name)).is_none()) {
                return wrong(format!("{field}[{at}] is blank: leave it out"));
            }
        }
        Ok(())
    }
}

/// Short ways to write profiles.
#[cfg(test)]
impl TemplateProfile {
    /// Sets the description.
    #[must_use]
    pub(crate) fn described(self, description: impl Into<String>) -> Self {
        Self { description: description.into(), ..self }
    }

    /// Sets the task types that the template is made for.
    #[must_use]
    pub(crate) fn for_task_types<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        Self { task_types: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Sets the languages.
    #[must_use]
    pub(crate) fn for_languages<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        Self { languages: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Sets the tags.
    #[must_use]
    pub(crate) fn tagged<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        Self { tags: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Sets the complexity.
    #[must_use]
    pub(crate) fn of_complexity(self, complexity: f64) -> Self {
        Self { complexity: Some(complexity), ..self }
    }

    /// Sets since when it is in use.
    #[must_use]
    pub(crate) fn created_at(self, moment: DateTime<Utc>) -> Self {
        Self { created_at: Some(moment), ..self }
    }
}
