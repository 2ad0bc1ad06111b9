//! The files in `envoy/`, on the supported releases of Envoy.

use std::collections::BTreeMap;

use host_tests::certificate::Certificate;
use host_tests::envoy::{Bootstrap, Envoy, EnvoyOptions, Listener};
use host_tests::tools::{self, Release};

/// Starts a shipped file, with other ports, module path and certificate.
async fn shipped(file: &str, release: Release) -> Envoy {
    let files = tempfile::tempdir().unwrap();
    let mut listener = Bootstrap::shipped(file).listener().module(&tools::module());
    if file == "https.yaml" {
        let certificate = Certificate::for_this_machine().unwrap();
        listener = listener.certificate(&certificate.write_to(files.path()).unwrap());
    }
    let bootstrap = Bootstrap::shipped(file).with_listeners(vec![listener]).on_free_ports();
    let environment = BTreeMap::from([("CONTROLLER_TOKEN".into(), "anything".into())]);
    let options = EnvoyOptions { release, workers: 2, environment };
    Envoy::start(&bootstrap, &options).await.unwrap()
}

async fn starts_without_a_warning(file: &str, release: Release) {
    let envoy = shipped(file, release).await;
    assert_eq!(envoy.warnings(), [""; 0]);
}

#[tokio::test]
async fn http_starts_without_a_warning() {
    starts_without_a_warning("http.yaml", Release::Newest).await;
}

#[tokio::test]
async fn https_starts_without_a_warning() {
    starts_without_a_warning("https.yaml", Release::Newest).await;
}

#[tokio::test]
async fn http_starts_without_a_warning_on_the_oldest_envoy() {
    starts_without_a_warning("http.yaml", Release::Oldest).await;
}

#[tokio::test]
async fn https_starts_without_a_warning_on_the_oldest_envoy() {
    starts_without_a_warning("https.yaml", Release::Oldest).await;
}

#[tokio::test]
async fn access_log_starts_without_a_warning() {
    starts_without_a_warning("access-log.yaml", Release::Newest).await;
}

#[tokio::test]
async fn access_log_starts_without_a_warning_on_the_oldest_envoy() {
    starts_without_a_warning("access-log.yaml", Release::Oldest).await;
}

#[test]
fn https_is_http_with_tls_and_nothing_else() {
    let (http, https) = (Bootstrap::shipped("http.yaml"), Bootstrap::shipped("https.yaml"));
    let plain = |listener: Listener| listener.named("any").without_tls();
    let https = https.clone().with_listeners(vec![plain(https.listener())]).on_free_ports();
    let http = http.clone().with_listeners(vec![plain(http.listener())]).on_free_ports();
    assert_eq!(https.to_string(), http.to_string());
}
