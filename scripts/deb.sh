#!/usr/bin/env bash
# Makes the Debian package, by cargo-deb, out of a program that is already built. Prints the package's path.
#
#   scripts/deb.sh VERSION-OF-CARGO-DEB [--binary FILE] [--version VERSION] [--fast]
#
#   --binary FILE      the program (default: target/release/sluicegate)
#   --version VERSION  the package's version (default: that of the program, and -1)
#   --fast             little compression
set -euo pipefail
cd "$(dirname "$0")/.."
tool_version=${1:?cargo-deb\'s version}
shift
target=${CARGO_TARGET_DIR:-target} binary='' version='' fast=()
while [ $# -gt 0 ]; do
    case $1 in
    --binary) binary=${2:?--binary needs a file}; shift ;;
    --version) version=${2:?--version needs a version}; shift ;;
    --fast) fast=(--fast) ;;
    *) echo "deb: unknown option '$1'" >&2; exit 2 ;;
    esac
    shift
done
binary=${binary:-$target/release/sluicegate}
[ -x "$binary" ] || { echo "deb: $binary is missing: make build" >&2; exit 1; }
tool=$(scripts/tool.sh cargo-deb "$tool_version" --no-default-features)
own=$("$binary" --version | awk '{ print $2 }')
version=${version:-$own-1}

# A folder that looks to cargo-deb like its target folder, so that it takes all of it from one place and builds nothing.
mkdir -p "$target/debian"
stage=$(mktemp -d "$PWD/$target/debian/stage.XXXXXX" 2>/dev/null || mktemp -d "$target/debian/stage.XXXXXX")
trap 'rm -rf "$stage"' EXIT
release=$stage/release
mkdir -p "$release"
cp "$binary" "$release/sluicegate"
"$binary" generate "$release/pages"
cp -r dist docs README.md "$release/"
cp CHANGELOG.md "$release/changelog"
scripts/notices.sh >"$release/third-party.txt"
cat >"$release/changelog.Debian" <<TXT
sluicegate ($version) unstable; urgency=medium

  * Version $own. What users will notice is told in changelog.gz beside this file.

 -- Sluicegate developers <sluicegate@users.noreply.github.com>  $(git log -1 --format=%cD 2>/dev/null || date -R)
TXT
gzip -9n "$release"/{changelog,changelog.Debian,third-party.txt} "$release"/pages/man?/*
export CARGO_TARGET_DIR=$stage
"$tool" --quiet --no-build --offline --package sluicegate --deb-version "$version" --compress-system "${fast[@]}" \
    --output "$target/debian/"
