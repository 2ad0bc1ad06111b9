//! The module as an OCI image, as Istio and Envoy Gateway pull it: one `tar+gzip` layer that contains `plugin.wasm`.
//!
//! Both take this form ("compat" in the Wasm image specification) and no other that they have in common. The bytes depend
//! on the module, the version and the platform alone: the times are fixed, the tar header names no user, and the compressor
//! is miniz_oxide itself. flate2 would use whichever backend another crate of the build selects, and some of those write
//! other bytes on other processors.

use std::fs;
use std::io;
use std::path::Path;

use miniz_oxide::deflate::compress_to_vec;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The name of the module in the layer. Istio and Envoy Gateway look for this name.
pub const MODULE_NAME: &str = "plugin.wasm";

const CREATED: &str = "1970-01-01T00:00:00Z";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// RFC 1952: deflate, no name, no time, the strongest compression, an unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff];

/// The strongest level of miniz_oxide that still is a zlib level.
const COMPRESSION: u8 = 9;

/// The platform that the image names. Istio and Envoy Gateway ignore it. containerd unpacks an image volume only on nodes of
/// this platform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Architecture {
    /// `linux/amd64`.
    #[default]
    Amd64,
    /// `linux/arm64`.
    Arm64,
}

impl Architecture {
    /// Reads an architecture as Go and Kubernetes write it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "amd64" => Some(Self::Amd64),
            "arm64" => Some(Self::Arm64),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// An image in memory.
#[derive(Clone, Debug)]
pub struct Image {
    tag: String,
    module_sha256: String,
    layer: Blob,
    config: Blob,
    manifest: Blob,
}

/// Bytes under their digest.
#[derive(Clone, Debug)]
struct Blob {
    media_type: &'static str,
    bytes: Vec<u8>,
    sha256: String,
}

impl Image {
    /// Builds the image of a module. Its tag is the version. The keys of the documents are sorted here, so that the bytes
    /// are the same if another crate of the build makes `serde_json` keep their order.
    ///
    /// # Errors
    /// If the module does not fit into a tar archive.
    pub fn new(module: &[u8], version: &str, architecture: Architecture) -> io::Result<Self> {
        let tar = archive(module)?;
        let layer = Blob::new(LAYER, gzip(&tar));
        let config = Blob::json(
            CONFIG,
            &json!({
                "architecture": architecture.name(),
                "config": {"Labels": annotations(version)},
                "created": CREATED,
                "history": [{"created": CREATED, "created_by": "make image"}],
                "os": "linux",
                "rootfs": {"diff_ids": [digest(&sha256(&tar))], "type": "layers"},
            }),
        );
        let manifest = Blob::json(
            MANIFEST,
            &json!({
                "annotations": annotations(version),
                "config": config.descriptor(),
                "layers": [layer.descriptor()],
                "mediaType": MANIFEST,
                "schemaVersion": 2,
            }),
        );
        let (tag, module_sha256) = (version.to_owned(), sha256(module));
        Ok(Self { tag, module_sha256, layer, config, manifest })
    }

    /// The SHA-256 of the module, in hex.
    #[must_use]
    pub fn module_sha256(&self) -> &str {
        &self.module_sha256
    }

    /// The SHA-256 of the manifest, in hex: what `@sha256:` and the field `sha256` of a WasmPlugin or an
    /// EnvoyExtensionPolicy name.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.manifest.sha256
    }

    /// The tag in the layout.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Writes an OCI image layout, which replaces whatever the directory contains.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write_to(&self, directory: &Path) -> io::Result<()> {
        if directory.exists() {
            fs::remove_dir_all(directory)?;
        }
        let blobs = directory.join("blobs/sha256");
        fs::create_dir_all(&blobs)?;
        for blob in [&self.layer, &self.config, &self.manifest] {
            fs::write(blobs.join(&blob.sha256), &blob.bytes)?;
        }
        let mut entry = self.manifest.descriptor();
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": self.tag});
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        fs::write(directory.join("index.json"), index.to_string())?;
        fs::write(directory.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())
    }
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        let sha256 = sha256(&bytes);
        Self { media_type, bytes, sha256 }
    }

    fn json(media_type: &'static str, document: &Value) -> Self {
        Self::new(media_type, document.to_string().into_bytes())
    }

    fn descriptor(&self) -> Value {
        json!({"digest": digest(&self.sha256), "mediaType": self.media_type, "size": self.bytes.len()})
    }
}

/// The keys of the OCI image specification, section "Annotations".
fn annotations(version: &str) -> Value {
    json!({
        "org.opencontainers.image.created": CREATED,
        "org.opencontainers.image.description":
            "A proxy-wasm filter that answers the automation controller's /api/v2/metrics at the gateway",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.title": "awx-metrics-filter",
        "org.opencontainers.image.version": version,
    })
}

/// A tar archive of the module alone, owned by root, of 1970.
fn archive(module: &[u8]) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(module.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, MODULE_NAME, module)?;
    archive.into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut member = GZIP_HEADER.to_vec();
    member.extend(compress_to_vec(bytes, COMPRESSION));
    member.extend(crc32fast::hash(bytes).to_le_bytes());
    // RFC 1952 stores the length modulo 2^32.
    member.extend((bytes.len() as u64).to_le_bytes().iter().take(4));
    member
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(sha256: &str) -> String {
    format!("sha256:{sha256}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    fn image(module: &[u8], version: &str) -> Image {
        Image::new(module, version, Architecture::Amd64).unwrap()
    }

    #[test]
    fn the_digest_of_a_known_module_does_not_change() {
        let image = image(MODULE, "1.2.3");
        assert_eq!(
            image.module_sha256(),
            // echo -ne '\0asm\x01\0\0\0' | sha256sum
            "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476"
        );
        assert_eq!(
            image.sha256(),
            "0c13bf77b60debcc5fa43651d1cb02c0b5cfce99abb38e743fc4e2c77c6820d7"
        );
    }

    #[test]
    fn another_module_version_or_platform_has_another_digest() {
        let digests = [
            image(MODULE, "1.2.3"),
            image(b"\0asm\x02\0\0\0", "1.2.3"),
            image(MODULE, "1.2.4"),
            Image::new(MODULE, "1.2.3", Architecture::Arm64).unwrap(),
        ]
        .map(|image| image.sha256().to_owned());
        for (place, digest) in digests.iter().enumerate() {
            assert!(!digests[place + 1..].contains(digest), "{digests:?}");
        }
    }

    #[test]
    fn a_layout_replaces_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let layout = directory.path().join("image");
        image(MODULE, "1.2.3").write_to(&layout).unwrap();
        image(MODULE, "1.2.4").write_to(&layout).unwrap();
        assert_eq!(fs::read_dir(layout.join("blobs/sha256")).unwrap().count(), 3);
        let index: Value =
            serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let tag = &index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"];
        assert_eq!(tag, "1.2.4");
    }
}
