//! Hashes that identify a configuration or a source.

use sha2::{Digest, Sha256};

use super::credential::{Credential, SecretSource};
use super::{Config, GatewayLabels, Source};
use crate::auth::{Controller, Visibility};

impl Config {
    /// 16 hex digits that change with the configuration, for `awx_gateway_config_info`.
    ///
    /// Every client that may read the page sees them, and could guess a weak secret from its hash. So they depend on no
    /// secret and on no hash of one: they do not change if only a token is replaced.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hash = Fingerprint::new("configuration");
        hash.text(&self.scope).texts(&self.paths).texts(&self.hosts);
        match &self.gateway_labels {
            GatewayLabels::NodeId => hash.text("node id"),
            GatewayLabels::Set(labels) => hash.text("set").pairs(labels),
        };
        hash.text(if self.gateway_created { "created" } else { "" });
        hash.number(self.sources.len());
        for source in &self.sources {
            hash.source(source);
        }
        hash.text(if self.auth.anonymous { "anonymous" } else { "" });
        for token in &self.auth.tokens {
            hash.text(&token.name).view(&self.sources, &token.view);
        }
        for user in &self.auth.users {
            hash.text(&user.name).view(&self.sources, &user.view);
        }
        hash.controller(self);
        hash.text(&format!("{:?}", self.observe));
        hash.hex(8)
    }

    /// A key that changes with every field of `auth`, secrets included. Cached verdicts are stored under it, in shared data
    /// only, so a changed `auth` has none.
    #[must_use]
    pub fn auth_key(&self) -> [u8; 32] {
        let mut hash = Fingerprint::new("auth");
        hash.text(if self.auth.anonymous { "anonymous" } else { "" });
        hash.number(self.auth.tokens.len());
        for token in &self.auth.tokens {
            hash.text(&token.name).view(&self.sources, &token.view).0.update(token.sha256);
        }
        hash.number(self.auth.users.len());
        for user in &self.auth.users {
            hash.text(&user.name).view(&self.sources, &user.view).text(&user.hash.to_string());
        }
        hash.controller(self);
        hash.0.finalize().into()
    }
}

impl Source {
    /// 32 hex digits under which the snapshots of the source are stored. Two sources of any configurations have the same
    /// key if they send the same request, and store the same part of its page with the same labels.
    ///
    /// The key depends on the secret that is sent, which may come from the VM's environment, so that a configuration or a
    /// VM with another secret does not serve the page. With the salt, the key is no means to test a guess of the secret.
    /// It is for shared data only, never for a page or a log.
    #[must_use]
    pub fn key(&self, salt: &[u8], variable: impl FnOnce(&str) -> Option<String>) -> String {
        let mut hash = Fingerprint::new("source");
        hash.number(salt.len()).0.update(salt);
        hash.text(&self.cluster).text(&self.authority).text(&self.path).pairs(&self.labels);
        hash.texts(self.keep.iter().flatten()).texts(&self.drop);
        match self.credential.authorization(variable) {
            _ if matches!(self.credential, Credential::Forward) => hash.text("forward"),
            Ok(None) => hash.text("none"),
            Ok(Some(secret)) => hash.text("authorization").text(secret.expose()),
            // No request is sent.
            Err(_) => hash.credential(&self.credential, |secret| match secret {
                SecretSource::Literal(_) => ["literal", ""],
                SecretSource::Variable(name) => ["variable", name],
            }),
        };
        hash.hex(16)
    }
}

/// SHA-256 over parts, each with its length, so that different lists of parts have different hashes.
struct Fingerprint(Sha256);

impl Fingerprint {
    fn new(what: &str) -> Self {
        let mut fingerprint = Self(Sha256::new());
        fingerprint.text(what);
        fingerprint
    }

    fn number(&mut self, number: usize) -> &mut Self {
        self.0.update((number as u64).to_le_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.number(text.len()).0.update(text);
        self
    }

    fn texts<'a>(&mut self, texts: impl IntoIterator<Item = &'a String>) -> &mut Self {
        let texts: Vec<&String> = texts.into_iter().collect();
        self.number(texts.len());
        for text in texts {
            self.text(text);
        }
        self
    }

    fn pairs(&mut self, pairs: &[(String, String)]) -> &mut Self {
        self.texts(pairs.iter().flat_map(|(name, value)| [name, value]))
    }

    /// Adds a view, with sources by name: their indices depend on the order in the configuration.
    fn view(&mut self, sources: &[Source], view: &Visibility) -> &mut Self {
        let names = |place: &usize| sources.get(*place).map(|source| &source.name);
        let opened = view.sources.as_ref().map(|places| places.iter().filter_map(names));
        match opened {
            Some(names) => self.text("sources").texts(names),
            None => self.text("every source"),
        };
        match &view.families {
            Some(families) => self.text("families").texts(families),
            None => self.text("every family"),
        }
    }

    fn controller(&mut self, config: &Config) -> &mut Self {
        let Some(controller) = &config.auth.controller else { return self.text("no controller") };
        let Controller { cluster, authority, path, timeout, view, .. } = controller;
        self.text(cluster).text(authority).text(path).view(&config.sources, view);
        self.text(&controller.cookie);
        let Controller { allow_for, deny_for, allow_while_down_for, .. } = controller;
        for duration in [timeout, allow_for, deny_for, allow_while_down_for] {
            self.text(&format!("{duration:?}"));
        }
        self
    }

    fn source(&mut self, source: &Source) -> &mut Self {
        let Source { name, cluster, authority, path, labels, .. } = source;
        self.text(name).text(cluster).text(authority).text(path).pairs(labels);
        for duration in [source.interval, source.timeout, source.stale_after, source.idle_after] {
            self.text(&format!("{duration:?}"));
        }
        self.text(&format!("{:?}", source.gateway_families));
        match &source.keep {
            Some(keep) => self.text("keep").texts(keep),
            None => self.text("keep all"),
        };
        self.texts(&source.drop);
        self.credential(&source.credential, |secret| match secret {
            SecretSource::Literal(_) => ["literal", ""],
            SecretSource::Variable(name) => ["variable", name],
        })
    }

    fn credential<'a>(
        &mut self,
        credential: &'a Credential,
        shown: impl Fn(&'a SecretSource) -> [&'a str; 2],
    ) -> &mut Self {
        let (scheme, username, secret) = match credential {
            Credential::None => ("none", "", None),
            Credential::Forward => ("forward", "", None),
            Credential::Bearer(token) => ("bearer", "", Some(token)),
            Credential::Basic { username, password } => {
                ("basic", username.as_str(), Some(password))
            }
        };
        let [kind, value] = secret.map_or(["", ""], shown);
        self.text(scheme).text(username).text(kind).text(value)
    }

    /// The first `bytes` of the hash in hex.
    fn hex(self, bytes: usize) -> String {
        self.0.finalize().iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
    }
}
