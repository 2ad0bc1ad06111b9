//! Tests of the stand-in, most of them against the captures.

mod client;
mod replay;

use std::time::Duration;

use super::*;
use client::{Reply, ask, get, post};

const READ: &str = "Authorization: Bearer AdminTokenRead0000000000000001";
const WRITE: &str = "Authorization: Bearer AdminTokenWrite000000000000001";
const TEXT: &str = "/api/v2/metrics/";

fn started() -> Controller {
    Controller::start(ControllerConfig::default())
}

/// The value of a series on the metrics page.
fn number(controller: &Controller, series: &str) -> f64 {
    let page = get(controller.address(), TEXT, &[READ]).text();
    let line = page.lines().find(|line| line.starts_with(&format!("{series} ")));
    line.and_then(|line| line.rsplit(' ').next()).unwrap().parse().unwrap()
}

fn json(reply: &Reply) -> serde_json::Value {
    serde_json::from_slice(&reply.body).unwrap()
}

/// Gets the form and posts it, as a browser does. Returns the reply to the post.
fn browser_login(controller: &Controller, password: &str) -> Reply {
    let form = get(controller.address(), "/api/login/", &[]);
    let secret = form.cookie("csrftoken").unwrap();
    let page = form.text();
    let token = page.split("name=\"csrfmiddlewaretoken\" value=\"").nth(1).unwrap();
    let token = token.split('"').next().unwrap();
    let cookie = format!("Cookie: csrftoken={secret}");
    let body =
        format!("csrfmiddlewaretoken={token}&username=admin&password={password}&next=%2Fapi%2F");
    let form = "Content-Type: application/x-www-form-urlencoded";
    post(controller.address(), "/api/login/", &[&cookie, form], &body)
}

#[test]
fn sessions_rise_with_logins_and_fall_with_logouts() {
    let controller = started();
    let user = "awx_sessions_total{type=\"user\"}";
    assert!(number(&controller, user).abs() < 0.5);
    let reply = browser_login(&controller, "password");
    assert_eq!(reply.status, 302);
    assert_eq!(reply.header("location"), Some("/api/"));
    let session = reply.cookie("awx_sessionid").unwrap();
    assert_eq!(controller.sessions(), 1);
    assert!((number(&controller, user) - 1.0).abs() < 0.5);
    assert_eq!(browser_login(&controller, "wrong").status, 401);
    let second = controller.log_in("auditor").unwrap();
    assert!((number(&controller, "awx_sessions_total{type=\"all\"}") - 2.0).abs() < 0.5);
    let cookie = format!("Cookie: awx_sessionid={session}");
    assert_eq!(get(controller.address(), TEXT, &[&cookie]).status, 200);
    assert_eq!(get(controller.address(), "/api/logout/", &[&cookie]).status, 302);
    assert_eq!(get(controller.address(), TEXT, &[&cookie]).status, 401);
    assert!(controller.log_out(&second));
    assert!(number(&controller, user).abs() < 0.5);
}

#[test]
fn job_counts_follow_launch_start_end_and_cancel() {
    let controller = started();
    let counts = || {
        ["awx_pending_jobs_total", "awx_running_jobs_total"].map(|name| number(&controller, name))
    };
    let near = |have: [f64; 2], want: [f64; 2]| {
        assert!((have[0] - want[0]).abs() + (have[1] - want[1]).abs() < 0.1, "{have:?}")
    };
    near(counts(), [12.0, 27.0]);
    let launch = "/api/v2/job_templates/JT%202/launch";
    let reply =
        post(controller.address(), launch, &[WRITE, "Content-Type: application/json"], "{}");
    assert_eq!((reply.status, reply.header("location")), (201, Some("/api/v2/jobs/241/")));
    assert_eq!(json(&reply)["name"], "JT 2");
    assert_eq!(json(&reply)["inventory"], 3);
    near(counts(), [13.0, 27.0]);
    assert!(controller.set_job(241, JobStatus::Running));
    near(counts(), [12.0, 28.0]);
    assert!(controller.set_job(241, JobStatus::Successful));
    near(counts(), [12.0, 27.0]);
    assert!((number(&controller, "awx_status_total{status=\"successful\"}") - 143.0).abs() < 0.5);
    let second = controller.launch();
    let cancel = format!("/api/v2/jobs/{second}/cancel/");
    assert_eq!(post(controller.address(), &cancel, &[WRITE], "").status, 202);
    assert_eq!(post(controller.address(), &cancel, &[WRITE], "").status, 405);
    assert_eq!(controller.job(second), Some(JobStatus::Canceled));
    assert!((number(&controller, "awx_status_total{status=\"canceled\"}") - 10.0).abs() < 0.5);
}

