//! A scrape's query string.
//!
//! Its meaning is that of a second implementation, and is the same after writing and parsing it again.

use awx_metrics_filter::metrics::{GatewaySelection, Group, Selection};
use awx_metrics_filter::scrape::query::Query;
use std::collections::BTreeSet;

use crate::{PLANTED, Target};

pub(crate) const TARGET: Target = Target {
    name: "query",
    run,
    longest: 128,
    thousands: 3_000,
    words: &[
        "dbonly=1",
        "subsystemonly=1",
        "metric=",
        "node=",
        "name[]=",
        "name%5B%5D=",
        "gateway=only",
        "gateway=none",
        "format=",
        "access_token=",
        "&",
        "=",
        "+",
        "%2B",
        "%26",
    ],
    fault: "a plus is not decoded to a space",
};

fn run(bytes: &[u8]) {
    let query = subject(bytes);
    assert_eq!(query, read(bytes));
    assert_eq!(Query::parse(write(&query).as_bytes()), query, "written anew");
}

fn subject(bytes: &[u8]) -> Query {
    let words: Vec<_> = bytes.split(|&byte| byte == b'+').collect();
    Query::parse(&words.join(if PLANTED { &b"%2B"[..] } else { b"+" }))
}

/// Name and value of each parameter that has either.
fn pairs(bytes: &[u8]) -> Vec<(String, String)> {
    let parts = bytes.split(|&byte| byte == b'&').filter(|part| !part.is_empty());
    let pair = |part: &[u8]| match part.iter().position(|&byte| byte == b'=') {
        Some(at) => (decode(&part[..at]), decode(&part[at + 1..])),
        None => (decode(part), String::new()),
    };
    parts.map(pair).collect()
}

fn decode(part: &[u8]) -> String {
    let (mut decoded, mut at) = (Vec::new(), 0);
    while at < part.len() {
        let hex = part.get(at + 1..at + 3).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        match (part[at], hex) {
            (b'+', _) => decoded.push(b' '),
            (b'%', Some(hex)) => {
                let hex = std::str::from_utf8(hex).expect("hex digits");
                decoded.push(u8::from_str_radix(hex, 16).expect("hex digits"));
                at += 2;
            }
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn read(bytes: &[u8]) -> Query {
    let pairs = pairs(bytes);
    let last = |name: &str| {
        pairs.iter().rev().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    };
    let all = |name: &str| -> BTreeSet<String> {
        pairs.iter().filter(|(have, _)| have == name).map(|(_, value)| value.clone()).collect()
    };
    let group = match (last("dbonly") == Some("1"), last("subsystemonly") == Some("1")) {
        (false, false) => Group::All,
        (true, false) => Group::Database,
        (false, true) => Group::Subsystem,
        (true, true) => Group::Neither,
    };
    let gateway = match last("gateway") {
        Some("only") => GatewaySelection::Only,
        Some("none") => GatewaySelection::None,
        _ => GatewaySelection::All,
    };
    let (metrics, nodes, names) = (all("metric"), all("node"), all("name[]"));
    Query {
        format: last("format").map(str::to_owned),
        selection: Selection { group, metrics, nodes, names, gateway },
        sources: all("source"),
        holds_token: pairs.iter().any(|(name, _)| name == "access_token"),
    }
}

fn write(query: &Query) -> String {
    let Selection { group, metrics, nodes, names, gateway } = &query.selection;
    let mut parts = match group {
        Group::All => vec![],
        Group::Database => vec!["dbonly=1".to_owned()],
        Group::Subsystem => vec!["subsystemonly=1".to_owned()],
        Group::Neither => vec!["dbonly=1&subsystemonly=1".to_owned()],
    };
    match gateway {
        GatewaySelection::All => {}
        GatewaySelection::Only => parts.push("gateway=only".to_owned()),
        GatewaySelection::None => parts.push("gateway=none".to_owned()),
    }
    parts.extend(query.format.iter().map(|format| format!("format={}", encode(format))));
    let lists =
        [("metric", metrics), ("node", nodes), ("name[]", names), ("source", &query.sources)];
    for (name, values) in lists {
        parts.extend(values.iter().map(|value| format!("{name}={}", encode(value))));
    }
    parts.extend(query.holds_token.then(|| "access_token".to_owned()));
    parts.join("&")
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}
