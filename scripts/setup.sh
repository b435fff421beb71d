#!/usr/bin/env bash
# setup.sh [PACKAGES…]: installs what is missing to build, test and run Weir on Debian 12, and the packages of further
# lists. Does nothing, fast, where nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else die "cannot run '$*': be root or install sudo"; fi
}

apt_install() {
    command -v apt-get >/dev/null || die "no apt-get here; install by hand: $*"
    say "installing by apt: $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

installed() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

packages() {
    local missing=() name
    while read -r name _; do
        case "$name" in '' | '#'*) continue ;; esac
        installed "$name" || missing+=("$name")
    done < <(cat scripts/packages.txt "$@")
    [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

# The ONNX Runtime library out of its pinned Python wheel. Wheel and library are both checked by hash.
onnxruntime() {
    local version=1.23.2 library=.weir/lib/libonnxruntime.so platform want
    case "$(uname -m)" in
    x86_64)
        platform=manylinux_2_28_x86_64
        want=718c3fb0785d5ea06061b92c32ce4ad35be1bd4c71ae6192efe06f1ab21f0f8a ;;
    aarch64)
        platform=manylinux_2_28_aarch64
        want=ab8c4363e06ac80b3d1279ea55ebea44e906c5b131ba783ff684a067540c0e94 ;;
    *) die "no ONNX Runtime is pinned for $(uname -m); put your own in place and set WEIR_ONNXRUNTIME" ;;
    esac
    if [ -f "$library" ]; then
        echo "$want  $library" | sha256sum --check --status && return
        say "$library is not the pinned one: fetching it again"
    fi
    local python=python3
    if ! $python -m pip --version >/dev/null 2>&1; then
        python=/usr/bin/python3
        $python -m pip --version >/dev/null 2>&1 || apt_install python3 python3-pip
    fi
    say "fetching ONNX Runtime $version ($platform) with pip and checking its hash"
    local temporary
    temporary=$(mktemp -d)
    # Only the library inside is used, so the Python version of the wheel does not matter.
    $python -m pip download --quiet --no-deps --only-binary=:all: --platform "$platform" \
        --python-version 311 --implementation cp --require-hashes --dest "$temporary" \
        --requirement scripts/onnxruntime.txt >&2
    $python - "$temporary" "onnxruntime/capi/libonnxruntime.so.$version" <<'PYTHON'
import pathlib, sys, zipfile
folder, member = pathlib.Path(sys.argv[1]), sys.argv[2]
(wheel,) = folder.glob("*.whl")
(folder / "library").write_bytes(zipfile.ZipFile(wheel).read(member))
PYTHON
    echo "$want  $temporary/library" | sha256sum --check --status ||
        die "the ONNX Runtime library in the wheel does not have the pinned hash; nothing was installed"
    mkdir -p .weir/lib
    # Move within one file system, so that nobody ever sees half a library.
    cp "$temporary/library" "$library.new"
    mv "$library.new" "$library"
    rm -rf "$temporary"
}

command -v cargo >/dev/null || die "cargo is missing: install the Rust toolchain (rustup), then run this again"
packages "$@"
onnxruntime
