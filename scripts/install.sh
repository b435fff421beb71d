#!/usr/bin/env bash
# install.sh BUILD: puts binaries, ONNX Runtime, units and documents below $DESTDIR$PREFIX (PREFIX is /usr unless said
# otherwise), and settings into $DESTDIR/etc/weir where there are none.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
prefix=${PREFIX:-/usr}
root=${DESTDIR:-}
to=$root$prefix

put() { install -D --mode "$1" "$2" "$3"; }

put 755 "$build/weir" "$to/bin/weir"
put 755 "$build/weir-hub" "$to/bin/weir-hub"
put 755 "$build/weir-sandbox" "$to/libexec/weir/weir-sandbox"
put 644 .weir/lib/libonnxruntime.so "$to/lib/weir/libonnxruntime.so"
for profile in profiles/*.toml; do put 644 "$profile" "$to/share/weir/profiles/$(basename "$profile")"; done
for document in docs/*.md README.md CHANGELOG.md; do put 644 "$document" "$to/share/doc/weir/$(basename "$document")"; done
unit=$(mktemp)
trap 'rm -f "$unit"' EXIT
for name in weir weir-hub; do
    sed "s|^ExecStart=/usr/bin/|ExecStart=$prefix/bin/|; s|file:///usr/share|file://$prefix/share|" "systemd/$name.service" >"$unit"
    put 644 "$unit" "$to/lib/systemd/system/$name.service"
done
put 644 systemd/weir.service.d-gpu.conf "$to/share/doc/weir/weir.service.d-gpu.conf"
put 644 systemd/weir.sysusers "$to/lib/sysusers.d/weir.conf"
put 644 systemd/weir-hub.sysusers "$to/lib/sysusers.d/weir-hub.conf"
put 644 systemd/weir.tmpfiles "$to/lib/tmpfiles.d/weir.conf"
[ -e "$root/etc/weir/weir.toml" ] || put 640 systemd/weir.toml "$root/etc/weir/weir.toml"
if [ -n "$root" ]; then
    echo "install: staged below $root"
elif [ -d /run/systemd/system ]; then
    systemd-sysusers "$to/lib/sysusers.d/weir.conf" "$to/lib/sysusers.d/weir-hub.conf"
    systemd-tmpfiles --create "$to/lib/tmpfiles.d/weir.conf"
    chgrp weir /etc/weir/weir.toml
    systemctl daemon-reload
    echo "install: done; 'systemctl enable --now weir' starts it"
fi
