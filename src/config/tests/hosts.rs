//! Hosts.

use serde_json::json;

use super::*;

#[test]
fn a_host_with_a_port_matches_that_port_and_one_without_matches_every_port() {
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
