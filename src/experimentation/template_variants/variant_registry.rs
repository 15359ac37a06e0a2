//! What a host's templates have become.

use super::settings::{SettingChange, SettingsSpace, TemplateSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::event::TemplateId;
use crate::models::{TemplateCatalogue, TemplateProfile};
use crate::routing::{Candidate, Plan};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Where a variant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariantStatus {
    /// Thought of.
    Proposed,
    /// Tried for a share of the tasks.
    Trial,
    /// In force.
    Promoted,
    /// Not used any more; it may be taken up again.
    Retired,
}

/// A change of status, with why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StatusChange {
    /// When.
    pub at: DateTime<Utc>,
    /// What it became.
    pub to: VariantStatus,
    /// The evidence.
    pub why: String,
}

/// A template of the host's own, or a variant of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Variant {
    /// Its name in events.
    pub id: TemplateId,
    /// What it is a variant of; `None` for the host's own.
    pub parent: Option<TemplateId>,
    /// What was changed of the parent.
    pub change: Option<SettingChange>,
    /// The host's own template that it descends from.
    pub root: TemplateId,
    /// What it is made for: the first task type of the host's own template, or `any`.
    pub kind: String,
    /// Which of the root's variants it is, from 1; 0 for the root.
    pub number: u32,
    /// Its settings.
    pub settings: TemplateSettings,
    /// What became of it, the newest last; at least one.
    pub log: Vec<StatusChange>,
}

