//! The proxy around the VM, over real sockets.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use host_tests::module;
use host_tests::proxy::{GatewayConfig, Identity, Listener, Route, StartError, WasmtimeGateway};
use host_tests::vm::{Plugin, PluginError};
use host_tests::world::{Level, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(20);

fn config(configuration: &str) -> GatewayConfig {
    let mut config = GatewayConfig::new(module::build("fixture-probe"), "root", configuration);
    config.listeners[0].routes = vec![Route::all_to("upstream")];
    config.world.clusters.insert("homeless".into(), vec![]);
    config
}

async fn started(config: GatewayConfig) -> WasmtimeGateway {
    WasmtimeGateway::start(config).await.unwrap()
}

/// A proxy with an upstream behind it.
async fn gateway(configuration: &str) -> WasmtimeGateway {
    started(config(configuration).cluster("upstream", upstream().await)).await
}

/// An upstream that answers by path; see the arms.
async fn upstream() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            tokio::spawn(behave(stream));
        }
    });
    address
}

async fn behave(mut stream: TcpStream) {
    let mut read = Vec::new();
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(size) if size > 0 => read.extend(&piece[..size]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&read).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let reply = match path.as_str() {
        "/hang" => return std::future::pending().await,
        "/close" => return,
        "/garbled" => "this is not HTTP\r\n\r\n".to_owned(),
        "/short" => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc".to_owned(),
        "/resume" => whole("resume"),
        "/huge" => return huge(stream).await,
        "/switch" => return echo_after_switch(stream).await,
        "/post" => {
            while !read.ends_with(b"\r\n0\r\n\r\n") {
                read.push(stream.read_u8().await.unwrap());
            }
            let text = String::from_utf8_lossy(&read).into_owned();
            whole(text.split_once("\r\n\r\n").unwrap().1)
        }
        _ => whole(&head),
    };
    let _ = stream.write_all(reply.as_bytes()).await;
}

fn whole(body: &str) -> String {
    let size = body.len();
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n{body}")
}

async fn huge(mut stream: TcpStream) {
    let size = 33 * 1024 * 1024;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&vec![b'x'; size]).await;
}

async fn echo_after_switch(mut stream: TcpStream) {
    let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    let _ = stream.write_all(head.as_bytes()).await;
    let (mut from, mut to) = stream.split();
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

async fn send(address: SocketAddr, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream
}

/// Sends a request and reads the reply to the connection's end.
async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = send(address, request).await;
    let mut reply = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply)).await;
    let _ = read.expect("the reply ends in time");
    String::from_utf8_lossy(&reply).into_owned()
}

fn request(method: &str, path: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").into_bytes()
}

async fn get(gateway: &WasmtimeGateway, path: &str) -> String {
    raw(gateway.address(), &request("GET", path)).await
}

fn body(reply: &str) -> &str {
    reply.split_once("\r\n\r\n").expect("a reply has a head").1
}

async fn logged(gateway: &WasmtimeGateway, message: &str) {
    let line = gateway.world().log.wait_for(PATIENCE, |line| line.message == message).await;
    assert!(line.is_some(), "no line {message:?} among {:#?}", gateway.logs());
}

