#!/usr/bin/env bash
# Checks the dependencies' licences, sources and duplicates, and known advisories when their database can be fetched.
#
#   scripts/deny.sh VERSION-OF-CARGO-DENY
set -euo pipefail
cd "$(dirname "$0")/.."
deny=$(scripts/tool.sh cargo-deny "$1")
"$deny" --log-level error check --hide-inclusion-graph bans licenses sources
if scripts/rtnl.sh >/dev/null && timeout 120 "$deny" --log-level off fetch db 2>/dev/null; then
    "$deny" --log-level error check --disable-fetch advisories
else
    echo "deny: advisories NOT checked: their database could not be fetched from here"
fi
