#!/usr/bin/env bash
# bench.sh WEIR [ARGUMENTS]: measures the gateway under load, puts the peer's Python environment in place, then measures
# side by side.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh scripts/packages-bench.txt
venv=.weir/bench-venv
if ! cmp -s benches/requirements.txt "$venv/installed.txt"; then
    echo "bench: installing the peer's Python packages into $venv" >&2
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --prefer-binary --requirement benches/requirements.txt
    cp benches/requirements.txt "$venv/installed.txt"
fi
load=$(dirname "$1")/weir-load
"$load" gate accepts photos batcher
echo
echo "## Replication: bytes on the wire, ingest, directives, a long and bad way, a fleet, queries"
scripts/setup.sh scripts/packages-test.txt
cargo bench --locked --workspace --bench wire --bench ingest --bench directives --bench wan --bench fleet --bench queries
# int8 variants need weights, and pictures of the kind that the box will see.
if [ -n "${WEIR_MODELS:-}" ] && [ -n "${WEIR_IMAGES:-}" ]; then
    echo
    echo "## int8 variants (pictures of $WEIR_IMAGES)"
    quantise=.weir/quantise-venv
    if ! cmp -s benches/quantise/requirements.txt "$quantise/installed.txt"; then
        rm -rf "$quantise"
        python3 -m venv "$quantise"
        "$quantise/bin/python" -m pip install --quiet --requirement benches/quantise/requirements.txt
        cp benches/quantise/requirements.txt "$quantise/installed.txt"
    fi
    "$quantise/bin/python" benches/quantise/quantise.py --models "$WEIR_MODELS" --images "$WEIR_IMAGES" --out .bench/int8
fi
exec "$venv/bin/python" benches/bench.py "$@"
