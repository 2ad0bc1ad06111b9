//! Bounds.

use serde_json::json;

use super::*;
use crate::limits;

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
    assert_eq!(only(&parse_bytes(&huge).unwrap_err()), problem);
    let deep = "[".repeat(100_000);
    let problem = only(&parse_bytes(deep.as_bytes()).unwrap_err());
    assert!(matches!(problem, Problem::NotJson { line: 1, .. }));
}
