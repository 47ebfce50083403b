#!/usr/bin/env bash
# Prints the names, versions, licences and licence texts of the crates that become part of the program: what their
# licences ask of those who pass it on. Each text stands once.
set -euo pipefail
cd "$(dirname "$0")/.."
sources=${CARGO_HOME:-$HOME/.cargo}/registry/src
crates=$(cargo tree --quiet --offline --package sluicegate --edges normal,no-proc-macro --prefix none --format '{p}|{l}' |
    sed 's/ (\*)$//; s/ (.*)|/|/' | grep -v '^sluicegate' | sort -u)

echo "Sluicegate holds these crates; each under one of the licences that it names. Their texts follow."
echo
sed 's/ v/ /; s/|/: /' <<<"$crates"
declare -A shown
while IFS='|' read -r package _; do
    folder=${package/ v/-}
    for file in "$sources"/*/"$folder"/{LICENSE,LICENCE,COPYING,COPYRIGHT,NOTICE}*; do
        [ -f "$file" ] || continue
        sum=$(sha256sum <"$file")
        [ -z "${shown[$sum]:-}" ] || continue
        shown[$sum]=yes
        printf '\n======== %s of %s\n\n' "${file##*/}" "$folder"
        cat "$file"
    done
done <<<"$crates"
