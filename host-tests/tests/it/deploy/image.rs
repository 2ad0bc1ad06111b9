//! The image of `make image`, as independent tools read it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use host_tests::controller::{Controller, ControllerConfig};
use host_tests::gateway::{GatewaySpec, Host};
use host_tests::image::{Architecture, Image, MODULE_NAME};
use host_tests::tools::{self, Release};
use serde_json::Value;
use tempfile::TempDir;

use crate::stage::{TOKEN, Watched, cluster, plugin, until};

/// An image layout, and a place for what is read from it.
struct Layout {
    image: Image,
    files: TempDir,
}

impl Layout {
    fn new() -> Self {
        let module = fs::read(tools::module()).unwrap();
        let image = Image::new(&module, "1.2.3", Architecture::Amd64).unwrap();
        let files = tempfile::tempdir().unwrap();
        image.write_to(&files.path().join("layout")).unwrap();
        Self { image, files }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// The image as umoci and skopeo name it.
    fn reference(&self) -> String {
        format!("{}:{}", self.path("layout").display(), self.image.tag())
    }

    /// Copies the image with skopeo, which checks every digest, into a directory of plain files.
    fn copied(&self) -> PathBuf {
        let to = self.path("copy");
        let target = format!("dir:{}", to.display());
        skopeo(&["--insecure-policy", "copy", &format!("oci:{}", self.reference()), &target]);
        to
    }

    /// Unpacks the image with umoci, and returns its root directory.
    fn unpacked(&self) -> PathBuf {
        let bundle = self.path("bundle");
        let mut umoci = Command::new(tools::command("umoci"));
        umoci.args(["unpack", "--rootless", "--image", &self.reference()]).arg(&bundle);
        succeeded(umoci);
        bundle.join("rootfs")
    }
}

fn skopeo(arguments: &[&str]) -> String {
    let mut skopeo = Command::new(tools::command("skopeo"));
    skopeo.args(arguments);
    String::from_utf8(succeeded(skopeo).stdout).unwrap()
}

fn succeeded(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[test]
fn skopeo_reads_one_layer_of_the_type_that_istio_and_envoy_gateway_take() {
    let layout = Layout::new();
    let copy = layout.copied();
    let manifest = json(&copy.join("manifest.json"));
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1, "{manifest}");
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    let digest = skopeo(&["manifest-digest", copy.join("manifest.json").to_str().unwrap()]);
    assert_eq!(digest.trim(), format!("sha256:{}", layout.image.sha256()));
}

#[test]
fn the_layer_contains_the_module_and_nothing_else() {
    let layout = Layout::new();
    let root = layout.unpacked();
    let names: Vec<_> = fs::read_dir(&root).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, [MODULE_NAME]);
    assert_eq!(fs::read(root.join(MODULE_NAME)).unwrap(), fs::read(tools::module()).unwrap());
}

#[test]
fn the_image_says_what_it_is_in_annotations_and_in_labels() {
    let layout = Layout::new();
    let manifest = json(&layout.copied().join("manifest.json"));
    let inspected = skopeo(&["inspect", "--config", &format!("oci:{}", layout.reference())]);
    let config: Value = serde_json::from_str(&inspected).unwrap();
    let annotations = &manifest["annotations"];
    assert_eq!(annotations["org.opencontainers.image.title"], "awx-metrics-filter");
    assert_eq!(annotations["org.opencontainers.image.version"], "1.2.3");
    assert_eq!(annotations["org.opencontainers.image.licenses"], "Apache-2.0");
    assert_eq!(&config["config"]["Labels"], annotations);
}

#[test]
fn two_builds_write_the_same_bytes() {
    let [one, other] = [(); 2].map(|()| Layout::new());
    let [files, others] = [&one, &other].map(|layout| contents(&layout.path("layout")));
    assert_eq!(files.len(), 5, "two files of the layout and three blobs");
    assert_eq!(files, others);
    assert_eq!(one.image.sha256(), other.image.sha256());
}

#[test]
fn the_program_prints_the_digests_that_manifests_need() {
    let files = tempfile::tempdir().unwrap();
    let layout = files.path().join("image");
    let mut program = Command::new(env!("CARGO_BIN_EXE_image"));
    program.arg(&layout).env("AWX_METRICS_FILTER_WASM", tools::module());
    let printed = String::from_utf8(succeeded(program).stdout).unwrap();
    let index = json(&layout.join("index.json"));
    let digest = index["manifests"][0]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    assert!(printed.contains(digest), "{printed}");
    let mut sha256sum = Command::new("sha256sum");
    sha256sum.arg(tools::module());
    let sha256sum = String::from_utf8(succeeded(sha256sum).stdout).unwrap();
    assert!(printed.contains(sha256sum.split(' ').next().unwrap()), "{printed}");
}

/// All files below a directory, by their paths in it.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().to_owned();
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_module_of_the_image_runs_in_envoy() {
    let layout = Layout::new();
    let controller = Controller::start(ControllerConfig::default());
    let mut spec = GatewaySpec::new(&plugin(0)).cluster(&cluster(0), controller.address());
    spec.listeners[0].upstream = cluster(0);
    spec.module = layout.unpacked().join(MODULE_NAME);
    let gateway = Watched::start(Host::Envoy(Release::Newest), &spec).await;
    let prometheus = gateway.client().bearer(TOKEN);
    let page = until(&prometheus, "", |page| page.contains("awx_sessions_total{")).await;
    assert!(page.contains("awx_gateway_source_up{"), "{page}");
}
