#!/usr/bin/env bash
# Runs every fuzz target for some seconds, from the checked-in corpus; new inputs go to a folder that git ignores.
#
#   scripts/fuzz.sh SECONDS
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
command -v cargo-fuzz >/dev/null || { echo "fuzz: cargo install cargo-fuzz, with a nightly toolchain" >&2; exit 1; }
for target in $(cargo +nightly fuzz list); do
    found=target/found/$target
    mkdir -p "$found"
    cargo +nightly fuzz run "$target" "$found" "corpus/$target" -- -max_total_time="$1" -timeout=5
done
