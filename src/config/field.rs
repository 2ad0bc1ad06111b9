//! A JSON value together with its place in the configuration, and the list of the mistakes that were found.
//!
//! Reading continues after a mistake: the mistake is logged, and the reader receives `None` or a placeholder instead of
//! the value. So an empty [`MistakeLog`] means that every value is the configuration's own or a default. A reader that
//! compares values must leave out those that were not read, so that no mistake follows from another one.

use std::cell::RefCell;

use super::error::{ConfigError, ConfigErrors, Problem};
use super::json::Json;
use crate::limits;

/// Checks a text and converts it.
pub(super) type Rule<'a, T> = &'a dyn Fn(String) -> Result<T, Problem>;

/// The mistakes that were found so far.
#[derive(Default)]
pub(super) struct MistakeLog(RefCell<Mistakes>);

#[derive(Default)]
struct Mistakes {
    errors: Vec<ConfigError>,
    are_more: bool,
}

impl MistakeLog {
    /// Adds a mistake, unless the log has it already.
    pub(super) fn add(&self, field: String, problem: Problem) {
        let error = ConfigError { field, problem };
        let Mistakes { errors, are_more } = &mut *self.0.borrow_mut();
        if errors.contains(&error) {
            return;
        }
        if errors.len() < limits::CONFIG_ERRORS {
            errors.push(error);
        } else {
            *are_more = true;
        }
    }

    /// The mistakes, or none if there is none.
    pub(super) fn into_errors(self) -> Option<ConfigErrors> {
        let Mistakes { errors, are_more } = self.0.into_inner();
        ConfigErrors::of(errors, are_more)
    }
}

/// A value and its place, for example `sources[1].interval`.
pub(super) struct Field<'a> {
    log: &'a MistakeLog,
    place: String,
    value: Json,
}

impl<'a> Field<'a> {
    pub(super) fn root(value: Json, log: &'a MistakeLog) -> Self {
        Self { log, place: String::new(), value }
    }

    pub(super) fn refuse(self, problem: Problem) {
        self.log.add(self.place, problem);
    }

    pub(super) fn is_text(&self, text: &str) -> bool {
        matches!(&self.value, Json::Text(value) if value == text)
    }

    pub(super) fn bool(self) -> Option<bool> {
        match self.value {
            Json::Bool(value) => Some(value),
            _ => self.refuse_type("true or false"),
        }
    }

    /// Reads a text by `rule`. The rule is not a type parameter: there are many, and the module has a size budget.
    pub(super) fn text<T>(self, rule: Rule<'_, T>) -> Option<T> {
        match self.value {
            Json::Text(value) => {
                rule(value).map_err(|problem| self.log.add(self.place, problem)).ok()
            }
            _ => self.refuse_type("a string"),
        }
    }

