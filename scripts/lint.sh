#!/usr/bin/env bash
# All checks that need no run: format, clippy, documentation, dependencies.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh

scripts/setup.sh scripts/packages-test.txt

step() { echo "lint: $*"; }

step "format"
cargo fmt --all --check
step "systemd units"
scripts/units.sh
step "clippy"
cargo clippy --release --locked --workspace --all-targets --quiet -- -D warnings
step "clippy: the TensorRT engine, against the header of its tests"
TENSORRT_INCLUDE_DIR=$PWD/models/src/tensorrt/mock cargo clippy --release --locked -p weir-models --features tensorrt --quiet -- -D warnings
step "documentation"
RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --release --locked --workspace --no-deps --document-private-items --quiet
step "unused dependencies"
tool cargo-machete 0.9.2
cargo machete
step "bans, licences, sources of dependencies"
tool cargo-deny 0.20.2
cargo deny --log-level error check --hide-inclusion-graph bans licenses sources