#[test]
fn jobs_progress_at_the_configured_pace() {
    let pace = Some(Pace { pending: Duration::ZERO, running: Duration::ZERO });
    let controller = Controller::start(ControllerConfig { pace, ..ControllerConfig::default() });
    let job = controller.launch();
    assert_eq!(get(controller.address(), "/api/v2/ping/", &[]).status, 200);
    assert_eq!(controller.job(job), Some(JobStatus::Running));
    assert_eq!(get(controller.address(), "/api/v2/ping/", &[]).status, 200);
    assert_eq!(controller.job(job), Some(JobStatus::Successful));
}

#[test]
fn a_token_works_from_its_creation_to_its_revocation() {
    let controller = started();
    let headers = ["Authorization: Basic YWRtaW46cGFzc3dvcmQ=", "Content-Type: application/json"];
    let body = r#"{"scope":"read","description":"a \"quoted\" one"}"#;
    let made = post(controller.address(), "/api/v2/users/1/personal_tokens/", &headers, body);
    assert_eq!(made.status, 201);
    let made = json(&made);
    let secret = made["token"].as_str().unwrap();
    assert_eq!(secret.len(), 30);
    assert_eq!(
        (&made["scope"], &made["description"]),
        (&"read".into(), &"a \"quoted\" one".into())
    );
    let bearer = format!("Authorization: Bearer {secret}");
    assert_eq!(get(controller.address(), TEXT, &[&bearer]).status, 200);
    let url = made["url"].as_str().unwrap();
    assert_eq!(json(&get(controller.address(), url, &[&bearer]))["token"], "************");
    assert_eq!(ask(controller.address(), "DELETE", url, &[&bearer], "").status, 403);
    assert_eq!(ask(controller.address(), "DELETE", url, &[WRITE], "").status, 204);
    assert_eq!(get(controller.address(), TEXT, &[&bearer]).status, 401);
    let bob = "Authorization: Bearer BobTokenWrite00000000000000001";
    let own = post(controller.address(), "/api/v2/tokens/", &[bob, headers[1]], "{}");
    assert_eq!((own.status, &json(&own)["user"]), (201, &3.into()));
    let others =
        post(controller.address(), "/api/v2/users/1/personal_tokens/", &[bob, headers[1]], "{}");
    assert_eq!(others.status, 403);
}

#[test]
fn the_platforms_path_prefix_gives_the_same_replies() {
    let controller = started();
    let reply = get(controller.address(), "/api/controller/v2/metrics?a=b", &[]);
    assert_eq!(
        (reply.status, reply.header("location")),
        (301, Some("/api/controller/v2/metrics/?a=b"))
    );
    assert_eq!(get(controller.address(), "/api/controller/v2/metrics/", &[READ]).status, 200);
    assert_eq!(get(controller.address(), "/api/v2/inventories/", &[READ]).status, 200);
    assert_eq!(get(controller.address(), "/", &[]).status, 200);
}

