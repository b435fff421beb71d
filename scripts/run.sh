#!/usr/bin/env bash
# run.sh WEIR SAMPLES: starts the gateway, submits the sample media through its API, shows the verdicts, and keeps serving.
set -euo pipefail
weir=$1 samples=$2
listen=${WEIR_LISTEN:-127.0.0.1:8080}
base=http://$listen

"$weir" serve --listen "$listen" --data "${WEIR_DATA:-.weir/run}" &
service=$!
trap 'kill "$service" 2>/dev/null; wait "$service"' EXIT
trap 'exit 130' INT TERM

until curl --silent --fail --output /dev/null --max-time 5 "$base/readyz"; do
    kill -0 "$service" 2>/dev/null || { trap - EXIT; exit 64; }
    sleep 0.2
done

# One text out of the answer: its keys have a fixed order, and the verdict's own come first.
first() { sed -n "s/^[^[]*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
reasons() { sed -n 's/.*"reasons":\[\([^]]*\)\].*/\1/p' | tr -d '"' | sed 's/,/, /g'; }

hash=$(sed -n 's/.*hash = "\([0-9a-f]*\)".*/\1/p' "$samples/bank.toml")
curl --silent --show-error --fail --output /dev/null -H 'Content-Type: application/json' "$base/v1/hashes" \
    -d "{\"kind\": \"pdq\", \"hash\": \"$hash\", \"category\": \"listed\"}"

echo
printf '%-28s %-10s %s\n' FILE VERDICT REASONS
for file in "$samples"/media/*; do
    answer=$(curl --silent --show-error -H 'Prefer: wait=60' -F 'meta={}' -F "media=@$file" "$base/v1/submissions")
    printf '%-28s %-10s %s\n' "$(basename "$file")" "$(first status <<<"$answer")" "$(reasons <<<"$answer")"
done
cat <<TEXT

These went through the API: curl -H 'Prefer: wait=60' -F meta='{}' -F media=@FILE $base/v1/submissions
Status page   $base/
The API       $base/docs
Ctrl-C ends the service.
TEXT
wait "$service"
