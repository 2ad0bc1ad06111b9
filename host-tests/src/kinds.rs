//! Checks Kubernetes manifests against the types of their kinds, strictly: an unknown field is refused, wherever it is.
//!
//! `kubernetes-models` and its sister packages contain the projects' own definitions as TypeScript types and as validators.
//! The compiler refuses an unknown field of an object literal, and the validators check what a type cannot say, such as a
//! pattern or a bound. The types that no package contains are in `host-tests/fixtures/kinds`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::tools;

/// A manifest to check.
#[derive(Clone, Debug)]
pub struct Manifest<'a> {
    /// The document.
    pub document: &'a Value,
    /// True if it is a strategic merge patch, in which every field may be left out.
    pub is_patch: bool,
}

/// Why a check has no result.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A manifest has no `apiVersion` or no `kind`, or one of a group that is not known here.
    #[error("no types for {api_version} {kind}")]
    UnknownKind {
        /// The manifest's `apiVersion`.
        api_version: String,
        /// The manifest's `kind`.
        kind: String,
    },
    /// A file could not be written, or a program not be started.
    #[error("not checked: {0}")]
    NotChecked(#[from] io::Error),
    /// The compiler or the validators failed in another way than by refusing a manifest.
    #[error("not checked: {0}")]
    Failed(String),
}

/// Why manifests are refused, by their places in the list. A manifest that is accepted has no entry.
pub type Refusals = BTreeMap<usize, Vec<String>>;

/// Checks manifests, and returns why each of those that are refused is.
///
/// # Errors
/// See [`CheckError`].
///
/// # Panics
/// If `make tools` did not install Node.js and the types.
pub fn check(manifests: &[Manifest<'_>]) -> Result<Refusals, CheckError> {
    let folder = tempfile::tempdir()?;
    prepare(folder.path())?;
    for (place, manifest) in manifests.iter().enumerate() {
        fs::write(folder.path().join(format!("manifest-{place}.ts")), source(manifest)?)?;
    }
    let mut refusals = Refusals::new();
    for line in compiler(folder.path())?.lines().chain(validators(folder.path())?.lines()) {
        if let Some((place, reason)) = refusal(line) {
            refusals.entry(place).or_default().push(reason.to_owned());
        } else if !line.starts_with(' ') {
            return Err(CheckError::Failed(line.to_owned()));
        }
    }
    Ok(refusals)
}

/// Places beside the files of the manifests what they need.
fn prepare(folder: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(tools::kinds().join("node_modules"), folder.join("node_modules"))?;
    let own = tools::repository().join("host-tests/fixtures/kinds");
    for file in fs::read_dir(own)? {
        let file = file?;
        fs::copy(file.path(), folder.join(file.file_name()))?;
    }
    let options = json!({
        "allowImportingTsExtensions": true, "module": "nodenext", "noEmit": true, "preserveSymlinks": true,
        "skipLibCheck": true, "strict": true, "target": "esnext", "types": [],
    });
    let config = json!({"compilerOptions": options, "include": ["*.ts"]});
    fs::write(folder.join("tsconfig.json"), config.to_string())?;
    fs::write(folder.join("package.json"), json!({"type": "module"}).to_string())?;
    fs::write(folder.join("validate.mjs"), VALIDATE)
}

/// Runs each manifest's file. A validator throws an error.
const VALIDATE: &str = r#"
import { readdirSync } from "node:fs";
for (const file of readdirSync(import.meta.dirname)) {
  if (!file.startsWith("manifest-")) continue;
  await import(`./${file}`).catch((error) => console.log(`${file}: ${error.message.replaceAll("\n", " ")}`));
}
"#;

/// The manifest as an object literal, of which the compiler knows the type.
fn source(manifest: &Manifest<'_>) -> Result<String, CheckError> {
    let field = |name| manifest.document[name].as_str().unwrap_or_default();
    let (api_version, kind) = (field("apiVersion"), field("kind"));
    let Some(types) = types(api_version) else {
        return Err(CheckError::UnknownKind { api_version: api_version.into(), kind: kind.into() });
    };
    let document = manifest.document;
    let module = |package: &str| format!("{package}/{api_version}/{kind}");
    let (class, interface) = match types {
        Types::Package(package) => (Some(module(package)), module(package)),
        Types::Own(file) => (None, format!("./{file}")),
        Types::Both(package, file) => (Some(module(package)), format!("./{file}")),
    };
    let imports = format!("import type {{ I{kind} }} from \"{interface}\";\n");
    Ok(match class {
        _ if manifest.is_patch => format!(
            "{imports}import type {{ Patch }} from \"./patch.ts\";\nconst manifest: Patch<I{kind}> = {document};\n"
        ),
        None => format!("{imports}const manifest: I{kind} = {document};\n"),
        Some(class) => format!(
            "{imports}import {{ {kind} }} from \"{class}\";\nconst manifest: I{kind} = {document};\n\
             new {kind}(manifest).validate();\n"
        ),
    })
}

/// Where the types of a group are.
enum Types {
    /// In a package, which has validators too.
    Package(&'static str),
    /// In a file of `host-tests/fixtures/kinds`.
    Own(&'static str),
    /// In such a file, while a package has the validators.
    Both(&'static str, &'static str),
}

fn types(api_version: &str) -> Option<Types> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    Some(match group {
        "" | "apps" | "policy" | "networking.k8s.io" => Types::Package("kubernetes-models"),
        "gateway.networking.k8s.io" => Types::Package("@kubernetes-models/gateway-api"),
        "monitoring.coreos.com" => Types::Package("@kubernetes-models/prometheus-operator"),
        "gateway.envoyproxy.io" => Types::Own("envoy-gateway.ts"),
        "kustomize.config.k8s.io" => Types::Own("kustomize.ts"),
        "security.istio.io" => Types::Both("@kubernetes-models/istio", "istio.ts"),
        _ if group.ends_with(".istio.io") => Types::Package("@kubernetes-models/istio"),
        _ => return None,
    })
}

/// Returns the compiler's output: a line for each error, with the file first.
fn compiler(folder: &Path) -> Result<String, CheckError> {
    let compiler = tools::kinds().join("node_modules/typescript/bin/tsc");
    let mut command = Command::new(tools::node());
    command.arg(compiler).args(["--pretty", "false"]);
    printed(&mut command, folder)
}

/// Returns the validators' output, in the same form.
fn validators(folder: &Path) -> Result<String, CheckError> {
    printed(Command::new(tools::node()).arg("validate.mjs"), folder)
}

/// Returns a program's output. A program that fails and prints nothing has checked nothing.
fn printed(command: &mut Command, folder: &Path) -> Result<String, CheckError> {
    let output = command.current_dir(folder).output()?;
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if printed.is_empty() && !output.status.success() {
        return Err(CheckError::Failed(output.status.to_string()));
    }
    Ok(printed)
}

/// Reads `manifest-3.ts(2,5): reason`.
fn refusal(line: &str) -> Option<(usize, &str)> {
    let (place, rest) = line.strip_prefix("manifest-")?.split_once(".ts")?;
    Some((place.parse().ok()?, rest.split_once(": ")?.1))
}
