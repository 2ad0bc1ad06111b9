//! Pages in Prometheus protobuf (prometheus/client_model, `metrics.proto`), as prost reads them, in the terms of text: a
//! histogram's parts are samples with suffixes, as Prometheus makes them.

use std::collections::BTreeMap;

use prost::{DecodeError, Message};

use super::{OracleFamily, OracleSample, python_float};

/// Reads a page of delimited messages. Of a bound or quantile the number is there, not how a text spelt it; see
/// [`super::with_points_as_numbers`].
///
/// # Errors
/// Where the bytes are no such messages.
///
/// # Panics
/// Where the messages lack what Prometheus needs, or have fields that are not declared here.
pub fn families(mut page: &[u8]) -> Result<Vec<OracleFamily>, DecodeError> {
    let mut families = Vec::new();
    while !page.is_empty() {
        let before = page.len();
        let family = MetricFamily::decode_length_delimited(&mut page)?;
        // What prost does not know it passes over.
        let known = family.encode_length_delimited_to_vec().len();
        assert_eq!(before - page.len(), known, "a field that no message has: {family:?}");
        // One without metrics is passed over, as Prometheus does.
        if !family.metric.is_empty() {
            families.push(family.read());
        }
    }
    Ok(families)
}

#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    help: Option<String>,
    #[prost(enumeration = "MetricType", optional, tag = "3")]
    kind: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
enum MetricType {
    Counter = 0,
    Gauge = 1,
    Summary = 2,
    Untyped = 3,
    Histogram = 4,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Single>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Single>,
    #[prost(message, optional, tag = "4")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "5")]
    untyped: Option<Single>,
    #[prost(int64, optional, tag = "6")]
    timestamp_ms: Option<i64>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

/// `Gauge`, `Counter` and `Untyped`, which are alike.
#[derive(Clone, PartialEq, Message)]
struct Single {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(uint64, optional, tag = "1")]
    sample_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    sample_sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    quantile: Vec<Quantile>,
}

#[derive(Clone, PartialEq, Message)]
struct Quantile {
    #[prost(double, optional, tag = "1")]
    quantile: Option<f64>,
    #[prost(double, optional, tag = "2")]
    value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    sample_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    sample_sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    cumulative_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    upper_bound: Option<f64>,
}

impl MetricFamily {
    fn read(self) -> OracleFamily {
        let kind = match self.kind.map(MetricType::try_from).expect("a type") {
            Ok(MetricType::Counter) => "counter",
            Ok(MetricType::Gauge) => "gauge",
            Ok(MetricType::Summary) => "summary",
            Ok(MetricType::Untyped) => "unknown",
            Ok(MetricType::Histogram) => "histogram",
            Err(number) => panic!("{number}"),
        };
        let name = self.name.expect("a name");
        let samples = self.metric.iter().flat_map(|metric| metric.read(&name, kind)).collect();
        let help = self.help.unwrap_or_default();
        OracleFamily { name, help, kind: kind.to_owned(), unit: String::new(), samples }
    }
}

impl Metric {
    fn read(&self, name: &str, kind: &str) -> Vec<OracleSample> {
        let text = |text: &Option<String>| text.clone().expect("a label's name and value");
        let labels = self.label.iter().map(|pair| (text(&pair.name), text(&pair.value)));
        let labels: BTreeMap<_, _> = labels.collect();
        assert_eq!(labels.len(), self.label.len(), "each label once");
        let samples = self.values(kind).into_iter().map(|Value { suffix, point, value }| {
            let mut labels = labels.clone();
            labels.extend(point.map(|(name, at)| (name.to_owned(), python_float(at))));
            let (name, value) = (format!("{name}{suffix}"), python_float(value));
            let timestamp = self.timestamp_ms.map(|stamp| stamp.to_string());
            OracleSample { name, labels, value, timestamp }
        });
        samples.collect()
    }

    /// The samples, without what all of them have.
    fn values(&self, kind: &str) -> Vec<Value> {
        let single = match kind {
            "counter" => &self.counter,
            "gauge" => &self.gauge,
            "histogram" => return self.histogram.as_ref().expect("a histogram").values(),
            "summary" => return self.summary.as_ref().expect("a summary").values(),
            _ => &self.untyped,
        };
        let value = single.as_ref().and_then(|single| single.value);
        vec![Value { suffix: "", point: None, value: value.expect("a value") }]
    }
}

/// A sample of a metric: what it adds to the name and the labels, and its value.
struct Value {
    suffix: &'static str,
    point: Option<(&'static str, f64)>,
    value: f64,
}

impl Histogram {
    fn values(&self) -> Vec<Value> {
        let bucket = |bucket: &Bucket| Value {
            suffix: "_bucket",
            point: Some(("le", bucket.upper_bound.expect("a bound"))),
            value: bucket.cumulative_count.expect("a count") as f64,
        };
        let buckets = self.bucket.iter().map(bucket);
        buckets.chain(ends(self.sample_sum, self.sample_count)).collect()
    }
}

impl Summary {
    fn values(&self) -> Vec<Value> {
        let quantile = |quantile: &Quantile| Value {
            suffix: "",
            point: Some(("quantile", quantile.quantile.expect("a quantile"))),
            value: quantile.value.expect("a value"),
        };
        let quantiles = self.quantile.iter().map(quantile);
        quantiles.chain(ends(self.sample_sum, self.sample_count)).collect()
    }
}

fn ends(sum: Option<f64>, count: Option<u64>) -> [Value; 2] {
    [("_sum", sum.expect("a sum")), ("_count", count.expect("a count") as f64)]
        .map(|(suffix, value)| Value { suffix, point: None, value })
}
