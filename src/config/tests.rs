use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::auth::Visibility;
use crate::auth::password::PasswordHashError;
use crate::limits;

const HASH: &str =
    "pbkdf2_sha256$1000$awxsaltawxsalt12345678$06oTDaNcvcrewwXocs08tG/HcOzFfk7AgRCrEq1vQTA=";
const SHA256: &str = "75c5c10f256c75b650c6ffc2e83c6588af02766efd2de28f4de34547006e8d1a";

fn parse(json: &Value) -> Result<Config, ConfigError> {
    Config::parse(json.to_string().as_bytes())
}

fn accept(json: &Value) -> Config {
    parse(json).unwrap()
}

fn refuse(json: &Value) -> (String, Problem) {
    let ConfigError { field, problem } = parse(json).unwrap_err();
    (field, problem)
}

/// Two sources, the second with `changes`.
fn with_source(changes: &Value) -> Value {
    let mut second = json!({"name": "b", "cluster": "cluster-b"});
    merge(&mut second, changes);
    json!({"sources": [{"name": "a", "cluster": "cluster-a"}, second]})
}

/// Two sources on two clusters, and a controller on the second's, with `changes`.
fn with_controller(changes: &Value) -> Value {
    let mut controller = json!({"cluster": "cluster-b"});
    merge(&mut controller, changes);
    let mut json = with_source(&json!({}));
    json["auth"] = json!({"controller": controller});
    json
}

/// Null takes a field away.
fn merge(object: &mut Value, changes: &Value) {
    let object = object.as_object_mut().unwrap();
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            object.remove(key);
        } else {
            object.insert(key.clone(), value.clone());
        }
    }
}

/// Every field that this version takes, none at its default.
pub(super) fn full() -> Value {
    json!({
        "scope": "east",
        "paths": ["/metrics/", "/api/v2/metrics"],
        "hosts": ["Controller.Example", "[::1]:8443"],
        "gateway": {"labels": {"zone": "z1", "gateway": "edge"}, "created": true},
        "sources": [
            {"name": "one", "cluster": "c1", "authority": "one.example:443", "path": "/m?dbonly=1",
             "interval": "30s", "timeout": "500ms", "stale_after": "10m", "idle_after": "1h",
             "credential": {"bearer_env": "TOKEN"}, "labels": {"site": "east", "env": "prod"},
             "gateway_families": "keep"},
            {"name": "two", "cluster": "c2",
             "credential": {"username": "scraper", "password": "hidden word"}},
            {"name": "three", "cluster": "c3",
             "credential": {"username": "scraper", "password_env": "PASSWORD"}},
            {"name": "four", "cluster": "c4", "credential": {"bearer": "hidden-token"}},
        ],
        "auth": {
            "anonymous": true,
            "tokens": [{"name": "prometheus", "sha256": SHA256, "sources": ["one"], "families": []}],
            "users": [{"name": "admin", "password_hash": HASH, "sources": [], "families": ["awx_*"]}],
            "controller": {
                "cluster": "c2", "authority": "two.example", "path": "/check", "timeout": "1500ms",
                "sources": ["two"], "allow_for": "30s", "deny_for": "0s",
                "allow_while_down_for": "1h",
            },
        },
        "observe": {"by": "access_log"},
    })
}

