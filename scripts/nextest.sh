#!/usr/bin/env bash
# Builds all tests, says what this machine lacks for them, and runs them.
#
#   scripts/nextest.sh VERSION
set -euo pipefail
cd "$(dirname "$0")/.."
nextest=$(scripts/tool.sh cargo-nextest "$1")
cargo build --workspace --all-targets
choice=()
if ! SLUICEGATE_RTNL=$(scripts/rtnl.sh); then
    # Those that ask the kernel for its interfaces, or start who does. They would never end; all in lab/ skip themselves.
    asking='package(sluicegate) & (kind(test) | test(/^health::/))
        | package(sluicegate-doctor) & test(/^present::/)
        | package(sluicegate-serve) & test(/^(privileges|xdp::opening|xdp::gate|xdp::tests|server)::/)'
    choice=(-E "not ($asking)")
    echo "MOST TESTS ARE SKIPPED, NOT PASSED: $SLUICEGATE_RTNL" >&2
fi
export SLUICEGATE_RTNL
cargo run --quiet --package sluicegate-lab --bin lab-needs
"$nextest" nextest run --workspace "${choice[@]}"
