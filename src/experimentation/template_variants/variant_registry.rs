//! The registry of template variants.

use super::settings::{SettingChange, SettingsSpace, TemplateSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::event::TemplateId;
use crate::models::{TemplateCatalogue, TemplateProfile};
use crate::routing::{Candidate, Plan};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The status of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariantStatus {
    /// Proposed, not used yet.
    Proposed,
    /// Tried for a share of the tasks.
    Trial,
    /// Active.
    Promoted,
    /// Not used any more; it may be restored.
    Retired,
}

/// A change of status with its reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StatusChange {
    pub(super) at: DateTime<Utc>,
    pub(super) to: VariantStatus,
    #[serde(alias = "why")]
    pub(super) reason: String,
}

/// A template of the host, or a variant of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Variant {
    /// Its name in events.
    pub id: TemplateId,
    /// The template that it is a variant of; `None` for a template of the host.
    pub(crate) parent: Option<TemplateId>,
    /// The change from the parent.
    pub(super) change: Option<SettingChange>,
    /// The template of the host that it descends from.
    pub(super) root: TemplateId,
    /// The first task type of the host's template, or `any`.
    pub(super) kind: String,
    /// The number among the root's variants, from 1; 0 for the root.
    pub(super) number: u32,
    /// Its settings.
    pub settings: TemplateSettings,
    /// Its changes of status, the newest last; at least one.
    pub(super) log: Vec<StatusChange>,
}

/// The templates of a host with all their variants.
///
/// ```
/// use devmatrix_ml::experimentation::template_variants::{VariantRegistry, SettingsSpace, TemplateSettings, VariantStatus};
/// use devmatrix_ml::models::TemplateCatalogue;
/// let catalogue = TemplateCatalogue::from_json(r#"[{"template_id": "rest-crud", "task_types": ["backend"]}]"#)?;
/// let now = "2025-03-03T09:00:00Z".parse().unwrap();
/// let mut settings = TemplateSettings::default().with_temperature(0.7);
/// settings.max_examples = Some(2);
/// let mut registry = VariantRegistry::of(&catalogue, |_| settings.clone(), now)?;
/// let parent = registry.iter().next().unwrap().id.clone();
/// let variant = registry.propose(&parent, &SettingsSpace::default(), now, 1)?.unwrap();
/// registry.start_trial(&variant, now)?;
/// assert_eq!(registry.get(&variant).unwrap().status(), VariantStatus::Trial);
/// println!("{}", registry.get(&variant).unwrap()); // rest-crud~1 (backend, of rest-crud: 2 to 4 examples): trial
/// // It is stored as JSON.
/// let kept: VariantRegistry = serde_json::from_str(&serde_json::to_string(&registry).unwrap()).unwrap();
/// assert_eq!(kept, registry);
/// # Ok::<(), devmatrix_ml::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Variant>", into = "Vec<Variant>")]
pub struct VariantRegistry {
    variants: BTreeMap<TemplateId, Variant>,
}

impl VariantRegistry {
    /// Creates a registry of a host's templates, all of them active, with their `settings`.
    ///
    /// # Errors
    /// `InvalidInput` where a setting is out of range.
    pub fn of(
        catalogue: &TemplateCatalogue,
        settings: impl Fn(&TemplateProfile) -> TemplateSettings,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let root = |profile: &TemplateProfile| Variant {
            id: profile.template_id.clone(),
            parent: None,
            change: None,
            root: profile.template_id.clone(),
            kind: profile.task_types.first().cloned().unwrap_or_else(|| "any".to_owned()),
            number: 0,
            settings: settings(profile),
            log: vec![StatusChange {
                at: now,
                to: VariantStatus::Promoted,
                reason: "template of the host".into(),
            }],
        };
        catalogue.iter().map(root).collect::<Vec<_>>().try_into()
    }

