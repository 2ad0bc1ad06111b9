//! One mistake in each field.

use std::time::Duration as Time;

use serde_json::{Value, json};

use super::*;
use crate::auth::password::PasswordHashError;
use crate::limits;

/// Asserts that each configuration has one mistake: this one, in this field.
fn check(cases: Vec<(Value, &str, Problem)>) {
    for (json, field, problem) in cases {
        assert_eq!(refuse(&json), (field.to_owned(), problem), "{json}");
    }
}

#[test]
fn a_mistake_at_the_top_or_in_gateway_is_reported_with_its_field() {
    use Problem::*;
    let long_name = "n".repeat(limits::NAME_BYTES + 1);
    check(vec![
        (json!([]), "", WrongType { expected: "an object" }),
        (json!({"source": []}), "source", MisspeltField { known: "sources" }),
        (json!({"scope": ""}), "scope", Empty),
        (json!({"scope": "a\nb"}), "scope", Characters { allowed: "printable characters" }),
        (json!({"scope": long_name}), "scope", TooLong { most: limits::NAME_BYTES }),
        (json!({"paths": "/a"}), "paths", WrongType { expected: "a list" }),
        (json!({"paths": [""]}), "paths[0]", Empty),
        (json!({"paths": ["/a", "metrics"]}), "paths[1]", NoSlash),
        (json!({"paths": ["/"]}), "paths[0]", PathNotNormal),
        (json!({"paths": ["/a//b"]}), "paths[0]", PathNotNormal),
        (json!({"paths": ["/a//"]}), "paths[0]", PathNotNormal),
        (json!({"paths": ["/a/./b"]}), "paths[0]", PathNotNormal),
        (json!({"paths": ["/a/../b"]}), "paths[0]", PathNotNormal),
        (json!({"paths": ["/a", "/b", "/a/"]}), "paths[2]", Duplicate),
        (json!({"hosts": ["a", "A"]}), "hosts[1]", Duplicate),
        (json!({"hosts": ["https://a"]}), "hosts[0]", Authority),
        (json!({"hosts": ["*.example"]}), "hosts[0]", Authority),
        (json!({"hosts": ["a:port"]}), "hosts[0]", Authority),
        (json!({"hosts": [":80"]}), "hosts[0]", Authority),
        (json!({"hosts": ["a:"]}), "hosts[0]", Authority),
        (json!({"hosts": ["a:+80"]}), "hosts[0]", Authority),
        (json!({"hosts": ["[::1]:+80"]}), "hosts[0]", Authority),
        (json!({"hosts": ["a:-1"]}), "hosts[0]", Authority),
        (json!({"hosts": ["a:65536"]}), "hosts[0]", Authority),
        (json!({"hosts": ["::1"]}), "hosts[0]", Authority),
        (json!({"hosts": ["[nothing]"]}), "hosts[0]", Authority),
        (json!({"hosts": ["[:::1]"]}), "hosts[0]", Authority),
        (json!({"gateway": {"label": {}}}), "gateway.label", MisspeltField { known: "labels" }),
        (json!({"gateway": {"labels": []}}), "gateway.labels", WrongType { expected: "an object" }),
        (
            json!({"gateway": {"created": 1}}),
            "gateway.created",
            WrongType { expected: "true or false" },
        ),
        (
            json!({"gateway": {"labels": {"a": 1}}}),
            "gateway.labels.a",
            WrongType { expected: "a string" },
        ),
        (json!({"gateway": {"labels": {"a": ""}}}), "gateway.labels.a", Empty),
        (
            json!({"observe": {"by": "both"}}),
            "observe.by",
            Choice { choices: "filter, access_log, off" },
        ),
        (json!({"observe": "filter"}), "observe", WrongType { expected: "an object" }),
    ]);
}

