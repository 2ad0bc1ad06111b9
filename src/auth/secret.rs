//! Secrets, which no log line and no error can contain.

use std::fmt;

/// A token or a password. It cannot be printed or cloned; only [`Secret::expose`] returns it.
pub struct Secret(String);

impl Secret {
    /// Wraps the value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the code that sends or hashes it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