    /// Reads a list of at most `most` items.
    pub(super) fn list(self, most: usize) -> Option<Vec<Field<'a>>> {
        let Self { log, place, value } = self;
        match value {
            Json::List(items) if items.len() <= most => {
                let places = (0..).map(|index| format!("{place}[{index}]"));
                let items = items.into_iter().zip(places);
                Some(items.map(|(value, place)| Field { log, place, value }).collect())
            }
            Json::List(_) => too_many(log, place, most),
            value => Self { log, place, value }.refuse_type("a list"),
        }
    }

    /// Reads an object with keys of any name, of at most `most` entries. A repeated key is a mistake.
    pub(super) fn entries(self, most: usize) -> Option<Vec<(String, Field<'a>)>> {
        let Self { log, place, value } = self;
        let object = match value {
            Json::Object(object) if object.len() <= most => object,
            Json::Object(_) => return too_many(log, place, most),
            value => return Self { log, place, value }.refuse_type("an object"),
        };
        let mut entries: Vec<(String, Field<'a>)> = Vec::with_capacity(object.len());
        for (key, value) in object {
            let field = Field { log, place: shown_below(&place, &key), value };
            if entries.iter().any(|(have, _)| *have == key) {
                field.refuse(Problem::Twice);
            } else {
                entries.push((key, field));
            }
        }
        Some(entries)
    }

    /// Reads an object that has the fields of `known` only.
    pub(super) fn fields(self, known: &[&'static str]) -> Fields<'a> {
        let Self { log, place, value } = self;
        let Json::Object(object) = value else {
            log.add(place.clone(), Problem::WrongType { expected: "an object" });
            return Fields { log, place, fields: Vec::new(), is_object: false, has_unknown: false };
        };
        let mut fields =
            Fields { log, place, fields: Vec::new(), is_object: true, has_unknown: false };
        let mut unknown = Vec::new();
        for (key, value) in object {
            match known.iter().find(|name| **name == key) {
                Some(name) => fields.add(name, value),
                None => unknown.push(key),
            }
        }
        unknown.iter().for_each(|key| fields.refuse_key(key, known));
        fields
    }

    fn refuse_type<T>(self, expected: &'static str) -> Option<T> {
        self.refuse(Problem::WrongType { expected });
        None
    }
}

fn too_many<T>(log: &MistakeLog, place: String, most: usize) -> Option<T> {
    log.add(place, Problem::TooMany { most });
    None
}

/// The fields of an object, to be taken out one by one.
pub(super) struct Fields<'a> {
    log: &'a MistakeLog,
    place: String,
    /// A field without a value was taken, or is known to be wrong.
    fields: Vec<(&'static str, Option<Field<'a>>)>,
    is_object: bool,
    has_unknown: bool,
}

impl<'a> Fields<'a> {
    /// Logs a mistake in the object as a whole.
    pub(super) fn refuse(&self, problem: Problem) {
        self.log.add(self.place.clone(), problem);
    }

    /// Logs a mistake at another place of the configuration.
    pub(super) fn refuse_at(&self, place: String, problem: Problem) {
        self.log.add(place, problem);
    }

    /// Returns true if the object has a field of this name, right or wrong or misspelt, or if the value is not an object.
    pub(super) fn has(&self, name: &str) -> bool {
        !self.is_object || self.position(name).is_some()
    }

    /// Returns true if the object has a field with an unknown name, or if the value is not an object.
    pub(super) fn has_unknown(&self) -> bool {
        !self.is_object || self.has_unknown
    }

    /// Takes a field. `None` if it is absent or wrong.
    pub(super) fn take(&mut self, name: &str) -> Option<Field<'a>> {
        let position = self.position(name)?;
        self.fields.get_mut(position)?.1.take()
    }

    /// Reads a field. `None` if it is absent or wrong.
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Field<'a>) -> Option<T>,
    ) -> Option<T> {
        self.take(name).and_then(read)
    }

    /// Reads a text by `rule`. `None` if it is absent or wrong.
    pub(super) fn text<T>(&mut self, name: &str, rule: Rule<'_, T>) -> Option<T> {
        self.take(name)?.text(rule)
    }

    /// Reads a text by `rule`: `default` if it is absent, a placeholder if it is wrong.
    pub(super) fn text_or<T: Default>(&mut self, name: &str, rule: Rule<'_, T>, default: T) -> T {
        if self.has(name) { self.text(name, rule).unwrap_or_default() } else { default }
    }

    /// Reads a required text by `rule`. `None` if it is absent or wrong.
    pub(super) fn required<T>(&mut self, name: &str, rule: Rule<'_, T>) -> Option<T> {
        if !self.has(name) {
            self.log.add(below(&self.place, name), Problem::Missing);
        }
        self.text(name, rule)
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|(have, _)| *have == name)
    }

    fn add(&mut self, name: &'static str, value: Json) {
        let place = below(&self.place, name);
        let field = Field { log: self.log, place, value };
        if self.has(name) {
            self.take(name);
            field.refuse(Problem::Twice);
        } else {
            self.fields.push((name, Some(field)));
        }
    }

    /// Refuses an unknown key. The field that it resembles is then wrong, and not missing.
    fn refuse_key(&mut self, key: &str, known: &[&'static str]) {
        self.has_unknown = true;
        let similar = known.iter().filter_map(|name| Some((difference(key, name)?, *name)));
        let similar = similar.min_by_key(|(difference, _)| *difference).map(|(_, name)| name);
        let problem = match similar {
            _ if !is_showable(key) => Problem::HasUnknownField,
            Some(known) => Problem::MisspeltField { known },
            None => Problem::UnknownField,
        };
        self.log.add(shown_below(&self.place, key), problem);
        if let Some(name) = similar.filter(|name| !self.has(name)) {
            self.fields.push((name, None));
        }
    }
}

/// The bytes that two names do not have in common, if they differ by one typing error: a byte or two at one place.
fn difference(one: &str, other: &str) -> Option<usize> {
    const MOST: usize = 2;
    const LEAST_IN_COMMON: usize = 2;
    let longest = one.len().max(other.len());
    let shortest = one.len().min(other.len());
    let same = |(one, other): &(u8, u8)| one == other;
    let start = one.bytes().zip(other.bytes()).take_while(same).count();
    let end = one.bytes().rev().zip(other.bytes().rev()).take_while(same).count();
    let in_common = (start + end).min(shortest);
    let fits = in_common >= LEAST_IN_COMMON && longest - in_common <= MOST;
    fits.then(|| longest - in_common)
}

/// The place of the field of this name in the object at `place`.
fn below(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

/// The place of `key` in the object at `place`; the object's own place if the key cannot be shown.
fn shown_below(place: &str, key: &str) -> String {
    if is_showable(key) { below(place, key) } else { place.to_owned() }
}

/// Returns true if a key looks like the name of a field, and not like a token at the wrong place (AWX's have 30
/// characters).
fn is_showable(key: &str) -> bool {
    const LONGEST: usize = 24;
    !key.is_empty()
        && key.len() <= LONGEST
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
