#!/usr/bin/env bash
# Makes the Debian package, by cargo-deb, out of a program that is already built. Prints the package's path.
#
#   scripts/deb.sh [--binary FILE] [--version VERSION] [--output DIR] [--fast]
#
#   --binary FILE      the program (default: target/release/sluicegate)
#   --version VERSION  the package's version (default: that of the program, and -1)
#   --output DIR       where the package shall lie (default: target/debian)
#   --fast             little compression
#   --get-tool         only makes cargo-deb ready
#   --have-tool        only says by its exit code whether cargo-deb is ready
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
binary=$target/release/sluicegate version='' output=$target/debian compress=()
# Built without optimisation: it packs in a second all the same, and is there in a third of the time.
tool() { scripts/tool.sh cargo-deb 3.8.0 "$@"; }
while [ $# -gt 0 ]; do
    case $1 in
    --binary) binary=${2:?--binary needs a file}; shift ;;
    --version) version=${2:?--version needs a version}; shift ;;
    --output) output=${2:?--output needs a folder}; shift ;;
    --fast) compress=(--fast --compress-type gz) ;;
    --get-tool) tool --debug --no-default-features >/dev/null; exit ;;
    --have-tool) tool --only-if-there >/dev/null && exit; exit 1 ;;
    *) echo "deb: unknown option '$1'" >&2; exit 2 ;;
    esac
    shift
done
[ -x "$binary" ] || { echo "deb: $binary is missing: make build" >&2; exit 1; }
# Without it cargo-deb makes a package that depends on nothing, and says so only where nobody looks.
command -v dpkg-shlibdeps >/dev/null || { echo "deb: dpkg-shlibdeps is missing: apt-get install dpkg-dev" >&2; exit 1; }
cargo_deb=$(tool --debug --no-default-features)
own=$("$binary" --version | awk '{ print $2 }')
version=${version:-$own-1}

# A folder that looks to cargo-deb like its target folder, so that it takes all of it from one place and builds nothing.
mkdir -p "$output"
stage=$(mktemp -d "$(realpath "$output")/stage.XXXXXX")
trap 'rm -rf "$stage"' EXIT
release=$stage/release
mkdir -p "$release"
strip -o "$release/sluicegate" "$binary"
"$binary" generate "$release/pages"
cp -r dist docs README.md "$release/"
cp CHANGELOG.md "$release/changelog"
scripts/notices.sh >"$release/third-party.txt"
cat >"$release/changelog.Debian" <<TXT
sluicegate ($version) unstable; urgency=medium

  * Version $own. What users will notice is told in changelog.gz.

 -- Sluicegate developers <sluicegate@users.noreply.github.com>  $(git log -1 --format=%cD 2>/dev/null || date -R)
TXT
gzip -9n "$release"/{changelog,changelog.Debian,third-party.txt} "$release"/pages/man?/*
export CARGO_TARGET_DIR=$stage
"$cargo_deb" --quiet --no-build --no-strip --offline --package sluicegate --deb-version "$version" --compress-system \
    "${compress[@]}" --output "$output/"