    /// Returns all templates and variants, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Variant> {
        self.variants.values()
    }

    /// Returns the variant of that id.
    pub fn get(&self, id: &TemplateId) -> Option<&Variant> {
        self.variants.get(id)
    }

    /// Returns the active variant of `root`.
    pub fn active(&self, root: &TemplateId) -> Option<&Variant> {
        self.iter().find(|v| v.root == *root && v.status() == VariantStatus::Promoted)
    }

    /// Proposes a variant of `parent` with one small change that was never tried of its root, drawn with `seed`; `None`
    /// where none is left.
    ///
    /// # Errors
    /// `NotFound` where there is no such parent; `InvalidInput` where the space is out of range.
    pub fn propose(
        &mut self,
        parent: &TemplateId,
        space: &SettingsSpace,
        now: DateTime<Utc>,
        seed: u64,
    ) -> Result<Option<TemplateId>> {
        space.validate()?;
        let of = self.find(parent)?;
        let family: Vec<_> = self.iter().filter(|other| other.root == of.root).collect();
        let tried: Vec<_> = family.iter().map(|other| &other.settings).collect();
        let Some(change) = space.propose(&of.settings, &tried, seed) else { return Ok(None) };
        let last = family.iter().map(|other| other.number).max().unwrap_or(0);
        let Some(number) = last.checked_add(1) else {
            return Err(Error::invalid(format!("{} has variant {last}: no number is left", of.root)));
        };
        let id = TemplateId::new(format!("{}~{number}", of.root))?;
        if self.variants.contains_key(&id) {
            return Err(Error::new(ErrorKind::Conflict, format!("the host has a template named {id}")));
        }
        let variant = Variant {
            id: id.clone(),
            parent: Some(parent.clone()),
            root: of.root.clone(),
            kind: of.kind.clone(),
            number,
            settings: of.settings.changed(&change),
            log: vec![StatusChange { at: now, to: VariantStatus::Proposed, reason: change.to_string() }],
            change: Some(change),
        };
        self.variants.insert(id.clone(), variant);
        Ok(Some(id))
    }

    /// Puts a variant on trial; nothing changes where it is on trial or active. One that was retired comes back: active where
    /// none of its root is, else on trial.
    ///
    /// # Errors
    /// `NotFound` where there is none.
    pub fn start_trial(&mut self, id: &TemplateId, now: DateTime<Utc>) -> Result<()> {
        let variant = self.find(id)?;
        let alone = self.active(&variant.root).is_none();
        let (status, reason) = match variant.status() {
            VariantStatus::Proposed => (VariantStatus::Trial, "on trial for a share of the tasks"),
            VariantStatus::Retired if alone => {
                (VariantStatus::Promoted, "back after it was retired: its root has no other")
            }
            VariantStatus::Retired => (VariantStatus::Trial, "on trial again after it was retired"),
            VariantStatus::Trial | VariantStatus::Promoted => return Ok(()),
        };
        self.set(id, status, reason, now)
    }

    /// Makes a variant the active one of its root, whose active one is retired; nothing changes where it is active.
    ///
    /// # Errors
    /// `NotFound` where there is none.
    pub(crate) fn promote(&mut self, id: &TemplateId, reason: &str, now: DateTime<Utc>) -> Result<()> {
        let root = self.find(id)?.root.clone();
        let before = self.active(&root).map(|variant| variant.id.clone());
        if before.as_ref() == Some(id) {
            return Ok(());
        }
        if let Some(before) = before {
            self.set(&before, VariantStatus::Retired, &format!("replaced by {id}: {reason}"), now)?;
        }
        self.set(id, VariantStatus::Promoted, reason, now)
    }

    /// Retires a template; nothing changes where it is retired.
    ///
    /// # Errors
    /// `NotFound` where there is none; `Conflict` where it is the last active one of its kind.
    pub(crate) fn retire(&mut self, id: &TemplateId, reason: &str, now: DateTime<Utc>) -> Result<()> {
        let variant = self.find(id)?;
        if variant.status() == VariantStatus::Promoted {
            let kind = variant.kind.clone();
            let active = |v: &&Variant| v.kind == kind && v.status() == VariantStatus::Promoted;
            if self.iter().filter(active).count() == 1 {
                let what = format!("template {id} is the last active one for {kind}: it is not retired");
                return Err(Error::new(ErrorKind::Conflict, what));
            }
        }
        match self.find(id)?.status() {
            VariantStatus::Retired => Ok(()),
            _ => self.set(id, VariantStatus::Retired, reason, now),
        }
    }

    /// Returns the catalogue with each active template and each on trial, described as the template of the host that it
    /// descends from, and those that the registry does not know.
    ///
    /// # Errors
    /// `InvalidInput` where the host has too many.
    pub fn catalogue(&self, of: &TemplateCatalogue) -> Result<TemplateCatalogue> {
        let unknown = of.iter().filter(|profile| !self.variants.contains_key(&profile.template_id)).cloned();
        let in_use = self.iter().filter(|variant| variant.is_in_use()).filter_map(|variant| {
            let profile = of.get(&variant.root)?.clone();
            let since = variant.log.first().map(|first| first.at);
            let created_at = if variant.parent.is_some() { since } else { profile.created_at };
            Some(TemplateProfile { template_id: variant.id.clone(), created_at, ..profile })
        });
        TemplateCatalogue::new(unknown.chain(in_use))
    }

    /// Returns `candidate` with each variant in use of its template's root, named after it (`sonnet/rest-crud~1`), with its
    /// temperature and examples; itself where it has no template that the registry knows. Sections are in
    /// [`Variant::settings`].
    pub fn candidates(&self, candidate: &Candidate) -> Vec<Candidate> {
        let template = candidate.plan.template.as_ref().and_then(|id| self.get(id));
        let Some(template) = template else { return vec![candidate.clone()] };
        let in_use = self.iter().filter(|variant| variant.root == template.root && variant.is_in_use());
        let with = |variant: &Variant| {
            let settings = &variant.settings;
            let mut plan = Plan { template: Some(variant.id.clone()), ..candidate.plan.clone() };
            plan.temperature = settings.temperature.or(plan.temperature);
            plan.max_examples = settings.max_examples.or(plan.max_examples);
            let on_trial = variant.status() == VariantStatus::Trial;
            Candidate {
                name: format!("{}/{}", candidate.name, variant.id),
                plan,
                on_trial,
                ..candidate.clone()
            }
        };
        in_use.map(with).collect()
    }

    pub(super) fn find(&self, id: &TemplateId) -> Result<&Variant> {
        let lacking = || Error::new(ErrorKind::NotFound, format!("the registry has no template {id}"));
        self.variants.get(id).ok_or_else(lacking)
    }

    fn set(&mut self, id: &TemplateId, to: VariantStatus, reason: &str, at: DateTime<Utc>) -> Result<()> {
        self.find(id)?;
        if let Some(variant) = self.variants.get_mut(id) {
            variant.log.push(StatusChange { at, to, reason: reason.to_owned() });
        }
        Ok(())
    }
}

