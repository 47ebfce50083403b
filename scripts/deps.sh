#!/usr/bin/env bash
# Installs the Debian packages that building and testing need, when root; names them otherwise.
#
#   scripts/deps.sh build | test
set -euo pipefail
build=(clang dpkg-dev libc6-dev linux-libc-dev libunbound-dev pkg-config iproute2 util-linux)
test=("${build[@]}" debootstrap ethtool procps shellcheck valgrind)
case ${1:-build} in
build) wanted=("${build[@]}") ;;
test) wanted=("${test[@]}") ;;
*) echo "usage: scripts/deps.sh build|test" >&2; exit 2 ;;
esac

if ! command -v cargo >/dev/null; then
    echo "deps: cargo is missing. Install Rust first: https://rustup.rs" >&2
    exit 1
fi
if ! command -v dpkg-query >/dev/null; then
    echo "deps: this is not a Debian system; make sure that it has what Debian calls: ${wanted[*]}" >&2
    exit 0
fi
missing=()
for package in "${wanted[@]}"; do
    state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "deps: missing packages. As root: apt-get install ${missing[*]}" >&2
    exit 1
fi
echo "deps: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null
apt-get install -q -y --no-install-recommends "${missing[@]}" >/dev/null
