//! What a source's controller is shown.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::Problem;
use super::rules;
use crate::auth::Secret;

/// A source's credential.
#[derive(Debug)]
pub enum Credential {
    /// None is sent.
    None,
    /// A bearer token.
    Bearer(SecretSource),
    /// A user's name and password.
    Basic {
        /// The user, without colon.
        username: String,
        /// The password.
        password: SecretSource,
    },
    /// Those of the client that scrapes: the page is pulled on demand, and nothing is kept to pull it with.
    Forward,
}

/// Where a secret comes from.
#[derive(Debug)]
pub enum SecretSource {
    /// The configuration itself.
    Literal(Secret),
    /// The VM's environment variable of this name.
    Variable(String),
}

impl Credential {
    /// The value of the `Authorization` header, or none if there is no credential. `variable` looks up the VM's
    /// environment.
    ///
    /// # Errors
    /// Where the variable is not set, or holds what no header can.
    pub fn authorization(
        &self,
        variable: impl FnOnce(&str) -> Option<String>,
    ) -> Result<Option<Secret>, CredentialError<'_>> {
        Ok(match self {
            Self::None | Self::Forward => None,
            Self::Bearer(token) => {
                let token = token.resolve(variable, rules::bearer)?;
                Some(Secret::new(format!("Bearer {token}")))
            }
            Self::Basic { username, password } => {
                let password = password.resolve(variable, rules::password)?;
                let pair = STANDARD.encode(format!("{username}:{password}"));
                Some(Secret::new(format!("Basic {pair}")))
            }
        })
    }
}

impl SecretSource {
    fn resolve(
        &self,
        variable: impl FnOnce(&str) -> Option<String>,
        rule: fn(String) -> Result<String, Problem>,
    ) -> Result<Cow<'_, str>, CredentialError<'_>> {
        match self {
            Self::Literal(secret) => Ok(Cow::Borrowed(secret.expose())),
            Self::Variable(name) => {
                let value = variable(name).ok_or(CredentialError::Unset { variable: name })?;
                // Secrets that come out of files end in a newline more often than not.
                rule(value.trim_end_matches(['\r', '\n']).to_owned())
                    .map(Cow::Owned)
                    .map_err(|_| CredentialError::Unusable { variable: name })
            }
        }
    }
}

/// Why a credential cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError<'a> {
    /// The VM's environment has no such variable.
    #[error("the environment variable {variable} is not set")]
    Unset {
        /// Its name.
        variable: &'a str,
    },
    /// It is empty, too long, or has characters that no header can carry.
    #[error("the environment variable {variable} is empty or cannot be sent as a header")]
    Unusable {
        /// Its name.
        variable: &'a str,
    },
}
