//! A host's own terms: found where they stand, and nowhere else.

use super::builder::LexiconBuilder;
use super::{Flag, Lexicon, MAX_TEXT_BYTES, SparseText, TermRole, TextFacts};
use crate::ErrorKind;
use proptest::prelude::*;

#[test]
fn a_hosts_terms_count_beside_the_built_in_ones() {
    let lexicon = LexiconBuilder::default()
        .add(TermRole::Technical, "Kafka")
        .add(TermRole::Technical, "node.js")
        .add(TermRole::Complex, "event sourcing")
        .add(TermRole::Flag(Flag::Database), "cockroachdb")
        .add(TermRole::Constraint, "techo rígido")
        .add(TermRole::Requirement, "ha de")
        .add(TermRole::Relationship, "cuelga de la")
        .build()
        .unwrap();
    let text = "Cada hoja cuelga de la rama. KAFKA, Node.js y «cockroachDB»: \
                ha de tener un techo-rigido; ÚNICO, con event\u{a0}sourcings, the API";
    let (facts, grams) = SparseText::read_with(&lexicon, text);
    assert_eq!(facts, TextFacts::of_with(&lexicon, text));
    assert_eq!(grams, SparseText::read(text).1);
    assert_eq!((facts.num_technical_terms, facts.num_complex_terms), (3, 1));
    assert_eq!((facts.num_constraints, facts.num_relationships, facts.num_requirements), (2, 1, 1));
    let plain = TextFacts::of(text);
    assert!(facts.has(Flag::Database) && !plain.has(Flag::Database));
    assert_eq!((plain.num_technical_terms, plain.num_constraints, plain.num_relationships), (1, 1, 0));
}

#[test]
fn accents_case_and_signs_beyond_ascii_do_not_matter() {
    for text in [
        "autenticación",
        "autenticacion",
        "AUTENTICACIÓN",
        "autenticacio\u{301}n",
        "¿Autenticación?",
        "🔒autenticación…",
        "usuarios—“autenticación”",
    ] {
        let facts = TextFacts::of(text);
        assert!(facts.has(Flag::Authentication), "{text}");
        assert_eq!(facts.num_technical_terms, 1, "{text}");
    }
    for text in ["desautenticación", "autenticación1", "日autenticación", "autentica ción"] {
        assert!(!TextFacts::of(text).has(Flag::Authentication), "{text}");
    }
}

#[test]
fn a_limit_is_counted_once_however_many_terms_end_with_it() {
    let lexicon = LexiconBuilder::default()
        .add(TermRole::Constraint, "upper limit")
        .add(TermRole::Constraint, "hard upper limit")
        .build()
        .unwrap();
    assert_eq!(TextFacts::of_with(&lexicon, "a hard upper limit; the limits").num_constraints, 2);
}

