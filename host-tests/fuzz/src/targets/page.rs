//! A source's page in text format 0.0.4.
//!
//! Families, series, values and dropped samples are those of a second implementation, and the rendered page parses as
//! itself.

use awx_metrics_filter::exposition::parse;
use awx_metrics_filter::metrics::{Kind, Page, Reason};
use std::collections::{BTreeMap, HashSet};

use crate::{PLANTED, Target};

pub(crate) const TARGET: Target = Target {
    name: "page",
    run,
    longest: 256,
    thousands: 3_000,
    words: &[
        "# HELP ",
        "# TYPE ",
        "counter",
        "gauge",
        "histogram",
        "summary",
        "untyped",
        "_bucket",
        "_sum",
        "_count",
        "{le=\"",
        "quantile",
        "\"} ",
        "\\\\",
        "\\\"",
        "\\n",
        "+Inf",
        "NaN",
        "1e5",
        "\n",
        "\t",
        "__name__",
        "{\"a.b\"",
        " -1\n",
        "\\s",
        "a{b=\"c\"} 1\n",
        "# EOF",
        "\r",
    ],
    fault: "an escaped backslash loses its escape",
};

/// The content of a page, parsed slowly.
#[derive(Debug, Default)]
struct Reading {
    /// By name: the help text and the kind.
    described: BTreeMap<String, (Option<String>, Option<Kind>)>,
    samples: Vec<Series>,
    unreadable: u64,
    before_1970: u64,
    quoted: u64,
}

/// A sample's line.
enum Line {
    Kept(Series),
    Before1970,
    Quoted,
}

/// A sample with its labels in order, its value by its bits.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: u64,
    timestamp: Option<String>,
}

fn run(bytes: &[u8]) {
    let page = subject(bytes);
    let reading = read(bytes);
    assert_eq!(page.report().unreadable_lines, reading.unreadable, "unreadable lines");
    let (kept, conflicts, duplicates) = reading.arranged();
    assert_eq!(shown(&page), kept);
    let dropped = page.report().dropped;
    assert_eq!(dropped.of(Reason::TypeConflict), conflicts, "type conflicts");
    assert_eq!(dropped.of(Reason::Duplicate), duplicates, "duplicates");
    assert_eq!(dropped.of(Reason::Timestamp), reading.before_1970, "before 1970");
    assert_eq!(dropped.of(Reason::QuotedName), reading.quoted, "names in quotes");
    let again = parse::canonical(page.as_text().as_bytes().to_vec()).expect("a page");
    assert_eq!(again.as_text(), page.as_text(), "rendered");
    assert_eq!((again.report().unreadable_lines, again.report().dropped.total()), (0, 0));
}

fn subject(bytes: &[u8]) -> Page {
    let mut bytes = bytes.to_vec();
    if PLANTED && let Some(at) = bytes.windows(2).position(|pair| pair == b"\\\\") {
        bytes.remove(at);
    }
    parse::text(bytes).expect("a page within the limits")
}

/// A family's series by its name, kind and help text.
type Families = BTreeMap<String, (Kind, String, Vec<Series>)>;

fn shown(page: &Page) -> Families {
    let series = |sample: awx_metrics_filter::metrics::Sample<'_>| Series {
        name: sample.name().to_owned(),
        labels: sample.labels().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        value: sample.value().to_bits(),
        timestamp: sample.timestamp().map(str::to_owned),
    };
    let families = page.families().map(|family| {
        let mut all: Vec<_> = family.samples().map(series).collect();
        all.sort();
        (family.name().to_owned(), (family.kind(), family.help().to_owned(), all))
    });
    families.collect()
}

