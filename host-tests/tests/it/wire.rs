//! Requests byte by byte, for content that no client library sends.

use std::net::SocketAddr;

use host_tests::capture::Reply;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::PATIENCE;

/// Sends bytes and reads the reply, or the part of it that came before the connection ended.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut from, mut to) = stream.split();
    let sending = async {
        // A client that is refused early finds the connection closed, but still has its reply.
        let _ = to.write_all(bytes).await;
        std::future::pending().await
    };
    let talk = async {
        tokio::select! {
            reply = reply(&mut from) => reply,
            reply = sending => reply,
        }
    };
    let ended = tokio::time::timeout(PATIENCE, talk).await;
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(99)]);
    ended.unwrap_or_else(|_| panic!("no end to {shown:?}"))
}

/// A reply, or the part of it that came before the connection ended. Envoy waits a second for its client before it
/// closes, so this reads only to the reply's own end.
pub(crate) async fn reply(from: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut reply = Vec::new();
    while !is_whole(&reply) {
        match from.read_buf(&mut reply).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    reply
}

fn is_whole(reply: &[u8]) -> bool {
    let Some(end) = reply.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&reply[..end]).to_ascii_lowercase();
    let mut lines = head.split("\r\n");
    match lines.find_map(|line| line.strip_prefix("content-length: ")) {
        Some(length) => reply.len() >= end + 4 + length.parse::<usize>().unwrap(),
        None => head.contains("chunked") && reply.ends_with(b"\r\n0\r\n\r\n"),
    }
}

/// A request line and header lines, the last of which closes the connection.
pub(crate) fn request(line: &[u8], headers: &[&[u8]]) -> Vec<u8> {
    let mut bytes = line.to_vec();
    bytes.extend(b"\r\nhost: gateway\r\nconnection: close\r\n");
    for header in headers {
        bytes.extend(*header);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"\r\n");
    bytes
}

/// The reply to such a request.
pub(crate) async fn ask(address: SocketAddr, line: &[u8], headers: &[&[u8]]) -> Reply {
    let reply = raw(address, &request(line, headers)).await;
    assert!(!reply.is_empty(), "no reply to {:?}", String::from_utf8_lossy(line));
    Reply::parse(&reply)
}
