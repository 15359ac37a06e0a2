use super::*;
use crate::error::ErrorKind;

const JSON: &[u8] = include_bytes!("../../../../tests/external/xgboost-logistic.json");
const UBJSON: &[u8] = include_bytes!("../../../../tests/external/xgboost-logistic.ubj");
const TEXT: &[u8] = include_bytes!("../../../../tests/external/lightgbm-logistic.txt");

/// A text model or a JSON one with something else in it.
fn changed(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.contains(from), "{from}");
    text.replace(from, to).into_bytes()
}

fn refusal(bytes: &[u8]) -> (ErrorKind, String) {
    let error = ExternalTrees::read(bytes).unwrap_err();
    (error.kind(), format!("{error:#}"))
}

#[test]
fn formats_are_told_apart_and_names_and_categories_read() {
    let formats = [ExternalFormat::XgboostJson, ExternalFormat::XgboostUbjson, ExternalFormat::LightgbmText];
    for (bytes, format) in [JSON, UBJSON, TEXT].into_iter().zip(formats) {
        let found = ExternalTrees::read(bytes).unwrap();
        assert_eq!((found.format, found.margin), (format, Margin::LogOdds));
        assert_eq!(found.names.len(), 6, "{format}");
        assert_eq!(
            (found.names[0].as_str(), found.names[5].as_str()),
            ("agent_past_performance", "model_used_encoded")
        );
        assert!(!found.categorical.is_empty() && found.categorical.iter().all(|f| *f >= 4), "{format}");
        assert_eq!(found.trees.len(), 5);
    }
}

/// Whatever the bytes, it is an answer; and what is read can be asked.
fn survives(bytes: &[u8]) {
    if let Ok(found) = ExternalTrees::read(bytes) {
        let row = vec![f32::NAN; found.trees.width()];
        let _ = found.trees.margin(&row);
        let _ = found.trees.contributions(&row);
    }
}

#[test]
fn bytes_that_are_cut_or_flipped_are_never_more_than_an_error() {
    for bytes in [JSON, UBJSON, TEXT] {
        // The last lines of LightGBM's text say nothing of the trees.
        let needed = bytes.windows(12).position(|w| w == b"end of trees").unwrap_or(bytes.len() - 1);
        for end in (0..needed).step_by(50) {
            assert!(ExternalTrees::read(&bytes[..end]).is_err(), "cut at {end} of {}", bytes.len());
        }
        for at in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1 << (at % 8);
            survives(&damaged);
        }
    }
}

#[test]
fn numbers_that_promise_more_than_there_is_are_refused() {
    for (from, to) in [
        (r#""num_trees":"5""#, r#""num_trees":"1000000""#),
        (r#""num_feature":"6""#, r#""num_feature":"4000000000""#),
        (r#""iteration_indptr":[0,1,2,3,4,5]"#, r#""iteration_indptr":[0,1000000]"#),
        (r#""num_parallel_tree":"1""#, r#""num_parallel_tree":"1000000000000""#),
    ] {
        let damaged = changed(JSON, from, to);
        match ExternalTrees::read(&damaged) {
            // A count of trees that is only said is not believed.
            Ok(found) => assert!(found.trees.len() == 5 && found.trees.width() == 6, "{to}"),
            Err(error) => assert!(matches!(error.kind(), ErrorKind::Corrupt), "{to}: {error}"),
        }
    }
    for (from, to) in [
        ("num_leaves=8", "num_leaves=1000000"),
        ("max_feature_idx=5", "max_feature_idx=5000000"),
        ("num_class=1", "num_class=1000000"),
        ("Tree=4", "Tree=1000000"),
    ] {
        assert_eq!(refusal(&changed(TEXT, from, to)).0, ErrorKind::Corrupt, "{to}");
    }
    let trees = std::str::from_utf8(TEXT).unwrap();
    let million = format!("{}{}", trees, "\n".repeat(MAX_EXTERNAL_MODEL_BYTES));
    assert_eq!(refusal(million.as_bytes()).0, ErrorKind::InvalidInput);
}

#[test]
fn whole_models_that_are_none_of_ours_say_why() {
    let cases: [(Vec<u8>, &str); 7] = [
        (changed(TEXT, "objective=binary sigmoid:1", "objective=binary sigmoid:2"), "sigmoid"),
        (
            changed(TEXT, "pandas_categorical:null", r#"pandas_categorical:[["a", "b"]]"#),
            "numbers its categories",
        ),
        (
            changed(JSON, r#""enc":[]"#, r#""enc":[{"offsets":[0,1],"values":[97]}]"#),
            "numbers its categories",
        ),
        (changed(JSON, r#""name":"gbtree""#, r#""name":"gblinear""#), "gblinear"),
        (changed(JSON, "binary:logistic", "survival:cox"), "survival:cox"),
        (changed(JSON, "binary:logistic", "binary:hinge"), "binary:hinge"),
        (changed(JSON, "binary:logistic", "my:own"), "my:own"),
    ];
    for (bytes, why) in cases {
        let (kind, message) = refusal(&bytes);
        assert!(matches!(kind, ErrorKind::Incompatible | ErrorKind::Corrupt), "{message}");
        assert!(message.contains(why), "{message}");
    }
    for bytes in [b"".as_slice(), b"{}", b"GIF89a", br#"{"weights":[1]}"#, b"HBM\0xxxx"] {
        assert_eq!(refusal(bytes).0, ErrorKind::Corrupt);
    }
}
