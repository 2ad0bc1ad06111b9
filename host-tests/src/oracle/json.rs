//! Pages in the controller's JSON, parsed by serde_json.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{OracleFamily, OracleSample, python_float};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Family<'a> {
    help_text: String,
    r#type: String,
    #[serde(borrow)]
    samples: Vec<Sample<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample<'a> {
    labels: BTreeMap<String, String>,
    /// Unparsed, since serde_json parses some floats one unit in the last place off.
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(default)]
    sample_type: String,
}

/// Parses a page. A sample has its `sample_type` as name, or none, as with [`Format::Json`](super::Format::Json).
/// Numbers that JSON cannot express are strings.
///
/// # Errors
/// If the bytes are not such JSON.
pub fn families(page: &[u8]) -> Result<Vec<OracleFamily>, serde_json::Error> {
    let families: BTreeMap<String, Family<'_>> = serde_json::from_slice(page)?;
    let families = families.into_iter().map(|(name, family)| {
        let samples = family.samples.into_iter().map(Sample::read).collect::<Result<_, _>>()?;
        let unit = String::new();
        Ok(OracleFamily { name, help: family.help_text, kind: family.r#type, unit, samples })
    });
    families.collect()
}

impl Sample<'_> {
    fn read(self) -> Result<OracleSample, serde_json::Error> {
        let token = self.value.get();
        let value = token.trim_matches('"').parse().map_err(serde::de::Error::custom)?;
        Ok(OracleSample {
            name: self.sample_type,
            labels: self.labels,
            value: python_float(value),
            timestamp: None,
            exemplar: None,
        })
    }
}
