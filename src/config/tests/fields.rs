//! Fields and their defaults.

use std::time::Duration;

use serde_json::json;

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
    let closed = Warning::OpensNothing { list: "tokens", entry: 0 };
    assert_eq!(config.warnings(), [Warning::EverybodyLetIn, closed]);
}

#[test]
fn with_several_sources_each_has_its_name_as_a_label_unless_it_has_labels() {
    let config = accept(&with_source(&json!({"labels": {}})));
    assert_eq!(config.sources[0].labels, [("source".to_owned(), "a".to_owned())]);
    assert_eq!(config.sources[1].labels, []);
}