#[test]
fn a_mistake_in_a_source_is_reported_with_its_field() {
    use Problem::*;
    let short = |least| TooShort { least };
    let second = Time::from_secs(1);
    check(vec![
        (json!({"sources": {}}), "sources", WrongType { expected: "a list" }),
        (with_source(&json!({"name": null})), "sources[1].name", Missing),
        (with_source(&json!({"cluster": null})), "sources[1].cluster", Missing),
        (with_source(&json!({"name": "a"})), "sources[1].name", Duplicate),
        (with_source(&json!({"name": ""})), "sources[1].name", Empty),
        (
            with_source(&json!({"intervall": "1s"})),
            "sources[1].intervall",
            MisspeltField { known: "interval" },
        ),
        (with_source(&json!({"interval": "999ms"})), "sources[1].interval", short(second)),
        (
            with_source(&json!({"interval": "745h"})),
            "sources[1].interval",
            TooLongTime { most: limits::DURATION },
        ),
        (
            with_source(&json!({"timeout": "0ms"})),
            "sources[1].timeout",
            short(Time::from_millis(1)),
        ),
        (
            with_source(&json!({"timeout": "6m"})),
            "sources[1].timeout",
            TooLongTime { most: limits::TIMEOUT },
        ),
        (with_source(&json!({"stale_after": "0s"})), "sources[1].stale_after", short(second)),
        (with_source(&json!({"idle_after": "0h"})), "sources[1].idle_after", short(second)),
        (
            with_source(&json!({"interval": 5})),
            "sources[1].interval",
            WrongType { expected: "a string" },
        ),
        (with_source(&json!({"path": "metrics"})), "sources[1].path", NoSlash),
        (with_source(&json!({"keep": ["a", "a"]})), "sources[1].keep[1]", Duplicate),
        (with_source(&json!({"drop": "a"})), "sources[1].drop", WrongType { expected: "a list" }),
        (
            with_source(&json!({"drop": ["*a"]})),
            "sources[1].drop[0]",
            Characters { allowed: "letters, digits, _ and :, and a * at the end" },
        ),
        (
            with_source(&json!({"gateway_families": "Keep"})),
            "sources[1].gateway_families",
            Choice { choices: "drop, keep" },
        ),
        (with_source(&json!({"credential": "forward"})), "sources[1].credential", Forward),
        (
            with_source(&json!({"credential": "Forward"})),
            "sources[1].credential",
            WrongType { expected: "an object" },
        ),
        (
            with_source(&json!({"credential": {"token": ""}})),
            "sources[1].credential.token",
            UnknownField,
        ),
        (
            with_source(&json!({"credential": {"bearer": ""}})),
            "sources[1].credential.bearer",
            Empty,
        ),
        (
            with_source(&json!({"credential": {"bearer_env": "$TOKEN"}})),
            "sources[1].credential.bearer_env",
            Characters { allowed: "letters, digits, _, - and ." },
        ),
        (
            with_source(&json!({"credential": {"username": "a:b", "password": "c"}})),
            "sources[1].credential.username",
            Characters { allowed: "printable characters, no colon" },
        ),
    ]);
}

