//! What is none of the filter's business goes to the controller, and comes back, untouched; what is its business, however
//! it is spelt, never gets there.

use host_tests::client::Client;
use host_tests::controller::{Controller, Received};
use host_tests::on_both_hosts;
use hyper::Method;
use serde_json::json;

use crate::stage::{Stage, TOKEN, having, plugin};
use crate::wire::ask;

fn last(controller: &Controller) -> Received {
    let is_pull = |request: &Received| {
        request.header("user-agent").is_some_and(|agent| agent.starts_with(b"awx-metrics-filter/"))
    };
    controller.requests().into_iter().rfind(|request| !is_pull(request)).expect("a request")
}

on_both_hosts! {
    async fn probe(host) {
        let stage = Stage::start(host).await;
        for name in ["accept", "authorization", "cookie", "x-foo", "accept-encoding", "cache-control", "user-agent", "origin", "referer", "content-type", "via", "x-forwarded-for", "expect", "if-match", "te", "x-request-id", "accept-language", "range", "date", "pragma"] {
            let (a, b) = (format!("{name}: a"), format!("{name}: b"));
            let reply = ask(stage.gateway.address(), b"GET /api/v2/ping/ HTTP/1.1", &[a.as_bytes(), b"x-mid: 1", b.as_bytes()]).await;
            let seen = last(stage.controller());
            let all: Vec<_> = seen.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| String::from_utf8_lossy(v).into_owned()).collect();
            println!("{name} {} {all:?}", reply.status);
        }
        let _ = (Client::http(stage.gateway.address()), Method::GET, json!(1), TOKEN, having(plugin(0), "/x", json!(1)));
    }
}
