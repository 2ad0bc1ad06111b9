//! A configuration with several mistakes: each is reported, and none that only follows from another one.

use serde_json::{Value, json};

use super::*;
use crate::limits;

/// The fields that have mistakes.
fn fields(json: &Value) -> Vec<String> {
    refuse_all(json).into_iter().map(|(field, _)| field).collect()
}

#[test]
fn every_mistake_is_reported_with_its_field_in_one_line() {
    let errors = parse(&json!({
        "scope": "",
        "paths": ["/a", "metrics", "/a//b"],
        "hosts": ["https://a"],
        "gateway": {"labels": {"le": "x", "ok": 1}, "created": "yes"},
        "sources": [
            {"cluster": 7, "interval": "10ms", "colour": 1},
            {"name": "b", "cluster": "b", "timeout": "4", "labels": {"0": "x"}},
            "c",
        ],
        "auth": {
            "anonymous": 1,
            "tokens": [{"name": "a", "sha256": "x"}, {"name": "a", "sha256": SHA256}],
            "users": [{"name": "a:b", "password_hash": "plain"}],
            "controller": {"deny_for": "never"},
        },
        "observe": {"by": "both"},
        "proxy": {},
    }))
    .unwrap_err();
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "proxy",
            "scope",
            "paths[1]",
            "paths[2]",
            "hosts[0]",
            "gateway.labels.le",
            "gateway.labels.ok",
            "gateway.created",
            "sources[0].colour",
            "sources[0].name",
            "sources[0].cluster",
            "sources[0].interval",
            "sources[1].timeout",
            "sources[1].labels.0",
            "sources[2]",
            "auth.anonymous",
            "auth.tokens[0].sha256",
            "auth.tokens[1].name",
            "auth.users[0].name",
            "auth.users[0].password_hash",
            "auth.controller.cluster",
            "auth.controller.deny_for",
            "observe.by",
        ]
    );
    let line = errors.to_string();
    assert!(
        line.starts_with("proxy: unknown field; scope: must not be empty; paths[1]: "),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1);
    assert!(!errors.are_more());
}

#[test]
fn a_misspelt_field_is_one_mistake() {
    let misspelt = |known| Problem::MisspeltField { known };
    let mut json = with_controller(&json!({"sources": ["b"]}));
    let sources = json.as_object_mut().unwrap().remove("sources").unwrap();
    json["sorces"] = sources;
    assert_eq!(refuse(&json), ("sorces".to_owned(), misspelt("sources")));
    let json = with_source(&json!({"name": null, "nme": "b"}));
    assert_eq!(refuse(&json), ("sources[1].nme".to_owned(), misspelt("name")));
    let token = json!({"name": "a", "sha265": SHA256});
    let json = json!({"auth": {"tokens": [token]}});
    assert_eq!(refuse(&json), ("auth.tokens[0].sha265".to_owned(), misspelt("sha256")));
    let json = with_source(&json!({"credential": {"user": "a", "password": "b"}}));
    assert_eq!(refuse(&json), ("sources[1].credential.user".to_owned(), Problem::UnknownField));
    let mut json = with_source(&json!({"credential": "forward"}));
    json["auth"] = json!({"controler": {"cluster": "cluster-b"}});
    assert_eq!(refuse(&json), ("auth.controler".to_owned(), misspelt("controller")));
    json["auth"] = Value::Null;
    json["aut"] = json!({"controller": {"cluster": "cluster-b"}});
    json.as_object_mut().unwrap().remove("auth");
    assert_eq!(refuse(&json), ("aut".to_owned(), misspelt("auth")));
}

#[test]
fn a_field_beside_a_misspelling_of_it_is_read() {
    let json = with_source(&json!({"nme": "x", "name": 1}));
    assert_eq!(fields(&json), ["sources[1].nme", "sources[1].name"]);
}

#[test]
fn a_reference_to_a_source_whose_name_cannot_be_read_is_no_mistake() {
    for name in [json!(1), json!(""), json!("a"), Value::Null] {
        let mut json = with_controller(&json!({"sources": ["b"]}));
        json["sources"][1] = json!({"name": name, "cluster": "cluster-b"});
        if name.is_null() {
            json["sources"][1].as_object_mut().unwrap().remove("name");
        }
        assert_eq!(refuse(&json).0, "sources[1].name", "{name}");
    }
    let mut json = with_controller(&json!({"sources": ["b"]}));
    json["sources"] = json!({});
    assert_eq!(refuse(&json).0, "sources");
}

