//! Requests of many kinds, an upstream that answers them with the requested status, and the counts to expect.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Requests;
use crate::stage::{TOKEN, sample};

/// A kind of request.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// The status that the upstream, or the gateway, answers with.
    pub(super) code: u16,
    pub(super) resource: &'static str,
    /// True if it has the token of Prometheus.
    pub(super) known: bool,
}

const fn kind(method: &'static str, path: &'static str, code: u16, resource: &'static str) -> Kind {
    Kind { method, path, code, resource, known: false }
}

const fn scrape(method: &'static str, path: &'static str, code: u16) -> Kind {
    Kind { method, path, code, resource: "metrics", known: true }
}

/// All kinds. Their number is prime, so that no number of connections divides it.
pub(super) const KINDS: [Kind; 31] = [
    kind("GET", "/api/v2/jobs/", 200, "jobs"),
    kind("GET", "/api/v2/jobs/17/", 200, "jobs"),
    kind("GET", "/api/v2/jobs/?page=2", 200, "jobs"),
    kind("HEAD", "/api/v2/jobs/", 200, "jobs"),
    kind("POST", "/api/v2/job_templates/7/launch/", 201, "job_templates/launch"),
    kind("POST", "/api/controller/v2/job_templates/9/launch/", 201, "job_templates/launch"),
    kind("POST", "/api/v2/job_templates/7/launch", 201, "job_templates/launch"),
    kind("POST", "/api/v2/job_templates/7/launch/", 403, "job_templates/launch"),
    kind("POST", "/api/v2/job_templates/7/launch/", 500, "job_templates/launch"),
    kind("GET", "/api/v2/job_templates/7/launch/", 200, "job_templates/launch"),
    kind("POST", "/api/v2/workflow_job_templates/7/launch/", 201, "workflow_job_templates/launch"),
    kind("POST", "/api/v2/jobs/3/relaunch/", 201, "jobs/relaunch"),
    kind("POST", "/api/v2/jobs/3/cancel/", 202, "jobs/cancel"),
    kind("POST", "/api/login/", 302, "login"),
    kind("POST", "/api/login/", 401, "login"),
    kind("GET", "/api/login/", 200, "login"),
    kind("GET", "/api/logout/", 302, "logout"),
    kind("POST", "/api/v2/tokens/", 201, "tokens"),
    kind("POST", "/api/v2/tokens/", 400, "tokens"),
    kind("PATCH", "/api/v2/inventories/5/", 200, "inventories"),
    kind("PUT", "/api/v2/inventories/5/", 409, "inventories"),
    kind("DELETE", "/api/v2/hosts/9/", 204, "hosts"),
    kind("OPTIONS", "/api/v2/hosts/", 200, "hosts"),
    kind("GET", "/api/v2/nothing/", 404, "other"),
    kind("GET", "/.env", 404, "other"),
    kind("GET", "/", 200, "ui"),
    kind("GET", "/static/app.js", 304, "ui"),
    scrape("GET", "/api/v2/metrics?gateway=only", 200),
    scrape("PUT", "/api/v2/metrics/", 405),
    kind("GET", "/api/v2/metrics/", 401, "metrics"),
    kind("GET", "/api/v2/ping/", 599, "ping"),
];

/// The header with the status that the upstream must answer with.
const ANSWER: &str = "x-answer";

/// An upstream that answers with the requested status.
pub(super) struct Upstream {
    address: SocketAddr,
    _serves: JoinSet<()>,
}

