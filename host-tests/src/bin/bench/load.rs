//! Load by wrk: keep-alive connections on loopback, each with one request at a time. It measures latency, to which wrk
//! adds nothing.

use std::fs;
use std::io;
use std::net::SocketAddr;

use host_tests::tools;
use serde::Deserialize;
use tokio::process::Command;

const SCRIPT: &str = include_str!("load.lua");

/// The requests and their target.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: u32,
    /// As `name: value`.
    pub(crate) headers: Vec<String>,
    /// As `GET /path`, sent in turn.
    pub(crate) requests: Vec<String>,
}

/// The result of a round.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct RoundResult {
    /// The number of answered requests.
    pub(crate) requests: u64,
    /// The median of the response times, in microseconds.
    pub(crate) p50_us: u64,
    /// The 99th percentile of the response times, in microseconds.
    pub(crate) p99_us: u64,
    failed: u64,
    refused: u64,
}

/// The reason why a round is invalid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("wrk: {0}")]
    Io(#[from] io::Error),
    #[error("wrk says something else than what its script prints:\n{0}")]
    Unreadable(String),
    #[error("{failed} requests had no answer, and {refused} of {requests} one that is an error")]
    Errors { requests: u64, failed: u64, refused: u64 },
}

impl Load {
    /// One round of this many seconds.
    pub(crate) async fn round(&self, seconds: u32) -> Result<RoundResult, LoadError> {
        let files = tempfile::tempdir()?;
        let script = files.path().join("load.lua");
        fs::write(&script, SCRIPT)?;
        let output = Command::new(tools::command("wrk"))
            .args(["-t1", &format!("-c{}", self.connections), &format!("-d{seconds}s"), "-s"])
            .arg(script)
            .args(self.headers.iter().flat_map(|header| ["-H", header.as_str()]))
            .arg(format!("http://{}", self.address))
            .arg("--")
            .args(&self.requests)
            .output()
            .await?;
        RoundResult::parse(&[output.stdout, output.stderr].concat())
    }
}

impl RoundResult {
    fn parse(output: &[u8]) -> Result<Self, LoadError> {
        let output = String::from_utf8_lossy(output);
        let line = output.lines().find(|line| line.starts_with('{'));
        let outcome: Self = line
            .and_then(|line| serde_json::from_str(line).ok())
            .ok_or_else(|| LoadError::Unreadable(output.into_owned()))?;
        match outcome {
            Self { requests: 1.., failed: 0, refused: 0, .. } => Ok(outcome),
            Self { requests, failed, refused, .. } => {
                Err(LoadError::Errors { requests, failed, refused })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_parsed_from_the_line_that_the_script_prints() {
        let output = b"Running 1s test\n\n{\"requests\":5,\"failed\":0,\"refused\":0,\"p50_us\":70,\"p99_us\":900}\n";
        let expected = RoundResult { requests: 5, p50_us: 70, p99_us: 900, failed: 0, refused: 0 };
        assert_eq!(RoundResult::parse(output).unwrap(), expected);
    }

    #[test]
    fn a_round_with_errors_or_without_responses_is_refused() {
        for counts in [
            "5,\"failed\":1,\"refused\":0",
            "5,\"failed\":0,\"refused\":2",
            "0,\"failed\":0,\"refused\":0",
        ] {
            let output = format!("{{\"requests\":{counts},\"p50_us\":0,\"p99_us\":0}}");
            assert!(
                matches!(RoundResult::parse(output.as_bytes()), Err(LoadError::Errors { .. })),
                "{counts}"
            );
        }
        let nothing = RoundResult::parse(b"unable to connect");
        assert!(matches!(nothing, Err(LoadError::Unreadable(_))));
    }
}