/// The host's own templates with all their variants.
///
/// ```
/// use devmatrix_ml::experimentation::template_variants::{VariantRegistry, SettingsSpace, TemplateSettings, VariantStatus};
/// use devmatrix_ml::models::TemplateCatalogue;
/// let catalogue = TemplateCatalogue::from_json(r#"[{"template_id": "rest-crud", "task_types": ["backend"]}]"#)?;
/// let now = "2025-03-03T09:00:00Z".parse().unwrap();
/// let settings = TemplateSettings::default().at_temperature(0.7).with_examples(2);
/// let mut registry = VariantRegistry::of(&catalogue, |_| settings.clone(), now)?;
/// let parent = registry.iter().next().unwrap().id.clone();
/// let variant = registry.propose(&parent, &SettingsSpace::default(), now, 1)?.unwrap();
/// registry.start_trial(&variant, now)?;
/// assert_eq!(registry.get(&variant).unwrap().status(), VariantStatus::Trial);
/// println!("{}", registry.get(&variant).unwrap()); // rest-crud~1 (backend, of rest-crud: 2 to 4 examples): trial
/// // It is kept as JSON.
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
    /// The lineage of a host's templates, all of them in force; `settings` says how each is set.
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
            log: vec![StatusChange { at: now, to: VariantStatus::Promoted, why: "the host's own".into() }],
        };
        catalogue.iter().map(root).collect::<Vec<_>>().try_into()
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Variant> {
        self.variants.values()
    }

    /// The variant of that id.
    pub fn get(&self, id: &TemplateId) -> Option<&Variant> {
        self.variants.get(id)
    }

    /// The variant of `root` that is in force.
    pub fn active(&self, root: &TemplateId) -> Option<&Variant> {
        self.iter().find(|v| v.root == *root && v.status() == VariantStatus::Promoted)
    }

    /// Proposes a variant of `parent` with one small change that was never tried of its root; `None`
    /// where nothing is left to try. Which one hangs on `seed`.
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
        space.verify()?;
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
            log: vec![StatusChange { at: now, to: VariantStatus::Proposed, why: change.to_string() }],
            change: Some(change),
        };
        self.variants.insert(id.clone(), variant);
        Ok(Some(id))
    }

    /// Puts a variant on trial; nothing changes where it is already, or is in force.
    ///
    /// # Errors
    /// `NotFound` where there is none; `Conflict` where it was retired: see [`VariantRegistry::restore`].
    pub fn start_trial(&mut self, id: &TemplateId, now: DateTime<Utc>) -> Result<()> {
        match self.find(id)?.status() {
            VariantStatus::Proposed => {
                self.set(id, VariantStatus::Trial, "tried for a share of the tasks", now)
            }
            VariantStatus::Trial | VariantStatus::Promoted => Ok(()),
            VariantStatus::Retired => {
                Err(Error::new(ErrorKind::Conflict, format!("template {id} was retired: restore it")))
            }
        }
    }

    /// Puts a variant in force in place of the one of its root that is; nothing changes where it is.
    ///
    /// # Errors
    /// `NotFound` where there is none.
    pub fn promote(&mut self, id: &TemplateId, why: &str, now: DateTime<Utc>) -> Result<()> {
        let root = self.find(id)?.root.clone();
        let before = self.active(&root).map(|variant| variant.id.clone());
        if before.as_ref() == Some(id) {
            return Ok(());
        }
        if let Some(before) = before {
            self.set(&before, VariantStatus::Retired, &format!("replaced by {id}: {why}"), now)?;
        }
        self.set(id, VariantStatus::Promoted, why, now)
    }

    /// Retires a template; nothing changes where it is retired.
    ///
    /// # Errors
    /// `NotFound` where there is none; `Conflict` where it is the last one of its kind in force.
    pub fn retire(&mut self, id: &TemplateId, why: &str, now: DateTime<Utc>) -> Result<()> {
        let variant = self.find(id)?;
        if variant.status() == VariantStatus::Promoted {
            let kind = variant.kind.clone();
            let active = |v: &&Variant| v.kind == kind && v.status() == VariantStatus::Promoted;
            if self.iter().filter(active).count() == 1 {
                let what = format!("template {id} is the last one in force for {kind}: it is not retired");
                return Err(Error::new(ErrorKind::Conflict, what));
            }
        }
        match self.find(id)?.status() {
            VariantStatus::Retired => Ok(()),
            _ => self.set(id, VariantStatus::Retired, why, now),
        }
    }

    /// Takes up a retired template again: in force where nothing of its root is, else on trial. Nothing
    /// changes where it is not retired.
    ///
    /// # Errors
    /// `NotFound` where there is none.
    pub fn restore(&mut self, id: &TemplateId, why: &str, now: DateTime<Utc>) -> Result<()> {
        let variant = self.find(id)?;
        let alone = self.active(&variant.root).is_none();
        match variant.status() {
            VariantStatus::Retired if alone => self.set(id, VariantStatus::Promoted, why, now),
            VariantStatus::Retired => self.set(id, VariantStatus::Trial, why, now),
            _ => Ok(()),
        }
    }

    /// The host's templates as they are now: each that is in force or on trial, described as the one of
    /// the host's own that it descends from, and those that the lineage does not know.
    ///
    /// # Errors
    /// `InvalidInput` where the host has too many.
    pub fn catalogue(&self, of: &TemplateCatalogue) -> Result<TemplateCatalogue> {
        let unknown = of.iter().filter(|profile| !self.variants.contains_key(&profile.template_id)).cloned();
        let living = self.iter().filter(|variant| variant.is_living()).filter_map(|variant| {
            let profile = of.get(&variant.root)?.clone();
            let since = variant.log.first().map(|first| first.at);
            let created_at = if variant.parent.is_some() { since } else { profile.created_at };
            Some(TemplateProfile { template_id: variant.id.clone(), created_at, ..profile })
        });
        TemplateCatalogue::new(unknown.chain(living))
    }

    /// `candidate` with each living variant of its template's root, named after it (`sonnet/rest-crud~1`),
    /// with its temperature and examples; itself where it has no template that the lineage knows. What
    /// sections a variant has the host looks up in [`Variant::settings`].
    pub fn candidates(&self, candidate: &Candidate) -> Vec<Candidate> {
        let template = candidate.plan.template.as_ref().and_then(|id| self.get(id));
        let Some(template) = template else { return vec![candidate.clone()] };
        let living = self.iter().filter(|variant| variant.root == template.root && variant.is_living());
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
        living.map(with).collect()
    }

    pub(super) fn find(&self, id: &TemplateId) -> Result<&Variant> {
        let lacking = || Error::new(ErrorKind::NotFound, format!("the lineage has no template {id}"));
        self.variants.get(id).ok_or_else(lacking)
    }

    fn set(&mut self, id: &TemplateId, to: VariantStatus, why: &str, at: DateTime<Utc>) -> Result<()> {
        self.find(id)?;
        if let Some(variant) = self.variants.get_mut(id) {
            variant.log.push(StatusChange { at, to, why: why.to_owned() });
        }
        Ok(())
    }
}

impl Variant {
    /// Where it stands.
    pub fn status(&self) -> VariantStatus {
        self.log.last().map_or(VariantStatus::Proposed, |last| last.to)
    }

    /// Whether it may be chosen.
    pub(super) fn is_living(&self) -> bool {
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

/// Checks that every parent is an earlier variant of the same root, so that there is no circle.
impl TryFrom<Vec<Variant>> for VariantRegistry {
    type Error = Error;

    fn try_from(all: Vec<Variant>) -> Result<Self> {
        let mut variants = BTreeMap::new();
        for variant in all {
            variant.settings.verify().map_err(|e| e.context(&variant.id))?;
            if let Some(twice) = variants.insert(variant.id.clone(), variant) {
                return Err(Error::invalid(format!("template {} is in the lineage twice", twice.id)));
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
