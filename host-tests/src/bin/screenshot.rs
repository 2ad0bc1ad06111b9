//! The program of `make screenshot`: takes the README's pictures of the HTML page, on a real Envoy with some traffic,
//! in front of the stand-in controller.

use std::io;
use std::path::Path;
use std::time::Duration;

use host_tests::browser::{Browser, BrowserError, Prompt};
use host_tests::client::Client;
use host_tests::controller::{Controller, ControllerConfig};
use host_tests::gateway::{Gateway, GatewaySpec, Host, StartError};
use host_tests::tools::{self, Release};
use hyper::Method;
use serde_json::json;

/// The time until the lines of history fill their width.
const TRAFFIC: Duration = Duration::from_secs(110);

/// The requests of clients: method, path, body.
const REQUESTS: [(Method, &str, &str); 10] = [
    (Method::GET, "/api/v2/jobs/", ""),
    (Method::GET, "/api/v2/jobs/", ""),
    (Method::GET, "/api/v2/me/", ""),
    (Method::GET, "/api/v2/me/", ""),
    (Method::GET, "/api/v2/inventories/", ""),
    (Method::GET, "/api/v2/ping/", ""),
    (Method::GET, "/api/v2/hosts/", ""),
    (Method::POST, "/api/v2/job_templates/11/launch/", "{}"),
    (Method::POST, "/api/v2/job_templates/11/launch/", "{}"),
    (Method::POST, "/api/login/", "username=admin&password=a+guess"),
];

#[derive(Debug, thiserror::Error)]
enum ScreenshotError {
    #[error("Envoy was {0}")]
    Envoy(#[from] StartError),
    #[error("the browser: {0}")]
    Browser(#[from] BrowserError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

#[tokio::main]
async fn main() -> Result<(), ScreenshotError> {
    let controller = Controller::try_start(ControllerConfig::lifelike())?;
    let gateway = Gateway::start(Host::Envoy(Release::Newest), &spec(&controller)).await?;
    let (user, password) = ("admin".into(), "password".into());
    let browser = Browser::start(Prompt::Answer { user, password }).await?;
    browser.resize(1280, 900).await?;
    browser.go(&format!("http://{}/api/v2/metrics", gateway.address())).await?;
    println!("Traffic for {} s ...", TRAFFIC.as_secs());
    let _ = tokio::time::timeout(TRAFFIC, traffic(gateway.client(), &controller)).await;
    for (scheme, file) in [("light", "page.webp"), ("dark", "page-dark.webp")] {
        browser.prefer(&[("prefers-color-scheme", scheme)]).await?;
        let file = Path::new("host-tests/screenshots").join(file);
        std::fs::write(tools::repository().join(&file), browser.screenshot().await?)?;
        println!("{}", file.display());
    }
    Ok(())
}

/// The tests' user, and a token that the stand-in knows.
fn spec(controller: &Controller) -> GatewaySpec {
    let plugin = json!({
        "sources": [{
            "name": "controller", "cluster": "controller", "interval": "5s",
            "credential": {"bearer": "AdminTokenRead0000000000000001"},
        }],
        "auth": {"users": [{
            "name": "admin",
            "password_hash": "pbkdf2_sha256$1000$awxsaltawxsalt12345678$\
                              06oTDaNcvcrewwXocs08tG/HcOzFfk7AgRCrEq1vQTA=",
        }]},
    });
    GatewaySpec::new(&plugin).cluster("controller", controller.address())
}

/// Sends requests at an uneven pace until it is stopped.
async fn traffic(clients: Client, controller: &Controller) {
    let clients = clients.basic("admin", "password").header("content-type", "application/json");
    loop {
        let [which, pause] = getrandom::u32().unwrap_or_default().to_le_bytes()[..2] else {
            return;
        };
        let (method, path, body) = &REQUESTS[usize::from(which) % REQUESTS.len()];
        // The gateway has counted the request, whatever the answer.
        let _ = clients.request(method.clone(), path, *body).await;
        if which > 240 {
            let _ = controller.log_in("admin");
        }
        tokio::time::sleep(Duration::from_millis(u64::from(pause) * 3)).await;
    }
}
