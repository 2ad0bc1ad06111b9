//! Checks configurations of the plugin as the filter does at its start, without Envoy.
//!
//! `check-config FILE` reads the plugin's configuration as JSON, or a document that contains such configurations: Envoy's
//! YAML or JSON, or a Kubernetes manifest (see [`document`]). `-` reads standard input. It prints `ok` and the warnings for
//! each configuration without a mistake, and one line for every mistake, with its place. It succeeds if there is no mistake.

mod document;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::io::{self, Read};
use std::process::ExitCode;

use awx_metrics_filter::config::Config;
use document::Plugin;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: check-config FILE  (- for standard input)");
        return ExitCode::from(2);
    };
    let report = match read(&file) {
        Ok(bytes) => check(&bytes),
        Err(error) => Report::mistake("", error),
    };
    report.print(&file)
}

fn read(file: &str) -> io::Result<Vec<u8>> {
    if file == "-" {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file)
}

/// The lines to print, without the name of the file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    /// `ok` and warnings, for standard output.
    notes: Vec<String>,
    /// Mistakes, for standard error.
    mistakes: Vec<String>,
}

impl Report {
    fn mistake(place: &str, mistake: impl Display) -> Self {
        Self { notes: Vec::new(), mistakes: vec![line(place, mistake)] }
    }

    fn print(&self, file: &str) -> ExitCode {
        self.notes.iter().for_each(|note| println!("{file}: {note}"));
        self.mistakes.iter().for_each(|mistake| eprintln!("{file}: {mistake}"));
        if self.mistakes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Adds the result for a configuration at this place.
    fn add(&mut self, place: &str, configuration: &[u8]) {
        match Config::parse(configuration) {
            Ok(config) => {
                self.notes.push(line(place, "ok"));
                let warnings = config.warnings().into_iter();
                self.notes.extend(warnings.map(|it| line(place, format!("warning: {it}"))));
            }
            Err(errors) => {
                self.mistakes.extend(errors.iter().map(|error| line(place, error)));
                if errors.are_more() {
                    self.mistakes.push(line(place, "there are more mistakes"));
                }
            }
        }
    }
}

fn line(place: &str, what: impl Display) -> String {
    if place.is_empty() { what.to_string() } else { format!("{place}: {what}") }
}

fn check(bytes: &[u8]) -> Report {
    let mut report = Report::default();
    match document::read(bytes) {
        Ok(Some(plugins)) => plugins.iter().for_each(|plugin| check_plugin(plugin, &mut report)),
        Ok(None) => report.add("", bytes),
        Err(error) => return Report::mistake("", error),
    }
    report
}

fn check_plugin(plugin: &Plugin, report: &mut Report) {
    match &plugin.configuration {
        Ok(configuration) => report.add(&plugin.place, configuration),
        Err(error) => report.mistakes.push(line(&plugin.place, error)),
    }
}
