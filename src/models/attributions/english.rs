//! Explanations in English.

use super::{Attribution, Fact, Locale};
use crate::dataset::Target;
use crate::features::{FEATURES, FeatureId, Topic};
use crate::history::NearestTask;
use crate::models::targets;

/// Explanations in English.
#[derive(Debug, Clone, Copy, Default)]
pub struct English;

impl Locale for English {
    fn sentence(&self, reason: &Attribution) -> String {
        if let Fact::TextComponent(target, more) = &reason.fact {
            return format!("tasks worded like this {}", worded(*target, *more));
        }
        if let Fact::Declared(_, sentence) = &reason.fact {
            return sentence.clone();
        }
        match FeatureId::named(&reason.feature) {
            Some(id) => by_phrase(id, &reason.fact),
            None => by_name(&reason.feature.replace('_', " "), &reason.fact),
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
            Topic::Reviewer => "who judges",
            Topic::Time => "the time",
            Topic::Load => "the load",
            Topic::Code => "the code",
            Topic::Host => "columns of your own",
        };
        name.to_owned()
    }
}

/// Returns a sentence about similar past tasks and their outcomes.
pub(super) fn similar(tasks: &[NearestTask]) -> String {
    let alike = match tasks.len() {
        0 => return "no past task is similar".to_owned(),
        1 => "one past task is similar".to_owned(),
        n => format!("{n} past tasks are similar"),
    };
    let outcomes: f64 = tasks.iter().map(|task| task.outcomes.n).sum();
    let approved: f64 = tasks.iter().map(|task| task.outcomes.successes).sum();
    if outcomes > 0.0 {
        let tries = if outcomes > 1.0 { "generations" } else { "generation" };
        format!("{alike}: {approved:.0} of their {outcomes:.0} {tries} approved unmodified")
    } else {
        format!("{alike}, with no outcome yet")
    }
}

/// Returns the sentence about one of the features of [`FEATURES`].
fn by_phrase(id: FeatureId, fact: &Fact) -> String {
    let (value, shown) = match fact {
        Fact::Rate(rate, _) => (*rate, format!("about {:.0} %", 100.0 * rate)),
        Fact::Count(count, _) => (count.round(), format!("{count:.0}")),
        Fact::Seconds(seconds) => (*seconds, format!("about {seconds:.0} s")),
        Fact::Number(number, unit) if unit == "tokens" => (*number, format!("about {number:.0}")),
        Fact::Number(number, unit) if unit == "dollars" => (*number, format!("about {}", dollars(*number))),
        Fact::Number(number, _) => (*number, format!("{number:.1}")),
        Fact::Flag(yes) => (f64::from(u8::from(*yes)), String::new()),
        Fact::TextComponent(..) | Fact::Declared(..) => (f64::NAN, String::new()),
    };
    let sentence = FEATURES[id as usize].sentence(value, &shown);
    match fact {
        Fact::Rate(_, Some(n)) => format!("{sentence} ({})", outcomes(*n)),
        _ => sentence,
    }
}

/// Returns the sentence about a column of the host's own.
fn by_name(name: &str, fact: &Fact) -> String {
    match fact {
        Fact::Rate(rate, Some(n)) => format!("{name} is {:.0} % ({})", 100.0 * rate, outcomes(*n)),
        Fact::Rate(rate, None) => format!("{name} is {:.0} %", 100.0 * rate),
        Fact::Count(count, unit) => format!("{name} is {count:.0} {unit}"),
        Fact::Seconds(seconds) => format!("{name} is about {seconds:.0} s"),
        Fact::Flag(yes) => format!("{name} is {}", if *yes { "true" } else { "false" }),
        Fact::Number(number, unit) => format!("{name} is {number:.1} ({unit})"),
        Fact::TextComponent(..) | Fact::Declared(..) => name.to_owned(),
    }
}

/// Writes US dollars with two digits that tell, and cents from one dollar on.
fn dollars(usd: f64) -> String {
    let decimals = if usd >= 1.0 { 2 } else { (1.0 - usd.max(1e-6).log10().floor()) as usize };
    format!("${usd:.decimals$}")
}

fn outcomes(n: f64) -> String {
    let noun = if n.round() == 1.0 { "outcome" } else { "outcomes" };
    format!("{n:.0} {noun}")
}

fn worded(target: Target, more: bool) -> &'static str {
    let served = targets::of(target).map(|model| model.compared);
    let [less, more_of_it] = served.unwrap_or(["had lower values", "had higher values"]);
    if more { more_of_it } else { less }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_fact_has_its_sentence() {
        let text = |feature: &str, fact| Attribution::new(feature, Topic::Task, 1.0, fact).text;
        assert_eq!(
            text("num_requirements", Fact::Count(3.0, "requirements".into())),
            "the description lists 3 requirements"
        );
        assert_eq!(
            text("task_avg_time", Fact::Seconds(59.7)),
            "earlier attempts at this task took about 60 s"
        );
        assert_eq!(text("has_database", Fact::Flag(true)), "the description mentions a database");
        assert_eq!(
            text("agent_type_success_rate", Fact::Rate(0.7, None)),
            "about 70 % of this agent's generations for this type of task were approved unmodified"
        );
        assert_eq!(
            text("task_success_rate", Fact::Rate(0.5, Some(1.0))),
            "about 50 % of earlier attempts at this task were approved unmodified (1 outcome)"
        );
        assert_eq!(
            text("task_avg_tokens", Fact::Number(1234.4, "tokens".into())),
            "earlier attempts at this task used about 1234 tokens"
        );
        assert_eq!(text("repo_stars", Fact::Number(12.0, "stars".into())), "repo stars is 12.0 (stars)");
        let worded = text("task_description", Fact::TextComponent(Target::Complexity, true));
        assert_eq!(worded, "tasks worded like this were harder");
    }
}
