//! Changes that Envoy makes to the filter's replies on their way to the client.

use std::time::Duration;

use host_tests::client::Client;
use host_tests::controller::{Controller, ControllerConfig, Mode};
use host_tests::envoy::{Bootstrap, Cluster, Envoy, EnvoyOptions};
use host_tests::on_both_hosts;
use host_tests::oracle;
use host_tests::process::eventually;
use host_tests::tools::{self, Release};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::stage::{METRICS, PATIENCE, TOKEN, Watched, auth, plugin, spec, until_up};
use crate::wire::request;

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// The shipped gateway with this `local_reply_config`. Its page contains only its own counts.
async fn replying(release: Release, config: &Value) -> Envoy {
    let shipped = Bootstrap::shipped("http.yaml");
    let configuration = json!({"auth": auth()}).to_string();
    let listener = shipped.listener().module(&tools::module()).plugin(&configuration);
    let nowhere = Cluster::plain("controller", ([127, 0, 0, 1], 1).into());
    let bootstrap =
        shipped.with_listeners(vec![listener]).with_clusters(vec![nowhere]).on_free_ports();
    let mut bootstrap: Value = serde_json::from_str(&bootstrap.to_string()).unwrap();
    bootstrap.pointer_mut(MANAGER).unwrap()["local_reply_config"] = config.clone();
    let options = EnvoyOptions { release, workers: 1, environment: [].into() };
    Envoy::start(&Bootstrap::from(bootstrap), &options).await.unwrap()
}

/// The filter's log line after one of its pages was rewritten.
const WARNING: &str = "the metrics page is rewritten on its way to the client";

async fn the_shipped_mapper_leaves_pages_alone(release: Release) {
    let file = Bootstrap::shipped("local-reply.yaml").to_string();
    let file: Value = serde_json::from_str(&file).unwrap();
    let envoy = replying(release, &file["local_reply_config"]).await;
    let client = Client::http(envoy.listeners()[0]);
    for format in ["txt", "openmetrics", "json", "html"] {
        let target = format!("{METRICS}?format={format}");
        let scraper = client.clone().bearer(TOKEN);
        let plain = scraper.get(&target).await.unwrap();
        assert_eq!(plain.status(), 200);
        assert!(!plain.headers().contains_key("content-encoding"));
        let zipped = scraper.header("accept-encoding", "gzip").get(&target).await.unwrap();
        assert_eq!(zipped.headers()["content-encoding"], "gzip");
        assert_eq!(zipped.headers()["content-type"], plain.headers()["content-type"]);
        let unzipped = oracle::gunzip(zipped.body()).unwrap();
        // The counters change, so only the length and the beginning are compared.
        assert_eq!(unzipped[..20], plain.body()[..20], "{format}");
        let last = unzipped.last();
        assert_eq!(last, plain.body().last(), "{format}");
    }
    let refused = client.get(METRICS).await.unwrap();
    assert_eq!(refused.status(), 401);
    let body: Value = serde_json::from_slice(refused.body()).unwrap();
    assert_eq!(body["status"], 401);
    assert!(!envoy.log().contains(WARNING), "{}", envoy.log());
}

async fn a_format_for_all_replies_is_found_at_the_first_scrape(release: Release) {
    let format =
        json!({"text_format_source": {"inline_string": "%RESPONSE_CODE%: %LOCAL_REPLY_BODY%"}});
    let envoy = replying(release, &json!({"body_format": format})).await;
    let client = Client::http(envoy.listeners()[0]);
    client.get(METRICS).await.unwrap();
    assert!(!envoy.log().contains(WARNING), "an error may be rewritten");
    for _ in 0..3 {
        let page = client.clone().bearer(TOKEN).get(METRICS).await.unwrap();
        assert!(page.body().starts_with(b"200: "));
    }
    let warnings = eventually(PATIENCE, async || {
        let count = envoy.log().matches(WARNING).count();
        (count > 0).then_some(count)
    });
    assert_eq!(warnings.await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_mapper_leaves_pages_unchanged_on_the_newest_envoy() {
    the_shipped_mapper_leaves_pages_alone(Release::Newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_mapper_leaves_pages_unchanged_on_the_oldest_envoy() {
    the_shipped_mapper_leaves_pages_alone(Release::Oldest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_page_is_detected_at_the_first_scrape_on_the_newest_envoy() {
    a_format_for_all_replies_is_found_at_the_first_scrape(Release::Newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_page_is_detected_at_the_first_scrape_on_the_oldest_envoy() {
    a_format_for_all_replies_is_found_at_the_first_scrape(Release::Oldest).await;
}

/// Twice Envoy's default delay. Here the time itself is tested.
const PAUSE: Duration = Duration::from_secs(2);

/// A page of seven megabytes, more than the buffers of sockets hold.
fn large_page() -> Vec<u8> {
    let mut page = b"# TYPE large gauge\n".to_vec();
    (0..70_000).for_each(|at| page.extend(format!("large{{at=\"{at:088}\"}} 1\n").as_bytes()));
    page
}

on_both_hosts! {
    async fn a_client_that_closes_and_reads_slowly_gets_all_of_a_large_page(host) {
        let controller = Controller::start(ControllerConfig::default());
        controller.set_mode(Mode::Page(large_page(), "text/plain; version=0.0.4".into()));
        let controllers = [controller];
        let gateway = Watched::start(host, &spec(&[plugin(0)], &controllers)).await;
        until_up(&gateway.client().bearer(TOKEN)).await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let mut stream = socket.connect(gateway.address()).await.unwrap();
        let token = format!("authorization: Bearer {TOKEN}");
        let line = format!("GET {METRICS}?gateway=none HTTP/1.1");
        stream.write_all(&request(line.as_bytes(), &[token.as_bytes()])).await.unwrap();
        stream.readable().await.unwrap();
        tokio::time::sleep(PAUSE).await;
        let mut reply = Vec::new();
        // An unclean end keeps the bytes before it.
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply)).await;
        let head = reply.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        assert!(reply.starts_with(b"HTTP/1.1 200 "));
        let samples = reply[head..].windows(10).filter(|window| window == b"large{at=\"").count();
        assert_eq!(samples, 70_000, "{} bytes", reply.len());
    }
}
