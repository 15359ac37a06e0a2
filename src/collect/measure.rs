//! Metrics of the generated code, for the event.

use crate::code_metrics::{CodeMetrics, CodeOptions, Language, Syntax, analyze_with};
use crate::event::{Completion, MetricField};

/// Fills in the metrics of the generated code that the host did not supply, and notes those that it
/// did in [`Completion::host_metrics`]; for events that do not come through a collector.
///
/// The file's path tells the language, else `language` does, else the code's looks.
pub(crate) fn measure(completion: &mut Completion, language: Option<&str>, options: &CodeOptions) {
    let Some(code) = completion.generated_code.take() else { return };
    let of_file = completion.file_path.as_deref().filter(|path| Language::from_hint(path).is_some());
    let metrics = analyze_with(options, &code, of_file.or(language));
    completion.generated_code = Some(code);
    completion.host_metrics = MetricField::ALL.iter().copied().filter(|f| f.is_known(completion)).collect();
    fill(completion, &metrics);
}

fn fill(completion: &mut Completion, metrics: &CodeMetrics) {
    completion.lines_of_code.get_or_insert(metrics.lines.physical);
    let errors = match metrics.syntax {
        Syntax::Valid => Some(0),
        Syntax::Invalid { errors, .. } => Some(errors),
        Syntax::Unsure => None,
    };
    completion.syntax_errors = completion.syntax_errors.or(errors);
    let Some(structure) = &metrics.structure else { return };
    let complexity = structure.cyclomatic.map(|c| f64::from(c.total));
    completion.cyclomatic_complexity = completion.cyclomatic_complexity.or(complexity);
    completion.num_functions.get_or_insert(structure.num_functions + structure.num_methods);
    completion.num_classes.get_or_insert(structure.num_classes);
    completion.has_type_hints.get_or_insert(structure.type_hints.any());
    completion.has_docstrings.get_or_insert(structure.docstrings.any());
    completion.has_tests.get_or_insert(structure.num_tests > 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(code: &str) -> Completion {
        Completion { generated_code: Some(code.to_owned()), ..Completion::default() }
    }

    #[test]
    fn what_the_host_supplies_wins_and_is_noted() {
        let mut completion = done("def f(a: int):\n    return a or 1\n");
        (completion.num_functions, completion.has_tests) = (Some(9), Some(true));
        measure(&mut completion, Some("python"), &CodeOptions::default());
        assert_eq!((completion.num_functions, completion.has_tests), (Some(9), Some(true)));
        assert_eq!(completion.host_metrics, [MetricField::NumFunctions, MetricField::HasTests]);
        assert_eq!((completion.lines_of_code, completion.cyclomatic_complexity), (Some(2), Some(2.0)));
        assert_eq!((completion.has_type_hints, completion.has_docstrings), (Some(true), Some(false)));
        assert_eq!(completion.syntax_errors, Some(0));
    }

    #[test]
    fn a_files_name_says_more_than_the_task() {
        let mut completion = done("a { color: red }");
        completion.file_path = Some("site/main.css".to_owned());
        measure(&mut completion, Some("typescript"), &CodeOptions::default());
        assert_eq!((completion.lines_of_code, completion.cyclomatic_complexity), (Some(1), None));
        assert_eq!(completion.syntax_errors, Some(0));
    }

    #[test]
    fn without_code_nothing_is_made_up() {
        let mut completion = Completion { num_classes: Some(1), ..Completion::default() };
        measure(&mut completion, Some("python"), &CodeOptions::default());
        assert_eq!(completion, Completion { num_classes: Some(1), ..Completion::default() });
    }
}
