//! Laws of the models, for any task, history and artefact.

mod artefacts;
mod baselines;
mod costs;
mod explanations;
mod external_models;
mod item_response;
mod predictions;
mod regressions;
mod template_skill;
pub(crate) mod template_worlds;
mod templates;
mod unseen;
