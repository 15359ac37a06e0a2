//! Reasons in English.

use super::{Attribution, Fact, Locale};
use crate::dataset::Target;
use crate::features::Topic;
use crate::history::NearestTask;

/// Words reasons in English.
#[derive(Debug, Clone, Copy, Default)]
pub struct English;

/// Whose success each rate is.
const RATES: &[(&str, &str)] = &[
    ("similar_tasks_success_rate", "similar tasks"),
    ("nearest_tasks_success_rate", "the tasks most like this by their descriptions"),
    ("task_success_rate", "earlier tries of this task"),
    ("task_agent_success_rate", "this agent's tries of this task"),
    ("task_model_success_rate", "this LLM's tries of this task"),
    ("agent_past_performance", "this agent's generations"),
    ("agent_model_success_rate", "generations of this agent with this LLM"),
    ("model_past_performance", "this LLM's generations"),
    ("project_success_rate", "generations in this project"),
    ("project_agent_success_rate", "this agent's generations in this project"),
    ("user_success_rate", "this user's generations"),
];

impl Locale for English {
    fn sentence(&self, reason: &Attribution) -> String {
        let name = words(&reason.feature);
        match &reason.fact {
            Fact::Rate(rate, outcomes) => rate_sentence(&reason.feature, 100.0 * rate, *outcomes),
            Fact::Count(count, unit) => format!("{name} is {count:.0} {unit}"),
            Fact::Seconds(seconds) => format!("{name} is about {seconds:.0} s"),
            Fact::Flag(yes) => format!("{name}: {}", if *yes { "yes" } else { "no" }),
            Fact::Number(number, unit) if unit == "tokens" => format!("{name} is about {number:.0} tokens"),
            Fact::Number(number, unit) => format!("{name} is {number:.1} ({unit})"),
            Fact::TextComponent(target, more) => format!("tasks worded like this {}", worded(*target, *more)),
        }
    }

    fn topic(&self, topic: Topic) -> String {
        let name = match topic {
            Topic::Task => "the kind of task",
            Topic::Description => "the description",
            Topic::Examples => "the retrieved examples",
            Topic::Model => "the LLM",
            Topic::Agent => "the agent",
            Topic::Project => "the project",
            Topic::User => "who asked",
            Topic::Time => "the time",
            Topic::Load => "the load",
            Topic::Code => "the code",
        };
        name.to_owned()
    }
}

/// What came of the past tasks most like one.
pub(super) fn similar(tasks: &[NearestTask]) -> String {
    let alike = match tasks.len() {
        0 => return "no past task is like this one".to_owned(),
        1 => "one past task is like this one".to_owned(),
        n => format!("{n} past tasks are like this one"),
    };
    let outcomes: f64 = tasks.iter().map(|task| task.outcomes.n).sum();
    let approved: f64 = tasks.iter().map(|task| task.outcomes.successes).sum();
    if outcomes > 0.0 {
        let tries = if outcomes > 1.0 { "generations" } else { "generation" };
        format!("{alike}: of {outcomes:.0} {tries} {approved:.0} approved as they were")
    } else {
        format!("{alike}, as yet without an outcome")
    }
}

fn rate_sentence(feature: &str, percent: f64, outcomes: Option<f64>) -> String {
    let whose = RATES.iter().find(|(rate, _)| *rate == feature).map(|(_, whose)| *whose);
    match (whose, outcomes) {
        (Some(whose), Some(n)) => {
            format!("{whose}: about {percent:.0} % approved as they were, from {n:.0} outcomes")
        }
        (_, Some(n)) => format!("{} is {percent:.0} %, from {n:.0} outcomes", words(feature)),
        (_, None) => format!("{} is {percent:.0} %", words(feature)),
    }
}

fn worded(target: Target, more: bool) -> &'static str {
    let [less, more_of_it] = match target {
        Target::Success => ["failed more often", "succeeded more often"],
        Target::Complexity => ["were simpler", "were harder"],
        Target::Time => ["took less time", "took longer"],
        Target::Quality => ["turned out worse", "turned out better"],
        Target::Tokens => ["took fewer tokens", "took more tokens"],
    };
    if more { more_of_it } else { less }
}

fn words(name: &str) -> String {
    name.trim_start_matches("num_").replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::index_of;

    #[test]
    fn every_rate_named_is_a_feature() {
        assert!(RATES.iter().all(|(rate, _)| index_of(rate).is_some()));
    }

    #[test]
    fn every_kind_of_fact_has_its_sentence() {
        let said = |feature: &str, fact| Attribution::new(feature, Topic::Task, 1.0, fact).text;
        assert_eq!(said("num_requirements", Fact::Count(3.0, "lines".into())), "requirements is 3 lines");
        assert_eq!(said("task_avg_time", Fact::Seconds(59.7)), "task avg time is about 60 s");
        assert_eq!(said("has_database", Fact::Flag(true)), "has database: yes");
        assert_eq!(
            said("user_project_success_rate", Fact::Rate(0.5, None)),
            "user project success rate is 50 %"
        );
        assert_eq!(said("x", Fact::Number(1234.4, "tokens".into())), "x is about 1234 tokens");
        let worded = said("task_description", Fact::TextComponent(Target::Complexity, true));
        assert_eq!(worded, "tasks worded like this were harder");
    }
}