#[test]
fn a_mistake_in_auth_is_reported_with_its_field() {
    use Problem::*;
    let short = |least| TooShort { least };
    let second = Time::from_secs(1);
    check(vec![
        (
            json!({"auth": {"anonymous": "true"}}),
            "auth.anonymous",
            WrongType { expected: "true or false" },
        ),
        (json!({"auth": {"controller": {}}}), "auth.controller.cluster", Missing),
        (with_controller(&json!({"token": "x"})), "auth.controller.token", UnknownField),
        (with_controller(&json!({"path": "x"})), "auth.controller.path", NoSlash),
        (with_controller(&json!({"cookie": ""})), "auth.controller.cookie", Empty),
        (with_controller(&json!({"sources": ["x"]})), "auth.controller.sources[0]", UnknownSource),
        (with_controller(&json!({"sources": ["b", "b"]})), "auth.controller.sources[1]", Duplicate),
        (with_controller(&json!({"allow_for": "0s"})), "auth.controller.allow_for", short(second)),
        (with_controller(&json!({"deny_for": "x"})), "auth.controller.deny_for", Duration),
        (
            with_controller(&json!({"timeout": "6m"})),
            "auth.controller.timeout",
            TooLongTime { most: limits::TIMEOUT },
        ),
        (
            json!({"auth": {"tokens": [{"name": "a", "sha256": SHA256, "sources": ["x"]}]}}),
            "auth.tokens[0].sources[0]",
            UnknownSource,
        ),
        (
            json!({"auth": {"users": [{"name": "a", "password_hash": HASH, "families": ["*x"]}]}}),
            "auth.users[0].families[0]",
            Characters { allowed: "letters, digits, _ and :, and a * at the end" },
        ),
        (
            json!({"auth": {"tokens": [{"name": "a", "sha256": SHA256, "families": ["x", "x"]}]}}),
            "auth.tokens[0].families[1]",
            Duplicate,
        ),
        (json!({"auth": {"tokens": [{"sha256": SHA256}]}}), "auth.tokens[0].name", Missing),
        (json!({"auth": {"tokens": [{"name": "a"}]}}), "auth.tokens[0].sha256", Missing),
        (
            json!({"auth": {"tokens": [{"name": "a", "sha256": &SHA256[1..]}]}}),
            "auth.tokens[0].sha256",
            Sha256,
        ),
        (
            json!({"auth": {"tokens": [{"name": "a", "sha256": format!("{SHA256}0")}]}}),
            "auth.tokens[0].sha256",
            Sha256,
        ),
        (
            json!({"auth": {"tokens": [{"name": "a", "sha256": SHA256.replace('7', "g")}]}}),
            "auth.tokens[0].sha256",
            Sha256,
        ),
        (
            json!({"auth": {"tokens": [{"name": "a", "sha256": SHA256}, {"name": "a", "sha256": SHA256.replace('7', "8")}]}}),
            "auth.tokens[1].name",
            Duplicate,
        ),
        (
            json!({"auth": {"tokens": [
                {"name": "a", "sha256": SHA256.replace('7', "8")},
                {"name": "b", "sha256": SHA256},
                {"name": "c", "sha256": SHA256.to_ascii_uppercase()},
            ]}}),
            "auth.tokens[2].sha256",
            SameToken { earlier: 1 },
        ),
        (json!({"auth": {"users": [{"password_hash": HASH}]}}), "auth.users[0].name", Missing),
        (json!({"auth": {"users": [{"name": "a"}]}}), "auth.users[0].password_hash", Missing),
        (
            json!({"auth": {"users": [{"name": "a:b", "password_hash": HASH}]}}),
            "auth.users[0].name",
            Characters { allowed: "printable characters, no colon" },
        ),
        (
            json!({"auth": {"users": [{"name": "a", "password_hash": HASH}, {"name": "a", "password_hash": HASH}]}}),
            "auth.users[1].name",
            Duplicate,
        ),
        (
            json!({"auth": {"users": [{"name": "a", "password_hash": "plain"}]}}),
            "auth.users[0].password_hash",
            PasswordHash(PasswordHashError::Shape),
        ),
    ]);
}

#[test]
fn an_error_is_one_line_that_begins_with_the_field() {
    let error = parse(&with_source(&json!({"interval": "10ms"}))).unwrap_err();
    assert_eq!(error.to_string(), "sources[1].interval: must be at least 1s");
    let error = parse_bytes(b"{\"scope\": }").unwrap_err();
    assert_eq!(error.to_string(), "configuration: not JSON, at line 1, column 11");
    let error = parse(&json!({"auth": {"controller": {}}})).unwrap_err();
    assert_eq!(error.to_string(), "auth.controller.cluster: missing");
}

#[test]
fn every_place_refuses_a_number_and_is_named() {
    for (name, pointer) in places(&full(), "", "") {
        let mut json = full();
        *json.pointer_mut(&pointer).unwrap() = json!(1.0);
        let (field, problem) = refuse(&json);
        assert_eq!(field, name);
        assert!(matches!(problem, Problem::WrongType { .. }), "{name}: {problem:?}");
    }
}
