//! Rules for texts and keys.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::auth::password::PasswordHashError;
use crate::limits;

#[test]
fn durations_are_one_whole_number_and_one_unit() {
    let read = |text: &str| refuse_or(&with_source(&json!({"stale_after": text})));
    for (text, seconds) in [("1000ms", 1), ("5s", 5), ("007s", 7), ("5m", 300), ("744h", 2_678_400)]
    {
        assert_eq!(read(text), Ok(Duration::from_secs(seconds)), "{text}");
    }
    for text in [
        "5", "s", "5 s", " 5s", "5s ", "5S", "-5s", "+5s", "1.5s", "1e3s", "5m30s", "5d", "5us",
        "٥s",
    ] {
        assert_eq!(read(text), Err(Problem::Duration), "{text}");
    }
    for text in ["99999999999999999999999999h", "18446744073709551615m"] {
        assert_eq!(read(text), Err(Problem::TooLongTime { most: limits::DURATION }), "{text}");
    }
}

fn refuse_or(json: &Value) -> Result<Duration, Problem> {
    parse(json).map(|config| config.sources[1].stale_after).map_err(|errors| only(&errors))
}

#[test]
fn a_repeated_key_is_refused_in_every_object() {
    let cases = [
        (r#"{"scope": "a", "scope": "a"}"#, "scope"),
        (r#"{"auth": {"anonymous": false, "anonymous": true}}"#, "auth.anonymous"),
        (r#"{"sources": [{"name": "a", "cluster": "b", "name": "c"}]}"#, "sources[0].name"),
        (r#"{"gateway": {"labels": {"a": "b", "a": "c"}}}"#, "gateway.labels.a"),
        (r#"{"gateway": {"labels": {"a": "b", "\u0061": "c"}}}"#, "gateway.labels.a"),
        (
            r#"{"sources": [{"name": "a", "cluster": "b", "credential": {"bearer": "a", "bearer": "b"}}]}"#,
            "sources[0].credential.bearer",
        ),
    ];
    for (json, field) in cases {
        let errors = parse_bytes(json.as_bytes()).unwrap_err();
        assert_eq!(mistakes_of(&errors), [(field.to_owned(), Problem::Twice)]);
    }
}

#[test]
fn null_is_a_wrong_type_not_a_default() {
    let problem = Problem::WrongType { expected: "a string" };
    assert_eq!(refuse(&json!({"scope": null})), ("scope".to_owned(), problem));
    let problem = Problem::WrongType { expected: "an object" };
    assert_eq!(
        refuse(&json!({"auth": {"controller": null}})),
        ("auth.controller".to_owned(), problem)
    );
}

#[test]
fn a_reserved_label_cannot_be_set() {
    for name in ["gateway", "le", "quantile", "source", "__name__", "__x"] {
        let (field, problem) = refuse(&with_source(&json!({"labels": {name: "v"}})));
        assert_eq!((field, problem), (format!("sources[1].labels.{name}"), Problem::LabelReserved));
    }
    for name in [
        "le", "quantile", "__x", "version", "hash", "method", "resource", "code", "outcome",
        "format", "scheme", "source", "reason",
    ] {
        let (field, problem) = refuse(&json!({"gateway": {"labels": {name: "v"}}}));
        assert_eq!((field, problem), (format!("gateway.labels.{name}"), Problem::LabelReserved));
    }
    for name in ["0a", "a-b", "", "a b", "ä", "a.b", "a:b"] {
        let (_, problem) = refuse(&with_source(&json!({"labels": {name: "v"}})));
        assert_eq!(problem, Problem::LabelName, "{name}");
    }
    accept(&with_source(&json!({"labels": {"_a": "any \" \\ \n text ä", "A9": "v", "code": "v"}})));
}

#[test]
fn a_text_that_could_end_a_header_is_refused() {
    for (field, hostile) in [
        ("cluster", "a b"),
        ("cluster", "a\r\nb"),
        ("authority", "a\r\nx: y"),
        ("authority", "a\u{0}"),
        ("authority", "ä.example"),
        ("path", "/a b"),
        ("path", "/a\nb"),
        ("path", "/a\u{7f}"),
    ] {
        let (at, problem) = refuse(&with_source(&json!({field: hostile})));
        assert_eq!(at, format!("sources[1].{field}"));
        assert!(matches!(problem, Problem::Characters { .. }), "{hostile:?}: {problem:?}");
    }
    for credential in [
        json!({"bearer": "a\r\nb"}),
        json!({"bearer": "a b"}),
        json!({"username": "a\n", "password": "b"}),
        json!({"username": "a", "password": "b\r\n"}),
    ] {
        let (_, problem) = refuse(&with_source(&json!({"credential": credential})));
        assert!(matches!(problem, Problem::Characters { .. }), "{problem:?}");
    }
}

#[test]
fn a_password_hash_in_another_format_than_djangos_is_refused() {
    let digest = "06oTDaNcvcrewwXocs08tG/HcOzFfk7AgRCrEq1vQTA=";
    for (hash, problem) in [
        (String::new(), PasswordHashError::Shape),
        (format!("pbkdf2_sha256$1000$salt${digest}$"), PasswordHashError::Shape),
        (format!("pbkdf2_sha1$1000$salt${digest}"), PasswordHashError::Algorithm),
        (format!("pbkdf2_sha256$999$salt${digest}"), PasswordHashError::Iterations),
        (format!("pbkdf2_sha256$5000001$salt${digest}"), PasswordHashError::Iterations),
        (format!("pbkdf2_sha256$+1000$salt${digest}"), PasswordHashError::Iterations),
        (format!("pbkdf2_sha256$$salt${digest}"), PasswordHashError::Iterations),
        (format!("pbkdf2_sha256$1000$${digest}"), PasswordHashError::Salt),
        (format!("pbkdf2_sha256$1000$salt$A{digest}"), PasswordHashError::Digest),
        (format!("pbkdf2_sha256$1000$salt${}", &digest[..43]), PasswordHashError::Digest),
        ("pbkdf2_sha256$1000$salt$c2hvcnQ=".to_owned(), PasswordHashError::Digest),
    ] {
        let json = json!({"auth": {"users": [{"name": "a", "password_hash": hash}]}});
        assert_eq!(refuse(&json).1, Problem::PasswordHash(problem), "{hash}");
    }
}
