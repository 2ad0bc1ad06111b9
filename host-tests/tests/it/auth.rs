//! Authentication with local credentials, and the replies to refused clients.

mod attacks;
mod captured;
mod down;
mod forwarded;
mod guessing;
mod settings;
mod verdicts;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use host_tests::capture::{self, Reply};
use host_tests::on_both_hosts;
use hyper::{Method, Response};
use serde_json::{Value, json};

use crate::stage::{CONTROLLER_TOKEN, METRICS, Stage, again, auth, having, plugin};

const BEARER: &str = "Bearer realm=api authorization_url=/api/o/authorize/";
const BASIC: &str = "Basic realm=\"api\"";

/// The intended differences from the controller, by the prefix of the captures' names, each with its reason.
/// `scrape.rs` has more of them, about queries.
const OTHERWISE: [(&str, &str); 25] = [
    (
        "m-405-bearer",
        "a token's scope is its controller's business: none of them lets anybody write here",
    ),
    (
        "m-bob-OPTIONS",
        "authentication comes first: a client without permission learns nothing about the page",
    ),
    ("m-bob-POST", "the same"),
    (
        "m-session-POST-nocsrf",
        "405, like every POST: nothing is changed by one, so there is nothing to forge",
    ),
    (
        "m-406-",
        "the controller says 500 with credentials and 406 without: here authentication is first",
    ),
    ("m-anon-accept-unknown", "the same"),
    ("m-anon-format-xml", "the same"),
    ("m-admin-accept-", "406, where the controller says 500"),
    ("m-admin-emptyaccept", "an empty Accept is as good as none; the controller says 500"),
    ("m-admin-openmetrics-only", "OpenMetrics, where the controller says 500"),
    ("m-admin-prom", "what these servers ask for first, which the controller does not have"),
    ("m-admin-json-q", "q-values count here"),
    ("m-admin-FOO", "over HTTP/1.1 Envoy itself knows no such method, and says 400"),
    ("m-admin-POST-form", "405 before the body is looked at, which is never read"),
    ("m-admin-OPTIONS", "another description, of what is served here"),
    ("m-bearer-options-read", "the same"),
    ("m-admin-gzip", "compressed, which the controller does not do"),
    ("m-token-query", "a token in a URL is in every log"),
    ("m-session-bad", "an Authorization header decides, not the cookie beside it"),
    ("m-noslash", "answered at once, without a redirect"),
    ("m-doubleslash", "every spelling of the path is answered"),
    ("m-extra-path", "not ours"),
    ("m-emptyredis", "states of the controller"),
    ("nobasic-me", "not ours"),
    (
        "nobasic-admin",
        "a 401 has the sentence of its scheme, so that it does not tell which users are local",
    ),
];

/// Captures that only the controller can decide: roles, sessions, its own tokens.
const NOT_KNOWN_HERE: [&str; 8] = [
    "anonok-bob",
    "m-bob-",
    "m-bearer-bob",
    "m-bearer-new",
    "m-auth-basic-utf8",
    "m-auth-basic-latin1",
    "m-auth-basic-colonpw",
    "m-session",
];

fn is_answered_otherwise(capture: &str) -> bool {
    OTHERWISE.iter().any(|(start, _)| capture.starts_with(start))
}

/// The users of the captured controller that may see the page, as far as the gateway can know them.
fn captured_people(anonymous: bool) -> Value {
    let user = |name: &str, hash: &str| json!({"name": name, "password_hash": format!("pbkdf2_sha256$1000${hash}")});
    json!({
        "anonymous": anonymous,
        "tokens": [
            {"name": "read", "sha256": "76c93f1e374c371b39607a8640e2d41fcfcc54d30ce68d4b74aa71e8c3b0970f"},
            {"name": "write", "sha256": "4b44e5eeac588754033182cec3160e0acfc64350fa37ad92195310c9e5b532e1"},
            {"name": "auditor", "sha256": "844663d04d4ad544cf964c9813472f11285afb5fe0ac4b927366dbc3f6a1641b"},
        ],
        "users": [
            user("admin", "capturedpass$1t/ae3BoLWRzr154ls9+iy3c1KPGCSc8plFHK2zedOQ="),
            user("auditor", "capturedaudi$Cy9KMIaecA04eHDlezjKs6aqaTf0S+LDMJl5pABxDKU="),
        ],
    })
}

