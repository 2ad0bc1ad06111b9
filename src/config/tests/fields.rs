//! Fields and their defaults.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::auth::Visibility;

#[test]
fn without_a_configuration_every_default_applies_and_every_client_is_refused() {
    for nothing in ["", " \n", "{}", r#"{"gateway": {}, "auth": {}, "observe": {}, "sources": []}"#]
    {
        let config = parse_bytes(nothing.as_bytes()).unwrap();
        assert_eq!(config.scope, "default");
        assert_eq!(config.paths, ["/api/v2/metrics", "/api/controller/v2/metrics"]);
        assert!(config.hosts.is_empty());
        assert_eq!(config.gateway_labels, GatewayLabels::NodeId);
        assert!(!config.gateway_created);
        assert!(config.sources.is_empty());
        assert!(!config.auth.anonymous);
        assert!(config.auth.tokens.is_empty() && config.auth.users.is_empty());
        assert_eq!(config.observe, Observe::Filter);
        assert_eq!(config.warnings(), [Warning::EveryClientRefused]);
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
    assert_eq!((&source.keep, &source.drop), (&None, &vec![]));
}

#[test]
fn the_controller_has_the_documented_defaults_and_opens_the_sources_on_its_cluster() {
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
    assert_eq!(controller.cookie, "awx_sessionid");
    assert_eq!(config.warnings(), []);
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
    assert_eq!(source.keep.as_deref(), Some(&["awx_*".to_owned()][..]));
    assert_eq!(source.drop, ["awx_pod_*", "awx_info"]);
    assert_eq!(controller.cookie, "sessionid");
    let closed = Warning::OpensNothing { list: "tokens", entry: 0 };
    assert_eq!(config.warnings(), [Warning::EveryClientAdmitted, closed]);
}

#[test]
fn with_several_sources_each_has_its_name_as_a_label_unless_it_has_labels() {
    let config = accept(&with_source(&json!({"labels": {}})));
    assert_eq!(config.sources[0].labels, [("source".to_owned(), "a".to_owned())]);
    assert_eq!(config.sources[1].labels, []);
}

#[test]
fn a_source_takes_the_families_that_keep_contains_and_drop_does_not() {
    let takes =
        |changes: Value, family: &str| accept(&with_source(&changes)).sources[1].takes(family);
    assert!(takes(json!({}), "awx_status_total"));
    assert!(!takes(json!({"keep": []}), "awx_status_total"));
    let both = json!({"keep": ["awx_*", "up"], "drop": ["awx_pod_*", "awx_info"]});
    for (family, is_taken) in [
        ("awx_status_total", true),
        ("awx_", true),
        ("awx", false),
        ("up", true),
        ("upper", false),
        ("awx_pod_a", false),
        ("awx_pod", true),
        ("awx_info", false),
        ("awx_info_total", true),
        ("python_info", false),
    ] {
        assert_eq!(takes(both.clone(), family), is_taken, "{family}");
    }
    let drop = json!({"drop": ["awx_pod_*"]});
    assert!(takes(drop.clone(), "python_info") && !takes(drop, "awx_pod_a"));
    assert!(!takes(json!({"keep": ["a"], "drop": ["*"]}), "a"));
}

#[test]
fn the_name_of_the_session_cookie_is_a_token() {
    for name in ["sessionid", "__Host-awx", "a.b!#$%&'*+^`|~"] {
        let config = accept(&with_controller(&json!({"cookie": name})));
        assert_eq!(config.auth.controller.unwrap().cookie, name);
    }
    for name in ["a b", "a=b", "a;b", "a,b", "a\"b", "ä", "a\n", "a\u{7f}", "a/b", "a@b"] {
        let (field, problem) = refuse(&with_controller(&json!({"cookie": name})));
        assert_eq!(field, "auth.controller.cookie");
        assert!(matches!(problem, Problem::Characters { .. }), "{name:?}: {problem:?}");
    }
}
