//! The key that cached verdicts are stored under.

use serde_json::json;

use super::*;

#[test]
fn the_key_of_auth_changes_with_each_of_its_fields_and_with_no_other() {
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
        ("/auth/controller/cookie", json!("other")),
    ] {
        let mut changed = full();
        *changed.pointer_mut(pointer).unwrap() = value;
        assert_ne!(key(&changed), first, "{pointer}");
    }
}
