//! A certificate for this machine, made at run time, so that the repository contains no private key.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// The names that it is valid for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate with its key, and the authority that signed it.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate, PEM.
    pub pem: String,
    /// Its private key, PEM.
    pub key: String,
    /// The authority's certificate, PEM. Clients trust it.
    pub authority: String,
}

/// A certificate as files.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority's certificate.
    pub authority: PathBuf,
}

impl Certificate {
    /// A new certificate for `localhost` and the loopback addresses.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn for_this_machine() -> Result<Self, rcgen::Error> {
        let (authority, issuer) = authority()?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
        params.distinguished_name.push(DnType::CommonName, "localhost");
        Ok(Self {
            pem: params.signed_by(&key, &issuer)?.pem(),
            key: key.serialize_pem(),
            authority: authority.pem(),
        })
    }

    /// Writes `certificate.pem`, `key.pem` and `authority.pem` into a directory, readable by this user only.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write_to(&self, directory: &Path) -> io::Result<CertificateFiles> {
        let write = |name: &str, content: &str| {
            let path = directory.join(name);
            let mut options = File::options();
            options.write(true).create(true).truncate(true).mode(0o600);
            options.open(&path)?.write_all(content.as_bytes())?;
            Ok::<_, io::Error>(path)
        };
        Ok(CertificateFiles {
            certificate: write("certificate.pem", &self.pem)?,
            key: write("key.pem", &self.key)?,
            authority: write("authority.pem", &self.authority)?,
        })
    }
}

fn authority() -> Result<(rcgen::Certificate, Issuer<'static, KeyPair>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "made at run time for this machine");
    Ok((params.self_signed(&key)?, Issuer::new(params, key)))
}