#[test]
fn requests_are_counted_and_recorded() {
    let controller = started();
    get(controller.address(), "/api/v2/metrics/?dbonly=1&subsystemonly=1", &[READ]);
    get(controller.address(), "/api/v2/metrics/?dbonly=1", &[READ, "X-Twice: a", "X-Twice: b"]);
    get(controller.address(), TEXT, &[]);
    get(controller.address(), "/api/v2/me/", &[READ]);
    assert_eq!((controller.page_requests(), controller.permission_checks()), (2, 1));
    assert_eq!((controller.requests_for(TEXT), controller.request_count()), (3, 4));
    let requests = controller.requests();
    assert_eq!(requests[1].target, "/api/v2/metrics/?dbonly=1");
    assert_eq!((requests[1].path(), requests[1].query()), (TEXT, "dbonly=1"));
    let twice = requests[1].headers.iter().filter(|(name, _)| name == "x-twice");
    assert_eq!(twice.map(|(_, value)| value.as_slice()).collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(requests[0].header("authorization"), Some(&READ.as_bytes()[15..]));
}

#[test]
fn the_modes_for_failures_html_and_fixed_pages_answer_as_named() {
    let controller = started();
    controller.set_mode(Mode::Failing(503));
    let reply = get(controller.address(), "/api/v2/me/", &[READ]);
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (503, Some("text/html; charset=utf-8"))
    );
    controller.set_mode(Mode::Html);
    let reply = get(controller.address(), TEXT, &[]);
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    assert!(reply.text().contains("csrfmiddlewaretoken"));
    controller.set_mode(Mode::Page(b"a 1\n\xff".to_vec(), "text/x-odd".to_owned()));
    let reply = get(controller.address(), TEXT, &[READ]);
    assert_eq!(
        (reply.body.as_slice(), reply.header("content-type")),
        (&b"a 1\n\xff"[..], Some("text/x-odd"))
    );
    assert_eq!(get(controller.address(), TEXT, &[]).status, 401);
    let pages = ["a 1\n", "b 2\n"].map(|page| (page.into(), "text/plain".to_owned()));
    controller.set_mode(Mode::Pages(pages.into()));
    assert_eq!(get(controller.address(), "/api/v2/metrics/?page=1", &[READ]).body, b"b 2\n");
    assert_eq!(get(controller.address(), "/api/v2/metrics/?page=2", &[READ]).status, 500);
    let check = "/api/v2/metrics/?subsystemonly=1&dbonly=1";
    assert_eq!(get(controller.address(), check, &[READ]).body, b"");
    controller.set_mode(Mode::Empty);
    let reply = get(controller.address(), TEXT, &[READ]);
    assert_eq!((reply.status, reply.header("content-type"), reply.body.len()), (200, None, 0));
}

#[test]
fn illegal_lines_are_inserted_between_complete_families() {
    let controller = started();
    let legal = get(controller.address(), TEXT, &[READ]).body;
    controller.set_mode(Mode::IllegalLines);
    let reply = get(controller.address(), TEXT, &[READ]);
    let lines: Vec<&[u8]> = reply.body.split(|&byte| byte == b'\n').collect();
    for illegal in ILLEGAL_LINES {
        assert_eq!(lines.iter().filter(|line| **line == illegal).count(), 1);
    }
    let rest: Vec<&[u8]> = lines.into_iter().filter(|line| !ILLEGAL_LINES.contains(line)).collect();
    assert_eq!(rest.join(&b'\n'), legal);
    assert_eq!(get(controller.address(), TEXT, &[READ, "Accept: application/json"]).status, 500);
}

#[test]
fn garbled_and_truncated_replies_are_not_valid_http() {
    let controller = started();
    controller.set_mode(Mode::Garbled);
    let bytes = client::raw(controller.address(), "GET", TEXT, &[READ], "").unwrap();
    assert!(!bytes.starts_with(b"HTTP/") && !bytes.is_empty());
    controller.set_mode(Mode::ClosesEarly);
    let reply = get(controller.address(), TEXT, &[READ]);
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("23111")));
    assert!(!reply.body.is_empty() && reply.body.len() < 23111);
    assert_eq!(controller.page_requests(), 2);
    assert_eq!(controller.requests()[0].header("authorization"), Some(&READ.as_bytes()[15..]));
}