impl Variant {
    /// Returns its status.
    pub fn status(&self) -> VariantStatus {
        self.log.last().map_or(VariantStatus::Proposed, |last| last.to)
    }

    /// Returns whether it may be chosen.
    pub(super) fn is_in_use(&self) -> bool {
        matches!(self.status(), VariantStatus::Trial | VariantStatus::Promoted)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.id, self.kind)?;
        if let (Some(parent), Some(change)) = (&self.parent, &self.change) {
            write!(f, ", of {parent}: {change}")?;
        }
        write!(f, "): {}", self.status())
    }
}

impl fmt::Display for VariantStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proposed => "proposed",
            Self::Trial => "trial",
            Self::Promoted => "promoted",
            Self::Retired => "retired",
        })
    }
}

/// Checks that every parent is an earlier variant of the same root, so that there is no cycle.
impl TryFrom<Vec<Variant>> for VariantRegistry {
    type Error = Error;

    fn try_from(all: Vec<Variant>) -> Result<Self> {
        let mut variants = BTreeMap::new();
        for variant in all {
            variant.settings.validate().map_err(|e| e.context(&variant.id))?;
            if let Some(twice) = variants.insert(variant.id.clone(), variant) {
                return Err(Error::invalid(format!("template {} is in the registry twice", twice.id)));
            }
        }
        for variant in variants.values() {
            let sound = match &variant.parent {
                None => variant.root == variant.id && variant.number == 0,
                Some(parent) => {
                    let earlier = |p: &Variant| p.root == variant.root && p.number < variant.number;
                    variants.get(parent).is_some_and(earlier)
                }
            };
            let id = &variant.id;
            if variant.log.is_empty() {
                return Err(Error::invalid(format!("template {id}: its log is empty, expected its status")));
            }
            if !sound {
                return Err(Error::invalid(format!(
                    "template {id}: its parent is no earlier variant of its root"
                )));
            }
        }
        Ok(Self { variants })
    }
}

impl From<VariantRegistry> for Vec<Variant> {
    fn from(registry: VariantRegistry) -> Self {
        registry.variants.into_values().collect()
    }
}