#[tokio::test]
async fn a_request_goes_upstream_and_its_reply_comes_back_through_the_filter() {
    let gateway = gateway("").await;
    let reply = get(&gateway, "/page?x=1").await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    assert!(reply.contains("x-probe: seen\r\n"), "{reply}");
    assert!(reply.contains("server: envoy\r\n"), "{reply}");
    assert!(reply.contains("x-envoy-upstream-service-time: "), "{reply}");
    assert!(body(&reply).starts_with("GET /page?x=1 HTTP/1.1\r\n"), "{reply}");
    assert!(body(&reply).contains("x-forwarded-proto: http\r\n"), "{reply}");
    logged(&gateway, r#"log Some("/page?x=1") Some(200) true Some("via_upstream")"#).await;
}

#[tokio::test]
async fn a_local_reply_has_envoys_headers_and_is_logged() {
    let gateway = gateway("").await;
    let reply = get(&gateway, "/do/headers").await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    assert!(reply.contains("content-type: text/x-probe\r\n"), "{reply}");
    assert!(reply.contains("x-twice: 1\r\nx-twice: 2\r\n"), "{reply}");
    assert!(reply.contains("x-probe: seen\r\n"), "{reply}");
    assert!(reply.contains(&format!("content-length: {}\r\n", body(&reply).len())), "{reply}");
    assert!(!reply.contains("x-envoy-upstream-service-time"), "{reply}");
    logged(&gateway, r#"log Some("/do/headers") Some(200) true None"#).await;
}

#[tokio::test]
async fn head_gets_the_length_and_no_body() {
    let gateway = gateway("").await;
    let reply = raw(gateway.address(), &request("HEAD", "/do/property/request.method")).await;
    assert!(reply.contains("content-length: 4\r\n"), "{reply}");
    assert_eq!(body(&reply), "");
}

#[tokio::test]
async fn an_empty_local_reply_loses_its_content_type() {
    let reply = get(&gateway("").await, "/do/empty").await;
    assert!(reply.starts_with("HTTP/1.1 204"), "{reply}");
    assert!(!reply.contains("content-type"), "{reply}");
}

#[tokio::test]
async fn header_names_become_lowercase_values_stay_bytes_and_an_absolute_target_becomes_a_path() {
    let gateway = gateway("").await;
    let text = b"GET http://elsewhere/do/headers/?q HTTP/1.1\r\nHost: a\r\nX-Odd: \xffz\r\nConnection: close\r\n\r\n";
    let reply = raw(gateway.address(), text).await;
    assert!(body(&reply).contains(":authority=elsewhere\n"), "{reply}");
    assert!(body(&reply).contains("path=/do/headers/?q\n"), "{reply}");
    assert!(body(&reply).contains("x-odd=\u{fffd}z\n"), "{reply}");
}

#[tokio::test]
async fn a_filter_can_change_request_headers() {
    let gateway = gateway("").await;
    let text = b"GET /do/add-header HTTP/1.1\r\nhost: a\r\nx-gone: 1\r\nconnection: close\r\n\r\n";
    let reply = raw(gateway.address(), text).await;
    assert!(body(&reply).contains("x-added: by probe\r\n"), "{reply}");
    assert!(!body(&reply).contains("x-gone"), "{reply}");
}

#[tokio::test]
async fn a_filter_can_hold_and_change_whole_bodies_in_both_directions() {
    let gateway = gateway("upper").await;
    let text = b"POST /post HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n4\r\nabc-\r\n3\r\nend\r\n0\r\n\r\n";
    let reply = raw(gateway.address(), text).await;
    // The cluster got one chunk, and its reply, which quotes it, lost its length in the filter.
    assert!(reply.contains("\r\n7\r\nABC-END\r\n0\r\n"), "{reply}");
    assert!(reply.contains("transfer-encoding: chunked"), "{reply}");
}

#[tokio::test]
async fn a_refused_configuration_prevents_the_start_and_returns_its_log_line() {
    let refused = WasmtimeGateway::start(config("refuse")).await.map(drop).unwrap_err();
    let StartError::Refused { reason, line: Some(line) } = refused else {
        panic!("refused otherwise: {refused:?}");
    };
    assert_eq!(reason, PluginError::NotConfigured);
    assert_eq!((line.level, line.vm.as_str()), (Level::Error, "canary"));
    assert_eq!(line.message, "the configuration says refuse");
}

#[tokio::test]
async fn a_trap_during_configuration_prevents_the_start() {
    let refused = WasmtimeGateway::start(config("trap")).await.map(drop).unwrap_err();
    let StartError::Refused { reason: PluginError::Trapped(trap), line: Some(_) } = refused else {
        panic!("refused otherwise: {refused:?}");
    };
    assert_eq!((trap.vm.as_str(), trap.callback), ("canary", "proxy_on_configure"));
}

#[tokio::test]
async fn the_canary_is_configured_first_then_main_then_the_workers() {
    let gateway = gateway("").await;
    let vms: Vec<String> = gateway
        .logs()
        .into_iter()
        .filter(|line| line.message == "configured")
        .map(|line| line.vm)
        .collect();
    assert_eq!(vms, ["canary", "main", "worker-0", "worker-1"]);
}

#[tokio::test]
async fn every_vm_but_the_canary_ticks() {
    let gateway = gateway("tick").await;
    loop {
        let counts = gateway.counts();
        let ticks = |vm: &str| {
            counts
                .iter()
                .filter(|(name, _)| name == vm)
                .map(|(_, counts)| counts.of("proxy_on_tick").runs)
                .sum::<u64>()
        };
        assert_eq!(ticks("canary"), 0);
        if ["main", "worker-0", "worker-1"].into_iter().all(|vm| ticks(vm) > 2) {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_answer_to_the_call_of_a_root_reaches_that_root() {
    let gateway = gateway("tick lead").await;
    logged(&gateway, "root dispatched Ok(1)").await;
    let answered = |line: &host_tests::world::LogLine| {
        line.vm == "main" && line.message.starts_with("root call: Some(\"200\")")
    };
    assert!(gateway.world().log.wait_for(PATIENCE, answered).await.is_some());
}

#[tokio::test]
async fn calls_fail_as_they_do_in_envoy() {
    let gateway = gateway("").await;
    let reset = "reset reason:";
    let answers = [
        ("/do/call/page", "200 by upstream: GET /page"),
        ("/do/call/close", "503 by proxy: upstream connect error"),
        ("/do/call/hang", "504 by proxy: upstream request timeout"),
        ("/do/call/short", "cut off"),
        ("/do/call/garbled", "by proxy: upstream connect error"),
        ("/do/patient/huge", "cut off"),
        ("/do/nowhere", "refused: BadArgument"),
        ("/do/homeless", "refused: InternalFailure"),
        ("/do/property/xds.cluster_name", &u64::from_le_bytes(*b"upstream").to_string()),
    ];
    for (path, expected) in answers {
        let reply = get(&gateway, path).await;
        assert!(body(&reply).contains(expected), "{path}: {reply}");
    }
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    gateway.world().move_cluster("upstream", vec![gone]);
    let reply = get(&gateway, "/do/call/page").await;
    assert!(body(&reply).starts_with("503 by proxy: ") && reply.contains(reset), "{reply}");
}

#[tokio::test]
async fn a_paused_request_resumes_when_the_answer_says_so() {
    let gateway = gateway("").await;
    let reply = get(&gateway, "/do/call/resume").await;
    assert!(body(&reply).starts_with("GET /do/call/resume "), "{reply}");
}

#[tokio::test]
async fn without_an_upstream_the_reply_is_envoys_503() {
    let gateway = started(config("")).await;
    let reply = get(&gateway, "/page").await;
    assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
    assert_eq!(body(&reply), "no healthy upstream");
    assert!(reply.contains("x-probe: seen\r\n"), "{reply}");
}

#[tokio::test]
async fn after_a_trap_the_worker_answers_503_until_the_backoff_ends() {
    let mut config = config("").cluster("upstream", upstream().await);
    config.workers = 1;
    config.reload_backoff = Duration::from_millis(300);
    let gateway = started(config).await;
    let reply = get(&gateway, "/do/trap").await;
    assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
    assert_eq!(body(&reply), "");
    assert_eq!(gateway.traps().len(), 1);
    assert_eq!(gateway.traps()[0].callback, "proxy_on_request_headers");
    let began = std::time::Instant::now();
    while !get(&gateway, "/page").await.starts_with("HTTP/1.1 200") {
        assert!(began.elapsed() < PATIENCE, "the VM never came back");
    }
    assert_eq!(gateway.counts().iter().filter(|(name, _)| name == "worker-0").count(), 2);
}

#[tokio::test]
async fn no_vm_is_rebuilt_before_the_backoff_ends() {
    let mut config = config("").cluster("upstream", upstream().await);
    config.workers = 1;
    config.reload_backoff = Duration::from_secs(3600);
    let gateway = started(config).await;
    get(&gateway, "/do/trap").await;
    assert!(get(&gateway, "/page").await.starts_with("HTTP/1.1 503"));
    assert_eq!(gateway.counts().iter().filter(|(name, _)| name == "worker-0").count(), 1);
}

#[tokio::test]
async fn a_main_vm_that_trapped_is_not_rebuilt_and_the_workers_continue() {
    let gateway = gateway("tick").await;
    gateway.world().before_each_host_call(|call| match (call.vm, call.callback) {
        ("main", "proxy_on_tick") => Step::Trap,
        _ => Step::Proceed,
    });
    let dead = |line: &host_tests::world::LogLine| line.message == "the VM of main is gone";
    assert!(gateway.world().log.wait_for(PATIENCE, dead).await.is_some());
    assert!(get(&gateway, "/page").await.starts_with("HTTP/1.1 200"));
    assert_eq!(gateway.traps().len(), 1);
}

#[tokio::test]
async fn a_stream_paused_when_its_vm_dies_ends_by_the_idle_timeout() {
    let mut config = config("").cluster("upstream", upstream().await);
    config.workers = 1;
    config.listeners[0].stream_idle_timeout = Duration::from_millis(600);
    let gateway = started(config).await;
    let asked = request("GET", "/do/patient/hang");
    let paused = raw(gateway.address(), &asked);
    let killed = async {
        let calls = |counts: &host_tests::vm::Counts| {
            counts.of("proxy_on_request_headers").host_calls.contains_key("proxy_http_call")
        };
        while !gateway.counts().iter().any(|(_, counts)| calls(counts)) {
            tokio::task::yield_now().await;
        }
        get(&gateway, "/do/trap").await
    };
    // Envoy answers the same: the dead VM cannot see the 504 on its way back.
    let (reply, _) = tokio::join!(paused, killed);
    assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
}

#[tokio::test]
async fn a_request_that_is_held_for_too_long_gets_504() {
    let mut config = config("").cluster("upstream", upstream().await);
    config.listeners[0].stream_idle_timeout = Duration::from_millis(200);
    let gateway = started(config).await;
    let reply = get(&gateway, "/do/patient/hang").await;
    assert!(reply.starts_with("HTTP/1.1 504"), "{reply}");
    assert_eq!(body(&reply), "stream timeout");
}

#[tokio::test]
async fn a_trap_in_on_log_does_not_affect_the_reply() {
    let gateway = gateway("").await;
    gateway.world().before_each_host_call(|call| match call.callback {
        "proxy_on_log" => Step::Trap,
        _ => Step::Proceed,
    });
    assert!(get(&gateway, "/page").await.starts_with("HTTP/1.1 200"));
    assert_eq!(gateway.traps()[0].callback, "proxy_on_log");
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_stream_without_a_code_and_the_answer_is_dropped() {
    let gateway = gateway("").await;
    let stream = send(gateway.address(), &request("GET", "/do/patient/hang")).await;
    let calling = || {
        gateway.counts().iter().any(|(_, counts)| {
            counts.of("proxy_on_request_headers").host_calls.contains_key("proxy_http_call")
        })
    };
    while !calling() {
        tokio::task::yield_now().await;
    }
    drop(stream);
    let line = r#"log Some("/do/patient/hang") None true Some("downstream_remote_disconnect")"#;
    logged(&gateway, line).await;
    assert_eq!(gateway.traps(), []);
}

#[tokio::test]
async fn a_malformed_request_is_logged_without_a_path() {
    let gateway = gateway("").await;
    let reply = raw(gateway.address(), b"this is not HTTP\r\n\r\n").await;
    assert!(reply.starts_with("HTTP/1.1 400"), "{reply}");
    logged(&gateway, r#"log None Some(400) true Some("http1.codec_error")"#).await;
}

#[tokio::test]
async fn headers_over_envoys_limit_are_refused_and_logged_without_a_path() {
    let gateway = gateway("").await;
    let big = "y".repeat(70_000);
    let text = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: {big}\r\n\r\n");
    let reply = raw(gateway.address(), text.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 431"), "{reply}");
    logged(&gateway, r#"log None Some(431) true Some("http1.headers_too_large")"#).await;
}

#[tokio::test]
async fn connect_has_no_path_and_no_route() {
    let gateway = gateway("").await;
    let reply = raw(gateway.address(), &request("CONNECT", "a:1")).await;
    assert!(reply.starts_with("HTTP/1.1 404"), "{reply}");
    logged(&gateway, r#"log None Some(404) true Some("route_not_found")"#).await;
}

#[tokio::test]
async fn connections_are_spread_over_the_workers() {
    let mut config = config("").cluster("upstream", upstream().await);
    config.workers = 3;
    let gateway = started(config).await;
    for _ in 0..6 {
        get(&gateway, "/page").await;
    }
    let served = |counts: &host_tests::vm::Counts| counts.of("proxy_on_request_headers").runs;
    let served: Vec<u64> = gateway.counts().iter().map(|(_, counts)| served(counts)).collect();
    assert_eq!(served, [0, 0, 2, 2, 2]);
}

#[tokio::test]
async fn an_upgraded_connection_passes_through_and_is_logged_at_its_end() {
    let gateway = gateway("").await;
    let text = b"GET /switch HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n";
    let mut stream = send(gateway.address(), text).await;
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(stream.read_u8().await.unwrap());
    }
    assert!(read.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&read));
    stream.write_all(b"ping").await.unwrap();
    let mut echoed = [0; 4];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"ping");
    drop(stream);
    logged(&gateway, r#"log Some("/switch") Some(101) true Some("via_upstream")"#).await;
}

#[tokio::test]
async fn listeners_have_their_own_filters_and_loggers_in_the_same_vms() {
    let plugin = |name: &str, configuration: &str| {
        Arc::new(Plugin {
            name: name.into(),
            root_id: "root".into(),
            configuration: configuration.into(),
        })
    };
    let mut config = config("").cluster("upstream", upstream().await);
    config.listeners.push(Listener {
        name: "logged".into(),
        access_loggers: vec![plugin("logger", "")],
        routes: vec![Route::all_to("upstream")],
        ..Listener::default()
    });
    let gateway = started(config).await;
    let reply = raw(gateway.address_of("logged").unwrap(), &request("GET", "/do/headers")).await;
    assert!(body(&reply).starts_with("GET /do/headers "), "{reply}");
    logged(&gateway, r#"access Some("/do/headers") Some(200)"#).await;
    assert!(get(&gateway, "/do/property/plugin_name").await.ends_with("\r\n\r\nawx"));
    let vms: BTreeSet<String> = gateway.counts().into_iter().map(|(name, _)| name).collect();
    assert_eq!(vms.into_iter().collect::<Vec<_>>(), ["canary", "main", "worker-0", "worker-1"]);
}

#[tokio::test]
async fn a_tls_listener_serves_with_its_certificate() {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};

    let identity = Identity::self_signed();
    let mut config = config("").cluster("upstream", upstream().await);
    config.listeners[0].tls = Some(identity.clone());
    let gateway = started(config).await;

    let mut roots = rustls::RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(gateway.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let mut stream = connector.connect(name, tcp).await.unwrap();
    stream.write_all(&request("GET", "/do/property/request.scheme")).await.unwrap();
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply).await;
    assert!(reply.ends_with(b"https"), "{}", String::from_utf8_lossy(&reply));
}

#[tokio::test]
async fn a_gateway_that_is_dropped_ends_its_roots() {
    let gateway = gateway("").await;
    let world = Arc::clone(gateway.world());
    drop(gateway);
    let ended = world.log.lines().into_iter().filter(|line| line.message == "root done").count();
    assert_eq!(ended, 3);
}
