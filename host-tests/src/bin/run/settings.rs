//! The settings of `make run`, from the environment.

use std::env::{self, VarError};
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use hyper::Uri;

/// The settings.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The controller behind the gateway; `None` for the stand-in.
    pub(crate) controller: Option<RealController>,
    /// The ports on 127.0.0.1.
    pub(crate) ports: Ports,
}

/// A running controller.
#[derive(Debug)]
pub(crate) struct RealController {
    /// A name or an address.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// A token that may read its metrics.
    pub(crate) token: String,
    /// The way to authenticate it.
    pub(crate) trust: Trust,
}

/// The way to authenticate a controller.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// By a certificate that this system trusts.
    System,
    /// By a certificate that the authority in this file signed.
    Authority(PathBuf),
    /// Not at all.
    Anybody,
}

/// The ports on 127.0.0.1; 0 for any that is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) http: u16,
    pub(crate) https: u16,
    pub(crate) admin: u16,
}

/// A mistake in the environment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("CONTROLLER must be https://host:port, without a path")]
    Controller,
    #[error("CONTROLLER_CA: {0}")]
    Authority(io::Error),
    #[error("CONTROLLER_CA and CONTROLLER_INSECURE=1 contradict each other")]
    Contradiction,
    #[error("CONTROLLER_INSECURE must be 1 or unset")]
    Insecure,
    #[error("CONTROLLER_TOKEN is not set, and there is no terminal to ask for it")]
    NoToken,
    #[error("no token was given")]
    EmptyToken,
    #[error("the terminal: {0}")]
    Terminal(io::Error),
    #[error("{0} must be a port number")]
    Port(&'static str),
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
}

type Result<T> = std::result::Result<T, SettingsError>;

impl Settings {
    /// Reads the environment, and asks for the token if it is not there.
    pub(crate) fn from_environment() -> Result<Self> {
        let ports = Ports {
            http: port("HTTP_PORT", 8080)?,
            https: port("HTTPS_PORT", 8443)?,
            admin: port("ADMIN_PORT", 9901)?,
        };
        let controller = variable("CONTROLLER")?.map(|url| real_controller(&url)).transpose()?;
        Ok(Self { controller, ports })
    }
}

fn real_controller(url: &str) -> Result<RealController> {
    let (host, port) = host_and_port(url).ok_or(SettingsError::Controller)?;
    let trust = trust(variable("CONTROLLER_CA")?, variable("CONTROLLER_INSECURE")?)?;
    let token = match variable("CONTROLLER_TOKEN")? {
        Some(token) => token,
        None => asked_for_token()?,
    };
    Ok(RealController { host, port, token, trust })
}

fn host_and_port(url: &str) -> Option<(String, u16)> {
    let url: Uri = url.parse().ok()?;
    let authority = url.authority()?;
    let plain = url.scheme_str() == Some("https")
        && url.path_and_query().is_none_or(|path| path == "/")
        && !authority.as_str().contains('@');
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = match authority.as_str().strip_prefix(authority.host())? {
        "" => 443,
        _ => authority.port_u16()?,
    };
    (plain && !host.is_empty()).then(|| (host.to_owned(), port))
}

fn trust(authority: Option<String>, insecure: Option<String>) -> Result<Trust> {
    match (authority, insecure.as_deref()) {
        (None, None) => Ok(Trust::System),
        (None, Some("1")) => Ok(Trust::Anybody),
        (Some(file), None) => {
            // Envoy runs in another directory than the one in which the user named the file.
            let file = PathBuf::from(file).canonicalize().map_err(SettingsError::Authority)?;
            Ok(Trust::Authority(file))
        }
        (Some(_), Some("1")) => Err(SettingsError::Contradiction),
        (_, Some(_)) => Err(SettingsError::Insecure),
    }
}

fn asked_for_token() -> Result<String> {
    if !io::stdin().is_terminal() {
        return Err(SettingsError::NoToken);
    }
    let token = rpassword::prompt_password("A token of the controller's (not shown): ")
        .map_err(SettingsError::Terminal)?;
    match token.trim() {
        "" => Err(SettingsError::EmptyToken),
        token => Ok(token.to_owned()),
    }
}

fn port(name: &'static str, default: u16) -> Result<u16> {
    match variable(name)? {
        None => Ok(default),
        Some(port) => port.parse().map_err(|_| SettingsError::Port(name)),
    }
}

/// A variable. An empty one counts as unset.
fn variable(name: &'static str) -> Result<Option<String>> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(SettingsError::NotUtf8(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Option<(String, u16)> {
        host_and_port(url)
    }

    #[test]
    fn a_controller_is_a_host_and_a_port() {
        assert_eq!(parsed("https://awx.example:8443"), Some(("awx.example".into(), 8443)));
        assert_eq!(parsed("https://awx.example/"), Some(("awx.example".into(), 443)));
        assert_eq!(parsed("https://[::1]:8443"), Some(("::1".into(), 8443)));
    }

    #[test]
    fn parts_of_a_url_that_the_gateway_would_ignore_are_refused() {
        for url in [
            "http://awx.example",
            "awx.example:443",
            "https://awx.example/api/v2/metrics",
            "https://awx.example/?a",
            "https://admin:password@awx.example",
            "https://awx.example:",
            "https://awx.example:99999",
            "https://",
            "",
        ] {
            assert_eq!(parsed(url), None, "{url}");
        }
    }

    #[test]
    fn a_certificate_is_unchecked_only_on_request() {
        assert_eq!(trust(None, None).unwrap(), Trust::System);
        assert_eq!(trust(None, Some("1".into())).unwrap(), Trust::Anybody);
        assert!(matches!(trust(None, Some("yes".into())), Err(SettingsError::Insecure)));
        assert!(matches!(
            trust(Some("ca.pem".into()), Some("1".into())),
            Err(SettingsError::Contradiction)
        ));
        assert!(matches!(trust(Some("no/such".into()), None), Err(SettingsError::Authority(_))));
    }
}
