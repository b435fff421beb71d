#!/usr/bin/env bash
# units.sh: systemd's own look at the units. Needs no running systemd.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# A lint builds nothing: a program that is there stands for the one that is not yet.
for with in plain gpu; do
    mkdir -p "$folder/$with/weir.service.d"
    sed -E "s,^(Exec(Start|Reload))=/usr/bin/weir ,\1=/bin/true ," systemd/weir.service >"$folder/$with/weir.service"
    [ "$with" = plain ] || cp systemd/weir.service.d-gpu.conf "$folder/$with/weir.service.d/gpu.conf"
    said=$(SYSTEMD_UNIT_PATH="$folder/$with:" systemd-analyze verify --man=no "$folder/$with/weir.service" 2>&1) || { echo "$said"; exit 1; }
    # Mistakes in single lines are told and no failure.
    said=$(grep -F "$folder" <<<"$said" || true)
    [ -z "$said" ] || { echo "$said"; exit 1; }
done
sed "s,^ExecStart=/usr/bin/weir-hub ,ExecStart=/bin/true ," systemd/weir-hub.service >"$folder/weir-hub.service"
said=$(SYSTEMD_UNIT_PATH="$folder:" systemd-analyze verify --man=no "$folder/weir-hub.service" 2>&1) || { echo "$said"; exit 1; }
said=$(grep -F "$folder" <<<"$said" || true)
[ -z "$said" ] || { echo "$said"; exit 1; }
# In tenths: 15 is an exposure of 1.5.
for unit in weir weir-hub; do
    systemd-analyze security --offline=true --threshold=15 --no-pager "systemd/$unit.service" >"$folder/security" || {
        cat "$folder/security"
        exit 1
    }
    systemd-sysusers --dry-run "$PWD/systemd/$unit.sysusers" >"$folder/sysusers" 2>&1 || { cat "$folder/sysusers"; exit 1; }
done