#[test]
fn terms_that_would_never_be_found_are_refused_by_name() {
    let (long, tall) = ("é".repeat(33), "Ⱥ".repeat(32));
    for bad in
        ["", " ", "c++", "one two three four", "a, b", "x\0", "🦀", "a……b", "?", "a\u{301}-", &long, &tall]
    {
        for builder in [
            LexiconBuilder::default().add(TermRole::Technical, "fine").add(TermRole::Complex, bad),
            LexiconBuilder::default().add(TermRole::Flag(Flag::RealTime), bad),
        ] {
            let error = builder.build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let start: String = bad.chars().take(20).collect();
            assert!(error.to_string().contains(format!("{start:?}").trim_end_matches('"')), "{error}");
        }
    }
    assert!(serde_json::from_str::<Lexicon>(r#"{"technical":["a b c d"]}"#).is_err());
    assert!(serde_json::from_str::<Lexicon>(r#"{"tecnical":["a"]}"#).is_err());
    assert_eq!(serde_json::from_str::<Lexicon>(r#"{"flags":{"database":[]}}"#).unwrap(), Lexicon::default());
}

#[test]
fn a_thousand_terms_are_told_apart_and_no_more_are_taken() {
    let of = |n| {
        (0..n).fold(LexiconBuilder::default(), |all, i| all.add(TermRole::Technical, format!("t{i}"))).build()
    };
    let most = of(1000).unwrap();
    let all: String = (0..1000).map(|i| format!("t{i} ")).collect();
    assert_eq!(TextFacts::of_with(&most, &(all + "api")).num_technical_terms, 1001);
    let error = of(1001).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("1001"), "{error}");
}

#[test]
fn hostile_texts_are_read() {
    let lexicon = LexiconBuilder::default()
        .add(TermRole::Constraint, "no more than")
        .add(TermRole::Technical, "ñ")
        .build()
        .unwrap();
    let most = MAX_TEXT_BYTES / 2;
    for part in ["a", "ñ", "🦀", "z̸̢̛", "no more ", "no\u{2014}more—than", "\u{301}", "İ", "ẞ", "s\u{10FFFF}"]
    {
        let text = part.repeat(most);
        let facts = TextFacts::of_with(&lexicon, &text);
        assert!(facts.num_constraints <= text.len());
        assert_eq!(SparseText::read_with(&lexicon, &text).0, facts);
    }
    assert_eq!(TextFacts::of("\0must\0").num_constraints, 1);
    assert_eq!(TextFacts::of("👩‍👩‍👧‍👦must").num_constraints, 1);
}

/// Words that stand in no built-in list: each has a `q` before an `x`.
fn term() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("qx[a-z0-9áéíóúüñ]{1,6}", 1..=3)
}

/// `text` with some letters in upper case.
fn in_some_case(text: &str, upper: u64) -> String {
    let case = |(i, c): (usize, char)| {
        if upper >> (i % 64) & 1 == 1 { c.to_uppercase().collect() } else { c.to_string() }
    };
    text.chars().enumerate().map(case).collect()
}

/// Something added to a lexicon, by the number of its list.
fn add(builder: LexiconBuilder, list: u8, term: &str) -> LexiconBuilder {
    match list % 6 {
        0 => builder.add(TermRole::Technical, term),
        1 => builder.add(TermRole::Complex, term),
        2 => builder.add(TermRole::Requirement, term),
        3 => builder.add(TermRole::Constraint, term),
        4 => builder.add(TermRole::Relationship, term),
        _ => builder.add(TermRole::Flag(Flag::Database), term),
    }
}

proptest! {
    #[test]
    fn a_term_is_found_between_word_boundaries_and_nowhere_inside_a_word(
        words in term(),
        upper: u64,
        signs in prop::sample::select(vec!["-", "/", " ", "_", ".", "\n", "—", "\u{a0}"]),
        (before, after) in ("(Add the |must,|año |x|)", "( of it| y más|, ok)?"),
        (left, right) in ("[ ,.;:(\"«¿—\n]", "[ ,.;:)!»…—\n]"),
        glue in "[a-rt-z0-9ñé日]",
        accented: bool,
    ) {
        let term = words.join(" ");
        let lexicon = LexiconBuilder::default().add(TermRole::Technical, in_some_case(&term, upper)).build().unwrap();
        let count = |text: &str| TextFacts::of_with(&lexicon, text).num_technical_terms;
        let mut said = in_some_case(&words.join(signs), upper.rotate_left(7));
        if accented {
            said = said.replace('a', "à").replace('é', "e").replace('n', "n\u{303}");
        }
        for text in [
            said.clone(),
            format!("{before}{left}{said}{right}{after}"),
            format!("{said}{right}{after}"),
            format!("{before}{left}{said}"),
            format!("{before}{left}{said}s{right}{after}"),
        ] {
            prop_assert_eq!(count(&text), 1, "{:?} in {:?}", term, text);
        }
        for text in [
            format!("{before}{left}{glue}{said}{right}{after}"),
            format!("{before}{left}{said}{glue}{right}{after}"),
            format!("{glue}{said}{glue}"),
            format!("{before}{right}{after}"),
        ] {
            prop_assert_eq!(count(&text), 0, "{:?} in {:?}", term, text);
        }
    }

    #[test]
    fn the_order_of_adding_changes_nothing(
        terms in prop::collection::vec((any::<u8>(), term()), 0..12).prop_shuffle(),
        text in "(qx[a-z]{0,2}[ -]|must |api ){0,20}",
    ) {
        let of = |terms: &mut dyn Iterator<Item = &(u8, Vec<String>)>| {
            terms.fold(LexiconBuilder::default(), |all, (list, term)| add(all, *list, &term.join(" "))).build().unwrap()
        };
        let (one, other) = (of(&mut terms.iter()), of(&mut terms.iter().rev().chain(&terms)));
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(one.fingerprint(), other.fingerprint());
        prop_assert_eq!(TextFacts::of_with(&one, &text), TextFacts::of_with(&other, &text));
    }

    #[test]
    fn what_is_written_is_read_again(
        terms in prop::collection::vec((any::<u8>(), prop_oneof![".{1,12}", "[a-zÀ-ž -]{1,16}"]), 0..6),
    ) {
        let built = terms.iter().fold(LexiconBuilder::default(), |all, (list, term)| add(all, *list, term)).build();
        let Ok(lexicon) = built else { return Ok(()) };
        let json: Lexicon = serde_json::from_str(&serde_json::to_string(&lexicon).unwrap()).unwrap();
        let bytes: Lexicon = postcard::from_bytes(&postcard::to_stdvec(&lexicon).unwrap()).unwrap();
        for read in [json, bytes] {
            prop_assert_eq!(&read, &lexicon);
            prop_assert_eq!(read.fingerprint(), lexicon.fingerprint());
        }
    }

    #[test]
    fn any_text_is_read(text in any::<String>(), term in ".{1,8}") {
        let lexicon = LexiconBuilder::default().add(TermRole::Technical, term).build().unwrap_or_default();
        let facts = TextFacts::of_with(&lexicon, &text);
        prop_assert!(facts.num_technical_terms <= text.chars().count());
    }
}

#[test]
fn a_description_is_counted_by_the_built_in_terms() {
    let facts = TextFacts::of("Build a REST API:\n- it must validate the model\n- maintain the model");
    assert_eq!(facts.num_requirements, 3); // two bullets and a "must"
    assert_eq!(facts.num_technical_terms, 3); // rest, api, model (once)
    assert_eq!(facts.num_complex_terms, 1); // model; "ai" is not in "maintain"
}

#[test]
fn a_hosts_term_counts_beside_a_built_in_one() {
    let lexicon = LexiconBuilder::default().add(TermRole::Technical, "kafka").build().unwrap();
    assert_eq!(TextFacts::of_with(&lexicon, "a Kafka service").num_technical_terms, 2);
    assert_eq!(TextFacts::of("a Kafka service").num_technical_terms, 1);
    assert!(TextFacts::of("Añadir autenticación").has(Flag::Authentication));
    let (facts, grams) = SparseText::read_with(&lexicon, "read from Kafka");
    assert_eq!(facts.num_technical_terms, 1);
    assert_eq!(grams, SparseText::read("read from Kafka").1);
}

#[test]
fn each_kind_of_term_is_found() {
    let facts = |builder: LexiconBuilder, text| TextFacts::of_with(&builder.build().unwrap(), text);
    assert_eq!(
        facts(LexiconBuilder::default().add(TermRole::Technical, "kafka"), "KAFKA or kafka")
            .num_technical_terms,
        1
    );
    assert_eq!(
        facts(LexiconBuilder::default().add(TermRole::Complex, "sharding"), "with sharding")
            .num_complex_terms,
        1
    );
    assert_eq!(
        facts(LexiconBuilder::default().add(TermRole::Requirement, "needs to"), "It needs to print")
            .num_requirements,
        1
    );
    assert_eq!(
        facts(LexiconBuilder::default().add(TermRole::Constraint, "hard cap"), "a hard cap of 3")
            .num_constraints,
        1
    );
    let related =
        facts(LexiconBuilder::default().add(TermRole::Relationship, "cuelga de"), "una hoja cuelga de otra");
    assert_eq!(related.num_relationships, 1);
    let flagged =
        facts(LexiconBuilder::default().add(TermRole::Flag(Flag::Database), "cockroachdb"), "on CockroachDB");
    assert!(flagged.has(Flag::Database));
    let lexicon = LexiconBuilder::default().add(TermRole::Complex, "event sourcing").build().unwrap();
    let more = LexiconBuilder::from(lexicon).add(TermRole::Complex, "sharding");
    assert_eq!(facts(more, "Sharding, by event-sourcing; no resharding").num_complex_terms, 2);
    let lexicon = LexiconBuilder::default()
        .add(TermRole::Technical, "kafka")
        .add(TermRole::Flag(Flag::Database), "cockroachdb")
        .add(TermRole::Constraint, "hard cap");
    let found = facts(lexicon, "From Kafka to CockroachDB, with a hard-cap of 1 GB");
    assert_eq!((found.num_technical_terms, found.num_constraints), (1, 1));
    assert!(found.has(Flag::Database));
}
