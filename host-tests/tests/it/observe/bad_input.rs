//! Malformed requests are counted too: once each, with labels from the closed lists.

use std::net::SocketAddr;

use host_tests::gateway::{GatewaySpec, Host};
use host_tests::on_both_hosts;
use host_tests::process::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Requests, STYLES, counting, gateway, of, page, requests, since};
use crate::stage::{PATIENCE, Watched};
use crate::wire::{raw, request};

/// The requests counted since, without the scrapes of this test.
async fn counted_since(before: &Requests, gateway: &Watched) -> Requests {
    let counted = eventually(PATIENCE, async || {
        let mut now = since(before, &requests(&page(gateway).await));
        now.retain(|(_, resource, _), _| resource != "metrics");
        (!now.is_empty()).then_some(now)
    });
    counted.await.expect("a count")
}

/// Method, resource and code.
type Counted = (&'static str, &'static str, u16);

/// Bytes, and the labels that they are counted under.
fn hostile(host: Host) -> Vec<(Vec<u8>, Counted)> {
    let long = vec![b'x'; 64 * 1024];
    // Hyper checks the method before the size.
    let long_method = if host == Host::Wasmtime { 400 } else { 431 };
    let unread = ("other", "other", 400);
    vec![
        (request(b"GET /api/v2/jobs/\xff\xfe HTTP/1.1", &[]), unread),
        (request(b"G\xff\xfe / HTTP/1.1", &[]), unread),
        (request(b"GET  HTTP/1.1", &[]), unread),
        (request(b" / HTTP/1.1", &[]), unread),
        (request(&[b"GET /", &long[..], b" HTTP/1.1"].concat(), &[]), ("other", "other", 431)),
        (request(&[&long[..], b" / HTTP/1.1"].concat(), &[]), ("other", "other", long_method)),
        (request(b"CONNECT gateway:443 HTTP/1.1", &[]), ("CONNECT", "other", 404)),
        (request(b"BREW /api/v2/jobs/ HTTP/1.1", &[]), unread),
        (request(b"PROPFIND /api/v2/jobs/ HTTP/1.1", &[]), ("PROPFIND", "jobs", 200)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), unread),
        (b"GET /api/v2/jobs/ HTTP/1.1\r\nconnection: close\r\n\r\n".to_vec(), ("GET", "jobs", 400)),
        (request(b"POST /api/v2/jobs/ HTTP/1.1", &[b"content-length: x"]), unread),
        (request(b"GET /api/v2/jobs/ HTTP/1.1", &[b"x-answer: 999"]), ("GET", "jobs", 999)),
        (
            request(
                b"GET /websocket/ HTTP/1.1",
                &[b"connection: upgrade", b"upgrade: websocket", b"x-answer: 403"],
            ),
            ("GET", "websocket", 403),
        ),
    ]
}

/// Answers every connection with the same bytes, and closes it.
async fn stubborn(bytes: &'static [u8]) -> SocketAddr {
    let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            let mut asked = [0; 4096];
            // If the client closes first, it has sent enough.
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(bytes).await;
        }
    });
    address
}

/// Checks the labels of one request to an upstream with this answer, in each style.
async fn counted_of(host: Host, upstream: &'static [u8], bytes: &[u8], is: (&str, &str, u16)) {
    for by in STYLES {
        let spec = GatewaySpec::new(&counting(by)).cluster("controller", stubborn(upstream).await);
        let gateway = Watched::start(host, &spec).await;
        raw(gateway.address(), bytes).await;
        let counted = counted_since(&Requests::new(), &gateway).await;
        assert_eq!(counted, of(&[(is.0, is.1, is.2, 1)]), "{by}");
    }
}

on_both_hosts! {
    async fn a_malformed_request_is_counted_once(host) {
        for by in STYLES {
            let (_upstream, gateway) = gateway(host, by, 2).await;
            let mut before = requests(&page(&gateway).await);
            for (bytes, (method, resource, code)) in hostile(host) {
                raw(gateway.address(), &bytes).await;
                let counted = counted_since(&before, &gateway).await;
                let what = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
                assert_eq!(counted, of(&[(method, resource, code, 1)]), "{by}: {what}");
                before = requests(&page(&gateway).await);
            }
        }
    }

    async fn a_client_that_leaves_during_its_request_is_counted_without_a_status(host) {
        for by in STYLES {
            let (_upstream, gateway) = gateway(host, by, 2).await;
            let upload = b"POST /api/v2/tokens/ HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{";
            let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
            stream.write_all(upload).await.unwrap();
            drop(stream);
            let counted = counted_since(&Requests::new(), &gateway).await;
            assert_eq!(counted, of(&[("POST", "tokens", 0, 1)]), "{by}");
        }
    }

    async fn a_websocket_is_counted_once_for_any_path(host) {
        let agreed = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        let wish: [&[u8]; 2] = [b"connection: upgrade", b"upgrade: websocket"];
        let asks = b"GET /api/v2/jobs/ HTTP/1.1\r\nhost: gateway";
        let asks = [&asks[..], wish[0], wish[1], b"\r\n"].join(&b"\r\n"[..]);
        counted_of(host, agreed, &asks, ("GET", "websocket", 101)).await;
    }

    async fn a_truncated_reply_is_counted_once_by_its_status(host) {
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
        let asks = request(b"GET /api/v2/jobs/ HTTP/1.1", &[]);
        counted_of(host, half, &asks, ("GET", "jobs", 200)).await;
    }
}