/// The sentence of an error, in either format.
fn sentence(body: &[u8]) -> String {
    let text = String::from_utf8(body.to_vec()).unwrap();
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(object)) => object["detail"].as_str().unwrap_or_default().to_owned(),
        // The controller's text is what Python prints for its data:
        // `{'detail': ErrorDetail(string='..', code='..')}`.
        _ => {
            let text = text.trim().trim_start_matches("{'detail': ");
            let text = text.trim_start_matches("ErrorDetail(string=").trim_start_matches('\'');
            text.split("', code=").next().unwrap().trim_end_matches("'}").to_owned()
        }
    }
}

fn headers<'a>(reply: &'a Response<Bytes>, name: &str) -> Vec<&'a str> {
    reply.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

/// `challenges`: the challenges of a 401 beside the controller's own.
fn assert_same(name: &str, ours: &Response<Bytes>, theirs: &Reply, challenges: &[&str]) {
    assert_eq!(ours.status().as_u16(), theirs.status, "{name}");
    assert_eq!(headers(ours, "allow"), ["GET, HEAD, OPTIONS"], "{name}");
    let media_type = |value: &str| value.split(';').next().unwrap().to_owned();
    let ours_type = media_type(headers(ours, "content-type")[0]);
    assert_eq!(Some(ours_type), theirs.header("content-type").map(media_type), "{name}");
    match theirs.header("www-authenticate") {
        Some(challenge) => {
            let expected = [&[challenge], challenges].concat();
            assert_eq!(headers(ours, "www-authenticate"), expected, "{name}")
        }
        None => assert_eq!(headers(ours, "www-authenticate"), [""; 0], "{name}"),
    }
    if theirs.status != 200 && !theirs.body.is_empty() {
        assert_eq!(sentence(ours.body()), sentence(&theirs.body), "{name}");
    }
}

/// Raw values of `Authorization`, and the sentence of each refusal.
fn odd_headers() -> Vec<(Vec<u8>, &'static str)> {
    const NOT_PROVIDED: &str = "Authentication credentials were not provided.";
    const ENCODING: &str = "Invalid basic header. Credentials not correctly base64 encoded.";
    const WRONG: &str = "Invalid username/password.";
    let basic = |pair: &[u8]| format!("Basic {}", STANDARD.encode(pair)).into_bytes();
    let mut odd: Vec<(Vec<u8>, &str)> = vec![
        (b"Bearer \xff\xfe".into(), NOT_PROVIDED),
        (b"Bearer demonstration-onl".into(), NOT_PROVIDED),
        (b"Bearer demonstration-only2".into(), NOT_PROVIDED),
        (b"Bearer DEMONSTRATION-ONLY".into(), NOT_PROVIDED),
        (b"Bearer demonstration-only, Bearer demonstration-only".into(), NOT_PROVIDED),
        (b"Bearer demonstration-only,Basic YWRtaW46cGFzc3dvcmQ=".into(), NOT_PROVIDED),
        (b"Bearer x, Bearer demonstration-only".into(), NOT_PROVIDED),
        (b"Bearer=demonstration-only".into(), NOT_PROVIDED),
        (b"demonstration-only".into(), NOT_PROVIDED),
        (
            b"Basic YWRtaW46cGFzc3dvcmQ=, Bearer demonstration-only".into(),
            "Invalid basic header. Credentials string should not contain spaces.",
        ),
        (b"Basic YWRtaW46cGFzc3dvcmQ=,Basic".into(), ENCODING),
        (b"Basic \xff\xfe".into(), ENCODING),
        (b"Basic YWRtaW46cGFzc3dvcmQ".into(), ENCODING),
        (b"Basic YWRtaW46cGFzc3dvcmQ=AAAA".into(), ENCODING),
        (basic(b"\xff\xfe"), ENCODING),
        (basic(b"\xff:\xfe"), WRONG),
        (basic(b"admin"), ENCODING),
        (basic(b":"), WRONG),
        (basic(b"admin:"), WRONG),
        (basic(b":password"), WRONG),
        (basic(b"Admin:password"), WRONG),
        (basic(b"admin:password\x01"), WRONG),
        (basic(b"admin:pass:word"), WRONG),
        (basic(b"admin\0:password"), WRONG),
        (b"Basic".into(), "Invalid basic header. No credentials provided."),
        (b"Negotiate YWRtaW46cGFzc3dvcmQ=".into(), NOT_PROVIDED),
    ];
    odd.push(([&b"Bearer "[..], &[b'a'; 20_000]].concat(), NOT_PROVIDED));
    odd.push(([&b"Basic "[..], &[b'a'; 20_000]].concat(), NOT_PROVIDED));
    odd
}

