//! The metrics path in every spelling: none bypasses the filter, and the filter answers no other path.
//!
//! The upstream of the gateway accepts everything and records the request lines. They are interpreted as a front of the
//! controller might do, and sent to the stand-in controller too, which shows every client its page here: neither may
//! lead to the metrics page.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use host_tests::capture::Reply;
use host_tests::controller::{Controller, ControllerConfig};
use host_tests::gateway::{GatewaySpec, Host, ListenerSpec};
use host_tests::on_both_hosts;
use host_tests::tools::Release;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::stage::{TOKEN, Watched, auth, having};
use crate::wire::{raw, request};

/// The treatment of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treatment {
    /// The filter answers it.
    Caught,
    /// It goes to the controller, which does not take it for the metrics page.
    Passes,
    /// The proxy refuses it before any filter sees it.
    Refused,
}

use Treatment::{Caught, Passes, Refused};

/// A spelling, its treatment without path normalisation, and with the shipped one.
type Spelling = (&'static [u8], Treatment, Treatment);

const SPELLINGS: &[Spelling] = &[
    // The metrics page in any spelling.
    (b"/api/v2/metrics", Caught, Caught),
    (b"/api/v2/metrics/", Caught, Caught),
    (b"/api/controller/v2/metrics", Caught, Caught),
    (b"/api/controller/v2/metrics/", Caught, Caught),
    (b"/api/v2/metrics?", Caught, Caught),
    (b"/api/v2/metrics/?format=json", Caught, Caught),
    (b"/api/v2/metrics?x=/../y", Caught, Caught),
    (b"/api/v2/metrics//", Caught, Caught),
    (b"/api/v2/metrics///", Caught, Caught),
    (b"//api/v2/metrics", Caught, Caught),
    (b"///api///v2///metrics///", Caught, Caught),
    (b"/api/v2//metrics/", Caught, Caught),
    (b"/./api/v2/metrics", Caught, Caught),
    (b"/api/./v2/./metrics/.", Caught, Caught),
    (b"/api/v2/metrics/./", Caught, Caught),
    (b"/../api/v2/metrics", Caught, Caught),
    (b"/../../api/v2/metrics/", Caught, Caught),
    (b"/x/../api/v2/metrics", Caught, Caught),
    (b"/api/x/../v2/metrics", Caught, Caught),
    (b"/api/v2/metrics/x/..", Caught, Caught),
    (b"/api/v2/metrics/x/../", Caught, Caught),
    (b"/api/v2/jobs/../metrics/", Caught, Caught),
    (b"/api/v2/metrics/../metrics/", Caught, Caught),
    (b"/api/controller/../v2/metrics", Caught, Caught),
    (b"/%61pi/v2/metrics", Caught, Caught),
    (b"/api/%76%32/metrics", Caught, Caught),
    (b"/api/v2/metric%73", Caught, Caught),
    (b"/%61%70%69/%76%32/%6d%65%74%72%69%63%73", Caught, Caught),
    (b"/%61%70%69/%76%32/%6D%65%74%72%69%63%73/", Caught, Caught),
    (b"/api%2Fv2%2Fmetrics", Caught, Caught),
    (b"/api%2fv2%2fmetrics%2f", Caught, Caught),
    (b"/api/v2%2F%2Fmetrics", Caught, Caught),
    (b"/api/%2e/v2/metrics", Caught, Caught),
    (b"/api/%2E%2E/api/v2/metrics", Caught, Caught),
    (b"/x/%2e%2e/api/v2/metrics", Caught, Caught),
    (b"/x/.%2e/api/v2/metrics", Caught, Caught),
    (b"/x%2f..%2fapi/v2/metrics", Caught, Caught),
    (b"/x/%2e%2e%2fapi%2fv2/metrics", Caught, Caught),
    (b"/api/v2/metrics/%2e", Caught, Caught),
    (b"/api/v2/metrics%2F%2e", Caught, Caught),
    (b"http://gateway/api/v2/metrics", Caught, Caught),
    (b"http://gateway/api/v2/metrics/?x", Caught, Caught),
    (b"http://other.example:99/api/v2/metrics/", Caught, Caught),
    (b"HTTP://gateway/api/v2/metrics", Caught, Caught),
    (b"http://gateway//api/v2/./metrics", Caught, Caught),
    (b"http://gateway/%61pi/v2/metrics", Caught, Caught),
    // Other paths.
    (b"/api/v2/metrics%23", Passes, Passes),
    (b"/api/v2/metrics%3F", Passes, Passes),
    (b"/api/v2/metrics%3fformat=json", Passes, Passes),
    (b"/api/v2/metric", Passes, Passes),
    (b"/api/v2/metricss", Passes, Passes),
    (b"/api/v2/metrics/x", Passes, Passes),
    (b"/api/v2/metrics.", Passes, Passes),
    (b"/api/v2/metrics..", Passes, Passes),
    (b"/api/v2/metrics...", Passes, Passes),
    (b"/api/v2/.../metrics", Passes, Passes),
    (b"/api/v2/metrics/..", Passes, Passes),
    (b"/api/v2/metrics/%2e%2e", Passes, Passes),
    (b"/api/v2/Metrics", Passes, Passes),
    (b"/API/v2/metrics", Passes, Passes),
    (b"/api/V2/METRICS/", Passes, Passes),
    (b"/api/v2/metric%53", Passes, Passes),
    (b"/api/v2/metrics;", Passes, Passes),
    (b"/api/v2/metrics;x=1", Passes, Passes),
    (b"/api/v2;x/metrics", Passes, Passes),
    (b"/api/v2/metrics/;/", Passes, Passes),
    (b"/;/api/v2/metrics", Passes, Passes),
    (b"/api/v2/metric%2573", Passes, Passes),
    (b"/api%252Fv2%252Fmetrics", Passes, Passes),
    (b"/api/%252e%252e/api/v2/metrics", Passes, Passes),
    (b"/x/%252e%252e/api/v2/metrics", Passes, Passes),
    (b"/api/v2/metrics%0a", Passes, Passes),
    (b"/api/v2/metrics%20", Passes, Passes),
    (b"/api/v2/%20metrics", Passes, Passes),
    (b"/api/v2/metrics%09", Passes, Passes),
    (b"/api/v2/metrics+", Passes, Passes),
    (b"/api/v2/metrics%", Passes, Passes),
    (b"/api/v2/metrics%2", Passes, Passes),
    (b"/api/v2/metrics%zz", Passes, Passes),
    (b"/api/v2/metrics%u002f", Passes, Passes),
    (b"/api/v2/metrics%ff", Passes, Passes),
    (b"/api/v2/metrics%c0%af", Passes, Passes),
    (b"/api/v2%c0%afmetrics", Passes, Passes),
    (b"/api/v2/%e2%80%a4/metrics", Passes, Passes),
    (b"/?/api/v2/metrics", Passes, Passes),
    (b"/x?path=/api/v2/metrics", Passes, Passes),
    (b"/x/api/v2/metrics", Passes, Passes),
    (b"/api/v3/metrics", Passes, Passes),
    (b"/", Passes, Passes),
    (b"http://gateway", Passes, Passes),
    // Envoy treats backslashes as slashes, since 1.40 `..;` as a parent, and refuses an encoded NUL.
    (b"/api/v2/..;/v2/metrics", Passes, Caught),
    (b"/api/v2/metrics%00", Passes, Refused),
    (b"/api/v2/metrics%00.html", Passes, Refused),
    (b"/%00/api/v2/metrics", Passes, Refused),
    (b"/api\\v2\\metrics", Passes, Caught),
    (b"/api/v2\\metrics", Passes, Caught),
    (b"/api/v2/metrics\\", Passes, Caught),
    (b"/api%5Cv2%5cmetrics", Passes, Caught),
    (b"/x/..\\api/v2/metrics", Passes, Caught),
    // Envoy refuses all of these: no slash at the beginning, fragments, bytes that no URI contains, another scheme.
    (b"%2Fapi%2Fv2%2Fmetrics", Refused, Refused),
    (b"https://gateway/api/v2/metrics", Refused, Refused),
    (b"/api/v2/metrics#fragment", Refused, Refused),
    (b"/api/v2/metrics/#", Refused, Refused),
    (b"#/api/v2/metrics", Refused, Refused),
    (b"\\api\\v2\\metrics", Refused, Refused),
    (b"/api/v2/m\xc3\xa9trics", Refused, Refused),
    (b"/api/v2/metrics\xff", Refused, Refused),
    (b"api/v2/metrics", Refused, Refused),
    (b"*", Refused, Refused),
];

/// An upstream that answers everything and records the targets of requests.
struct OpenUpstream {
    address: SocketAddr,
    targets: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl OpenUpstream {
    async fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, targets) = (socket.local_addr().unwrap(), Arc::default());
        let kept = Arc::clone(&targets);
        tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&kept)));
            }
        });
        Self { address, targets }
    }

    /// The targets since the last call.
    fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.targets.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn answer(mut stream: TcpStream, kept: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read_buf(&mut head).await {
            Ok(read) if read > 0 => {}
            _ => return,
        }
    }
    let target = head.split(|&byte| byte == b' ').nth(1).unwrap_or_default().to_vec();
    kept.lock().unwrap_or_else(PoisonError::into_inner).push(target);
    let reply = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{ANSWER}",
        ANSWER.len()
    );
    let _ = stream.write_all(reply.as_bytes()).await;
}

