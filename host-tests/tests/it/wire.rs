//! Requests byte by byte, as no client would send them.

use std::net::SocketAddr;

use host_tests::capture::Reply;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::PATIENCE;

/// Sends bytes and reads the reply, or what there is of one when the connection ends.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut from, mut to) = stream.split();
    let mut reply = Vec::new();
    let receiving = async {
        // Envoy waits a second for its client before it closes: the reply's own end comes sooner.
        while !is_whole(&reply) {
            match from.read_buf(&mut reply).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    };
    let sending = async {
        // Who is refused early finds the connection closed, and has its reply all the same.
        let _ = to.write_all(bytes).await;
        std::future::pending::<()>().await;
    };
    let talk = async {
        tokio::select! {
            () = receiving => {}
            () = sending => {}
        }
    };
    let ended = tokio::time::timeout(PATIENCE, talk).await;
    assert!(
        ended.is_ok(),
        "no end to {:?}",
        String::from_utf8_lossy(&bytes[..bytes.len().min(99)])
    );
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
