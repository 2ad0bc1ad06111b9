//! Adds a source's labels to each sample of its page.
//!
//! The added labels come first, in the order of the configuration. A label of the page with the name of an added label
//! gets the prefix `exported_`, repeated until the name is free in that series; shorter names are renamed first
//! (Prometheus, `scrape.resolveConflictingExposedLabels`). Two series of a page may become equal in this way; then the
//! first one is kept, and the other is counted as a duplicate.

use super::draft::{count, offset};
use super::order::{self, Key};
use super::{Family, FamilySpan, Page, Reason, Sample, label};
use crate::limits;

/// The page would exceed [`limits::RENDERED_BYTES`] with the added labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// The prefix of a label with the name of an added one.
const EXPORTED: &str = "exported_";

impl Page {
    /// The page with these labels on each sample. The names must be legal and distinct.
    ///
    /// # Errors
    /// If the page may exceed [`limits::RENDERED_BYTES`].
    pub fn with_labels(self, labels: &[(String, String)]) -> Result<Self, TooLarge> {
        if labels.is_empty() {
            return Ok(self);
        }
        if self.rendered_with(labels) > limits::RENDERED_BYTES {
            return Err(TooLarge);
        }
        let added = Added::of(labels);
        let room = self.text.len() + self.report.samples * (added.block.len() + 1);
        let mut relabelled = Self {
            text: String::with_capacity(room),
            families: Vec::with_capacity(self.families.len()),
            report: self.report.clone(),
            ..Self::default()
        };
        for family in self.families() {
            relabelled.push_relabelled(family, &added);
        }
        relabelled.report.samples = relabelled.families().map(|family| family.len()).sum();
        relabelled.measure();
        Ok(relabelled)
    }

    fn push_relabelled(&mut self, family: Family<'_>, added: &Added<'_>) {
        let text = &mut self.text;
        let (old, start) = (family.span, offset(text));
        let moved = |at: u32| at - old.start + start;
        text.push_str(family.slice(old.start, old.body));
        let body = offset(text);
        let renamed = added.write_all(family, text);
        let mut samples = old.samples;
        if renamed {
            let repeats = remove_repeats(text, body as usize, family.name().len());
            self.report.dropped.add(Reason::Duplicate, repeats as usize);
            samples -= repeats;
        }
        self.families.push(FamilySpan {
            start,
            help: (moved(old.help.0), moved(old.help.1)),
            name: (moved(old.name.0), moved(old.name.1)),
            body,
            end: offset(&self.text),
            samples,
            ..*old
        });
        if renamed {
            self.check_last_family();
        }
    }
}

/// The labels that each sample gets.
struct Added<'a> {
    names: Vec<&'a str>,
    /// The labels in text format, after an opening brace.
    block: String,
}

impl<'a> Added<'a> {
    fn of(labels: &'a [(String, String)]) -> Self {
        let mut block = String::new();
        for (name, value) in labels {
            let opening = if block.is_empty() { "{" } else { "," };
            [opening, name, "=\""].iter().for_each(|part| block.push_str(part));
            label::push_escaped(value, &mut block);
            block.push('"');
        }
        Self { names: labels.iter().map(|(name, _)| name.as_str()).collect(), block }
    }

    /// Writes the samples of a family. Returns true if a label was renamed.
    fn write_all(&self, family: Family<'_>, out: &mut String) -> bool {
        let lines = family.lines();
        let occurs = |name: &&str| lines.contains(&[name, "=\""].concat());
        let may_conflict = self.names.iter().any(occurs);
        let mut renamed = false;
        for sample in family.samples() {
            let line = sample.line();
            out.push_str(sample.name());
            out.push_str(&self.block);
            if may_conflict && sample.labels().any(|(name, _)| self.names.contains(&name)) {
                self.write_renamed(sample, out);
                renamed = true;
            } else if let Some(labels) = sample.label_block().get(1..) {
                out.push(',');
                out.push_str(labels);
            } else {
                out.push('}');
            }
            let tail = sample.name().len() + sample.label_block().len();
            out.push_str(line.get(tail..).unwrap_or_default());
            out.push('\n');
        }
        renamed
    }

