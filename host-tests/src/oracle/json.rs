//! Pages in the controller's JSON, as serde_json reads them.

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
    /// As it stands, for serde_json reads floats one unit off in the last place.
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(default)]
    sample_type: String,
}

/// Reads a page. In place of a sample's name stands its `sample_type`, or nothing, as with
/// [`Format::Json`](super::Format::Json); what JSON has no number for is a string.
///
/// # Errors
/// If the bytes are no such JSON.
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
