//! A JSON value together with the place it stands in, so that whatever is wrong with it can be named.

use super::error::{ConfigError, Problem};
use super::json::Json;

type Result<T> = std::result::Result<T, ConfigError>;

/// What a text must be, and what is made of it.
pub(super) type Rule<'a, T> = &'a dyn Fn(String) -> std::result::Result<T, Problem>;

/// A value and its place, like `sources[1].interval`.
pub(super) struct Field {
    place: String,
    value: Json,
}

impl Field {
    pub(super) fn root(value: Json) -> Self {
        Self { place: String::new(), value }
    }

    pub(super) fn problem(&self, problem: Problem) -> ConfigError {
        ConfigError { field: self.place.clone(), problem }
    }

    pub(super) fn is_text(&self, text: &str) -> bool {
        matches!(&self.value, Json::Text(value) if value == text)
    }

    pub(super) fn bool(self) -> Result<bool> {
        match self.value {
            Json::Bool(value) => Ok(value),
            _ => Err(self.problem(Problem::WrongType { expected: "true or false" })),
        }
    }

    /// A text, as `rule` reads it. The rule is no type parameter: there are many, and the module has a budget.
    pub(super) fn text<T>(self, rule: Rule<'_, T>) -> Result<T> {
        match self.value {
            Json::Text(value) => {
                rule(value).map_err(|problem| ConfigError { field: self.place, problem })
            }
            _ => Err(self.problem(Problem::WrongType { expected: "a string" })),
        }
    }

    /// The items of a list of at most `most`.
    pub(super) fn list(self, most: usize) -> Result<Vec<Field>> {
        let Self { place, value } = self;
        match value {
            Json::List(items) if items.len() > most => {
                Err(ConfigError { field: place, problem: Problem::TooMany { most } })
            }
            Json::List(items) => Ok(items
                .into_iter()
                .enumerate()
                .map(|(index, value)| Field { place: format!("{place}[{index}]"), value })
                .collect()),
            _ => {
                let problem = Problem::WrongType { expected: "a list" };
                Err(ConfigError { field: place, problem })
            }
        }
    }

    /// The entries of an object whose keys are free, at most `most` and no key twice.
    pub(super) fn entries(self, most: usize) -> Result<Vec<(String, Field)>> {
        let (place, object) = self.object()?;
        if object.len() > most {
            return Err(ConfigError { field: place, problem: Problem::TooMany { most } });
        }
        let mut entries: Vec<(String, Field)> = Vec::with_capacity(object.len());
        for (key, value) in object {
            let field = Field { place: below(&place, &key), value };
            if entries.iter().any(|(have, _)| *have == key) {
                return Err(field.problem(Problem::Twice));
            }
            entries.push((key, field));
        }
        Ok(entries)
    }

    /// The fields of an object that can have those of `known`.
    pub(super) fn fields(self, known: &[&'static str]) -> Result<Fields> {
        let (place, object) = self.object()?;
        let mut fields: Vec<(&'static str, Field)> = Vec::with_capacity(known.len());
        for (key, value) in object {
            let Some(name) = known.iter().find(|name| **name == key) else {
                return Err(unknown(&place, &key));
            };
            let field = Field { place: below(&place, name), value };
            if fields.iter().any(|(have, _)| have == name) {
                return Err(field.problem(Problem::Twice));
            }
            fields.push((name, field));
        }
        Ok(Fields { place, fields })
    }

    fn object(self) -> Result<(String, Vec<(String, Json)>)> {
        match self.value {
            Json::Object(entries) => Ok((self.place, entries)),
            _ => Err(self.problem(Problem::WrongType { expected: "an object" })),
        }
    }
}

/// The fields of an object, taken out one by one.
pub(super) struct Fields {
    place: String,
    fields: Vec<(&'static str, Field)>,
}

impl Fields {
    /// What the fields belong to has a problem as a whole.
    pub(super) fn problem(&self, problem: Problem) -> ConfigError {
        ConfigError { field: self.place.clone(), problem }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Field> {
        let index = self.fields.iter().position(|(have, _)| *have == name)?;
        Some(self.fields.swap_remove(index).1)
    }

    /// A field that may be absent, as `read` reads it.
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Field) -> Result<T>,
    ) -> Result<Option<T>> {
        self.take(name).map(read).transpose()
    }

    /// A text that may be absent, as `rule` reads it.
    pub(super) fn text<T>(&mut self, name: &str, rule: Rule<'_, T>) -> Result<Option<T>> {
        self.take(name).map(|field| field.text(rule)).transpose()
    }

    /// A text that must be there, as `rule` reads it.
    pub(super) fn required<T>(&mut self, name: &str, rule: Rule<'_, T>) -> Result<T> {
        match self.take(name) {
            Some(field) => field.text(rule),
            None => Err(ConfigError { field: below(&self.place, name), problem: Problem::Missing }),
        }
    }
}

fn unknown(place: &str, key: &str) -> ConfigError {
    let field = below(place, key);
    let problem = if showable(key) { Problem::UnknownField } else { Problem::HasUnknownField };
    ConfigError { field, problem }
}

/// The place of `key` in the object at `place`: the object's own where the key cannot be shown.
fn below(place: &str, key: &str) -> String {
    match (place, showable(key)) {
        (_, false) => place.to_owned(),
        ("", true) => key.to_owned(),
        (_, true) => format!("{place}.{key}"),
    }
}

/// Whether a key looks like a field's name rather than like a token in the wrong place (AWX's have 30 characters).
fn showable(key: &str) -> bool {
    const LONGEST: usize = 24;
    !key.is_empty()
        && key.len() <= LONGEST
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
