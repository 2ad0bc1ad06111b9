//! Pages in Prometheus protobuf (prometheus/client_model, `metrics.proto`), parsed by prost and expressed as in text:
//! the parts of a histogram are samples with suffixes, as in Prometheus.

use std::collections::BTreeMap;

use prost::{DecodeError, Message};

use super::{OracleExemplar, OracleFamily, OracleSample, python_float};

/// Parses a page of delimited messages. Bounds and quantiles are numbers, without the notation of the text; see
/// [`super::with_points_as_numbers`].
///
/// # Errors
/// If the bytes are not such messages.
///
/// # Panics
/// If the messages lack what Prometheus needs, or have fields that are not declared here.
pub fn families(page: &[u8]) -> Result<Vec<OracleFamily>, DecodeError> {
    // A family without metrics is skipped, as in Prometheus.
    let families = messages(page)?.into_iter().filter(|family| !family.metric.is_empty());
    Ok(families.map(MetricFamily::read).collect())
}

/// A native histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct OracleNative {
    /// Its family.
    pub name: String,
    /// `schema`.
    pub schema: i32,
    /// `zero_count`.
    pub zero_count: u64,
    /// Buckets by index, each with its own count.
    pub buckets: Vec<(i32, u64)>,
    /// `sample_count`.
    pub count: u64,
    /// `sample_sum`.
    pub sum: f64,
}

/// Reads the native histograms of a page.
///
/// # Errors
/// If the bytes are not such messages.
///
/// # Panics
/// As [`families`] does, and if spans and deltas do not match.
pub fn natives(page: &[u8]) -> Result<Vec<OracleNative>, DecodeError> {
    let mut natives = Vec::new();
    for family in messages(page)? {
        let histograms = family.metric.iter().filter_map(|metric| metric.histogram.as_ref());
        let name = family.name.clone().expect("a name");
        natives.extend(histograms.filter_map(|histogram| histogram.native(&name)));
    }
    Ok(natives)
}

fn messages(mut page: &[u8]) -> Result<Vec<MetricFamily>, DecodeError> {
    let mut families = Vec::new();
    while !page.is_empty() {
        let before = page.len();
        let family = MetricFamily::decode_length_delimited(&mut page)?;
        // prost skips unknown fields.
        let known = family.encode_length_delimited_to_vec().len();
        assert_eq!(before - page.len(), known, "a field that no message has: {family:?}");
        families.push(family);
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
    counter: Option<Counter>,
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

/// `Gauge` and `Untyped`, which are the same.
#[derive(Clone, PartialEq, Message)]
struct Single {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct Counter {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
    #[prost(message, optional, tag = "2")]
    exemplar: Option<Exemplar>,
    #[prost(message, optional, tag = "3")]
    created_timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(double, optional, tag = "2")]
    value: Option<f64>,
    #[prost(message, optional, tag = "3")]
    timestamp: Option<Timestamp>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, optional, tag = "1")]
    seconds: Option<i64>,
    #[prost(int32, optional, tag = "2")]
    nanos: Option<i32>,
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
    #[prost(sint32, optional, tag = "5")]
    schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    zero_threshold: Option<f64>,
    #[prost(uint64, optional, tag = "7")]
    zero_count: Option<u64>,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<Span>,
    #[prost(sint64, repeated, packed = "false", tag = "13")]
    positive_delta: Vec<i64>,
    #[prost(message, optional, tag = "15")]
    created_timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(sint32, optional, tag = "1")]
    offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    length: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    cumulative_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    upper_bound: Option<f64>,
    #[prost(message, optional, tag = "3")]
    exemplar: Option<Exemplar>,
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
        let labels = labels(&self.label);
        let samples =
            self.values(kind).into_iter().map(|Value { suffix, point, value, exemplar }| {
                let mut labels = labels.clone();
                let exemplar = exemplar.map(|it| it.read());
                labels.extend(point.map(|(name, at)| (name.to_owned(), python_float(at))));
                let (name, value) = (format!("{name}{suffix}"), python_float(value));
                let timestamp = self.timestamp_ms.map(|stamp| stamp.to_string());
                OracleSample { name, labels, value, timestamp, exemplar }
            });
        samples.collect()
    }

    /// The samples, without the labels that all of them have.
    fn values(&self, kind: &str) -> Vec<Value<'_>> {
        let single = match kind {
            "counter" => return vec![self.counter.as_ref().expect("a counter").read()],
            "gauge" => &self.gauge,
            "histogram" => return self.histogram.as_ref().expect("a histogram").values(),
            "summary" => return self.summary.as_ref().expect("a summary").values(),
            _ => &self.untyped,
        };
        let value = single.as_ref().and_then(|single| single.value);
        vec![Value { suffix: "", point: None, value: value.expect("a value"), exemplar: None }]
    }
}

