//! Secrets in a configuration, right or wrong.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn no_error_quotes_a_secret_at_any_place() {
    for secret in ["hunter2 \u{1}\u{7f}", "Ab3dEf6hIj9lMn2pQr5tUv8xYz1BcD", "hunter2\nhunter3"] {
        for (_, pointer) in places(&full(), "", "") {
            let mut as_value = full();
            *as_value.pointer_mut(&pointer).unwrap() = json!(secret);
            let mut as_key = full();
            if let Some(object) = as_key.pointer_mut(&pointer).unwrap().as_object_mut() {
                object.insert(secret.to_owned(), json!(secret));
            }
            for errors in [as_value, as_key].iter().filter_map(|json| parse(json).err()) {
                let shown = format!("{errors} {errors:?}");
                assert!(!shown.contains(secret) && !shown.contains("hunter"), "{shown}");
                assert_eq!(errors.to_string().lines().count(), 1);
            }
        }
    }
}

#[test]
fn a_configuration_that_is_printed_shows_no_secret() {
    let config = accept(&full());
    let shown = format!("{config:?} {config:#?}");
    for secret in ["hidden", "awxsalt", "06oTDa", "75c5", "117, 197, 193"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

const MARK: &str = "s3cr3t";

/// JSON of known and unknown fields, each text with [`MARK`] in it.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,8}".prop_map(|text| json!(format!("{MARK}{text}"))),
        "/?".prop_map(|text| json!(format!("{text}{MARK}"))),
    ];
    let key = prop_oneof![
        9 => proptest::sample::select(vec![
            "scope", "paths", "hosts", "gateway", "labels", "sources", "name", "cluster",
            "authority", "path", "interval", "timeout", "credential", "bearer", "username",
            "password", "auth", "anonymous", "tokens", "sha256", "users", "password_hash",
            "observe", "by",
        ]).prop_map(str::to_owned),
        1 => "[a-z]{1,8}",
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_give_a_configuration_or_an_error(bytes: Vec<u8>) {
        let _ = parse_bytes(&bytes);
    }

    #[test]
    fn any_json_gives_a_configuration_or_errors_without_its_values(json in any_json()) {
        if let Err(errors) = parse(&json) {
            let shown = format!("{errors} {errors:?}");
            prop_assert!(!shown.contains(MARK), "{}", shown);
        }
    }

    #[test]
    fn a_configuration_cut_anywhere_is_refused_without_its_values(cut in 1..1_000_usize) {
        let text = full().to_string().replace("hidden", MARK);
        let cut = cut.min(text.len() - 1);
        let errors = parse_bytes(&text.as_bytes()[..cut]).unwrap_err();
        let is_not_json = matches!(only(&errors), Problem::NotJson { .. });
        prop_assert!(is_not_json);
        let shown = format!("{errors} {errors:?}");
        prop_assert!(!shown.contains(MARK), "{}", shown);
    }
}
