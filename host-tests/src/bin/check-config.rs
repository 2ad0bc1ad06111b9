//! Says of a plugin configuration what the filter would say at its start, without Envoy.
//!
//! `check-config FILE`, or `-` for standard input: `FILE: ok` and what looks odd, or one line with the field that is
//! wrong.

use std::fmt::Write;
use std::io::{self, Read};
use std::process::ExitCode;

use awx_metrics_filter::config::Config;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: check-config FILE  (- for standard input)");
        return ExitCode::from(2);
    };
    match read(&file).map_err(|error| error.to_string()).and_then(|bytes| check(&file, &bytes)) {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{file}: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn read(file: &str) -> io::Result<Vec<u8>> {
    if file == "-" {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file)
}

fn check(file: &str, bytes: &[u8]) -> Result<String, String> {
    let config = Config::parse(bytes).map_err(|error| error.to_string())?;
    let mut report = format!("{file}: ok\n");
    for warning in config.warnings() {
        // Writing to a String cannot fail.
        let _ = writeln!(report, "{file}: warning: {warning}");
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_configuration_is_ok() {
        let report = check("a.json", br#"{"auth": {"anonymous": true}}"#).unwrap();
        assert_eq!(report, "a.json: ok\n");
    }

    #[test]
    fn what_looks_odd_is_a_warning() {
        let report = check("a.json", b"{}").unwrap();
        assert_eq!(
            report,
            "a.json: ok\na.json: warning: auth: no tokens, no users, no controller, and anonymous is false: nobody is let in\n"
        );
    }

    #[test]
    fn a_mistake_is_one_line_with_its_field() {
        let sources = br#"{"sources": [{"name": "a", "cluster": "b", "interval": "10ms"}]}"#;
        let problem = check("a.json", sources).unwrap_err();
        assert_eq!(problem, "sources[0].interval: must be at least 1s");
    }
}