fn labels(pairs: &[LabelPair]) -> BTreeMap<String, String> {
    let text = |text: &Option<String>| text.clone().expect("a label's name and value");
    let labels: BTreeMap<_, _> =
        pairs.iter().map(|pair| (text(&pair.name), text(&pair.value))).collect();
    assert_eq!(labels.len(), pairs.len(), "each label once");
    labels
}

impl Exemplar {
    fn read(&self) -> OracleExemplar {
        OracleExemplar {
            labels: labels(&self.label),
            value: python_float(self.value.expect("a value")),
            timestamp: self.timestamp.as_ref().map(|stamp| stamp.milliseconds().to_string()),
        }
    }
}

impl Timestamp {
    /// Panics if it is invalid: nanoseconds count up from the second, even before 1970.
    fn milliseconds(&self) -> i64 {
        let (seconds, nanos) = (self.seconds.expect("seconds"), self.nanos.unwrap_or_default());
        assert!((0..1_000_000_000).contains(&nanos), "{self:?}");
        seconds * 1_000 + (f64::from(nanos) / 1e6).round() as i64
    }
}

impl Counter {
    fn read(&self) -> Value<'_> {
        let (value, exemplar) = (self.value.expect("a value"), self.exemplar.as_ref());
        Value { suffix: "", point: None, value, exemplar }
    }
}

/// A sample of a metric: its suffix, its additional label, and its value.
struct Value<'a> {
    suffix: &'static str,
    point: Option<(&'static str, f64)>,
    value: f64,
    exemplar: Option<&'a Exemplar>,
}

impl Histogram {
    fn values(&self) -> Vec<Value<'_>> {
        let buckets = self.bucket.iter().map(Bucket::read);
        buckets.chain(ends(self.sample_sum, self.sample_count)).collect()
    }
}

impl Histogram {
    fn native(&self, name: &str) -> Option<OracleNative> {
        let mut deltas = self.positive_delta.iter();
        let (mut index, mut count, mut buckets) = (0, 0_i64, Vec::new());
        for span in &self.positive_span {
            index += span.offset.expect("an offset");
            for _ in 0..span.length.expect("a length") {
                count += deltas.next().expect("a delta for each bucket");
                buckets.push((index, u64::try_from(count).expect("a count")));
                index += 1;
            }
        }
        assert_eq!(deltas.next(), None, "a bucket for each delta");
        Some(OracleNative {
            name: name.to_owned(),
            schema: self.schema?,
            zero_count: self.zero_count.expect("a count"),
            buckets,
            count: self.sample_count.expect("a count"),
            sum: self.sample_sum.expect("a sum"),
        })
    }
}

impl Bucket {
    fn read(&self) -> Value<'_> {
        Value {
            suffix: "_bucket",
            point: Some(("le", self.upper_bound.expect("a bound"))),
            value: self.cumulative_count.expect("a count") as f64,
            exemplar: self.exemplar.as_ref(),
        }
    }
}

impl Summary {
    fn values(&self) -> Vec<Value<'_>> {
        let quantile = |quantile: &Quantile| Value {
            suffix: "",
            point: Some(("quantile", quantile.quantile.expect("a quantile"))),
            value: quantile.value.expect("a value"),
            exemplar: None,
        };
        let quantiles = self.quantile.iter().map(quantile);
        quantiles.chain(ends(self.sample_sum, self.sample_count)).collect()
    }
}

fn ends(sum: Option<f64>, count: Option<u64>) -> [Value<'static>; 2] {
    [("_sum", sum.expect("a sum")), ("_count", count.expect("a count") as f64)]
        .map(|(suffix, value)| Value { suffix, point: None, value, exemplar: None })
}
