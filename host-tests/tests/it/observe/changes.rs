//! The configuration changes while requests pass: the counts are kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use host_tests::client::Client;
use host_tests::envoy::{Bootstrap, Cluster, Envoy, EnvoyOptions, Listener};
use host_tests::process::eventually;
use host_tests::tools::{self, Release};
use serde_json::{Value, json};

use super::counting;
use super::traffic::{KINDS, Load, Sent, Upstream, send};
use crate::stage::{PATIENCE, TOKEN, having, scrape};

const SOME: Load = Load { connections: 8, each: 250 };

/// An Envoy that reads the filter's configuration from a file.
struct Changing {
    envoy: Envoy,
    files: tempfile::TempDir,
    listener: Listener,
    _upstream: Upstream,
    sent: Sent,
}

impl Changing {
    async fn start(release: Release) -> Self {
        let upstream = Upstream::start().await;
        let files = tempfile::tempdir().unwrap();
        let listener = Bootstrap::shipped("http.yaml").listener().module(&tools::module());
        let file = files.path().join("filter.json");
        put(&file, &listener.clone().plugin(&plugin("1").to_string()));
        let bootstrap = Bootstrap::shipped("http.yaml")
            .with_listeners(vec![listener.clone().discovered(&file)])
            .with_clusters(vec![Cluster::plain("controller", upstream.address())])
            .on_free_ports();
        let environment = BTreeMap::from([("CONTROLLER_TOKEN".into(), "anything".into())]);
        let options = EnvoyOptions { release, workers: 4, environment };
        let envoy = Envoy::start(&bootstrap, &options).await.unwrap();
        Self { envoy, files, listener, _upstream: upstream, sent: Sent::default() }
    }

    fn change(&self, plugin: &str) {
        put(&self.files.path().join("filter.json"), &self.listener.clone().plugin(plugin));
    }

    /// The number of updates that Envoy accepted, and of those that it refused.
    async fn updates(&self) -> (u64, u64) {
        let stats =
            self.envoy.admin().get("/stats?filter=extension_config_discovery").await.unwrap();
        let stats = String::from_utf8(stats.into_body().to_vec()).unwrap();
        let value = |name: &str| {
            let line = stats.lines().find(|line| line.contains(&format!("awx_metrics.{name}: ")));
            line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
        };
        (value("config_reload"), value("config_fail"))
    }

    async fn until_updates(&self, fit: impl Fn((u64, u64)) -> bool) {
        let came = eventually(PATIENCE, async || fit(self.updates().await).then_some(()));
        assert!(came.await.is_some(), "{:?}\n{}", self.updates().await, self.envoy.log());
    }

    /// Sends more requests, and compares the page, which names its configuration, with all requests so far.
    async fn counts_on(&mut self, serving: &str) {
        let more = send(self.envoy.listeners()[0], SOME).await;
        self.sent = std::mem::take(&mut self.sent).and(more);
        self.envoy.idle().await;
        let client = Client::http(self.envoy.listeners()[0]).bearer(TOKEN);
        let page = scrape(&client, "?gateway=only").await;
        let label = format!("configuration=\"{serving}\"");
        assert!(page.contains(&label), "not {label} but {page}");
        self.sent.assert_counted(&page);
        self.sent.count(KINDS.iter().find(|kind| kind.known && kind.code == 200).unwrap(), 1);
    }
}

/// A configuration whose name is on its page.
fn plugin(name: &str) -> Value {
    having(counting("filter"), "/gateway", json!({"labels": {"configuration": name}}))
}

/// Replaces the file in one step: Envoy watches for files that are moved to the path.
fn put(file: &Path, listener: &Listener) {
    let next = file.with_extension("next");
    fs::write(&next, listener.discovery()).unwrap();
    fs::rename(next, file).unwrap();
}

async fn changes_keep_the_totals(release: Release) {
    let mut changing = Changing::start(release).await;
    changing.counts_on("1").await;
    changing.change(&plugin("2").to_string());
    changing.until_updates(|(taken, _)| taken >= 2).await;
    changing.counts_on("2").await;

    changing.change(r#"{"unknown_field": 1}"#);
    changing.until_updates(|(_, refused)| refused >= 1).await;
    assert!(changing.envoy.log().contains("configuration refused"), "{}", changing.envoy.log());
    changing.counts_on("2").await;

    // While requests pass, two configurations serve at the same time for a while.
    let address = changing.envoy.listeners()[0];
    let change = async {
        changing.change(&plugin("3").to_string());
        changing.until_updates(|(taken, _)| taken >= 3).await;
    };
    let (meanwhile, ()) = tokio::join!(send(address, SOME), change);
    changing.sent = std::mem::take(&mut changing.sent).and(meanwhile);
    changing.counts_on("3").await;
    assert_eq!(changing.envoy.traps(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_at_run_time_keeps_the_totals_and_a_bad_one_is_refused() {
    changes_keep_the_totals(Release::Newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_at_run_time_keeps_the_totals_on_the_oldest_envoy() {
    changes_keep_the_totals(Release::Oldest).await;
}
