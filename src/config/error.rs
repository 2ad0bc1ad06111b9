//! What can be wrong with a configuration, as data.
//!
//! A secret may stand in any place of a configuration that is wrong, so nothing here can hold one of its values: only
//! known field names, indices, and keys that are short and plain enough to be a misspelt field.

use std::fmt;
use std::time::Duration;

use crate::auth::password::PasswordHashError;

/// A problem, and the field it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where, like `sources[1].interval`. Empty for the configuration itself.
    pub field: String,
    /// What.
    pub problem: Problem,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = if self.field.is_empty() { "configuration" } else { &self.field };
        write!(f, "{field}: {}", self.problem)
    }
}

impl std::error::Error for ConfigError {}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The configuration is over [`crate::limits::CONFIG_BYTES`].
    #[error("larger than {most} bytes")]
    TooLarge {
        /// The limit.
        most: usize,
    },
    /// Not JSON in UTF-8.
    #[error("not JSON, at line {line}, column {column}")]
    NotJson {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// A message, so not JSON, and no `google.protobuf.Struct` either.
    #[error("neither JSON nor a google.protobuf.Struct")]
    NotStruct,
    /// The key stands twice in one object.
    #[error("stands twice")]
    Twice,
    /// No such field. Where its name is too odd to be shown, the error names what it stands in.
    #[error("unknown field")]
    UnknownField,
    /// An unknown field whose name is too odd to be shown; the error names what it stands in.
    #[error("has an unknown field")]
    HasUnknownField,
    /// A required field is absent.
    #[error("missing")]
    Missing,
    /// A value of another type.
    #[error("must be {expected}")]
    WrongType {
        /// What it must be.
        expected: &'static str,
    },
    /// Too many entries.
    #[error("more than {most} entries")]
    TooMany {
        /// The limit.
        most: usize,
    },
    /// An empty text.
    #[error("must not be empty")]
    Empty,
    /// A text over its limit.
    #[error("longer than {most} bytes")]
    TooLong {
        /// The limit, in bytes.
        most: usize,
    },
    /// A character that cannot stand there.
    #[error("may hold only {allowed}")]
    Characters {
        /// What can.
        allowed: &'static str,
    },
    /// None of the values that the field can take.
    #[error("must be one of {choices}")]
    Choice {
        /// Those it can take.
        choices: &'static str,
    },
    /// Not a duration.
    #[error("must be a whole number with its unit: ms, s, m or h")]
    Duration,
    /// A duration below its limit.
    #[error("must be at least {least:?}")]
    TooShort {
        /// The limit.
        least: Duration,
    },
    /// A duration over its limit.
    #[error("must be at most {most:?}")]
    TooLongTime {
        /// The limit.
        most: Duration,
    },
    /// An earlier entry of the list has it already.
    #[error("an earlier entry has the same")]
    Duplicate,
    /// An earlier token has this hash, so it is one token, and opens what that one does.
    #[error("the same as auth.tokens[{earlier}].sha256: one token cannot have two entries")]
    SameToken {
        /// Which of `auth.tokens`.
        earlier: usize,
    },
    /// A path in another form than requests are compared in.
    #[error("must be a normal path: one slash before each segment, no dot segments")]
    PathNotNormal,
    /// A path that does not begin with a slash.
    #[error("must begin with a slash")]
    NoSlash,
    /// No authority.
    #[error("must be a host name or address, with a port or without")]
    Authority,
    /// Not a label name of Prometheus.
    #[error("not a label name: letters, digits and _, no digit first")]
    LabelName,
    /// A label that is set by somebody else.
    #[error("a label that cannot be set here")]
    LabelReserved,
    /// A credential that is none of the known shapes.
    #[error("must hold bearer, or bearer_env, or username with password or password_env")]
    Credential,
    /// Not the hash of a token.
    #[error("must be 64 hex digits")]
    Sha256,
    /// Not the hash of a password.
    #[error(transparent)]
    PasswordHash(#[from] PasswordHashError),
    /// `"credential": "forward"` for another controller than the one that judges the credentials.
    #[error("\"forward\" needs auth.controller with the same cluster and authority")]
    Forward,
    /// The name of a source that there is not.
    #[error("no source has this name")]
    UnknownSource,
}
