//! The listener's certificate.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate chain and its key, as PEM.
#[derive(Clone)]
pub struct Identity {
    /// The chain, the listener's own first.
    pub certificate_pem: String,
    /// The key.
    pub key_pem: String,
}

impl Identity {
    /// A new self-signed certificate for `localhost` and 127.0.0.1.
    ///
    /// # Panics
    /// If the machine has no random generator.
    #[must_use]
    pub fn self_signed() -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("the names are legal");
        Self { certificate_pem: made.cert.pem(), key_pem: made.signing_key.serialize_pem() }
    }

    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, String> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(self.certificate_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .map_err(|error| error.to_string())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| error.to_string())?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Identity").finish_non_exhaustive()
    }
}
