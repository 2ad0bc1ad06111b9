//! An HTTP client for tests: one connection per request, no redirects, no retries, no added header except `host`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// The longest time until a reply.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends requests to one address.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    tls: Option<TlsConnector>,
    headers: Vec<(HeaderName, HeaderValue)>,
    from: Option<IpAddr>,
}

/// Why there was no reply.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection or its TLS failed.
    #[error("the connection: {0}")]
    Connection(#[from] std::io::Error),
    /// The reply was not HTTP, or ended early.
    #[error("the exchange: {0}")]
    Exchange(#[from] hyper::Error),
    /// The reply did not come, or not completely.
    #[error("no reply within {PATIENCE:?}")]
    TimedOut,
}

impl Client {
    /// A client over plain HTTP.
    #[must_use]
    pub fn http(address: SocketAddr) -> Self {
        Self { address, tls: None, headers: Vec::new(), from: None }
    }

    /// A client over TLS that trusts only one authority, given by its certificate as PEM.
    ///
    /// # Panics
    /// If the certificate is not one.
    #[must_use]
    pub fn https(address: SocketAddr, authority: &str) -> Self {
        let authority = CertificateDer::from_pem_slice(authority.as_bytes()).expect("PEM");
        let mut roots = RootCertStore::empty();
        roots.add(authority).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { tls: Some(TlsConnector::from(Arc::new(config))), ..Self::http(address) }
    }

    /// The address it sends to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same client at another address of this machine.
    #[must_use]
    pub fn at(self, address: IpAddr) -> Self {
        Self { from: Some(address), ..self }
    }

    /// The same client, with one more header on each request, of any bytes that HTTP allows.
    ///
    /// # Panics
    /// If HTTP does not allow them.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::try_from(name).expect("a header's name");
        let value = HeaderValue::from_bytes(value.as_ref()).expect("a header's value");
        self.headers.push((name, value));
        self
    }

    /// The same client, with a bearer token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// The same client, with a user's name and password.
    #[must_use]
    pub fn basic(self, user: &str, password: &str) -> Self {
        self.header(
            "authorization",
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
        )
    }

    /// GET.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get(&self, path: &str) -> Result<Response<Bytes>, ClientError> {
        self.request(Method::GET, path, Bytes::new()).await
    }

    /// Sends a request of any method and with any body.
    ///
    /// # Errors
    /// See [`ClientError`].
    ///
    /// # Panics
    /// If the path is not one.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Response<Bytes>, ClientError> {
        let mut request = Request::builder().method(method).uri(path);
        if !self.headers.iter().any(|(name, _)| name == header::HOST) {
            request = request.header(header::HOST, self.address.to_string());
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.into())).expect("a path");
        tokio::time::timeout(PATIENCE, self.send(request))
            .await
            .map_err(|_| ClientError::TimedOut)?
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = match self.address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        if let Some(from) = self.from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        socket.connect(self.address).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, ClientError> {
        let stream = self.connect().await?;
        match &self.tls {
            None => exchange(stream, request).await,
            Some(tls) => {
                let name = ServerName::from(self.address.ip());
                exchange(tls.connect(name, stream).await?, request).await
            }
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, ClientError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(head, body))
}
