//! The mistakes that a configuration can contain, as data.
//!
//! A secret may be anywhere in a configuration that has a mistake. So an error never contains one of its values: only
//! names of known fields, indices, and keys that are short and plain enough to be a misspelt field.

use std::fmt;
use std::time::Duration;

use crate::auth::password::PasswordHashError;

/// The mistakes in a configuration: at least one, and no two equal ones. A mistake that only follows from another one is
/// left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
    are_more: bool,
}

impl ConfigErrors {
    /// These mistakes; none if there is none. `are_more` is true if there are more than these.
    pub(super) fn of(errors: Vec<ConfigError>, are_more: bool) -> Option<Self> {
        if errors.is_empty() { None } else { Some(Self { errors, are_more }) }
    }

    /// A mistake in the configuration as a whole.
    pub(super) fn of_the_whole(problem: Problem) -> Self {
        let error = ConfigError { field: String::new(), problem };
        Self { errors: vec![error], are_more: false }
    }

    /// The mistakes, at most [`crate::limits::CONFIG_ERRORS`].
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.errors.iter()
    }

    /// Returns true if the configuration has more mistakes than [`ConfigErrors::iter`] gives.
    #[must_use]
    pub fn are_more(&self) -> bool {
        self.are_more
    }
}

/// One line, for Envoy's log.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        f.write_str(if self.are_more { "; and more" } else { "" })
    }
}

impl std::error::Error for ConfigErrors {}

/// A mistake, and the field that contains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The field, for example `sources[1].interval`. Empty for the configuration as a whole.
    pub field: String,
    /// The mistake.
    pub problem: Problem,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = if self.field.is_empty() { "configuration" } else { &self.field };
        write!(f, "{field}: {}", self.problem)
    }
}

impl std::error::Error for ConfigError {}

/// A mistake in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The configuration exceeds [`crate::limits::CONFIG_BYTES`].
    #[error("larger than {most} bytes")]
    TooLarge {
        /// The limit.
        most: usize,
    },
    /// The bytes are not JSON in UTF-8.
    #[error("not JSON, at line {line}, column {column}")]
    NotJson {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
    },
    /// The bytes are a message, so not JSON, but not a `google.protobuf.Struct` either.
    #[error("neither JSON nor a google.protobuf.Struct")]
    NotStruct,
    /// One object has the key twice.
    #[error("occurs twice")]
    Twice,
    /// No field has this name.
    #[error("unknown field")]
    UnknownField,
    /// No field has this name, but the name of a field differs from it by a typing error only.
    #[error("unknown field, did you mean {known}?")]
    MisspeltField {
        /// The name of the field.
        known: &'static str,
    },
    /// The object contains an unknown field with a name that cannot be shown. The error names the object.
    #[error("has an unknown field")]
    HasUnknownField,
    /// A required field is absent.
    #[error("missing")]
    Missing,
    /// The value has another type.
    #[error("must be {expected}")]
    WrongType {
        /// The type that it must have.
        expected: &'static str,
    },
    /// A list or an object has too many entries.
    #[error("more than {most} entries")]
    TooMany {
        /// The limit.
        most: usize,
    },
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// The text exceeds its limit.
    #[error("longer than {most} bytes")]
    TooLong {
        /// The limit, in bytes.
        most: usize,
    },
    /// The text contains a character that is not allowed.
    #[error("may contain only {allowed}")]
    Characters {
        /// The characters that are allowed.
        allowed: &'static str,
    },
    /// The text is not one of the field's values.
    #[error("must be one of {choices}")]
    Choice {
        /// The values.
        choices: &'static str,
    },
    /// The text is not a duration.
    #[error("must be a whole number with its unit: ms, s, m or h")]
    Duration,
    /// The duration is below its limit.
    #[error("must be at least {least:?}")]
    TooShort {
        /// The limit.
        least: Duration,
    },
    /// The duration exceeds its limit.
    #[error("must be at most {most:?}")]
    TooLongTime {
        /// The limit.
        most: Duration,
    },
    /// An earlier entry of the list has the same value.
    #[error("an earlier entry has the same")]
    Duplicate,
    /// An earlier token has this hash: the two entries are one token, which opens what the earlier entry opens.
    #[error("the same as auth.tokens[{earlier}].sha256: one token cannot have two entries")]
    SameToken {
        /// The index of the earlier entry in `auth.tokens`.
        earlier: usize,
    },
    /// The path has another form than the one with which requests are compared.
    #[error("must be a normal path: one slash before each segment, no dot segments")]
    PathNotNormal,
    /// The path does not begin with a slash.
    #[error("must begin with a slash")]
    NoSlash,
    /// The text is not an authority.
    #[error("must be a host name or address, with a port or without")]
    Authority,
    /// The key is not a label name of Prometheus.
    #[error("not a label name: letters, digits and _, no digit first")]
    LabelName,
    /// The exposition formats or the filter set this label.
    #[error("a label that cannot be set here")]
    LabelReserved,
    /// The object is not one of the forms of a credential.
    #[error("must contain bearer, or bearer_env, or username with password or password_env")]
    Credential,
    /// The text is not the hash of a token.
    #[error("must be 64 hex digits")]
    Sha256,
    /// The text is not the hash of a password.
    #[error(transparent)]
    PasswordHash(#[from] PasswordHashError),
    /// `"credential": "forward"` for another controller than the one that authenticates clients.
    #[error("\"forward\" needs auth.controller with the same cluster and authority")]
    Forward,
    /// No source has this name.
    #[error("no source has this name")]
    UnknownSource,
}
