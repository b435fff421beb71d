#!/usr/bin/env bash
# Builds `weir` for aarch64 on a PC: by `cross` where that and docker are here, else with Debian's compiler and a sysroot of
# Debian's packages for arm64, unpacked into .weir/sysroot-arm64 and nowhere else. CROSS_COMMAND=check only reads the sources.
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
command=${CROSS_COMMAND:-build}
say() { echo "cross: $*" >&2; }

if command -v cross >/dev/null && docker info >/dev/null 2>&1; then
    CROSS_CONFIG=$PWD/cross.toml exec cross "$command" --release --locked --target "$target" -p weir
fi

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
if ! command -v aarch64-linux-gnu-g++ >/dev/null; then
    say "installing by apt: g++-aarch64-linux-gnu"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends g++-aarch64-linux-gnu >/dev/null
fi
rustup target list --installed | grep -qx "$target" || rustup target add "$target"

sysroot=$PWD/.weir/sysroot-arm64
if [ ! -f "$sysroot/complete" ]; then
    say "fetching GStreamer for arm64 into $sysroot"
    rm -rf "$sysroot"
    mkdir -p "$sysroot/apt/lists/partial" "$sysroot/apt/cache/archives/partial"
    : >"$sysroot/apt/status"
    # An apt of its own, of another architecture, which knows of nothing that is installed here.
    apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=
        -o Dir::State="$sysroot/apt" -o Dir::State::lists="$sysroot/apt/lists" -o Dir::State::status="$sysroot/apt/status"
        -o Dir::Cache="$sysroot/apt/cache" -o Debug::NoLocking=1)
    "${apt[@]}" update
    "${apt[@]}" install -y --no-install-recommends --download-only libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev >/dev/null
    for package in "$sysroot"/apt/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$sysroot"
    done
    rm -rf "$sysroot/apt"
    touch "$sysroot/complete"
fi

libraries=$sysroot/usr/lib/aarch64-linux-gnu
export PKG_CONFIG_ALLOW_CROSS=1 PKG_CONFIG_SYSROOT_DIR=$sysroot
export PKG_CONFIG_LIBDIR=$libraries/pkgconfig:$sysroot/usr/share/pkgconfig
export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
# What those libraries themselves need is found beside them.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-L $libraries -C link-arg=-Wl,-rpath-link,$libraries -C link-arg=-Wl,-rpath-link,$sysroot/lib/aarch64-linux-gnu"
cargo "$command" --release --locked --target "$target" -p weir
say "done ($command, $target)"
