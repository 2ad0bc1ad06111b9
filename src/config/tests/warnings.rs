//! Warnings.

use serde_json::json;

use super::*;

#[test]
fn a_setting_that_is_probably_a_mistake_causes_a_warning() {
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
    assert_eq!(accept(&users).warnings(), [Warning::EveryClientAdmitted]);

    let mut forwarding = with_controller(&json!({}));
    forwarding["sources"][1]["credential"] = json!("forward");
    assert_eq!(accept(&forwarding).warnings(), []);
    forwarding["auth"]["anonymous"] = json!(true);
    let forwarded = Warning::ForwardedToEveryClient { source: 1 };
    assert_eq!(accept(&forwarding).warnings(), [Warning::EveryClientAdmitted, forwarded]);

    let closed = [Warning::ControllerOpensNoSource];
    assert_eq!(accept(&with_controller(&json!({"cluster": "elsewhere"}))).warnings(), closed);
    let no_sources = json!({"auth": {"controller": {"cluster": "c"}}});
    assert_eq!(accept(&no_sources).warnings(), []);
}
