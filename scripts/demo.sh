#!/usr/bin/env bash
# demo.sh BUILD SAMPLES: Postgres, Mosquitto with TLS and an access list, a hub and three boxes on this machine, with sample traffic
# until Ctrl-C. Everything lies in one folder (WEIR_DEMO, by default .weir/demo) that is made anew each time.
set -euo pipefail
build=$(realpath "$1") samples=$(realpath "$2")
demo=${WEIR_DEMO:-.weir/demo}
port=${WEIR_DEMO_PORT:-18470}
once=${WEIR_DEMO_ONCE:-}
# A box takes every WEIR_… for a setting of its own.
unset "${!WEIR_@}"
PATH=$build:$PATH

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
die() { echo "demo: $*" >&2; exit 64; }

postgres=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -n "$postgres" ] || die "there is no Postgres: apt install postgresql"
command -v mosquitto >/dev/null || PATH=$PATH:/usr/sbin
command -v mosquitto >/dev/null || die "there is no Mosquitto: apt install mosquitto"
if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    die "port $port is taken, by another demo perhaps; WEIR_DEMO_PORT names another (it and the twenty behind it are used)"
fi

rm -rf "$demo"
mkdir -p "$demo/log"
demo=$(realpath "$demo")

# Only what was started here is ended, last first.
started=()
start() {
    local name=$1
    shift
    "$@" >"$demo/log/$name" 2>&1 &
    started+=($!)
}
# shellcheck disable=SC2329 # by the trap
end() {
    trap - EXIT INT TERM
    for ((n = ${#started[@]} - 1; n >= 0; n--)); do kill "${started[n]}" 2>/dev/null || true; done
    wait
    rm -rf "$sockets"
}
# Short, for a socket's path has 107 bytes at most; readable for whoever Postgres runs as.
sockets=$(mktemp -d /tmp/weir-demo-XXXXXX)
trap end EXIT
trap 'exit 130' INT TERM
# until_ NAME COMMAND…: waits until it succeeds, a minute at most; shows the log of NAME where it does not.
until_() {
    local name=$1 rest=300
    shift
    until "$@" >/dev/null 2>&1; do
        ((rest--)) || { tail -20 "$demo/log/$name" >&2; die "$name did not come up"; }
        sleep 0.2
    done
}

say "Postgres"
# It refuses to run as root.
owner=()
if [ "$(id -u)" = 0 ]; then
    owner=(setpriv --reuid postgres --regid postgres --clear-groups env HOME=/tmp)
    chown postgres "$sockets"
fi
"${owner[@]}" "$postgres/initdb" --pgdata "$sockets/data" --auth trust --username weir >"$demo/log/initdb"
start postgres "${owner[@]}" "$postgres/postgres" -D "$sockets/data" -c "unix_socket_directories=$sockets" -c listen_addresses=
until_ postgres "${owner[@]}" "$postgres/pg_isready" --host "$sockets"
database="host=$sockets user=weir dbname=postgres"
hub() { WEIR_HUB_DATABASE=$database weir-hub "$@"; }
echo "on a socket in $sockets"

say "Hub and broker"
broker=$((port + 1))
hub init --dir "$demo/hub" --name 127.0.0.1 --port "$port" --broker "127.0.0.1:$broker" >"$demo/log/init"
sed -i 's/0\.0\.0\.0/127.0.0.1/' "$demo/hub/weir-hub.toml"
hub migrate
# The configuration that `init` wrote, for files that stay where they are.
sed -i "s|/etc/mosquitto/weir|$demo/hub/broker|g" "$demo/hub/broker/mosquitto.conf"
mkdir -p "$demo/hub/broker/data"
[ "$(id -u)" != 0 ] || echo "user root" >>"$demo/hub/broker/mosquitto.conf"
start mosquitto mosquitto -c "$demo/hub/broker/mosquitto.conf"
start hub weir-hub serve --config "$demo/hub/weir-hub.toml"
until_ hub grep -q 'serving on' "$demo/log/hub"
token=$(hub token create demo)
hub tenant add default
call=(curl --silent --show-error --cacert "$demo/hub/authority.pem" -H "Authorization: Bearer $token")
echo "API on https://127.0.0.1:$port, boxes on UDP $port, MQTT over TLS on $broker"

say "Boxes"
boxes=()
for n in 1 2 3; do
    listen=127.0.0.1:$((port + 10 + n))
    start "box-$n" weir serve --listen "$listen" --data "$demo/box-$n"
    until_ "box-$n" curl --silent --fail --max-time 5 "http://$listen/readyz"
    hub token enroll --config "$demo/hub/weir-hub.toml" --tenant default |
        weir enroll --data "$demo/box-$n" --name "demo-$n" - | sed -n 1p
    boxes+=("$listen")
done

say "The sample media, to each box; then the hub's view"
submit() { curl --silent --show-error -H 'Prefer: wait=60' -F 'meta={}' -F "media=@$2" "http://$1/v1/submissions"; }
for box in "${boxes[@]}"; do
    for file in "$samples"/media/*; do submit "$box" "$file" >/dev/null; done
done
hub box list

say "A directive: the hub tells all boxes to refuse a file that they let through so far"
file=$(ls "$samples"/media/* | head -1)
hash=$(sha256sum "$file" | cut -d' ' -f1)
status() { submit "$1" "$file" | sed -n 's/^[^[]*"status":"\([^"]*\)".*/\1/p'; }
echo "$(basename "$file") before: $(status "${boxes[0]}") $(status "${boxes[1]}") $(status "${boxes[2]}")"
hub directive order --config "$demo/hub/weir-hub.toml" --to tenant/default \
    "{\"kind\":\"list\",\"of\":\"sha256\",\"hash\":\"$hash\",\"category\":\"listed\"}" >"$demo/log/directive"
read -r epoch to seq <"$demo/log/directive"
receipts() { [ "$(hub directive show "$epoch" "$to" "$seq" | grep -c applied)" = 3 ]; }
until_ hub receipts
hub directive show "$epoch" "$to" "$seq"
echo "$(basename "$file") after:  $(status "${boxes[0]}") $(status "${boxes[1]}") $(status "${boxes[2]}")"

say "Proof: every chain, checkpoint and commitment"
hub verify

# Somebody who may do nearly everything: in earnest nobody looks after content and machines at once.
invitation=$(hub account add demo --role senior_moderator --config "$demo/hub/weir-hub.toml" 2>/dev/null)

cat <<TEXT

Status pages  http://${boxes[0]}/  http://${boxes[1]}/  http://${boxes[2]}/
Ops screens   $invitation (password and second factor first; then https://127.0.0.1:$port/ops, docs/ops.md)
Verdicts      curl --cacert $demo/hub/authority.pem -H 'Authorization: Bearer $token' 'https://127.0.0.1:$port/v1/verdicts?limit=5'
The hub       export WEIR_HUB_DATABASE='$database'; weir-hub box list; weir-hub directive list
Logs          $demo/log
A sample goes to a box every two seconds. Ctrl-C ends it all.
TEXT
"${call[@]}" --fail --output /dev/null "https://127.0.0.1:$port/v1/verdicts?limit=5"
[ -z "$once" ] || exit 0
while true; do
    for file in "$samples"/media/*; do
        submit "${boxes[RANDOM % 3]}" "$file" >/dev/null || true
        sleep 2
    done
done
