#!/usr/bin/env bash
# Makes a small Debian of the tests' own by debootstrap, of this machine's release and from the mirror that apt is set up
# for: the Debian that packages are installed in, started and taken off again. It is only looked at through copies.
#
#   scripts/debian.sh     makes .peers/debian in the project, or $SLUICEGATE_PEERS/debian, once (root, about a minute)
#
# It can reach no mirror later: the packages that installing Sluicegate draws in lie in it, as a mirror of its own.
# What can't be made is no failure (tests that need it are skipped), unless SLUICEGATE_ALL_NEEDS=1, as in CI.
set -euo pipefail
cd "$(dirname "$0")/.."
peers=${SLUICEGATE_PEERS:-$PWD/.peers}
stamp=$peers/.debian
recipe=$(sha256sum "$0" | cut -c 1-16)
[ "$(cat "$stamp" 2>/dev/null || true)" != "$recipe" ] || exit 0
if ! said=$(scripts/rtnl.sh); then
    echo "debian: not made: $said" >&2
    exit 0
fi

give_up() {
    echo "debian: not made: $1" >&2
    [ "${SLUICEGATE_ALL_NEEDS:-}" != 1 ] || exit 1
    echo "debian: what needs it is skipped" >&2
    exit 0
}

[ "$(id -u)" -eq 0 ] || give_up "only root can"
for tool in debootstrap dpkg-scanpackages unshare; do
    command -v $tool >/dev/null || give_up "$tool is missing (scripts/deps.sh test)"
done
# shellcheck disable=SC1091
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
# shellcheck disable=SC2016 # apt fills these in
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' 'Origin: Debian' \
    "Codename: $suite" | head -n 1)
[ -n "$mirror" ] || give_up "apt names no mirror of Debian $suite"
eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
export http_proxy https_proxy

# In memory, since dpkg syncs each file; and in a mount namespace, so that nothing stays mounted.
make_it() {
    mount -t tmpfs -o size=2g tmpfs "$work"
    root=$work/root
    debootstrap --variant=minbase --include=systemd,systemd-sysv "$suite" "$root" "$mirror"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod 755 "$root/usr/sbin/policy-rc.d"
    chroot "$root" apt-get update -q
    chroot "$root" apt-get install -q -y --download-only --no-install-recommends adduser dns-root-data libcap2-bin libunbound8
    mkdir "$root/srv/mirror"
    mv "$root"/var/cache/apt/archives/*.deb "$root/srv/mirror/"
    (cd "$root/srv/mirror" && dpkg-scanpackages --multiversion . >Packages)
    echo 'deb [trusted=yes] file:/srv/mirror ./' >"$root/etc/apt/sources.list"
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root/usr/sbin/policy-rc.d" "$root"/var/log/*.log
    chroot "$root" apt-get update -q
    rm -rf "$peers/debian"
    cp -a "$root" "$peers/debian"
}

echo "debian: making Debian $suite in $peers/debian"
work=$peers/.debian-made
mkdir -p "$work"
export -f make_it
export work suite mirror peers
started=$SECONDS
timeout 600 unshare --mount bash -euo pipefail -c make_it >"$peers/.debian.log" 2>&1 ||
    give_up "$(tail -n 1 "$peers/.debian.log") (all of it: $peers/.debian.log)"
rmdir "$work"
echo "$recipe" >"$stamp"
echo "debian: made in $((SECONDS - started)) s"