#[test]
fn no_configuration_gives_every_default_and_lets_nobody_in() {
    for nothing in ["", " \n", "{}", r#"{"gateway": {}, "auth": {}, "observe": {}, "sources": []}"#]
    {
        let config = Config::parse(nothing.as_bytes()).unwrap();
        assert_eq!(config.scope, "default");
        assert_eq!(config.paths, ["/api/v2/metrics", "/api/controller/v2/metrics"]);
        assert!(config.hosts.is_empty());
        assert_eq!(config.gateway_labels, GatewayLabels::NodeId);
        assert!(!config.gateway_created);
        assert!(config.sources.is_empty());
        assert!(!config.auth.anonymous);
        assert!(config.auth.tokens.is_empty() && config.auth.users.is_empty());
        assert_eq!(config.observe, Observe::Filter);
        assert_eq!(config.warnings(), [Warning::NobodyLetIn]);
    }
}

#[test]
fn a_source_has_the_documented_defaults() {
    let config = accept(&json!({"sources": [{"name": "a", "cluster": "cluster-a"}]}));
    let [source] = config.sources.as_slice() else { panic!("one source") };
    assert_eq!(source.authority, "cluster-a");
    assert_eq!(source.path, "/api/v2/metrics/");
    assert_eq!(source.interval, Duration::from_secs(15));
    assert_eq!(source.timeout, Duration::from_secs(4));
    assert_eq!(source.stale_after, Duration::from_secs(300));
    assert_eq!(source.idle_after, Duration::from_secs(120));
    assert!(matches!(source.credential, Credential::None));
    assert_eq!(source.labels, []);
    assert_eq!(source.gateway_families, GatewayFamilyPolicy::Drop);
}

#[test]
fn the_controller_has_the_documented_defaults_and_opens_what_is_on_its_cluster() {
    let config = accept(&with_controller(&json!({})));
    let controller = config.auth.controller.as_ref().unwrap();
    assert_eq!((&*controller.cluster, &*controller.authority), ("cluster-b", "cluster-b"));
    assert_eq!(controller.path, "/api/v2/metrics/?dbonly=1&subsystemonly=1");
    assert_eq!(controller.timeout, Duration::from_secs(2));
    assert_eq!(controller.allow_for, Duration::from_secs(60));
    assert_eq!(controller.deny_for, Duration::from_secs(10));
    assert_eq!(controller.allow_while_down_for, Duration::from_secs(300));
    assert_eq!(controller.view.sources, Some(vec![1]));
    assert_eq!(controller.view.families, None);
    assert_eq!(config.warnings(), []);
}

#[test]
fn credentials_are_forwarded_to_nobody_but_the_controller_that_judges_them() {
    let forwarding = |changes: &Value| {
        let mut json = with_controller(changes);
        json["sources"][1]["credential"] = json!("forward");
        json
    };
    let config = accept(&forwarding(&json!({})));
    assert!(matches!(config.sources[1].credential, Credential::Forward));
    for other in [json!({"cluster": "cluster-a"}), json!({"authority": "other.example"})] {
        let refused = ("sources[1].credential".to_owned(), Problem::Forward);
        assert_eq!(refuse(&forwarding(&other)), refused);
    }
}

#[test]
fn whatever_changes_in_auth_changes_its_key_and_nothing_else_does() {
    let key = |json: &Value| accept(json).auth_key();
    let first = key(&full());
    let mut elsewhere = full();
    elsewhere["scope"] = json!("west");
    elsewhere["sources"][0]["interval"] = json!("5s");
    assert_eq!(key(&elsewhere), first);
    for (pointer, value) in [
        ("/auth/anonymous", json!(false)),
        ("/auth/tokens/0/name", json!("other")),
        ("/auth/tokens/0/sha256", json!(SHA256.replace('7', "8"))),
        ("/auth/tokens/0/families", json!(["a"])),
        ("/auth/users/0/name", json!("other")),
        ("/auth/users/0/password_hash", json!(HASH.replace("$1000$", "$1001$"))),
        ("/auth/users/0/sources", json!(["two"])),
        ("/auth/controller/cluster", json!("c1")),
        ("/auth/controller/authority", json!("c1")),
        ("/auth/controller/path", json!("/")),
        ("/auth/controller/sources", json!(["one", "two"])),
        ("/auth/controller/timeout", json!("1s")),
        ("/auth/controller/allow_for", json!("1s")),
        ("/auth/controller/deny_for", json!("1s")),
        ("/auth/controller/allow_while_down_for", json!("1s")),
    ] {
        let mut changed = full();
        *changed.pointer_mut(pointer).unwrap() = value;
        assert_ne!(key(&changed), first, "{pointer}");
    }
}

#[test]
fn every_field_is_read() {
    let config = accept(&full());
    assert_eq!(config.scope, "east");
    assert_eq!(config.paths, ["/metrics", "/api/v2/metrics"]);
    assert_eq!(config.hosts, ["controller.example", "[::1]:8443"]);
    let labels = [("gateway", "edge"), ("zone", "z1")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(config.gateway_labels, GatewayLabels::Set(labels.to_vec()));
    assert!(config.gateway_created);
    assert_eq!(config.observe, Observe::AccessLog);
    assert!(config.auth.anonymous);
    assert_eq!(config.auth.tokens[0].name, "prometheus");
    assert_eq!(config.auth.tokens[0].sha256[..3], [0x75, 0xc5, 0xc1]);
    assert_eq!(config.auth.users[0].name, "admin");
    assert_eq!(config.auth.users[0].hash.to_string(), HASH);
    let view = |sources: &[usize], families: &[&str]| Visibility {
        sources: Some(sources.to_vec()),
        families: Some(families.iter().map(|&family| family.to_owned()).collect()),
    };
    assert_eq!(*config.auth.tokens[0].view, view(&[0], &[]));
    assert_eq!(*config.auth.users[0].view, view(&[], &["awx_*"]));
    let controller = config.auth.controller.as_ref().unwrap();
    assert_eq!((&*controller.authority, &*controller.path), ("two.example", "/check"));
    assert_eq!(controller.view.sources, Some(vec![1]));
    let times = [controller.timeout, controller.allow_for, controller.deny_for];
    assert_eq!(times, [1_500, 30_000, 0].map(Duration::from_millis));
    assert_eq!(controller.allow_while_down_for, Duration::from_secs(3_600));
    let source = &config.sources[0];
    assert_eq!(source.authority, "one.example:443");
    assert_eq!(source.path, "/m?dbonly=1");
    assert_eq!(source.interval, Duration::from_secs(30));
    assert_eq!(source.timeout, Duration::from_millis(500));
    assert_eq!(source.stale_after, Duration::from_secs(600));
    assert_eq!(source.idle_after, Duration::from_secs(3_600));
    let labels = [("env", "prod"), ("site", "east")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(source.labels, labels);
    assert_eq!(source.gateway_families, GatewayFamilyPolicy::Keep);
    let closed = Warning::OpensNothing { list: "tokens", entry: 0 };
    assert_eq!(config.warnings(), [Warning::EverybodyLetIn, closed]);
}

#[test]
fn with_several_sources_each_carries_its_name_unless_it_has_labels() {
    let config = accept(&with_source(&json!({"labels": {}})));
    assert_eq!(config.sources[0].labels, [("source".to_owned(), "a".to_owned())]);
    assert_eq!(config.sources[1].labels, []);
}

#[test]
fn a_field_that_is_wrong_is_named_with_what_is_wrong() {
    use Problem::*;
    let long_name = "n".repeat(limits::NAME_BYTES + 1);
    let short = |least| TooShort { least };
    let second = std::time::Duration::from_secs(1);
    let millisecond = std::time::Duration::from_millis(1);
    let cases: Vec<(Value, &str, Problem)> = vec![
        (json!([]), "", WrongType { expected: "an object" }),
        (json!({"source": []}), "source", UnknownField),
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
        (json!({"hosts": ["::1"]}), "hosts[0]", Authority),
        (json!({"hosts": ["[nothing]"]}), "hosts[0]", Authority),
        (json!({"hosts": ["[:::1]"]}), "hosts[0]", Authority),
        (json!({"gateway": {"label": {}}}), "gateway.label", UnknownField),
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
        (json!({"sources": {}}), "sources", WrongType { expected: "a list" }),
        (with_source(&json!({"name": null})), "sources[1].name", Missing),
        (with_source(&json!({"cluster": null})), "sources[1].cluster", Missing),
        (with_source(&json!({"name": "a"})), "sources[1].name", Duplicate),
        (with_source(&json!({"name": ""})), "sources[1].name", Empty),
        (with_source(&json!({"intervall": "1s"})), "sources[1].intervall", UnknownField),
        (with_source(&json!({"interval": "999ms"})), "sources[1].interval", short(second)),
        (
            with_source(&json!({"interval": "745h"})),
            "sources[1].interval",
            TooLongTime { most: limits::DURATION },
        ),
        (with_source(&json!({"timeout": "0ms"})), "sources[1].timeout", short(millisecond)),
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
        (
            json!({"auth": {"anonymous": "true"}}),
            "auth.anonymous",
            WrongType { expected: "true or false" },
        ),
        (json!({"auth": {"controller": {}}}), "auth.controller.cluster", Missing),
        (with_controller(&json!({"token": "x"})), "auth.controller.token", UnknownField),
        (with_controller(&json!({"path": "x"})), "auth.controller.path", NoSlash),
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
            json!({"auth": {"tokens": [{"name": "a", "sha256": SHA256}, {"name": "a", "sha256": SHA256}]}}),
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
        (
            json!({"observe": {"by": "both"}}),
            "observe.by",
            Choice { choices: "filter, access_log, off" },
        ),
        (json!({"observe": "filter"}), "observe", WrongType { expected: "an object" }),
    ];
    for (json, field, problem) in cases {
        assert_eq!(refuse(&json), (field.to_owned(), problem), "{json}");
    }
}

#[test]
fn an_error_is_one_line_with_the_field_in_front() {
    let error = parse(&with_source(&json!({"interval": "10ms"}))).unwrap_err();
    assert_eq!(error.to_string(), "sources[1].interval: must be at least 1s");
    let error = Config::parse(b"{\"scope\": }").unwrap_err();
    assert_eq!(error.to_string(), "configuration: not JSON, at line 1, column 11");
    let error = parse(&json!({"auth": {"controller": {}}})).unwrap_err();
    assert_eq!(error.to_string(), "auth.controller.cluster: missing");
}

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
    parse(json).map(|config| config.sources[1].stale_after).map_err(|error| error.problem)
}

#[test]
fn a_key_that_stands_twice_is_refused_wherever_it_stands() {
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
        let error = Config::parse(json.as_bytes()).unwrap_err();
        assert_eq!(error, ConfigError { field: field.to_owned(), problem: Problem::Twice });
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
fn labels_that_others_set_cannot_be_set() {
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
fn nothing_that_could_end_a_header_gets_into_a_call() {
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
fn a_credential_has_exactly_one_shape() {
    for credential in [
        json!({}),
        json!({"bearer": "a", "bearer_env": "A"}),
        json!({"bearer": "a", "username": "b", "password": "c"}),
        json!({"bearer": "a", "password": "c"}),
        json!({"username": "b"}),
        json!({"password": "b"}),
        json!({"username": "b", "password": "c", "password_env": "C"}),
    ] {
        let refused = refuse(&with_source(&json!({"credential": credential})));
        assert_eq!(refused, ("sources[1].credential".to_owned(), Problem::Credential));
    }
}

#[test]
fn a_password_hash_is_djangos_or_refused() {
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

#[test]
fn there_is_a_limit_to_everything() {
    let many =
        |entry: fn(usize) -> Value, most: usize| -> Value { (0..=most).map(entry).collect() };
    let token = |index| json!({"name": format!("{index}"), "sha256": SHA256});
    let user = |index| json!({"name": format!("{index}"), "password_hash": HASH});
    let source = |index| json!({"name": format!("{index}"), "cluster": "c"});
    let labels: serde_json::Map<String, Value> =
        (0..=limits::CONFIG_LABELS).map(|index| (format!("l{index}"), json!("v"))).collect();
    for (json, field, most) in [
        (
            json!({"paths": many(|i| json!(format!("/{i}")), limits::CONFIG_PATHS)}),
            "paths",
            limits::CONFIG_PATHS,
        ),
        (
            json!({"hosts": many(|i| json!(format!("h{i}")), limits::CONFIG_HOSTS)}),
            "hosts",
            limits::CONFIG_HOSTS,
        ),
        (
            json!({"sources": many(source, limits::CONFIG_SOURCES)}),
            "sources",
            limits::CONFIG_SOURCES,
        ),
        (
            json!({"auth": {"tokens": many(token, limits::CONFIG_TOKENS)}}),
            "auth.tokens",
            limits::CONFIG_TOKENS,
        ),
        (
            json!({"auth": {"users": many(user, limits::CONFIG_USERS)}}),
            "auth.users",
            limits::CONFIG_USERS,
        ),
        (json!({"gateway": {"labels": labels}}), "gateway.labels", limits::CONFIG_LABELS),
    ] {
        assert_eq!(refuse(&json), (field.to_owned(), Problem::TooMany { most }));
    }
    let huge = vec![b' '; limits::CONFIG_BYTES + 1];
    let problem = Problem::TooLarge { most: limits::CONFIG_BYTES };
    assert_eq!(Config::parse(&huge).unwrap_err().problem, problem);
    let deep = "[".repeat(100_000);
    let problem = Config::parse(deep.as_bytes()).unwrap_err().problem;
    assert!(matches!(problem, Problem::NotJson { line: 1, .. }));
}

/// Every place in `json` with what the error for it is called, and the JSON pointer to it.
fn places(json: &Value, name: &str, pointer: &str) -> Vec<(String, String)> {
    let mut found = vec![(name.to_owned(), pointer.to_owned())];
    match json {
        Value::Object(object) => {
            for (key, value) in object {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                found.extend(places(value, &name, &format!("{pointer}/{key}")));
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                found.extend(places(
                    value,
                    &format!("{name}[{index}]"),
                    &format!("{pointer}/{index}"),
                ));
            }
        }
        _ => {}
    }
    found
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

#[test]
fn a_secret_in_any_place_is_in_no_error() {
    for secret in ["hunter2 \u{1}\u{7f}", "Ab3dEf6hIj9lMn2pQr5tUv8xYz1BcD", "hunter2\nhunter3"] {
        for (_, pointer) in places(&full(), "", "") {
            let mut as_value = full();
            *as_value.pointer_mut(&pointer).unwrap() = json!(secret);
            let mut as_key = full();
            if let Some(object) = as_key.pointer_mut(&pointer).unwrap().as_object_mut() {
                object.insert(secret.to_owned(), json!(secret));
            }
            for error in [as_value, as_key].iter().filter_map(|json| parse(json).err()) {
                let shown = format!("{error} {error:?}");
                assert!(!shown.contains(secret) && !shown.contains("hunter"), "{shown}");
                assert_eq!(error.to_string().lines().count(), 1);
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

#[test]
fn hosts_with_a_port_stand_for_that_port_and_others_for_all() {
    let config = accept(&json!({"hosts": ["Any.example", "one.example:8443", "[::1]"]}));
    for authority in [
        "any.example",
        "ANY.example:80",
        "any.example:8443",
        "one.EXAMPLE:8443",
        "[::1]:443",
        "[::1]",
    ] {
        assert!(config.serves(authority.as_bytes()), "{authority}");
    }
    for authority in [
        "",
        "other.example",
        "one.example",
        "one.example:80",
        "x.any.example",
        "any.example.",
        ":80",
        "[::2]",
    ] {
        assert!(!config.serves(authority.as_bytes()), "{authority}");
    }
    assert!(!config.serves(b"any.example\xff"));
    assert!(accept(&json!({})).serves(b"\xff"));
}

#[test]
fn the_hash_changes_with_every_field_but_with_no_secret() {
    let before = accept(&full()).hash();
    assert_eq!(before.len(), 16);
    assert_eq!(accept(&full()).hash(), before);
    for (pointer, value) in [
        ("/scope", json!("west")),
        ("/paths/0", json!("/other")),
        ("/hosts/1", json!("other")),
        ("/gateway/labels/zone", json!("z2")),
        ("/sources/2/name", json!("other")),
        ("/sources/0/cluster", json!("other")),
        ("/sources/0/authority", json!("other")),
        ("/sources/0/path", json!("/other")),
        ("/sources/0/interval", json!("31s")),
        ("/sources/0/timeout", json!("501ms")),
        ("/sources/0/stale_after", json!("11m")),
        ("/sources/0/idle_after", json!("2h")),
        ("/sources/0/credential/bearer_env", json!("OTHER")),
        ("/sources/0/labels/site", json!("west")),
        ("/sources/0/gateway_families", json!("drop")),
        ("/sources/1/credential/username", json!("other")),
        ("/sources/3/credential", json!({"bearer_env": "hidden-token"})),
        ("/auth/anonymous", json!(false)),
        ("/auth/tokens/0/name", json!("other")),
        ("/auth/users/0/name", json!("other")),
        ("/auth/users/0/families", json!(["other"])),
        ("/auth/controller/path", json!("/other")),
        ("/observe/by", json!("off")),
    ] {
        let mut json = full();
        *json.pointer_mut(pointer).unwrap() = value;
        assert_ne!(accept(&json).hash(), before, "{pointer}");
    }
    for (pointer, value) in [
        ("/sources/1/credential/password", json!("other")),
        ("/sources/3/credential/bearer", json!("other")),
        ("/auth/tokens/0/sha256", json!(SHA256.replace('7', "8"))),
        ("/auth/users/0/password_hash", json!(HASH.replace("1000", "1001"))),
    ] {
        let mut json = full();
        *json.pointer_mut(pointer).unwrap() = value;
        assert_eq!(accept(&json).hash(), before, "{pointer}");
    }
}

#[test]
fn a_source_has_the_key_of_the_request_it_sends() {
    let key = |changes: Value| accept(&with_source(&changes)).sources[1].key(b"salt", |_| None);
    let before = key(json!({}));
    assert_eq!(before.len(), 32);
    let same =
        json!({"name": "c", "interval": "1m", "labels": {"a": "b"}, "authority": "cluster-b"});
    assert_eq!(key(same), before);
    let others = [
        json!({"cluster": "c"}),
        json!({"authority": "c"}),
        json!({"path": "/c"}),
        json!({"credential": {"bearer": "c"}}),
        json!({"credential": {"bearer": "d"}}),
        json!({"credential": {"bearer_env": "c"}}),
        json!({"credential": {"username": "c", "password": "d"}}),
        json!({"credential": {"username": "c", "password": "e"}}),
        json!({"credential": {"username": "d", "password_env": "c"}}),
    ];
    let mut keys: Vec<String> = others.into_iter().map(key).chain([before]).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 10);
}

#[test]
fn the_key_of_a_source_has_the_secret_that_is_sent_and_not_where_it_comes_from() {
    let source = |credential: Value| accept(&with_source(&json!({"credential": credential})));
    let key = |credential: Value, salt: &[u8], value: Option<&str>| {
        source(credential).sources[1].key(salt, |_| value.map(str::to_owned))
    };
    let variable = || json!({"bearer_env": "TOKEN"});
    let one = key(variable(), b"salt", Some("one"));
    assert_eq!(key(variable(), b"salt", Some("one\n")), one);
    assert_eq!(key(json!({"bearer": "one"}), b"salt", None), one);
    for (credential, salt, value) in [
        (variable(), &b"salt"[..], Some("two")),
        (variable(), b"salt", None),
        (variable(), b"other", Some("one")),
        (json!({"bearer_env": "OTHER"}), b"salt", None),
        (json!({"username": "one", "password_env": "TOKEN"}), b"salt", Some("one")),
    ] {
        assert_ne!(key(credential, salt, value), one);
    }
    let unset = key(variable(), b"salt", None);
    assert_ne!(key(json!({"bearer_env": "OTHER"}), b"salt", None), unset);
}

#[test]
fn a_credential_becomes_the_header_or_says_which_variable_is_wrong() {
    let config = accept(&full());
    let header = |index: usize, value: Option<&str>| {
        let found = config.sources[index].credential.authorization(|_| value.map(str::to_owned));
        found.map(|secret| secret.map(|secret| secret.expose().to_owned()))
    };
    assert_eq!(header(0, Some("a-token\n")), Ok(Some("Bearer a-token".to_owned())));
    assert_eq!(header(0, None), Err(CredentialError::Unset { variable: "TOKEN" }));
    for unusable in ["", "\n", "a b", "a\nb", "ä"] {
        let unusable = header(0, Some(unusable));
        assert_eq!(unusable, Err(CredentialError::Unusable { variable: "TOKEN" }));
    }
    assert_eq!(header(1, None), Ok(Some("Basic c2NyYXBlcjpoaWRkZW4gd29yZA==".to_owned())));
    assert_eq!(header(2, Some("ä:b\r\n")), Ok(Some("Basic c2NyYXBlcjrDpDpi".to_owned())));
    assert_eq!(header(3, None), Ok(Some("Bearer hidden-token".to_owned())));
    assert_eq!(Credential::None.authorization(|_| None).unwrap().map(|s| s.expose().len()), None);
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let token = json!({"tokens": [{"name": "a", "sha256": SHA256}]});
    let mut json = with_source(&json!({"interval": "10m", "labels": {"source_": "x"}}));
    json["auth"] = token;
    assert_eq!(accept(&json).warnings(), [Warning::StaleBeforePulled { source: 1 }]);
    json["paths"] = json!([]);
    json["sources"][0]["labels"] = json!({"source_": "x"});
    json["sources"][1]["interval"] = json!("5m");
    let same = Warning::SameLabels { first: 0, second: 1 };
    assert_eq!(accept(&json).warnings(), [Warning::NoPaths, same]);
    assert_eq!(accept(&json!({"auth": {"anonymous": true}})).warnings(), []);
}

#[test]
fn what_opens_more_or_less_than_it_says_is_warned_of() {
    let opens_nothing = |list, entry| Warning::OpensNothing { list, entry };
    let user = |families: Value| json!({"name": "a", "password_hash": HASH, "families": families});
    let users = json!({"auth": {"users": [user(json!([]))]}});
    assert_eq!(accept(&users).warnings(), [opens_nothing("users", 0)]);
    let users = json!({"auth": {"users": [user(json!(["*"]))], "anonymous": true}});
    assert_eq!(accept(&users).warnings(), [Warning::EverybodyLetIn]);

    let mut forwarding = with_controller(&json!({}));
    forwarding["sources"][1]["credential"] = json!("forward");
    assert_eq!(accept(&forwarding).warnings(), []);
    forwarding["auth"]["anonymous"] = json!(true);
    let forwarded = Warning::ForwardedToEverybody { source: 1 };
    assert_eq!(accept(&forwarding).warnings(), [Warning::EverybodyLetIn, forwarded]);

    let closed = [Warning::ControllerOpensNoSource];
    assert_eq!(accept(&with_controller(&json!({"cluster": "elsewhere"}))).warnings(), closed);
    let no_sources = json!({"auth": {"controller": {"cluster": "c"}}});
    assert_eq!(accept(&no_sources).warnings(), []);
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
        let _ = Config::parse(&bytes);
    }

    #[test]
    fn any_json_gives_a_configuration_or_an_error_without_its_values(json in any_json()) {
        if let Err(error) = parse(&json) {
            let shown = format!("{error} {error:?}");
            prop_assert!(!shown.contains(MARK), "{}", shown);
        }
    }

    #[test]
    fn a_configuration_cut_anywhere_is_refused_without_its_values(cut in 1..1_000_usize) {
        let text = full().to_string().replace("hidden", MARK);
        let cut = cut.min(text.len() - 1);
        let error = Config::parse(&text.as_bytes()[..cut]).unwrap_err();
        let not_json = matches!(error.problem, Problem::NotJson { .. });
        prop_assert!(not_json);
        let shown = format!("{error} {error:?}");
        prop_assert!(!shown.contains(MARK), "{}", shown);
    }
}
