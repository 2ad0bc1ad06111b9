//! `make run`, on free ports.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use host_tests::client::Client;
use host_tests::controller::{Controller, ControllerConfig};
use host_tests::process::{self, Process};
use tempfile::TempDir;

use crate::stage::CONTROLLER_TOKEN;

const PATIENCE: Duration = Duration::from_secs(60);

fn start(files: &TempDir, environment: &[(&str, &str)]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_run"));
    for name in ["CONTROLLER", "CONTROLLER_TOKEN", "CONTROLLER_CA", "CONTROLLER_INSECURE"] {
        command.env_remove(name);
    }
    for port in ["HTTP_PORT", "HTTPS_PORT", "ADMIN_PORT"] {
        command.env(port, "0");
    }
    command.envs(environment.iter().copied());
    Process::start(command, files.path().join("log")).unwrap()
}

/// The address after `scheme://` in the first line that contains it and `what`.
fn address_in(output: &str, what: &str, scheme: &str) -> Option<SocketAddr> {
    let line = output.lines().find(|line| line.contains(what) && line.contains(scheme))?;
    let address = line.split_once(scheme)?.1;
    address.split(['/', ';', ' ']).next()?.parse().ok()
}

async fn announced(run: &Process, what: &str, scheme: &str) -> SocketAddr {
    let address = process::eventually(PATIENCE, async || address_in(&run.log(), what, scheme));
    address.await.unwrap_or_else(|| panic!("no {scheme} of {what} in:\n{}", run.log()))
}

fn interrupt(run: &Process) {
    let status = Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Makes it stop what it started. If it were killed, as dropping it does, its Envoy would go on.
async fn stops(mut run: Process) {
    interrupt(&run);
    assert!(run.end().await.success(), "{}", run.log());
}

#[tokio::test]
async fn the_program_serves_the_stand_ins_page_and_stops_all_that_it_started() {
    let files = tempfile::tempdir().unwrap();
    let run = start(&files, &[]);
    let http = announced(&run, "curl", "http://").await;
    let admin = announced(&run, "admin interface", "http://").await;
    announced(&run, "curl", "https://").await;

    let people = Client::http(http).basic("admin", "password");
    let prometheus = Client::http(http).bearer("demonstration-only");
    for client in [people, prometheus] {
        controllers_page(&client).await;
    }
    assert_eq!(Client::http(http).get("/api/v2/metrics").await.unwrap().status(), 401);
    assert_eq!(Client::http(http).get("/api/v2/ping/").await.unwrap().status(), 200);

    stops(run).await;
    for address in [http, admin] {
        assert!(Client::http(address).get("/").await.is_err(), "{address} still answers");
    }
}

/// A page with the controller's own families, after the first pull.
async fn controllers_page(client: &Client) -> String {
    let page = process::eventually(PATIENCE, async || {
        let reply = client.get("/api/v2/metrics").await.unwrap();
        assert_eq!(reply.status(), 200);
        let page = String::from_utf8(reply.into_body().to_vec()).unwrap();
        page.contains("awx_sessions_total{type=\"user\"}").then_some(page)
    });
    page.await.expect("the controller's page comes")
}

/// Starts the program in front of another controller, trusted by its certificate.
fn start_before(controller: &Controller, files: &TempDir) -> Process {
    let authority = files.path().join("controller.pem");
    std::fs::write(&authority, controller.certificate().unwrap()).unwrap();
    let environment = [
        ("CONTROLLER", format!("https://{}", controller.address())),
        ("CONTROLLER_CA", authority.to_str().unwrap().to_owned()),
        ("CONTROLLER_TOKEN", CONTROLLER_TOKEN.to_owned()),
    ];
    start(files, &environment.each_ref().map(|(name, value)| (*name, value.as_str())))
}

#[tokio::test]
async fn with_a_real_controller_its_own_tokens_users_and_sessions_open_the_page() {
    let files = tempfile::tempdir().unwrap();
    let controller = Controller::start(ControllerConfig { tls: true, ..Default::default() });
    let run = start_before(&controller, &files);
    let http = announced(&run, "curl", "http://").await;

    let session = controller.log_in("admin").unwrap();
    for client in [
        Client::http(http).bearer(CONTROLLER_TOKEN),
        Client::http(http).basic("auditor", "auditorpass"),
        Client::http(http).header("cookie", format!("awx_sessionid={session}")),
    ] {
        controllers_page(&client).await;
    }
    for stranger in [Client::http(http), Client::http(http).bearer("abc")] {
        assert_eq!(stranger.get("/api/v2/metrics").await.unwrap().status(), 401);
    }
    stops(run).await;
}

#[tokio::test]
async fn the_published_token_and_password_do_not_open_a_real_controllers_page() {
    let files = tempfile::tempdir().unwrap();
    // Its admin has the published password too. It is refused here because this controller accepts no passwords.
    let config = ControllerConfig { tls: true, auth_basic_enabled: false, ..Default::default() };
    let controller = Controller::start(config);
    let run = start_before(&controller, &files);
    let http = announced(&run, "curl", "http://").await;
    controllers_page(&Client::http(http).bearer(CONTROLLER_TOKEN)).await;

    let token = Client::http(http).bearer("demonstration-only");
    let password = Client::http(http).basic("admin", "password");
    for published in [token, password] {
        assert_eq!(published.get("/api/v2/metrics").await.unwrap().status(), 401);
    }
    assert!(!run.log().contains("demonstration-only"), "{}", run.log());
    stops(run).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_before_anything_starts() {
    let files = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut run = start(&files, &[("HTTPS_PORT", &port)]);
    assert_eq!(run.end().await.code(), Some(1));
    let said = run.log();
    assert!(said.contains(&format!("127.0.0.1:{port} is taken")), "{said}");
    assert!(said.contains("HTTPS_PORT"), "{said}");
}

#[tokio::test]
async fn a_real_controllers_token_is_asked_for_only_on_a_terminal() {
    let files = tempfile::tempdir().unwrap();
    let mut run = start(&files, &[("CONTROLLER", "https://127.0.0.1:1")]);
    assert_eq!(run.end().await.code(), Some(1));
    assert!(run.log().contains("CONTROLLER_TOKEN is not set"), "{}", run.log());
}
