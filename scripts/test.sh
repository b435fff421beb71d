#!/usr/bin/env bash
# Runs every test. Tests that need the reference data are named shared_*: required where it is, counted as skipped where not.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh scripts/packages-test.txt
scripts/axe.sh || echo "test: axe-core could not be fetched (see above): the test of the ops pages will fail" >&2
scripts/oidc.sh || echo "test: oidc-provider could not be fetched (see above): SKIPPED the login by it in a browser" >&2

# Holds the OpenAPI document against the service.
venv=.weir/test-venv
if ! cmp -s scripts/requirements-test.txt "$venv/installed.txt"; then
    echo "test: installing schemathesis into $venv" >&2
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --requirement scripts/requirements-test.txt
    cp scripts/requirements-test.txt "$venv/installed.txt"
fi

data=${WEIR_SHARED_DATA:-../shared/data}
absent=
if [ -f "$data/MANIFEST.csv" ]; then
    export WEIR_REQUIRE_SHARED=1
else
    absent=1
fi

# The TensorRT engine without a GPU: its C++ under sanitizers, then the engine over a fake library. That fake never gets into
# a release.
scripts/shim.sh
mock=(--locked -p weir-models --features tensorrt-mock)
if refusal=$(cargo check --release "${mock[@]}" 2>&1) || ! grep -q 'a release never has it' <<<"$refusal"; then
    echo "test: a release with the fake TensorRT was not refused:" >&2
    tail -5 <<<"$refusal" >&2
    exit 1
fi

# The gateway over that fake, which black-box tests start beside the real one.
cargo build --locked --profile mock -p weir --features tensorrt-mock
target=$(cargo metadata --no-deps --offline --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
fake=$(find "$target/mock/build" -path '*/weir-models-*/out/trtexec' -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2-)
export MOCK_WEIR=$target/mock/weir MOCK_TENSORRT=${fake%/trtexec}

# The binaries that black-box tests start.
cargo build --release --locked --workspace
if cargo nextest --version >/dev/null 2>&1; then
    filter='all()'
    if [ -n "$absent" ]; then
        filter='not test(/(^|::)shared_/)'
        count=$(cargo nextest list --release --locked --workspace --message-format oneline \
            -E 'test(/(^|::)shared_/)' | wc -l)
        echo "test: SKIPPED $count tests that need the reference data, which is not at $data"
    fi
    cargo nextest run --release --locked --workspace --no-fail-fast -E "$filter"
else
    echo "test: cargo-nextest is not here, using cargo test ('cargo install --locked cargo-nextest' gives the faster runner)"
    tests=(cargo test --release --locked --workspace --no-fail-fast --lib --bins --tests --)
    if [ -n "$absent" ]; then
        count=$("${tests[@]}" --list 2>/dev/null | grep -cE '(^|::)shared_.*: test$' || true)
        echo "test: SKIPPED $count tests that need the reference data, which is not at $data"
        tests+=(--skip shared_)
    fi
    "${tests[@]}"
fi
echo "test: the TensorRT engine over a fake library"
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run "${mock[@]}" --cargo-profile mock --no-fail-fast --lib -E 'test(/^tensorrt::/)'
else
    cargo test "${mock[@]}" --profile mock --lib tensorrt::
fi
echo "test: examples in the documentation"
cargo test --release --locked --workspace --doc --quiet
