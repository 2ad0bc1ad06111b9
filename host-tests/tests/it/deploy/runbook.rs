//! `envoy/RUNBOOK.md` has a section for each alert and no other, with the same parts each, and its links lead somewhere.

use std::collections::BTreeSet;
use std::fs;

use host_tests::tools;

use super::rules;

const RUNBOOK: &str = include_str!("../../../../envoy/RUNBOOK.md");
const INDEX: &str = include_str!("../../../../envoy/README.md");

/// The chapters whose sections are alerts.
const ALERTS: &str = "Alerts on ";

/// A section about an alert: its heading and its text.
struct Section {
    heading: &'static str,
    text: &'static str,
}

fn sections() -> Vec<Section> {
    let chapters = RUNBOOK.split("\n## ").filter(|chapter| chapter.starts_with(ALERTS));
    let sections = chapters.flat_map(|chapter| chapter.split("\n### ").skip(1));
    let section = |section: &'static str| {
        let (heading, text) = section.split_once('\n').unwrap();
        Section { heading, text }
    };
    sections.map(section).collect()
}

/// The anchor that a heading gets: lower case, without punctuation, with hyphens for spaces.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_matches([' ', '#']).to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().replace(' ', "-")
}

fn anchors(markdown: &str) -> BTreeSet<String> {
    markdown.lines().filter(|line| line.starts_with('#')).map(anchor).collect()
}

/// The targets of all links, other than those to other hosts.
fn links(markdown: &'static str) -> impl Iterator<Item = &'static str> {
    let targets = markdown.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.starts_with("https://"))
}

/// The PromQL of the runbook, block by block.
pub(super) fn queries() -> Vec<&'static str> {
    let blocks = RUNBOOK.split("```promql\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().trim()).collect()
}

#[test]
fn each_alert_has_its_section_and_each_section_its_alert() {
    let alerts: Vec<_> = rules::alerts().into_iter().map(|alert| alert.name).collect();
    let mut headings: Vec<_> = sections().iter().map(|section| section.heading).collect();
    let mut names: Vec<_> = alerts.iter().map(String::as_str).collect();
    headings.sort_unstable();
    names.sort_unstable();
    assert_eq!(headings, names);
}

#[test]
fn each_runbook_url_has_its_anchor() {
    let anchors = anchors(RUNBOOK);
    for alert in rules::alerts() {
        let (file, anchor) = alert.runbook_url().split_once('#').unwrap();
        assert_eq!(file, "RUNBOOK.md");
        assert!(anchors.contains(anchor), "{}: no anchor {anchor}", alert.name);
    }
}

#[test]
fn each_section_says_what_the_alert_means_what_to_look_at_and_what_to_do() {
    for Section { heading, text } in sections() {
        for part in ["**Meaning.**", "**Look at**", "**Do**"] {
            assert_eq!(text.matches(part).count(), 1, "{heading}: {part}");
        }
    }
}

#[test]
fn every_link_of_the_runbook_and_the_index_leads_somewhere() {
    let folder = tools::repository().join("envoy");
    for (markdown, at_least) in [(RUNBOOK, 30), (INDEX, 5)] {
        assert!(links(markdown).count() >= at_least);
        for link in links(markdown) {
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => markdown.to_owned(),
                file => fs::read_to_string(folder.join(file))
                    .unwrap_or_else(|error| panic!("{link}: {error}")),
            };
            let is_there = fragment.is_empty() || anchors(&target).contains(fragment);
            assert!(is_there, "{link}: no such heading");
        }
    }
}
