#!/usr/bin/env bash
# Prints the path of a cargo tool. The machine's own one will do if its version is the wanted one but for the last
# number; else it is built into a private folder.
#
#   scripts/tool.sh NAME VERSION [OPTION-OF-CARGO-INSTALL...]     --only-if-there: fails rather than builds
set -euo pipefail
name=$1 version=$2
shift 2
tools=${SLUICEGATE_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/sluicegate/tools}
found=
if command -v "$name" >/dev/null; then
    found=$("$name" --version 2>/dev/null | awk 'NR == 1 { print $2 }') || found=
fi
if [ -n "$found" ] && [ "${found%.*}" = "${version%.*}" ]; then
    command -v "$name"
elif [ -x "$tools/$name-$version/bin/$name" ]; then
    echo "$tools/$name-$version/bin/$name"
elif [ "${1:-}" = --only-if-there ]; then
    exit 1
else
    echo "tool: building $name $version into $tools (once, some minutes)" >&2
    cargo install --quiet --locked --root "$tools/$name-$version" --version "$version" "$@" "$name" >&2
    echo "$tools/$name-$version/bin/$name"
fi
