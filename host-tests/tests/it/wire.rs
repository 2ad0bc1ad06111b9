//! Requests byte by byte, as no client would send them.

use std::net::SocketAddr;

use host_tests::capture::Reply;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::PATIENCE;

/// Sends bytes and reads to the end of the connection, which may be cut.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut from, mut to) = stream.split();
    let mut reply = Vec::new();
    let talk = async {
        // Whoever is refused early finds the connection closed: then there is a reply all the same.
        let sending = async {
            let _ = to.write_all(bytes).await;
        };
        let receiving = from.read_to_end(&mut reply);
        let _ = tokio::join!(sending, receiving);
    };
    let ended = tokio::time::timeout(PATIENCE, talk).await;
    assert!(
        ended.is_ok(),
        "no end to {:?}",
        String::from_utf8_lossy(&bytes[..bytes.len().min(99)])
    );
    reply
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
