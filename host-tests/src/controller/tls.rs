//! The stand-in's certificate, created at its start.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

const NAMES: [&str; 3] = ["127.0.0.1", "localhost", "controller.example"];

pub(super) struct Identity {
    /// PEM.
    pub(super) certificate: String,
    pub(super) acceptor: TlsAcceptor,
}

impl Identity {
    pub(super) fn generate() -> Self {
        let names = NAMES.map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).expect("the names are legal");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the default versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
            .expect("the key is the certificate's");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self { certificate: made.cert.pem(), acceptor }
    }
}
