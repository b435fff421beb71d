#!/usr/bin/env bash
# A provider of identities that others made (oidc-provider, npm), for one test of the ops screens. Pinned with all that it needs, checked by hash.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=.weir/oidc-provider

if cmp -s tests/oidc-provider/package-lock.json "$folder/installed.json"; then
    exit 0
fi
echo "oidc: fetching oidc-provider into $folder" >&2
command -v npm >/dev/null || scripts/setup.sh <(echo npm)
rm -rf "$folder"
mkdir -p "$folder"
cp tests/oidc-provider/package.json tests/oidc-provider/package-lock.json "$folder"
(cd "$folder" && npm ci --silent --ignore-scripts --no-audit --no-fund)
cp tests/oidc-provider/package-lock.json "$folder/installed.json"
