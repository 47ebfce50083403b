#!/usr/bin/env bash
# Fetches the programs that the tests talk to or compare with (Unbound, Knot DNS, dig, dnsperf, ...) as Debian packages
# and unpacks them into a private folder. Nothing is installed, nothing is started.
#
#   scripts/peers.sh [FOLDER]     default: .peers in the project, or $SLUICEGATE_PEERS
set -euo pipefail
cd "$(dirname "$0")/.."
peers=${1:-${SLUICEGATE_PEERS:-$PWD/.peers}}
wanted=(unbound unbound-host knot knot-dnsutils dnsperf bind9-dnsutils tcpdump dnsdist pdns-recursor)

stamp=$peers/.fetched
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "${wanted[*]}" ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "peers: this is not a Debian system, so ${wanted[*]} can't be fetched; tests that need them are skipped" >&2
    exit 0
fi

mkdir -p "$peers/.deb"
cd "$peers/.deb"
# What `apt-get install` would add here: the packages themselves and the libraries that this machine lacks.
needed=$(apt-get install --simulate --reinstall --no-install-recommends "${wanted[@]}" 2>/dev/null |
    awk '$1 == "Inst" { print $2 }' | sort -u)
if [ -z "$needed" ]; then
    echo "peers: apt knows no package list; run 'apt-get update' as root. Tests that need peers are skipped." >&2
    exit 0
fi
echo "peers: fetching $(wc -w <<<"$needed") packages into $peers"
# shellcheck disable=SC2086 # a list of package names
if ! apt-get download -q $needed >fetch.log 2>&1; then
    tail -n 3 fetch.log >&2
    echo "peers: the packages could not be fetched (offline?); tests that need peers are skipped" >&2
    exit 0
fi
for package in ./*.deb; do
    dpkg-deb -x "$package" "$peers"
done
rm -f ./*.deb
echo "${wanted[*]}" >"$stamp"
