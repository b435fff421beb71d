#!/usr/bin/env bash
# run.sh WEIR SAMPLES: shows the verdicts on the sample media. Rejected samples are what it is about, so exit 1 is fine.
set -euo pipefail
weir=$1 samples=$2
code=0
"$weir" check --profile starter --bank "$samples/bank.toml" "$samples/media" || code=$?
[ "$code" -le 1 ] || exit "$code"
echo
echo "Made by 'weir check --profile starter --bank $samples/bank.toml $samples/media'; add --json for all that was found."
