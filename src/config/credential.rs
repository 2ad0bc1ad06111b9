//! The credential that a source's controller receives.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::Problem;
use super::rules;
use crate::auth::Secret;

/// A source's credential.
#[derive(Debug)]
pub enum Credential {
    /// No credential is sent.
    None,
    /// A bearer token.
    Bearer(SecretSource),
    /// The name and password of a user.
    Basic {
        /// The name of the user, without a colon.
        username: String,
        /// The password.
        password: SecretSource,
    },
    /// The credentials of the client that scrapes. The page is pulled on demand, and no credential is stored.
    Forward,
}

/// The origin of a secret.
#[derive(Debug)]
pub enum SecretSource {
    /// The configuration itself.
    Literal(Secret),
    /// The environment variable of this name in the VM.
    Variable(String),
}

impl Credential {
    /// The value of the `Authorization` header, or none if no credential is sent. `variable` reads the VM's environment.
    ///
    /// # Errors
    /// If the variable is not set, or a header cannot contain its value.
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
                // A secret from a file usually ends in a newline.
                rule(value.trim_end_matches(['\r', '\n']).to_owned())
                    .map(Cow::Owned)
                    .map_err(|_| CredentialError::Unusable { variable: name })
            }
        }
    }
}

/// The reason why a credential cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError<'a> {
    /// The VM's environment has no such variable.
    #[error("the environment variable {variable} is not set")]
    Unset {
        /// The name of the variable.
        variable: &'a str,
    },
    /// The value is empty or too long, or has characters that a header cannot contain.
    #[error("the environment variable {variable} is empty or cannot be sent as a header")]
    Unusable {
        /// The name of the variable.
        variable: &'a str,
    },
}
