use super::*;
use crate::error::ErrorKind;

const JSON: &[u8] = include_bytes!("../../../../tests/external/xgboost-logistic.json");
const UBJSON: &[u8] = include_bytes!("../../../../tests/external/xgboost-logistic.ubj");
const TEXT: &[u8] = include_bytes!("../../../../tests/external/lightgbm-logistic.txt");

const ONE_LEAF: &[u8] = include_bytes!("../../../../tests/external/lightgbm-one-leaf.txt");

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
    let cases: [(Vec<u8>, &str); 16] = [
        (changed(TEXT, "objective=binary sigmoid:1", "objective=binary sigmoid:2"), "sigmoid"),
        (changed(TEXT, "objective=binary sigmoid:1", "objective=regression sqrt"), "sqrt"),
        (
            changed(TEXT, "objective=binary sigmoid:1", "objective=cross_entropy_lambda"),
            "cross_entropy_lambda",
        ),
        (changed(TEXT, "objective=binary sigmoid:1\n", ""), "no objective"),
        (changed(TEXT, "\nfeature_names=", "\naverage_output\nfeature_names="), "boosting=rf"),
        (changed(TEXT, "version=v4", "version=v3"), "LightGBM 4"),
        (changed(TEXT, "decision_type=10 9", "decision_type=6 9"), "zero_as_missing"),
        (
            changed(TEXT, "pandas_categorical:null", r#"pandas_categorical:[["a", "b"]]"#),
            "numbers its categories",
        ),
        (
            changed(JSON, r#""enc":[]"#, r#""enc":[{"offsets":[0,1],"values":[97]}]"#),
            "numbers its categories",
        ),
        (changed(JSON, r#""name":"gbtree""#, r#""name":"gblinear""#), "gblinear"),
        (changed(JSON, r#""name":"gbtree""#, r#""name":"dart""#), "dart"),
        (changed(JSON, "binary:logistic", "survival:cox"), "survival:cox"),
        (changed(JSON, "binary:logistic", "binary:hinge"), "binary:hinge"),
        (changed(JSON, "binary:logistic", "my:own"), "my:own"),
        // As 2.1 wrote splits by categories.
        (changed(&changed(JSON, "[3,2,0]", "[2,1,4]"), "1E-45", "NaN"), "XGBoost 3"),
        (
            changed(&changed(JSON, "binary:logistic", "count:poisson"), "[4.7E-1]", "[0E0]"),
            "all of one class, or all 0",
        ),
    ];
    for (bytes, why) in cases {
        let (kind, message) = refusal(&bytes);
        assert!(kind == ErrorKind::Incompatible, "{message}");
        assert!(message.contains(why), "{message}");
    }
    let name = UBJSON.windows(6).rposition(|window| window == b"gbtree").unwrap();
    let mut ubjson = UBJSON.to_vec();
    // As long, with another name.
    ubjson[name..name + 6].copy_from_slice(b"gbtr33");
    assert_eq!(refusal(&ubjson).0, ErrorKind::Corrupt);
    let cut = changed(TEXT, "\nfeature_names=", "\naverage_output\nfeature_names=");
    assert_eq!(refusal(&cut[..cut.len() / 2]).0, ErrorKind::Corrupt);
    assert_eq!(refusal(b"binf\0\0\0\0").0, ErrorKind::Incompatible);
    for bytes in [b"".as_slice(), b"{}", b"GIF89a", br#"{"weights":[1]}"#, b"HBM\0xxxx"] {
        assert_eq!(refusal(bytes).0, ErrorKind::Corrupt);
    }
}

#[test]
fn trees_of_one_leaf_need_no_weight() {
    let text = std::str::from_utf8(ONE_LEAF).unwrap();
    assert!(text.contains("num_leaves=1\n") && text.contains("leaf_weight=\n"));
    let found = ExternalTrees::read(ONE_LEAF).unwrap();
    assert!(found.trees.len() > 1);
    // Sizes of trees that do not add up go on being noticed, and a count that is missing is no damage either.
    for (from, to, is_read) in
        [("tree_sizes=2", "tree_sizes=3", false), ("leaf_weight=\n", "leaf_weight=1 2\n", false)]
    {
        assert_eq!(ExternalTrees::read(&changed(ONE_LEAF, from, to)).is_ok(), is_read, "{to}");
    }
    let without_count = text.replacen("leaf_count=2000\n", "leaf_count=\n", 1);
    let first: usize = text.split("tree_sizes=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let fitting =
        without_count.replacen(&format!("tree_sizes={first} "), &format!("tree_sizes={} ", first - 4), 1);
    assert!(ExternalTrees::read(fitting.as_bytes()).is_ok());
}

#[test]
fn a_base_score_that_is_a_number_is_that_of_versions_before_3_1() {
    let row = [0.3, 1.0, 0.0, 4.0, 2.0, 7.0];
    let margin = |bytes: &[u8]| ExternalTrees::read(bytes).unwrap().trees.margin(&row).unwrap();
    let older = changed(JSON, r#""base_score":"[4.7E-1]""#, r#""base_score":"4.7E-1""#);
    assert_eq!(margin(&older), margin(JSON));
    let length =
        |text: &str| [b"SL".as_slice(), &(text.len() as u64).to_be_bytes(), text.as_bytes()].concat();
    let (list, number) = (length("[4.7E-1]"), length("4.7E-1"));
    let at = UBJSON.windows(list.len()).rposition(|window| window == list).unwrap();
    let older = [&UBJSON[..at], &number, &UBJSON[at + list.len()..]].concat();
    assert_eq!(margin(&older), margin(UBJSON));
}

#[test]
fn a_negative_category_is_in_no_set() {
    // Its sets hold no category 0.
    let with_zero = changed(TEXT, "cat_threshold=178 178", "cat_threshold=179 179");
    for bytes in [JSON, UBJSON, &with_zero] {
        let trees = ExternalTrees::read(bytes).unwrap().trees;
        let at = |first: f32, feature: usize, code: f32| {
            let mut row = [first, 5000.0, 0.0, 4.0, 2.0, 7.0];
            row[feature] = code;
            let parts: f32 = trees.contributions(&row).unwrap().iter().sum();
            let margin = trees.margin(&row).unwrap();
            assert!((f64::from(parts) - margin).abs() < 1e-5);
            margin
        };
        let firsts = [0.1, 0.3, 0.5, 0.7, 0.9];
        for feature in [4, 5] {
            for (first, code) in
                firsts.iter().flat_map(|first| [-1.0, -3.0, -1e30].map(|code| (*first, code)))
            {
                assert_eq!(at(first, feature, code), at(first, feature, 5000.0), "{feature} {code}");
            }
        }
        assert!(firsts.iter().any(|first| at(*first, 4, -1.0) != at(*first, 4, 0.0)));
    }
}

#[test]
fn ranges_are_those_that_a_model_states() {
    let unseen = |bytes: &[u8], row: [f32; 6]| {
        let trees = ExternalTrees::read(bytes).unwrap().trees;
        let found: Vec<_> = trees.unseen(&row).map(|unseen| (unseen.feature, unseen.value)).collect();
        (found, trees.margin(&row).unwrap())
    };
    let row = |first| [first, 5000.0, 0.0, 4.0, 2.0, 7.0];
    let (usual, far) = (row(0.3), row(9.0));
    assert_eq!(unseen(TEXT, far).0, [(0, 9.0)]);
    assert_eq!(unseen(TEXT, far).1, unseen(TEXT, row(0.9999)).1);
    for bytes in [TEXT, JSON, UBJSON] {
        assert!(unseen(bytes, usual).0.is_empty());
    }
    assert!(unseen(JSON, far).0.is_empty(), "XGBoost keeps none");
    let stated = r#""attributes":{"devmatrix_training_ranges":"[[0,0.0,1.0,true]]"}"#;
    let bytes = changed(JSON, r#""attributes":{}"#, stated);
    assert_eq!(unseen(&bytes, far).0, [(0, 9.0)]);
    let wrong = changed(JSON, r#""attributes":{}"#, &stated.replace("[[0,", "[[6,"));
    assert_eq!(refusal(&wrong).0, ErrorKind::Corrupt);
}
