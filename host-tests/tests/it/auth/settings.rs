//! Settings of Envoy around the filter, on real Envoy, and their effect on authentication.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use awx_metrics_filter::limits;
use host_tests::client::Client;
use host_tests::controller::{Controller, ControllerConfig};
use host_tests::envoy::{Bootstrap, Cluster, Envoy, EnvoyOptions, Listener};
use host_tests::process::eventually;
use host_tests::tools::{self, Release};
use host_tests::vm::Action;

use super::*;
use crate::driven::{Driven, Scraped};
use crate::stage::{PATIENCE, cluster};

/// A shipped gateway in front of a stand-in, with changes.
async fn gateway(
    release: Release,
    plugin: &Value,
    change: impl FnOnce(Listener) -> Listener,
) -> (Controller, Envoy, Client) {
    let controller = Controller::start(ControllerConfig::default());
    let listener = Bootstrap::shipped("http.yaml").listener().module(&tools::module());
    let listener = change(listener.plugin(&plugin.to_string()).upstream(&cluster(0)));
    let bootstrap = Bootstrap::shipped("http.yaml")
        .with_listeners(vec![listener])
        .with_clusters(vec![Cluster::plain(&cluster(0), controller.address())])
        .on_free_ports();
    let environment = BTreeMap::from([("CONTROLLER_TOKEN".into(), CONTROLLER_TOKEN.into())]);
    let options = EnvoyOptions { release, workers: 2, environment };
    let envoy = Envoy::start(&bootstrap, &options).await.unwrap();
    let client = Client::http(envoy.listeners()[0]);
    (controller, envoy, client)
}

/// A user whose password takes a while to check: many slices.
fn laborious() -> Value {
    let hash = format!("pbkdf2_sha256$600000$salt${}", STANDARD.encode([7; 32]));
    having(plugin(0), "/auth/users/0/password_hash", json!(hash))
}

async fn a_body_does_not_let_a_request_through_while_its_password_is_checked(release: Release) {
    let (controller, _envoy, client) =
        gateway(release, &laborious(), Listener::headers_stop_iteration).await;
    let post = client.clone().basic("admin", "wrong");
    let reply = post.request(Method::POST, METRICS, "a body").await.unwrap();
    assert_eq!(reply.status(), 401);
    let passed = controller.requests().into_iter().filter(|request| request.method == "POST");
    assert_eq!(passed.count(), 0, "the controller saw the request");
    // Other requests pass with their bodies.
    let reply = client.request(Method::POST, "/api/v2/jobs/", "a body").await.unwrap();
    assert_eq!(reply.status(), 401, "the controller's own");
    let passed = controller.requests().into_iter().find(|request| request.method == "POST");
    assert_eq!(passed.map(|request| request.body), Some(b"a body".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_does_not_let_an_undecided_request_through() {
    a_body_does_not_let_a_request_through_while_its_password_is_checked(Release::Newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_oldest_envoy_a_body_does_not_let_an_undecided_request_through() {
    a_body_does_not_let_a_request_through_while_its_password_is_checked(Release::Oldest).await;
}

#[test]
fn the_parts_of_an_undecided_request_are_held_and_those_of_others_pass() {
    let mut driven = Driven::new(&laborious());
    let home = SocketAddr::from(([127, 0, 0, 1], 9_090));
    let wrong = format!("Basic {}", STANDARD.encode("admin:wrong"));
    let (stream, scraped) = driven.begin(&wrong, home);
    assert_eq!(scraped.status, 0, "its password is being checked");
    for end in [false, true] {
        assert_eq!(driven.vm.request_body(stream, end).unwrap(), Action::Pause);
    }
    assert_eq!(driven.vm.request_trailers(stream).unwrap(), Action::Pause);
    driven.end(stream, &mut Scraped::default());
    let stream = driven.pass("/api/v2/jobs/");
    for end in [false, true] {
        assert_eq!(driven.vm.request_body(stream, end).unwrap(), Action::Continue);
    }
    assert_eq!(driven.vm.request_trailers(stream).unwrap(), Action::Continue);
}

/// No property has the connection's own address if Envoy takes clients' addresses from the header, so the log warns.
async fn forged_addresses_are_warned_about(release: Release) {
    let plugin = having(plugin(0), "/auth/users", json!([]));
    let plugin = having(plugin, "/auth/controller", json!({"cluster": cluster(0)}));
    let (_controller, envoy, client) =
        gateway(release, &plugin, Listener::addresses_from_the_header).await;
    let warnings =
        || envoy.log().matches("the clients' addresses come from x-forwarded-for").count();
    assert_eq!(client.clone().bearer("nope").get(METRICS).await.unwrap().status(), 401);
    assert_eq!(warnings(), 0, "without the header the address is the connection's");
    for forged in 1..=40_u8 {
        let client = client.clone().header("x-forwarded-for", format!("192.0.2.{forged}"));
        let reply = client.bearer(&format!("guess-{forged}")).get(METRICS).await.unwrap();
        assert_eq!(reply.status(), 401, "each address has an allowance of its own");
    }
    let warned = async || (warnings() >= 1).then_some(());
    eventually(PATIENCE, warned).await.expect("a warning");
    assert!(warnings() <= 2, "one for each worker");
}

#[tokio::test(flavor = "multi_thread")]
async fn if_envoy_takes_addresses_from_a_header_the_log_warns() {
    forged_addresses_are_warned_about(Release::Newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_oldest_envoy_the_log_warns_of_addresses_from_a_header() {
    forged_addresses_are_warned_about(Release::Oldest).await;
}

/// The limit follows the connection, whatever the header contains: a client neither evades it nor exhausts that of
/// another.
async fn the_connections_address_counts_despite_the_header(release: Release) {
    let plugin = having(plugin(0), "/auth/users", json!([]));
    let plugin = having(plugin, "/auth/controller", json!({"cluster": cluster(0)}));
    let change = |listener: Listener| {
        listener.addresses_from_the_header().connection_address_in_filter_state()
    };
    let (_controller, _envoy, client) = gateway(release, &plugin, change).await;
    let victim = "192.0.2.99";
    let mut statuses = BTreeMap::<u16, usize>::new();
    for guess in 0..3 * limits::CLIENT_FAILURES.burst {
        let forged = if guess % 2 == 0 { victim.to_owned() } else { format!("192.0.2.{guess}") };
        let client = client.clone().header("x-forwarded-for", forged);
        let reply = client.bearer(&format!("guess-{guess}")).get(METRICS).await.unwrap();
        *statuses.entry(reply.status().as_u16()).or_default() += 1;
    }
    assert!(statuses[&429] >= 10, "{statuses:?}");
    let elsewhere = client.at(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
    let victim = elsewhere.header("x-forwarded-for", victim).bearer(super::verdicts::ADMIN);
    assert_eq!(victim.get(METRICS).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_state_provides_the_connections_address() {
    the_connections_address_counts_despite_the_header(Release::Newest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_oldest_envoy_the_filter_state_provides_the_connections_address() {
    the_connections_address_counts_despite_the_header(Release::Oldest).await;
}