impl Upstream {
    pub(super) async fn start() -> Self {
        let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let mut serves = JoinSet::new();
        serves.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = socket.accept().await {
                connections.spawn(async move {
                    // It answers only after the whole request, so a truncated request gets no answer.
                    let service = service_fn(async |request: Request<Incoming>| {
                        let answer = answer(&request);
                        request.into_body().collect().await.map(|_| answer)
                    });
                    // A client that closes the connection has got its reply.
                    let _ = server::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, _serves: serves }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn answer<B>(request: &Request<B>) -> Response<Empty<Bytes>> {
    let code =
        request.headers().get(ANSWER).map_or(200, |code| code.to_str().unwrap().parse().unwrap());
    Response::builder().status(code).body(Empty::new()).unwrap()
}

/// The amount of requests.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) connections: usize,
    pub(super) each: usize,
}

/// Sends requests of all kinds in turn over several connections at once, each of which begins with another kind.
/// Returns after the last reply.
pub(super) async fn send(to: SocketAddr, load: Load) -> Sent {
    let connections = (0..load.connections).map(|place| over_one(to, place, load.each));
    let sent = connections.collect::<JoinSet<_>>().join_all().await;
    sent.into_iter().fold(Sent::default(), Sent::and)
}

async fn over_one(to: SocketAddr, place: usize, requests: usize) -> Sent {
    let stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut sent = Sent::default();
    for number in place..place + requests {
        let kind = &KINDS[number % KINDS.len()];
        sender.ready().await.unwrap();
        let reply = sender.send_request(request(kind)).await.unwrap();
        assert_eq!(reply.status(), kind.code, "{kind:?}");
        reply.into_body().collect().await.unwrap();
        sent.count(kind, 1);
    }
    connection.abort();
    sent
}

fn request(kind: &Kind) -> Request<Empty<Bytes>> {
    let request = Request::builder().method(kind.method).uri(kind.path).header("host", "gateway");
    let request = match kind.known {
        true => request.header("authorization", format!("Bearer {TOKEN}")),
        false => request.header(ANSWER, kind.code),
    };
    request.body(Empty::new()).unwrap()
}

/// The requests that were sent, which are those that must be counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent(Requests);

impl Sent {
    pub(super) fn count(&mut self, kind: &Kind, times: u64) {
        let key = (kind.method.into(), kind.resource.into(), kind.code);
        *self.0.entry(key).or_default() += times;
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(super::added(self.0, &other.0))
    }

    /// By method, resource and code.
    pub(super) fn requests(&self) -> &Requests {
        &self.0
    }

    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    fn sum(&self, of: impl Fn(&str, &str, u16) -> bool) -> u64 {
        let series = self.0.iter();
        series
            .filter(|((method, resource, code), _)| of(method, resource, *code))
            .map(|(_, n)| n)
            .sum()
    }

    /// Checks each family of the page against the sent requests, to the last one.
    pub(super) fn assert_counted(&self, page: &str) {
        assert_eq!(super::requests(page), self.0);
        self.assert_durations(page);
        self.assert_derived(page);
        self.assert_scrapes(page);
        assert_eq!(sample(page, "awx_gateway_overflowed_requests_total", &[]), Some(0.0));
    }

    fn assert_durations(&self, page: &str) {
        let mut resources = BTreeMap::<&str, u64>::new();
        for ((_, resource, _), count) in &self.0 {
            *resources.entry(resource).or_default() += count;
        }
        let name = "awx_gateway_request_duration_seconds";
        for (resource, count) in resources {
            let labels = [("resource", resource)];
            assert_value(page, &format!("{name}_count"), &labels, count);
            let labels = [("resource", resource), ("le", "+Inf")];
            assert_value(page, &format!("{name}_bucket"), &labels, count);
        }
        let counts = page.lines().filter(|line| line.starts_with(&format!("{name}_count")));
        let all: u64 =
            counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
        assert_eq!(all, self.total());
    }

    fn assert_derived(&self, page: &str) {
        let login = |is: u16| {
            self.sum(|method, resource, code| (method, resource, code) == ("POST", "login", is))
        };
        let logins = "awx_gateway_logins_total";
        assert_value(page, logins, &[("outcome", "success")], login(302));
        assert_value(page, logins, &[("outcome", "failure")], login(401));
        for resource in ["job_templates/launch", "workflow_job_templates/launch", "jobs/relaunch"] {
            for (outcome, hundred) in [("accepted", 2), ("refused", 4)] {
                let launches = self.sum(|method, is, code| {
                    method == "POST" && is == resource && code / 100 == hundred
                });
                let labels = [("resource", resource), ("outcome", outcome)];
                assert_value(page, "awx_gateway_job_launches_total", &labels, launches);
            }
        }
        let tokens =
            self.sum(|method, resource, code| (method, resource, code) == ("POST", "tokens", 201));
        assert_value(page, "awx_gateway_tokens_created_total", &[], tokens);
    }

    fn assert_scrapes(&self, page: &str) {
        let metrics = |is: u16| self.sum(|_, resource, code| resource == "metrics" && code == is);
        let scrapes = "awx_gateway_scrapes_total";
        assert_value(page, scrapes, &[("format", "text"), ("code", "200")], metrics(200));
        for code in [401, 405] {
            let labels = [("format", "none"), ("code", &code.to_string()[..])];
            assert_value(page, scrapes, &labels, metrics(code));
        }
        let attempts = "awx_gateway_auth_attempts_total";
        // The scrape that gets this page is permitted before its page is made.
        let allowed = metrics(200) + metrics(405) + 1;
        assert_value(page, attempts, &[("scheme", "bearer"), ("outcome", "allowed")], allowed);
        assert_value(page, attempts, &[("scheme", "none"), ("outcome", "denied")], metrics(401));
    }
}

#[track_caller]
fn assert_value(page: &str, name: &str, labels: &[(&str, &str)], value: u64) {
    let found = sample(page, name, labels).unwrap_or_default();
    assert!(
        (found - value as f64).abs() < 0.5,
        "{name} {labels:?}: {found}, but {value} were sent"
    );
}