#[test]
fn a_gone_controller_refuses_connections_and_comes_back_on_its_port() {
    let controller = started();
    let address = controller.address();
    for _ in 0..3 {
        assert_eq!(get(address, "/api/v2/ping/", &[]).status, 200);
        controller.set_mode(Mode::Gone);
        let refused = client::raw(address, "GET", TEXT, &[], "").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        controller.come_back();
        assert_eq!(controller.address(), address);
    }
    controller.set_mode(Mode::Gone);
    controller.set_mode(Mode::Failing(500));
    assert_eq!(get(address, TEXT, &[]).status, 500);
    controller.stop();
    let refused = client::raw(address, "GET", TEXT, &[], "").unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_hanging_controller_reads_requests_and_stops_when_told() {
    let controller = started();
    controller.set_mode(Mode::Hanging);
    let address = controller.address();
    let hanging = std::thread::spawn(move || client::raw(address, "GET", TEXT, &[READ], ""));
    while controller.page_requests() == 0 {
        std::thread::yield_now();
    }
    controller.set_mode(Mode::Normal);
    assert_eq!(get(address, TEXT, &[READ]).status, 200);
    assert!(!hanging.is_finished());
    controller.stop();
    assert_eq!(hanging.join().unwrap().unwrap_or_default(), b"");
}

#[test]
fn a_slow_controller_reads_requests_and_answers_later() {
    let controller = started();
    controller.set_mode(Mode::Slow(Duration::from_millis(1)));
    assert_eq!(get(controller.address(), "/api/v2/ping/", &[]).status, 200);
    controller.set_mode(Mode::Slow(Duration::from_secs(3600)));
    let address = controller.address();
    let slow = std::thread::spawn(move || client::raw(address, "GET", TEXT, &[READ], ""));
    while controller.page_requests() == 0 {
        std::thread::yield_now();
    }
    assert!(!slow.is_finished());
    controller.stop();
    assert_eq!(slow.join().unwrap().unwrap_or_default(), b"");
}

#[test]
fn a_lifelike_reply_takes_as_long_as_the_real_controllers() {
    let controller = Controller::start(ControllerConfig::lifelike());
    let cost = |query: &str, authorization: &'static str| {
        let mut headers = hyper::HeaderMap::new();
        headers.insert("authorization", authorization.parse().unwrap());
        let (path, query) = (TEXT.to_owned(), query.to_owned());
        let (method, body) = (hyper::Method::GET, hyper::body::Bytes::new());
        let call = call::Call { method, path, query, headers, body };
        view::answer(&controller.shared, &call, &route::Resource::Metrics).cost.as_millis()
    };
    let bearer = "Bearer AdminTokenRead0000000000000001";
    assert_eq!(cost("", bearer), 167);
    assert_eq!(cost("subsystemonly=1", bearer), 27);
    assert_eq!(cost("dbonly=1&subsystemonly=1", bearer), 15);
    assert_eq!(cost("", "Basic YWRtaW46cGFzc3dvcmQ="), 372);
    assert_eq!(cost("", "Basic YWRtaW46d3Jvbmc="), 220);
    assert_eq!(cost("", "Bearer nope"), 15);
}

#[test]
fn open_connections_use_a_new_mode() {
    let config = ControllerConfig { keep_alive: true, ..ControllerConfig::default() };
    let controller = Controller::start(config);
    let mut kept = client::KeptConnection::open(controller.address());
    assert!(kept.ask("GET", "/api/v2/ping/").starts_with("HTTP/1.1 200"));
    assert!(kept.ask("GET", "/api/v2/ping/").starts_with("HTTP/1.1 200"));
    controller.set_mode(Mode::Garbled);
    assert_eq!(kept.ask("GET", "/api/v2/ping/"), "");
}

#[test]
fn a_websocket_echoes_its_messages() {
    let controller = started();
    let mut kept = client::KeptConnection::open(controller.address());
    let headers = ["Connection: Upgrade", "Upgrade: websocket"];
    assert!(kept.ask_with("GET", "/websocket/", &headers).starts_with("HTTP/1.1 101"));
    assert_eq!(kept.send(b"\x81\x02hi"), b"\x81\x02hi");
    assert_eq!(controller.requests_for("/websocket/"), 1);
    controller.set_mode(Mode::Gone);
    assert_eq!(kept.send(b"more"), b"");
}

#[test]
fn over_tls_the_controller_answers_with_its_own_certificate() {
    let controller =
        Controller::start(ControllerConfig { tls: true, ..ControllerConfig::default() });
    let certificate = controller.certificate().unwrap();
    let bytes = client::raw_tls(controller.address(), certificate, "/api/v2/ping/");
    assert!(bytes.starts_with(b"HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn the_controller_starts_and_stops_inside_a_runtime() {
    let controller = started();
    let address = controller.address();
    let reply = tokio::task::spawn_blocking(move || get(address, "/api/v2/ping/", &[])).await;
    assert_eq!(reply.unwrap().status, 200);
    controller.set_mode(Mode::Gone);
    drop(controller);
}
