//! The table, and the same as JSON.

use std::fmt;

use serde_json::{Value, json};

/// A measured figure.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    what: String,
    value: Quantity,
    /// The least and the most of the figures whose median is the value.
    spread: Option<[Quantity; 2]>,
    against: Option<(String, Quantity)>,
    ratio: Option<f64>,
    target: Option<Target>,
}

/// A number with its unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantity {
    number: f64,
    unit: &'static str,
}

/// The target of the ratio or, without one, of the value.
#[derive(Clone, Copy, Debug)]
enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// All figures so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    details: serde_json::Map<String, Value>,
}

/// A number with its unit.
pub(crate) fn quantity(number: f64, unit: &'static str) -> Quantity {
    Quantity { number, unit }
}

impl Row {
    /// A figure without comparison.
    pub(crate) fn new(what: &str, value: Quantity) -> Self {
        let what = what.to_owned();
        Self { what, value, spread: None, against: None, ratio: None, target: None }
    }

    /// The median of some figures, for an even number the upper one, with their spread.
    pub(crate) fn median(what: &str, mut figures: Vec<f64>, unit: &'static str) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| quantity(figures.get(index).copied().unwrap_or(f64::NAN), unit);
        let spread = [at(0), at(figures.len().saturating_sub(1))];
        Self { spread: Some(spread), ..Self::new(what, at(figures.len() / 2)) }
    }

    /// Compares it with another figure: the ratio is this one divided by the other.
    pub(crate) fn against(mut self, name: &str, other: Quantity) -> Self {
        self.ratio = Some(self.value.number / other.number);
        self.against = Some((name.to_owned(), other));
        self
    }

    /// Compares it with another figure: the ratio is the other one divided by this one, as "so many times faster".
    pub(crate) fn times_better_than(mut self, name: &str, other: Quantity) -> Self {
        self.ratio = Some(other.number / self.value.number);
        self.against = Some((name.to_owned(), other));
        self
    }

    pub(crate) fn at_most(mut self, limit: f64) -> Self {
        self.target = Some(Target::AtMost(limit));
        self
    }

    pub(crate) fn at_least(mut self, limit: f64) -> Self {
        self.target = Some(Target::AtLeast(limit));
        self
    }

    fn met(&self) -> Option<bool> {
        let figure = self.ratio.unwrap_or(self.value.number);
        Some(match self.target? {
            Target::AtMost(limit) => figure <= limit,
            Target::AtLeast(limit) => figure >= limit,
        })
    }

    fn cells(&self) -> [String; 6] {
        let text = |cell: Option<String>| cell.unwrap_or_default();
        [
            self.what.clone(),
            self.value_cell(),
            text(self.against.as_ref().map(|(name, value)| format!("{name}: {value}"))),
            text(self.ratio.map(|ratio| format!("{ratio:.3}"))),
            text(self.target.map(|target| target.to_string())),
            text(self.met().map(|met| if met { "yes" } else { "NO" }.to_owned())),
        ]
    }

    fn value_cell(&self) -> String {
        match self.spread {
            Some([least, most]) => format!("{} ({least} to {most})", self.value),
            None => self.value.to_string(),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "what": self.what,
            "value": self.value.number,
            "unit": self.value.unit,
            "spread": self.spread.map(|spread| spread.map(|end| end.number)),
            "against": self.against.as_ref().map(|(name, value)| json!({
                "what": name, "value": value.number, "unit": value.unit,
            })),
            "ratio": self.ratio,
            "target": self.target.map(|target| target.to_string()),
            "met": self.met(),
        })
    }
}

impl Report {
    /// One more row.
    pub(crate) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds a detail for the JSON only.
    pub(crate) fn detail(&mut self, name: &str, value: Value) {
        self.details.insert(name.to_owned(), value);
    }

    pub(crate) fn to_json(&self) -> Value {
        let rows: Vec<_> = self.rows.iter().map(Row::to_json).collect();
        json!({"rows": rows, "details": self.details})
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["what", "value", "against", "ratio", "target", "met"].map(str::to_owned);
        let table: Vec<_> = [head].into_iter().chain(self.rows.iter().map(Row::cells)).collect();
        let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max();
        let widths: [usize; 6] = std::array::from_fn(|column| width(column).unwrap_or_default());
        for row in &table {
            let [what, value, against, ratio, target, met] = row;
            let [a, b, c, d, e, _] = widths;
            let line =
                format!("{what:a$}  {value:>b$}  {against:c$}  {ratio:>d$}  {target:e$}  {met}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, unit } = self;
        let digits = match number.abs() {
            0.0 | 1000.0.. => 0,
            10.0.. => 1,
            _ => 2,
        };
        let text = format!("{number:.digits$}");
        f.write_str(&grouped(&text))?;
        if unit.is_empty() { Ok(()) } else { write!(f, " {unit}") }
    }
}

/// `1234567` as `1,234,567`; a number with a fraction is unchanged.
fn grouped(number: &str) -> String {
    if number.contains('.') {
        return number.to_owned();
    }
    let mut text = String::new();
    for (at, digit) in number.char_indices() {
        if at > 0 && (number.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<= {limit}"),
            Self::AtLeast(limit) => write!(f, ">= {limit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_if_its_ratio_meets_the_target() {
        let row = |value| Row::new("a", quantity(value, "us")).against("b", quantity(10.0, "us"));
        assert_eq!(row(10.8).at_most(1.08).met(), Some(true));
        assert_eq!(row(10.9).at_most(1.08).met(), Some(false));
        assert_eq!(row(10.9).met(), None);
        let faster = Row::new("a", quantity(2.0, "us")).times_better_than("b", quantity(9.0, "us"));
        assert_eq!(faster.at_least(5.0).met(), Some(false));
        assert_eq!(Row::new("a", quantity(499.0, "kB")).at_most(500.0).met(), Some(true));
    }

    #[test]
    fn a_row_of_several_figures_shows_their_median_and_spread() {
        let row = Row::median("a", vec![4.0, 9.0, 2.0], "ms").at_most(5.0);
        assert_eq!(row.value_cell(), "4.00 ms (2.00 ms to 9.00 ms)");
        assert_eq!(row.to_json()["spread"], json!([2.0, 9.0]));
        assert_eq!(row.met(), Some(true));
    }

    #[test]
    fn the_table_has_one_line_per_row_and_aligned_columns() {
        let mut report = Report::default();
        report.row(Row::new("module", quantity(1_234_567.0, "B")));
        report
            .row(Row::new("x", quantity(1.5, "us")).against("y", quantity(1.0, "us")).at_most(1.0));
        let table = report.to_string();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[1].trim_end(), "module  1,234,567 B");
        assert_eq!(lines[2], "x           1.50 us  y: 1.00 us  1.500  <= 1    NO");
    }
}