async fn the_right_credentials_open_however_their_scheme_is_written(stage: &Stage) {
    for header in [
        "Bearer demonstration-only",
        "bearer demonstration-only",
        "BEARER   demonstration-only  ",
        "Basic YWRtaW46cGFzc3dvcmQ=",
        "basic YWRtaW46cGFzc3dvcmQ=",
        "bAsIc YWRtaW46cGFzc3dvcmQ=",
    ] {
        let client = stage.gateway.client().header("authorization", header);
        assert_eq!(client.get(METRICS).await.unwrap().status(), 200, "{header}");
    }
}

async fn an_odd_header_is_refused_in_the_controllers_words(stage: &Stage) {
    for (header, said) in odd_headers() {
        let client = stage.gateway.client().header("authorization", &header);
        let reply = client.get(METRICS).await.unwrap();
        let shown = String::from_utf8_lossy(&header[..header.len().min(80)]).into_owned();
        assert_eq!(reply.status(), 401, "{shown}");
        let whole = format!("{said} To establish a login session, visit /api/login/.");
        assert_eq!(sentence(reply.body()), whole, "{shown}");
        assert_eq!(headers(&reply, "www-authenticate"), [BEARER, BASIC], "{shown}");
    }
}

async fn two_headers_are_refused_even_where_each_is_right(stage: &Stage) {
    let twice = [
        ["Bearer demonstration-only", "Bearer demonstration-only"],
        ["Bearer demonstration-only", "Basic YWRtaW46cGFzc3dvcmQ="],
        ["Basic YWRtaW46cGFzc3dvcmQ=", "Basic YWRtaW46cGFzc3dvcmQ="],
        ["Basic YWRtaW46cGFzc3dvcmQ=", "Bearer demonstration-only"],
        ["Bearer demonstration-only", ","],
    ];
    for headers in twice {
        let mut client = stage.gateway.client();
        for value in headers {
            client = client.header("authorization", value);
        }
        assert_eq!(client.get(METRICS).await.unwrap().status(), 401, "{headers:?}");
    }
}

async fn every_method_is_answered_or_refused_by_name(stage: &Stage) {
    for name in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"] {
        let method = Method::from_bytes(name.as_bytes()).unwrap();
        let stranger = stage.gateway.client().request(method.clone(), METRICS, "").await.unwrap();
        assert_eq!(stranger.status(), 401, "{name}");
        let reply = stage.prometheus().request(method, METRICS, "a body").await.unwrap();
        assert_eq!(reply.status(), 405, "{name}");
        assert_eq!(headers(&reply, "allow"), ["GET, HEAD, OPTIONS"], "{name}");
        assert_eq!(sentence(reply.body()), format!("Method \"{name}\" not allowed."));
    }
    let options = stage.prometheus().request(Method::OPTIONS, METRICS, "").await.unwrap();
    assert_eq!(options.status(), 200);
    let described: Value = serde_json::from_slice(options.body()).unwrap();
    let renders = [
        "text/plain",
        "application/openmetrics-text",
        "application/json",
        "application/vnd.google.protobuf",
        "text/html",
    ];
    assert_eq!(described["renders"], json!(renders));
    let asked = stage.controller().requests();
    assert!(asked.iter().all(|request| request.method == "GET"), "{asked:?}");
}

async fn a_method_that_http_1_has_not_is_refused_before_the_filter_sees_it(stage: &Stage) {
    for name in ["FOO", "get", "M-SEARCH"] {
        let method = Method::from_bytes(name.as_bytes()).unwrap();
        let reply = stage.prometheus().request(method, METRICS, "").await.unwrap();
        assert_eq!(reply.status(), 400, "{name}");
    }
}

