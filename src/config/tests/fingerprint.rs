//! The hash of a configuration, and the keys of its sources.

use serde_json::json;

use super::*;

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
        ("/sources/0/keep", json!([])),
        ("/sources/0/keep/0", json!("awx_instance_*")),
        ("/sources/0/drop", json!(["awx_pod_*"])),
        ("/auth/controller/cookie", json!("other")),
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
fn the_key_of_a_source_depends_on_its_request_and_on_its_stored_page_alone() {
    let key = |mut changes: Value| {
        let labels = changes["labels"].take();
        changes["labels"] = if labels.is_null() { json!({"site": "x"}) } else { labels };
        accept(&with_source(&changes)).sources[1].key(b"salt", |_| None)
    };
    let before = key(json!({}));
    assert_eq!(before.len(), 32);
    let same = json!({"name": "c", "interval": "1m", "authority": "cluster-b"});
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
        json!({"labels": {"a": "b"}}),
        json!({"keep": ["c"]}),
        json!({"drop": ["c"]}),
    ];
    let mut keys: Vec<String> = others.into_iter().map(key).chain([before]).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 13);
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
