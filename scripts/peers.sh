#!/usr/bin/env bash
# Fetches the programs that the tests talk to (Unbound, Knot DNS, dig, dnsperf, ...), or those that the benchmark compares
# with as well, as Debian packages and unpacks them into a private folder. Nothing is installed, nothing is started.
#
#   scripts/peers.sh [test | bench]     into .peers in the project, or $SLUICEGATE_PEERS
#
# QEMU and a kernel for the tests on real NIC drivers (lab/vm/run) come with those of `test`.
#
# What can't be fetched is no failure (tests that need it are skipped), unless SLUICEGATE_ALL_NEEDS=1, as in CI.
set -euo pipefail
cd "$(dirname "$0")/.."
peers=${SLUICEGATE_PEERS:-$PWD/.peers}
if ! said=$(scripts/rtnl.sh); then
    # A name look-up would never come back, and nothing that needs them can run.
    echo "peers: not fetched: $said" >&2
    exit 0
fi

# The virtual machine's parts go into a folder of their own.
machine() {
    if ! lab/vm/run --fetch; then
        [ "${SLUICEGATE_ALL_NEEDS:-}" != 1 ] || exit 1
        echo "peers: tests in the virtual machine are skipped" >&2
    fi
}

wanted=(unbound unbound-host knot knot-dnsutils dnsperf bind9-dnsutils bind9-utils tcpdump)
case ${1:-test} in
test) machine ;;
bench) wanted+=(dnsdist pdns-recursor) ;;
*) echo "usage: scripts/peers.sh [test|bench]" >&2; exit 2 ;;
esac

give_up() {
    echo "peers: no ${lacking[*]}: $1" >&2
    [ "${SLUICEGATE_ALL_NEEDS:-}" != 1 ] || exit 1
    echo "peers: what needs them is skipped" >&2
    exit 0
}

# All that `apt-get install` would add here: the packages themselves and the libraries that this machine lacks.
fetch() {
    local needed
    rm -f ./*.deb
    apt-get install --simulate --reinstall --no-install-recommends "${lacking[@]}" >plan.txt 2>fetch.log || return 1
    needed=$(awk '$1 == "Inst" { print $2 }' plan.txt | sort -u)
    [ -n "$needed" ] || return 1
    echo "peers: fetching $(wc -w <<<"$needed") packages into $peers"
    # shellcheck disable=SC2086 # a list of package names
    apt-get download -q $needed >fetch.log 2>&1
}

stamp=$peers/.fetched
read -r -a fetched <<<"$(cat "$stamp" 2>/dev/null || true)"
lacking=()
for package in "${wanted[@]}"; do
    [[ " ${fetched[*]-} " == *" $package "* ]] || lacking+=("$package")
done
[ ${#lacking[@]} -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    give_up "this is not a Debian system"
fi
mkdir -p "$peers/.deb"
cd "$peers/.deb"
if ! fetch; then
    # Package lists that are missing or too old: only root can mend that.
    [ "$(id -u)" -eq 0 ] || give_up "$(tail -n 1 fetch.log) (as root: apt-get update)"
    echo "peers: getting newer package lists"
    apt-get update -q >update.log 2>&1 || give_up "apt-get update: $(tail -n 1 update.log)"
    fetch || give_up "$(tail -n 1 fetch.log)"
fi
for package in ./*.deb; do
    dpkg-deb -x "$package" "$peers"
done
rm -f ./*.deb
echo "${fetched[*]-} ${lacking[*]}" >"$stamp"