async fn a_format_that_cannot_be_rendered_is_406_for_permitted_clients_only(stage: &Stage) {
    for accept in ["application/xml", "foo", "*/*;q=0", "text/plain;version=2.0.0", "\u{fe}\u{ff}"]
    {
        let accept = accept.as_bytes();
        let stranger = stage.gateway.client().header("accept", accept).get(METRICS).await.unwrap();
        assert_eq!(stranger.status(), 401);
        let reply = stage.prometheus().header("accept", accept).get(METRICS).await.unwrap();
        assert_eq!(reply.status(), 406);
        assert_eq!(headers(&reply, "content-type"), ["application/json"]);
        assert_eq!(sentence(reply.body()), "Could not satisfy the request Accept header.");
    }
}

on_both_hosts! {
    async fn the_gateway_refuses_in_the_controllers_words(host) {
        let plugins =
            [false, true].map(|anonymous| having(plugin(0), "/auth", captured_people(anonymous)));
        let stage = Stage::of(host, &plugins).await.up_for(CONTROLLER_TOKEN).await;
        let mut seen = BTreeMap::<u16, usize>::new();
        for capture in capture::all() {
            let name = capture.name.as_str();
            let listener = match name {
                _ if capture.is_about_a_query() || is_answered_otherwise(name) => continue,
                _ if NOT_KNOWN_HERE.iter().any(|start| name.starts_with(start)) => continue,
                _ if name.starts_with("m-") => 0,
                _ if name.starts_with("anonok-") => 1,
                _ => continue,
            };
            let ours = again(&stage.gateway.client_of(listener), &capture.request).await;
            assert_same(name, &ours, &capture.reply, &[BASIC]);
            *seen.entry(capture.reply.status).or_default() += 1;
        }
        let least = [(200, 20), (401, 25), (405, 7)];
        assert!(least.iter().all(|(status, least)| seen[status] >= *least), "{seen:?}");
    }

    async fn only_valid_credentials_are_accepted_and_a_refusal_gives_its_reason(host) {
        let stage = Stage::start(host).await;
        the_right_credentials_open_however_their_scheme_is_written(&stage).await;
        an_odd_header_is_refused_in_the_controllers_words(&stage).await;
        two_headers_are_refused_even_where_each_is_right(&stage).await;
    }

    async fn every_method_and_format_is_answered_or_refused(host) {
        let stage = Stage::start(host).await;
        every_method_is_answered_or_refused_by_name(&stage).await;
        a_method_that_http_1_has_not_is_refused_before_the_filter_sees_it(&stage).await;
        a_format_that_cannot_be_rendered_is_406_for_permitted_clients_only(&stage).await;
    }

    async fn anonymous_access_needs_no_credentials_but_refuses_a_wrong_password(host) {
        let open = having(plugin(0), "/auth", having(auth(), "/anonymous", json!(true)));
        let stage = Stage::with(host, &open).await;
        let as_anybody = stage.gateway.client();
        assert_eq!(as_anybody.get(METRICS).await.unwrap().status(), 200);
        let expected = [
            (as_anybody.clone().bearer("unknown"), 200),
            (as_anybody.clone().basic("admin", "password"), 200),
            (as_anybody.clone().basic("admin", "wrong"), 401),
            (as_anybody.clone().basic("nobody", "password"), 401),
            (as_anybody.clone().header("authorization", "Basic !!!"), 401),
            (as_anybody.clone().header("authorization", "Bearer a, Bearer b"), 401),
        ];
        for (place, (client, status)) in expected.into_iter().enumerate() {
            assert_eq!(client.get(METRICS).await.unwrap().status(), status, "{place}");
        }
    }

    async fn without_a_way_to_authenticate_every_client_is_refused_and_the_log_says_so(host) {
        let stage = Stage::with(host, &having(plugin(0), "/auth", json!({}))).await;
        for client in
            [stage.gateway.client(), stage.prometheus(), stage.gateway.client().basic("", "")]
        {
            assert_eq!(client.get(METRICS).await.unwrap().status(), 401);
        }
        assert!(stage.gateway.log().contains("every client is refused"), "{}", stage.gateway.log());
    }
}
