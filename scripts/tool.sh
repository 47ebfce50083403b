#!/usr/bin/env bash
# Prints the path of a cargo tool, building it into a private folder when the machine has none.
#
#   scripts/tool.sh NAME VERSION
set -euo pipefail
name=$1 version=$2
tools=${SLUICEGATE_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/sluicegate/tools}
if command -v "$name" >/dev/null; then
    command -v "$name"
elif [ -x "$tools/$name-$version/bin/$name" ]; then
    echo "$tools/$name-$version/bin/$name"
else
    echo "tool: building $name $version into $tools (once, some minutes)" >&2
    cargo install --quiet --locked --root "$tools/$name-$version" --version "$version" "$name" >&2
    echo "$tools/$name-$version/bin/$name"
fi
