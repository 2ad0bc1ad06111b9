//! Every proxied request is on the page, to the last one.

use std::time::{Duration, Instant};

use host_tests::gateway::Host;
use host_tests::tools::Release;

use super::traffic::{Load, send};
use super::{gateway, page};
use crate::stage::sample;

/// The promise: a scrape that starts this long after the end of a request shows it.
const SEEN_AFTER: Duration = Duration::from_millis(100);

async fn counts_to_the_last(host: Host, by: &str, workers: u16, load: Load) {
    let (_upstream, gateway) = gateway(host, by, workers.into()).await;
    let began = Instant::now();
    let sent = send(gateway.address(), load).await;
    println!("{by}: {} requests in {:?}", sent.total(), began.elapsed());
    assert_eq!(sent.total(), (load.connections * load.each) as u64);
    gateway.idle().await;
    tokio::time::sleep(SEEN_AFTER).await;
    let page = page(&gateway).await;
    sent.assert_counted(&page);
    // Otherwise the test would cover only some of the workers.
    assert_eq!(sample(&page, "awx_gateway_workers", &[]), Some(workers.into()));
}

const MANY: Load = Load { connections: 64, each: 3_125 };
const FEWER: Load = Load { connections: 64, each: 313 };

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_thousand_requests_through_envoy_are_counted_by_the_filter() {
    counts_to_the_last(Host::Envoy(Release::Newest), "filter", 4, MANY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_thousand_requests_through_envoy_are_counted_by_the_access_log() {
    counts_to_the_last(Host::Envoy(Release::Newest), "access_log", 4, MANY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_through_the_oldest_envoy_are_counted_by_the_access_log() {
    counts_to_the_last(Host::Envoy(Release::Oldest), "access_log", 4, FEWER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_through_wasmtime_are_counted_by_the_filter() {
    counts_to_the_last(Host::Wasmtime, "filter", 8, FEWER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_through_wasmtime_are_counted_by_the_access_log() {
    counts_to_the_last(Host::Wasmtime, "access_log", 8, FEWER).await;
}
