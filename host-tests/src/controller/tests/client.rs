//! A client that sends exactly the given bytes, and reads to the end of the connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

pub(super) use crate::capture::Reply;

pub(super) fn get(address: SocketAddr, target: &str, headers: &[&str]) -> Reply {
    ask(address, "GET", target, headers, "")
}

pub(super) fn post(address: SocketAddr, target: &str, headers: &[&str], body: &str) -> Reply {
    ask(address, "POST", target, headers, body)
}

pub(super) fn ask(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[&str],
    body: &str,
) -> Reply {
    let mut reply = Reply::parse(&raw(address, method, target, headers, body).unwrap());
    // The stand-in sends only empty bodies in chunks.
    if reply.header("transfer-encoding") == Some("chunked") && reply.body == b"0\r\n\r\n" {
        reply.body.clear();
    }
    reply
}

/// All bytes of the reply.
pub(super) fn raw(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[&str],
    body: &str,
) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request(method, target, headers, body).as_bytes())?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    Ok(reply)
}

/// The same over TLS, trusting only this certificate.
pub(super) fn raw_tls(address: SocketAddr, certificate: &str, target: &str) -> Vec<u8> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("controller.example").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    stream.write_all(request("GET", target, &[], "").as_bytes()).unwrap();
    let mut start = vec![0; 15];
    stream.read_exact(&mut start).unwrap();
    start
}

fn request(method: &str, target: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: controller.example\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}

/// A connection for several requests.
pub(super) struct KeptConnection(TcpStream);

impl KeptConnection {
    pub(super) fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).unwrap())
    }

    /// The reply's head and the part of its body that came with it; empty if the connection was closed.
    pub(super) fn ask(&mut self, method: &str, target: &str) -> String {
        self.ask_with(method, target, &[])
    }

    pub(super) fn ask_with(&mut self, method: &str, target: &str, headers: &[&str]) -> String {
        let reply = self.send(request(method, target, headers, "").as_bytes());
        String::from_utf8_lossy(&reply).into_owned()
    }

    /// The bytes that came back at once; empty if the connection was closed.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut reply = vec![0; 64 << 10];
        let sent = self.0.write_all(bytes).and_then(|()| self.0.read(&mut reply));
        reply.truncate(sent.unwrap_or(0));
        reply
    }
}