impl Reading {
    /// The families, the number of samples that do not fit their family, and the number of repeated ones.
    fn arranged(&self) -> (Families, u64, u64) {
        let (mut families, mut conflicts, mut duplicates) = (Families::new(), 0, 0);
        for (name, (help, kind)) in &self.described {
            let family = (kind.unwrap_or(Kind::Untyped), help.clone().unwrap_or_default(), vec![]);
            families.insert(name.clone(), family);
        }
        let mut seen = HashSet::new();
        for sample in &self.samples {
            let home = self.home(&sample.name);
            let (kind, _, series) =
                families.entry(home.clone()).or_insert((Kind::Untyped, String::new(), vec![]));
            if !has_place(*kind, &sample.name[home.len()..], &sample.labels) {
                conflicts += 1;
            } else if !seen.insert((&sample.name, &sample.labels)) {
                duplicates += 1;
            } else {
                series.push(sample.clone());
            }
        }
        families.values_mut().for_each(|(_, _, series)| series.sort());
        (families, conflicts, duplicates)
    }

    fn home(&self, name: &str) -> String {
        let bears = |suffix: &str| {
            let base = name.strip_suffix(suffix).filter(|base| !base.is_empty());
            match base.and_then(|base| self.described.get(base)).and_then(|(_, kind)| *kind) {
                Some(Kind::Histogram) => true,
                Some(Kind::Summary) => suffix != "_bucket",
                _ => false,
            }
        };
        match ["_bucket", "_sum", "_count"].into_iter().find(|suffix| bears(suffix)) {
            Some(suffix) if !self.described.contains_key(name) => {
                name[..name.len() - suffix.len()].to_owned()
            }
            _ => name.to_owned(),
        }
    }
}

fn has_place(kind: Kind, suffix: &str, labels: &BTreeMap<String, String>) -> bool {
    let is_number = |label: &str| labels.get(label).is_some_and(|value| number(value).is_some());
    match (kind, suffix) {
        (Kind::Histogram, "_bucket") => is_number("le"),
        (Kind::Summary, "") => is_number("quantile"),
        (Kind::Histogram | Kind::Summary, suffix) => matches!(suffix, "_sum" | "_count"),
        _ => true,
    }
}

fn read(bytes: &[u8]) -> Reading {
    let mut reading = Reading::default();
    for line in bytes.split(|&byte| byte == b'\n') {
        let line = std::str::from_utf8(line).ok().map(|line| line.trim_start_matches(BLANKS));
        let read = match line {
            Some("") => Some(()),
            Some(line) => match line.strip_prefix('#') {
                Some(comment) => reading.comment(comment),
                None => sample(line).map(|line| reading.sample(line)),
            },
            None => None,
        };
        reading.unreadable += u64::from(read.is_none());
    }
    reading
}

const BLANKS: [char; 2] = [' ', '\t'];

impl Reading {
    fn sample(&mut self, line: Line) {
        match line {
            Line::Kept(sample) => self.samples.push(sample),
            Line::Before1970 => self.before_1970 += 1,
            Line::Quoted => self.quoted += 1,
        }
    }

    fn comment(&mut self, comment: &str) -> Option<()> {
        let words = comment.trim_start_matches(BLANKS);
        let (keyword, rest) = words.split_once(BLANKS).unwrap_or((words, ""));
        if words.len() == comment.len() || !matches!(keyword, "HELP" | "TYPE") {
            return Some(());
        }
        let rest = rest.trim_start_matches(BLANKS);
        if let Some(name) = rest.strip_prefix('"') {
            return quote(name).map(|_| ());
        }
        let (name, words) = rest.split_once(BLANKS).unwrap_or((rest, ""));
        let words = words.trim_matches(BLANKS);
        if !is_name(name, true) {
            return None;
        }
        if keyword == "TYPE" {
            let kind = kind_of(words)?;
            self.described.entry(name.to_owned()).or_default().1.get_or_insert(kind);
        } else if !words.is_empty() {
            let help = &mut self.described.entry(name.to_owned()).or_default().0;
            help.get_or_insert_with(|| respelt(words, &['\\', 'n']));
        }
        Some(())
    }
}

fn kind_of(word: &str) -> Option<Kind> {
    Some(match word {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        "histogram" => Kind::Histogram,
        "summary" => Kind::Summary,
        "untyped" | "unknown" => Kind::Untyped,
        _ => return None,
    })
}

fn is_name(text: &str, of_metric: bool) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':' && of_metric;
    text.chars().all(fits) && !text.starts_with(|c: char| c.is_ascii_digit()) && !text.is_empty()
}