/// The body of its answer.
const ANSWER: &str = "the upstream answered";

/// True if a front that decodes once, merges slashes and resolves dots, as nginx in front of the controller does, or
/// one that does only a part of this, would pass this to the metrics view.
fn reads_as_metrics(target: &[u8]) -> bool {
    let target = String::from_utf8_lossy(target).into_owned();
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let path = path
        .split_once("://")
        .map_or(path, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    let decoded = decoded(path);
    [path.to_owned(), decoded].iter().any(|path| {
        let mut segments = Vec::new();
        for segment in path.split('/') {
            match segment {
                "" | "." => {}
                ".." => drop(segments.pop()),
                segment => segments.push(segment),
            }
        }
        matches!(
            segments.as_slice(),
            ["api", "v2", "metrics"] | ["api", "controller", "v2", "metrics"]
        )
    })
}

fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                decoded.extend(&part.as_bytes()[2..]);
            }
            None => {
                decoded.push(b'%');
                decoded.extend(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// A gateway in front of an upstream that accepts everything, without sources.
struct OpenGateway {
    gateway: Watched,
    open: OpenUpstream,
    controller: Controller,
}

impl OpenGateway {
    async fn start(host: Host, listener: ListenerSpec) -> Self {
        let open = OpenUpstream::start().await;
        let controller = Controller::start(ControllerConfig::default());
        controller.allow_metrics_for_anonymous_users(true);
        let mut spec = GatewaySpec::new(&json!({})).cluster("controller", open.address);
        spec.listeners = vec![listener];
        Self { gateway: Watched::start(host, &spec).await, open, controller }
    }

    /// The treatment of a request without credentials.
    async fn treatment(&self, target: &[u8]) -> Treatment {
        let reply = self.ask(target, &[]).await;
        let targets = self.open.take();
        for reached in &targets {
            self.is_not_the_page(target, reached).await;
        }
        match (reply.status, targets.len()) {
            (401, 0) => Caught,
            (200, 1) => Passes,
            (400 | 403 | 404, 0) => Refused,
            other => panic!("{:?}: {other:?}", String::from_utf8_lossy(target)),
        }
    }

    async fn is_not_the_page(&self, target: &[u8], reached: &[u8]) {
        let shown = format!(
            "{:?} as {:?}",
            String::from_utf8_lossy(target),
            String::from_utf8_lossy(reached)
        );
        assert!(!reads_as_metrics(reached), "{shown} reached the controller");
        let reply = raw(self.controller.address(), &request(&line(reached), &[])).await;
        assert!(!reply.windows(4).any(|window| window == b"awx_"), "{shown} gave the page");
    }

    async fn ask(&self, target: &[u8], headers: &[&[u8]]) -> Reply {
        Reply::parse(&raw(self.gateway.address(), &request(&line(target), headers)).await)
    }

    /// True if the filter answers it with valid credentials.
    async fn is_ours(&self, target: &[u8]) -> bool {
        let header = format!("authorization: Bearer {TOKEN}");
        let reply = self.ask(target, &[header.as_bytes()]).await;
        let passed = !self.open.take().is_empty();
        let is_page = reply.text().contains("awx_gateway_build_info");
        assert!(reply.status != 200 || passed != is_page, "{}", reply.text());
        is_page
    }

    /// Checks the treatment of every spelling, with credentials and without. Another HTTP parser may accept a spelling
    /// that Envoy refuses: then only the page must be out of reach, which is checked for every spelling.
    async fn treats_every_spelling_as(
        &self,
        host: Host,
        expected: impl Fn(&Spelling) -> Treatment,
    ) {
        for spelling in SPELLINGS {
            let (target, expected) = (spelling.0, expected(spelling));
            let shown = String::from_utf8_lossy(target);
            let treatment = self.treatment(target).await;
            if expected != Refused || host != Host::Wasmtime {
                assert_eq!(treatment, expected, "{shown}");
            }
            assert_eq!(self.is_ours(target).await, treatment == Caught, "{shown}");
        }
    }
}

fn line(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1"].concat()
}

fn plugin() -> Value {
    json!({"auth": auth()})
}

on_both_hosts! {
    async fn every_spelling_is_handled_as_listed_without_path_normalisation(host) {
        let scene = OpenGateway::start(host, ListenerSpec::new(&plugin()).paths_as_they_come()).await;
        scene.treats_every_spelling_as(host, |spelling| spelling.1).await;
    }

    async fn every_spelling_is_handled_as_listed_with_path_normalisation(host) {
        let scene = OpenGateway::start(host, ListenerSpec::new(&plugin())).await;
        scene.treats_every_spelling_as(host, |spelling| spelling.2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_bypasses_the_filters_route_in_the_access_log_style() {
    let plugin = having(plugin(), "/observe", json!({"by": "access_log"}));
    let host = Host::Envoy(Release::Newest);
    let scene = OpenGateway::start(host, ListenerSpec::new(&plugin)).await;
    scene.treats_every_spelling_as(host, |spelling| spelling.2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_bypasses_the_filter_on_the_oldest_envoy() {
    for listener in
        [ListenerSpec::new(&plugin()), ListenerSpec::new(&plugin()).paths_as_they_come()]
    {
        let scene = OpenGateway::start(Host::Envoy(Release::Oldest), listener).await;
        for (target, ..) in SPELLINGS {
            scene.treatment(target).await;
        }
    }
}

#[test]
fn the_table_has_each_spelling_once_and_every_outcome() {
    let spellings: BTreeSet<_> = SPELLINGS.iter().map(|spelling| spelling.0).collect();
    assert_eq!(spellings.len(), SPELLINGS.len());
    let count = |treatment| SPELLINGS.iter().filter(|spelling| spelling.1 == treatment).count();
    assert!(count(Caught) >= 40 && count(Passes) >= 40 && count(Refused) >= 8);
}
