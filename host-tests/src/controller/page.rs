//! The metrics page: the captured one, with the changing numbers taken from the [`State`].
//!
//! It reproduces the faults of the real page: repeated families, gauges only, unescaped label values.

mod json;

use std::collections::{BTreeMap, HashSet};

use super::call::Call;
use super::state::State;

/// The controller's page for an admin's bearer token.
const CAPTURED: &str = include_str!("../../fixtures/captures/m/m-bearer-read.body");

/// Lines that no parser of the text format accepts, such as a node with a quote in its name or a broken writer causes.
pub const ILLEGAL_LINES: [&[u8]; 8] = [
    b"dispatcher_availability{node=\"awx\"4\"} 0.5",
    b"dispatcher_availability{node=\"awx-5\\\"} 0.5",
    b"dispatcher_availability{node=\"awx-6\" 0.5",
    b"dispatcher_availability{node=\"awx-7\"}",
    b"dispatcher_availability{node=\"awx-8\"} half",
    b"dispatcher_availability{node=\"\xff\xfe\"} 0.5",
    b"9dispatcher availability = 1",
    b"\x00\x01\x02",
];

/// The metrics of Redis that the page can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redis {
    Full,
    Empty,
    Down,
}

/// The families of one reply, in the page's order.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    families: Vec<Family>,
}

#[derive(Clone, Debug)]
struct Family {
    name: String,
    help: String,
    kind: String,
    samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    /// Name and labels as they are on the line.
    series: String,
    value: String,
}

/// The selection of the query. Only the value `1` switches a group off.
struct Selection {
    database: bool,
    subsystem: bool,
    metrics: Vec<String>,
    nodes: Vec<String>,
}

impl Selection {
    fn of(call: &Call) -> Self {
        Self {
            database: call.parameter("subsystemonly").as_deref() != Some("1"),
            subsystem: call.parameter("dbonly").as_deref() != Some("1"),
            metrics: call.parameters("metric"),
            nodes: call.parameters("node"),
        }
    }
}

/// The groups of metrics that the controller reads for a request: the database's, the subsystems'.
pub(super) fn groups(call: &Call) -> (bool, bool) {
    let selection = Selection::of(call);
    (selection.database, selection.subsystem)
}

impl Page {
    /// The page for `call`; `None` if the controller fails, because it needs a Redis that is down.
    pub(super) fn of(state: &State, call: &Call, redis: Redis) -> Option<Self> {
        let selection = Selection::of(call);
        if selection.subsystem && redis == Redis::Down {
            return None;
        }
        let mut families = captured();
        if redis == Redis::Empty {
            families.retain(Family::is_database);
        }
        families.retain_mut(|family| family.select(&selection));
        live(&mut families, state);
        Some(Self { families })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    pub(super) fn text(&self) -> String {
        self.families.iter().map(Family::text).collect()
    }

    /// The page as the controller's JSON renderer writes it, from what Python's prometheus_client reads.
    pub(super) fn json(&self, indent: Option<usize>) -> String {
        json::render(&self.families, indent)
    }

    /// The text with [`ILLEGAL_LINES`] in it, one after each fourth family.
    pub(super) fn with_illegal_lines(&self) -> Vec<u8> {
        let mut illegal = ILLEGAL_LINES.iter();
        let mut page = Vec::new();
        for (index, family) in self.families.iter().enumerate() {
            page.extend_from_slice(family.text().as_bytes());
            if let Some(line) = (index % 4 == 3).then(|| illegal.next()).flatten() {
                page.extend_from_slice(line);
                page.push(b'\n');
            }
        }
        page
    }
}

impl Family {
    fn is_database(&self) -> bool {
        self.name.starts_with("awx_")
    }

    fn text(&self) -> String {
        let Self { name, help, kind, samples } = self;
        let lines = samples.iter().map(|sample| format!("{} {}\n", sample.series, sample.value));
        format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{}", lines.collect::<String>())
    }

    /// Applies the selection; `false` if nothing is left. `metric` and `node` filter subsystems only.
    fn select(&mut self, selection: &Selection) -> bool {
        if self.is_database() {
            return selection.database;
        }
        if !selection.metrics.is_empty() && !selection.metrics.contains(&self.name) {
            return false;
        }
        if !selection.nodes.is_empty() {
            self.samples.retain(|sample| sample.is_of(&selection.nodes));
        }
        selection.subsystem && !self.samples.is_empty()
    }
}

impl Sample {
    fn is_of(&self, nodes: &[String]) -> bool {
        nodes.iter().any(|node| self.series.contains(&format!("node=\"{node}\"")))
    }

    /// Adds to the captured number, in the controller's notation.
    fn add(&mut self, delta: i64) {
        let captured: f64 = self.value.parse().expect("captured values are numbers");
        #[expect(clippy::cast_precision_loss, reason = "counts of a test's sessions and jobs")]
        let sum = captured + delta as f64;
        self.value = format!("{sum:.1}");
    }
}

fn captured() -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for line in CAPTURED.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("captured HELP lines have a text");
            let (name, help) = (name.to_owned(), help.to_owned());
            families.push(Family { name, help, kind: String::new(), samples: Vec::new() });
            continue;
        }
        let family = families.last_mut().expect("the captured page begins with a HELP line");
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family.kind = rest.rsplit(' ').next().unwrap_or_default().to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').expect("captured samples have a value");
            family.samples.push(Sample { series: series.to_owned(), value: value.to_owned() });
        }
    }
    families
}

/// Sets the changing numbers: the captured ones plus the changes since.
fn live(families: &mut [Family], state: &State) {
    let mut deltas: BTreeMap<String, i64> = state.changes();
    let mut met = HashSet::new();
    for sample in families.iter_mut().flat_map(|family| &mut family.samples) {
        if let Some(delta) = deltas.get_mut(&sample.series) {
            // A repeated family is never a changing one, so each series is found once.
            debug_assert!(met.insert(sample.series.clone()), "{} stands twice", sample.series);
            sample.add(*delta);
        }
    }
}
