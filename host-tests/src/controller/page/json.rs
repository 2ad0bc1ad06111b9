//! The controller's JSON of a metrics page: what Python's prometheus_client reads from the text, written as Django REST
//! framework writes it. If a family is repeated, the samples of the last one are kept, in the position of the first
//! one.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::ser::PrettyFormatter;

use super::{Family, Sample};

pub(super) fn render(families: &[Family], indent: Option<usize>) -> String {
    let document = Document::of(families);
    let Some(indent) = indent else {
        return serde_json::to_string(&document).expect("strings and numbers only");
    };
    let mut json = Vec::new();
    let indent = " ".repeat(indent);
    let formatter = PrettyFormatter::with_indent(indent.as_bytes());
    document
        .serialize(&mut serde_json::Serializer::with_formatter(&mut json, formatter))
        .expect("strings and numbers only");
    String::from_utf8(json).expect("JSON is UTF-8")
}

struct Document<'a>(Vec<(&'a str, FamilyJson<'a>)>);

impl<'a> Document<'a> {
    fn of(families: &'a [Family]) -> Self {
        let mut document: Vec<(&str, FamilyJson<'_>)> = Vec::new();
        for family in families {
            match document.iter_mut().find(|(name, _)| *name == family.name) {
                Some((_, first)) => *first = FamilyJson::of(family),
                None => document.push((&family.name, FamilyJson::of(family))),
            }
        }
        Self(document)
    }
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, family)| (name, family)))
    }
}

#[derive(Serialize)]
struct FamilyJson<'a> {
    help_text: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    samples: Vec<SampleJson<'a>>,
}

impl<'a> FamilyJson<'a> {
    fn of(family: &'a Family) -> Self {
        let samples = family.samples.iter().map(|sample| SampleJson::of(family, sample)).collect();
        Self { help_text: &family.help, kind: &family.kind, samples }
    }
}

#[derive(Serialize)]
struct SampleJson<'a> {
    labels: Labels<'a>,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_type: Option<&'a str>,
}

impl<'a> SampleJson<'a> {
    fn of(family: &Family, sample: &'a Sample) -> Self {
        let (name, labels) = sample.series.split_once('{').unwrap_or((&sample.series, ""));
        let sample_type = (family.kind == "histogram").then(|| name.rsplit('_').next()).flatten();
        let value = sample.value.parse().expect("captured values are numbers");
        Self { labels: Labels(labels.trim_end_matches('}')), value, sample_type }
    }
}

/// Labels as they are between the braces. The captured ones contain no quotes and no commas.
struct Labels<'a>(&'a str);

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for label in self.0.split(',').filter(|label| !label.is_empty()) {
            let (name, value) = label.split_once('=').unwrap_or((label, ""));
            map.serialize_entry(name, value.trim_matches('"'))?;
        }
        map.end()
    }
}