#[test]
fn a_reference_is_checked_if_only_other_fields_of_the_sources_are_wrong() {
    let mut json = with_controller(&json!({"sources": ["b", "c"]}));
    json["sources"][1]["interval"] = json!("1");
    assert_eq!(fields(&json), ["sources[1].interval", "auth.controller.sources[1]"]);
}

#[test]
fn forward_is_no_mistake_if_one_of_the_compared_fields_cannot_be_read() {
    let forwarding = |pointer: &str, wrong: Value| {
        let mut json = with_controller(&json!({}));
        json["sources"][1]["credential"] = json!("forward");
        let (object, key) = pointer.rsplit_once('/').unwrap();
        let object = json.pointer_mut(object).unwrap().as_object_mut().unwrap();
        object.insert(key.to_owned(), wrong);
        json
    };
    for (pointer, field) in [
        ("/sources/1/cluster", "sources[1].cluster"),
        ("/sources/1/authority", "sources[1].authority"),
        ("/auth/controller/cluster", "auth.controller.cluster"),
        ("/auth/controller/authority", "auth.controller.authority"),
        ("/auth/controller", "auth.controller"),
        ("/auth", "auth"),
    ] {
        assert_eq!(refuse(&forwarding(pointer, json!(1))).0, field);
    }
    let both = forwarding("/auth/controller/timeout", json!("1"));
    assert_eq!(fields(&both), ["auth.controller.timeout"]);
    let elsewhere = forwarding("/auth/controller", json!({"cluster": "c", "timeout": "1"}));
    assert_eq!(fields(&elsewhere), ["auth.controller.timeout", "sources[1].credential"]);
}

#[test]
fn an_entry_with_a_mistake_is_compared_by_what_could_be_read() {
    let tokens = json!({"auth": {"tokens": [
        {"name": "a", "sha256": "x"},
        {"name": "a", "sha256": "0".repeat(64)},
        {"sha256": SHA256},
        {"name": "", "sha256": SHA256},
    ]}});
    assert_eq!(
        fields(&tokens),
        [
            "auth.tokens[0].sha256",
            "auth.tokens[1].name",
            "auth.tokens[2].name",
            "auth.tokens[3].name",
            "auth.tokens[3].sha256",
        ]
    );
    let users = json!({"auth": {"users": [
        {"name": "a", "password_hash": "x"},
        {"name": "a", "password_hash": HASH},
    ]}});
    assert_eq!(fields(&users), ["auth.users[0].password_hash", "auth.users[1].name"]);
}

#[test]
fn the_texts_of_a_credential_in_no_known_form_are_checked_too() {
    let json = with_source(&json!({"credential": {"bearer": "", "bearer_env": "$X"}}));
    let credential = "sources[1].credential";
    let mistakes = [format!("{credential}.bearer"), format!("{credential}.bearer_env")];
    assert_eq!(fields(&json), [&mistakes[..], &[credential.to_owned()]].concat());
    let json = with_source(&json!({"credential": {"username": "a:b", "password_env": ""}}));
    let mistakes = [format!("{credential}.username"), format!("{credential}.password_env")];
    assert_eq!(fields(&json), mistakes);
}

#[test]
fn a_key_that_cannot_be_shown_is_reported_once_for_each_object() {
    let json = json!({"a key": 1, "another key": 2, "gateway": {"a third key": 3}});
    let hidden = Problem::HasUnknownField;
    assert_eq!(refuse_all(&json), [(String::new(), hidden), ("gateway".to_owned(), hidden)]);
}

#[test]
fn the_list_of_mistakes_is_bounded_and_says_that_there_are_more() {
    let paths = |count: usize| json!({"sources": vec![json!({}); count]});
    let errors = parse(&paths(limits::CONFIG_ERRORS / 2)).unwrap_err();
    assert_eq!(errors.iter().count(), limits::CONFIG_ERRORS);
    assert!(!errors.are_more() && !errors.to_string().ends_with("; and more"));
    let errors = parse(&paths(limits::CONFIG_ERRORS / 2 + 1)).unwrap_err();
    assert_eq!(errors.iter().count(), limits::CONFIG_ERRORS);
    assert!(errors.are_more() && errors.to_string().ends_with("; and more"));
}
