//! What the gateway counts: everything, once, whoever counts it.

mod bad_input;
mod changes;
mod deaths;
mod exact;
mod platform;
mod rewritten;
mod scopes;
mod threads;
mod traffic;

use std::collections::BTreeMap;

use host_tests::gateway::GatewaySpec;
use host_tests::gateway::{Gateway, Host};
use serde_json::{Value, json};

use crate::stage::{TOKEN, Watched, auth, scrape};
use traffic::Upstream;

/// Both values of `observe.by` that count.
const STYLES: [&str; 2] = ["filter", "access_log"];

/// Counters of requests by method, resource and code.
type Requests = BTreeMap<(String, String, u16), u64>;

/// A plugin that counts so, and pulls no page: what is on its page it counted itself.
fn counting(by: &str) -> Value {
    json!({"observe": {"by": by}, "auth": auth()})
}

/// A gateway that counts so, in front of an upstream that answers as it is asked to.
async fn gateway(host: Host, by: &str, workers: usize) -> (Upstream, Watched) {
    let upstream = Upstream::start().await;
    let spec = GatewaySpec::new(&counting(by)).cluster("controller", upstream.address());
    (upstream, Watched::start(host, &spec.workers(workers)).await)
}

/// What the gateway says that it counted.
async fn page(gateway: &Gateway) -> String {
    scrape(&gateway.client().bearer(TOKEN), "?gateway=only").await
}

/// All of `awx_gateway_requests_total`.
fn requests(page: &str) -> Requests {
    let series = page.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix("awx_gateway_requests_total{")?.split_once("} ")?;
        let label = |name: &str| {
            labels
                .split(',')
                .find_map(|label| label.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
        };
        let key =
            (label("method")?.into(), label("resource")?.into(), label("code")?.parse().ok()?);
        Some((key, value.parse().ok()?))
    });
    series.collect()
}

/// What was counted of two.
fn added(mut to: Requests, more: &Requests) -> Requests {
    for (key, count) in more {
        *to.entry(key.clone()).or_default() += count;
    }
    to
}

/// What was counted between two pages.
fn since(before: &Requests, after: &Requests) -> Requests {
    let risen = after.iter().map(|(key, count)| (key, count - before.get(key).unwrap_or(&0)));
    risen.filter(|(_, count)| *count > 0).map(|(key, count)| (key.clone(), count)).collect()
}

fn of(counted: &[(&str, &str, u16, u64)]) -> Requests {
    let series = counted.iter().map(|(method, resource, code, count)| {
        (((*method).into(), (*resource).into(), *code), *count)
    });
    series.collect()
}
