//! What the world's templates say of themselves.

use super::Simulator;
use super::options::SimulatorOptions;
use super::tasks::{good, stacks};
use super::world::{TEMPLATES, Template, at_home};
use crate::event::TemplateId;
use crate::models::{TemplateCatalogue, TemplateProfile};
use std::collections::BTreeSet;

impl Simulator {
    /// The templates that tasks are set up with, by what their authors say of them: the type of task
    /// that each is made for and, where [`template_fit`](SimulatorOptions::template_fit) lets them
    /// matter, the languages and frameworks in which it is at home. How much a template helps it
    /// does not say.
    pub(crate) fn templates(&self) -> TemplateCatalogue {
        let profiles = TEMPLATES.iter().map(|template| profile(&self.options, template));
        TemplateCatalogue::new(profiles).unwrap_or_default()
    }
}

/// The templates of a simulator's world, as their authors describe them.
impl From<&Simulator> for TemplateCatalogue {
    fn from(simulator: &Simulator) -> Self {
        simulator.templates()
    }
}

fn profile(options: &SimulatorOptions, template: &Template) -> TemplateProfile {
    let mut profile = TemplateProfile::new(good(TemplateId::new(template.name)));
    profile.description = format!("{} for {} tasks", template.name.replace('-', " "), template.kind);
    profile.task_types = vec![template.kind.to_owned()];
    profile.tags = template.name.split('-').map(str::to_owned).collect();
    if options.template_fit == 0.0 {
        return profile;
    }
    let at_home = |name: &&str| at_home(options, template, name) >= 0.5;
    let of_kind = stacks(template.kind);
    let languages: BTreeSet<_> = of_kind.iter().map(|(language, _)| *language).filter(at_home).collect();
    let frameworks: BTreeSet<_> = of_kind.iter().filter_map(|(_, name)| *name).filter(at_home).collect();
    profile.languages = languages.into_iter().map(str::to_owned).collect();
    profile.frameworks = frameworks.into_iter().map(str::to_owned).collect();
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_name_stacks_only_where_they_matter() {
        let of = |template_fit| {
            let options = SimulatorOptions { template_fit, ..SimulatorOptions::default() };
            Simulator::new(options).unwrap().templates()
        };
        assert_eq!((of(0.0).len(), of(1.0).len()), (TEMPLATES.len(), TEMPLATES.len()));
        assert!(of(0.0).iter().all(|t| t.languages.is_empty() && t.task_types.len() == 1));
        assert!(of(1.0).iter().any(|t| !t.languages.is_empty()));
    }
}
