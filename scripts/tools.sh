# shellcheck shell=bash
# Sourced by the other scripts: tool NAME VERSION installs a cargo tool into .weir/bin, unless one is on the path.
PATH="$PWD/.weir/bin:$PATH"

tool() {
    command -v "$1" >/dev/null && return
    echo "tools: installing $1 $2 into .weir (once; takes minutes)" >&2
    cargo install --quiet --locked --root .weir "$1@$2"
}
