//! Load in exact numbers: one request on each of some keep-alive connections, then their answers, and again.
//!
//! It replaces wrk for comparing CPU time: wrk cannot run for less than a second, and its connections do not outlast a
//! run. It has one thread, in lock-step, so the number of requests that Envoy finds each time it wakes up, on which
//! Envoy's own cost depends, is much the same in every round.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::load::{Load, LoadError};

/// The longest time until an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections and their requests.
#[derive(Debug)]
pub(crate) struct Volley {
    connections: Vec<TcpStream>,
    requests: Vec<Vec<u8>>,
    next: usize,
    buffer: Vec<u8>,
}

impl Volley {
    pub(crate) fn connect(load: &Load) -> io::Result<Self> {
        let connections = (0..load.connections).map(|_| connect(load.address));
        let requests = load.requests.iter().map(|line| request(line, load)).collect();
        Ok(Self {
            connections: connections.collect::<io::Result<_>>()?,
            requests,
            next: 0,
            buffer: Vec::new(),
        })
    }

    /// Sends this number of requests on each connection, and reads their answers.
    pub(crate) fn round(&mut self, each: u32) -> Result<u64, LoadError> {
        for _ in 0..each {
            for connection in &mut self.connections {
                connection.write_all(&self.requests[self.next])?;
                self.next = (self.next + 1) % self.requests.len();
            }
            for connection in &mut self.connections {
                answer(connection, &mut self.buffer)?;
            }
        }
        Ok(u64::from(each) * self.connections.len() as u64)
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let connection = TcpStream::connect(address)?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    Ok(connection)
}

/// As in wrk's script: a POST has an empty JSON object as body.
fn request(line: &str, load: &Load) -> Vec<u8> {
    let body = if line.starts_with("POST ") { "{}" } else { "" };
    let mut request = format!("{line} HTTP/1.1\r\nHost: {}\r\n", load.address);
    for header in &load.headers {
        request.push_str(&format!("{header}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    format!("{request}\r\n{body}").into()
}

/// Reads one answer to its end. Nothing follows it, since the next request has not been sent.
fn answer(from: &mut impl Read, buffer: &mut Vec<u8>) -> Result<(), LoadError> {
    buffer.clear();
    let head = loop {
        if let Some(at) = buffer.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        more(from, buffer)?;
    };
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let status = text.get(9..12).and_then(|status| status.parse::<u16>().ok());
    match (status, length(&text)) {
        (Some(200..400), Some(Length::Known(length))) => {
            while buffer.len() < head + length {
                more(from, buffer)?;
            }
        }
        (Some(200..400), Some(Length::Chunked)) => {
            while !buffer.ends_with(b"\r\n0\r\n\r\n") {
                more(from, buffer)?;
            }
        }
        _ => return Err(LoadError::Unreadable(text)),
    }
    Ok(())
}

enum Length {
    Known(usize),
    Chunked,
}

/// The length of the body after a head, which is in lower case.
fn length(head: &str) -> Option<Length> {
    head.lines().find_map(|line| match line.split_once(": ")? {
        ("content-length", length) => length.parse().ok().map(Length::Known),
        ("transfer-encoding", "chunked") => Some(Length::Chunked),
        _ => None,
    })
}

fn more(from: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 65536];
    match from.read(&mut piece)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        size => {
            buffer.extend_from_slice(&piece[..size]);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut answers: &[u8]) -> Result<(), LoadError> {
        let mut buffer = Vec::new();
        answer(&mut answers, &mut buffer)
    }

    #[test]
    fn a_response_is_read_to_its_end() {
        assert!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").is_ok());
        assert!(
            read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n\r\n")
                .is_ok()
        );
        assert!(read(b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n").is_ok());
    }

    #[test]
    fn an_error_and_a_truncated_response_are_refused() {
        let refused = read(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
        assert!(matches!(refused, Err(LoadError::Unreadable(_))));
        assert!(matches!(read(b"HTTP/1.1 200 OK\r\n"), Err(LoadError::Io(_))));
        assert!(matches!(
            read(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}"),
            Err(LoadError::Io(_))
        ));
    }
}
