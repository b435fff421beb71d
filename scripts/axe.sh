#!/usr/bin/env bash
# axe-core, which looks for what people with assistive technology stumble over; for the tests of pages alone. Pinned, checked by hash.
set -euo pipefail
cd "$(dirname "$0")/.."

version=4.14.1
want=29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c
folder=.weir/axe-core

if [ -f "$folder/axe.min.js" ] && echo "$want  $folder/axe.min.js" | sha256sum --check --status; then
    exit 0
fi
echo "axe: fetching axe-core $version into $folder" >&2
command -v npm >/dev/null || scripts/setup.sh <(echo npm)
rm -rf "$folder"
mkdir -p "$folder"
(cd "$folder" && npm pack --silent "axe-core@$version" >/dev/null && tar -xzf ./*.tgz --strip-components=1 package/axe.min.js package/LICENSE && rm ./*.tgz)
echo "$want  $folder/axe.min.js" | sha256sum --check --quiet