    fn write_renamed(&self, sample: Sample<'_>, out: &mut String) {
        let labels: Vec<(&str, &str)> = sample.labels().collect();
        let mut conflicts: Vec<&str> = Vec::new();
        for (name, _) in labels.iter().filter(|(name, _)| self.names.contains(name)) {
            let at = conflicts.partition_point(|have| have.len() <= name.len());
            conflicts.insert(at, name);
        }
        let mut renamed: Vec<(&str, String)> = Vec::new();
        for old in conflicts {
            let is_taken = |new: &str| {
                self.names.contains(&new)
                    || labels.binary_search_by(|(have, _)| (*have).cmp(new)).is_ok()
                    || renamed.iter().any(|(_, taken)| taken == new)
            };
            let mut new = [EXPORTED, old].concat();
            while is_taken(&new) {
                new.insert_str(0, EXPORTED);
            }
            renamed.push((old, new));
        }
        for (name, value) in labels {
            let new = renamed.iter().find(|(old, _)| *old == name);
            let name = new.map_or(name, |(_, new)| new.as_str());
            [",", name, "=\"", value, "\""].iter().for_each(|part| out.push_str(part));
        }
        out.push('}');
    }
}

/// From `body` on, removes the lines that repeat the series of an earlier line. Returns their number.
fn remove_repeats(text: &mut String, body: usize, family_len: usize) -> u32 {
    let lines = text.split_off(body);
    let (mut ink, mut keys, mut spans) = (String::new(), Vec::new(), Vec::new());
    for sample in super::Samples::of(&lines, family_len) {
        let start = offset(&ink);
        ink.push_str(sample.suffix());
        let mut labels: Vec<_> = sample.labels().collect();
        label::put_in_order(&mut labels);
        for (name, value) in labels {
            [",", name, "=\"", value, "\""].iter().for_each(|part| ink.push_str(part));
        }
        keys.push(Key::new(start, offset(&ink), count(&spans)));
        spans.push(sample.line());
    }
    order::sort(ink.as_bytes(), &mut keys, &mut |a, b| a.cmp(&b));
    let is_repeat = order::repeats(ink.as_bytes(), &keys, spans.len());
    let mut repeats = 0;
    for (line, is_repeat) in spans.into_iter().zip(is_repeat) {
        if is_repeat {
            repeats += 1;
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    repeats
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::parse;
    use proptest::prelude::*;

    fn labels(labels: &[(&str, &str)]) -> Vec<(String, String)> {
        labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn relabelled(source: &str, added: &[(&str, &str)]) -> Page {
        parse::text(source.into()).unwrap().with_labels(&labels(added)).unwrap()
    }

    fn text(source: &str, added: &[(&str, &str)]) -> String {
        relabelled(source, added).as_text().to_owned()
    }

    #[test]
    fn labels_are_added_to_each_sample_and_escaped() {
        let page = text("a 1\na{b=\"c\"} 2 7\n", &[("site", "ea\"st"), ("x", "\\\n")]);
        let added = r#"site="ea\"st",x="\\\n""#;
        let expected = format!("# TYPE a untyped\na{{{added}}} 1\na{{{added},b=\"c\"}} 2 7\n");
        assert_eq!(page, expected);
    }

    #[test]
    fn a_label_with_the_name_of_an_added_one_is_renamed_only_in_its_series() {
        let source =
            "a{source=\"p\",z=\"1\"} 1\na{z=\"2\"} 2\na{exported_source=\"q\",source=\"p\"} 3\n";
        let expected = concat!(
            "# TYPE a untyped\n",
            "a{source=\"x\",exported_source=\"q\",exported_exported_source=\"p\"} 3\n",
            "a{source=\"x\",exported_source=\"p\",z=\"1\"} 1\n",
            "a{source=\"x\",z=\"2\"} 2\n",
        );
        assert_eq!(text(source, &[("source", "x")]), expected);
    }

    #[test]
    fn the_first_of_two_series_that_become_equal_is_kept_and_the_other_is_counted() {
        let page = relabelled("a{exported_b=\"1\"} 1\na{b=\"1\"} 2\n", &[("b", "x")]);
        assert_eq!(page.as_text(), "# TYPE a untyped\na{b=\"x\",exported_b=\"1\"} 2\n");
        assert_eq!(page.report().dropped.of(Reason::Duplicate), 1);
        assert_eq!(page.report().samples, 1);
    }

    #[test]
    fn the_prefix_is_repeated_until_the_name_is_free() {
        let source = "a{source=\"1\",exported_source=\"2\",exported_exported_source=\"3\"} 4\n";
        let page = text(source, &[("exported_source", "x"), ("source", "y")]);
        // The shorter name first: `source` takes the next free one, `exported_source` the one after it.
        let free = "exported_exported_exported_source";
        let expected = format!(
            "# TYPE a untyped\na{{exported_source=\"x\",source=\"y\",exported_exported_source=\"3\",\
             exported_{free}=\"2\",{free}=\"1\"}} 4\n"
        );
        assert_eq!(page, expected);
    }

    #[test]
    fn a_name_with_hundreds_of_prefixes_gets_one_more() {
        let name = |times: usize| "exported_".repeat(times) + "x";
        let labels: Vec<_> = (0..400).map(|times| format!("{}=\"\"", name(times))).collect();
        let page = text(&format!("a{{{}}} 1\n", labels.join(",")), &[("x", "1")]);
        assert!(page.ends_with(&format!(",{}=\"\"}} 1\n", name(400))));
    }

    #[test]
    fn a_name_inside_a_value_is_not_a_label() {
        let page = text("a{resource=\"r\",un_source=\"u\"} 1\n", &[("source", "x")]);
        let expected = "# TYPE a untyped\na{source=\"x\",resource=\"r\",un_source=\"u\"} 1\n";
        assert_eq!(page, expected);
        let page = text("a{b=\",source=\\\"\"} 1\n", &[("source", "x")]);
        assert_eq!(page, "# TYPE a untyped\na{source=\"x\",b=\",source=\\\"\"} 1\n");
    }

    #[test]
    fn a_label_of_an_exemplar_is_not_renamed_and_reserves_no_name() {
        let line = "a_total{source=\"1\"} 4 # {exported_source=\"2\",source=\"3\"} 5\n";
        let page = format!("# TYPE a counter\n{line}# EOF\n");
        let page = parse::openmetrics(page.into()).unwrap();
        let page = page.with_labels(&labels(&[("source", "x")])).unwrap();
        let expected = "a_total{source=\"x\",exported_source=\"1\"} 4 # {exported_source=\"2\",source=\"3\"} 5\n";
        assert!(page.as_text().ends_with(expected), "{}", page.as_text());
    }

    #[test]
    fn a_page_that_may_become_too_large_is_refused() {
        let lines: String = (0..2_000).map(|at| format!("a{{b=\"{at}\"}} 1\n")).collect();
        let page = parse::text(lines.into()).unwrap();
        let long = labels(&[("c", &"x".repeat(8_000))]);
        assert_eq!(page.with_labels(&long), Err(TooLarge));
    }

    proptest! {
        #[test]
        fn a_relabelled_page_has_each_series_once_and_every_lost_series_is_counted(
            series in proptest::collection::vec(
                proptest::collection::btree_map("[ab]|exported_a", "[\"\\\\xy]?", 0..3), 0..8),
            added in proptest::collection::btree_map("[ab]|exported_a", "[\"\\\\xy]?", 1..3),
        ) {
            let mut builder = crate::metrics::PageBuilder::new();
            builder.family("f", crate::metrics::Kind::Gauge, "");
            for labels in &series {
                let labels: Vec<_> = labels.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
                builder.sample("", &labels, 1_u64);
            }
            let page = builder.build();
            let before = page.report().samples as u64 + page.report().dropped.total();
            let page = page.with_labels(&added.into_iter().collect::<Vec<_>>()).unwrap();
            let read = parse::text(page.as_text().into()).unwrap();
            prop_assert_eq!(read.report().unreadable_lines, 0);
            prop_assert_eq!(read.report().dropped.total(), 0);
            prop_assert_eq!(read.report().samples, page.report().samples);
            prop_assert_eq!(page.report().samples as u64 + page.report().dropped.total(), before);
        }
    }
}