fn sample(line: &str) -> Option<Line> {
    let name_end = line.find(['{', ' ', '\t']).unwrap_or(line.len());
    let (name, rest) = line.split_at(name_end);
    let rest = rest.trim_start_matches(BLANKS);
    let (block, rest) = match rest.strip_prefix('{') {
        Some(block) => labels(block)?,
        None => (Block::default(), rest),
    };
    let mut words = rest.split(BLANKS).filter(|word| !word.is_empty());
    let value = number(words.next()?)?;
    let timestamp = words.next();
    let is_stamp = |stamp: &str| !stamp.starts_with('+') && stamp.parse::<i64>().is_ok();
    let is_reserved = block.labels.iter().any(|(name, _)| name.starts_with("__"));
    if !timestamp.is_none_or(is_stamp) || words.next().is_some() || is_reserved {
        return None;
    }
    if block.is_quoted {
        return (name.is_empty() || is_name(name, true)).then_some(Line::Quoted);
    }
    if !is_name(name, true) {
        return None;
    }
    if timestamp.is_some_and(|stamp| stamp.starts_with('-')) {
        return Some(Line::Before1970);
    }
    let count = block.labels.len();
    let spelt = |(name, value): (String, String)| (name, respelt(&value, &['\\', '"', 'n']));
    let labels: BTreeMap<_, _> = block.labels.into_iter().map(spelt).collect();
    (labels.len() == count).then(|| {
        Line::Kept(Series {
            name: name.to_owned(),
            labels,
            value: value.to_bits(),
            timestamp: timestamp.map(str::to_owned),
        })
    })
}

/// Labels with their values as written, and true if some name is quoted.
#[derive(Default)]
struct Block {
    labels: Vec<(String, String)>,
    is_quoted: bool,
}

/// The labels after a brace, and the rest after the closing brace.
fn labels(mut rest: &str) -> Option<(Block, &str)> {
    let mut block = Block::default();
    loop {
        rest = rest.trim_start_matches(BLANKS);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((block, rest));
        }
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => (&quoted[..quote(quoted)?], &quoted[quote(quoted)? + 1..]),
            None => rest.split_once('=').map(|(name, _)| rest.split_at(name.len()))?,
        };
        let is_quoted = rest.starts_with('"');
        block.is_quoted |= is_quoted;
        rest = after.trim_start_matches(BLANKS);
        if !(is_quoted && rest.starts_with([',', '}'])) {
            let name = if is_quoted { name } else { name.trim_end_matches(BLANKS) };
            let value = rest.strip_prefix('=')?.trim_start_matches(BLANKS).strip_prefix('"')?;
            let end = quote(value)?;
            if name.is_empty() || !is_quoted && !is_name(name, false) {
                return None;
            }
            block.labels.push((name.to_owned(), value[..end].to_owned()));
            rest = value[end + 1..].trim_start_matches(BLANKS);
        }
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with('}') => {}
            None => return None,
        }
    }
}

/// The position of the quote that ends a value.
fn quote(value: &str) -> Option<usize> {
    let mut chars = value.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some(at),
            (_, '\\') => drop(chars.next()?),
            _ => {}
        }
    }
}

/// A text whose backslashes escape these characters, or are literal and become escaped.
fn respelt(text: &str, escaped: &[char]) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        out.push(char);
        if char == '\\' {
            let next = chars.next_if(|next| escaped.contains(next));
            out.push(next.unwrap_or('\\'));
        }
    }
    out
}

/// A value: a decimal number within the range of a float, or a word.
fn number(token: &str) -> Option<f64> {
    let unsigned = token.strip_prefix(['+', '-']).unwrap_or(token);
    let sign = if token.starts_with('-') { -1.0 } else { 1.0 };
    match unsigned.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => Some(sign * f64::INFINITY),
        "nan" if unsigned == token => Some(f64::NAN),
        _ => {
            let is_decimal = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            token.parse().ok().filter(|value: &f64| is_decimal && value.is_finite())
        }
    }
}
