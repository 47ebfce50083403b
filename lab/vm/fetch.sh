# What the virtual machine is made of, for `run`: QEMU, a static busybox and a Debian kernel with its modules. Packages
# of the mirror that the machine's own apt uses, unpacked into a private folder; nothing is installed, nothing started.
# Sourced; wants $vm_home, and `die` for what can't be had.

# The address of the Debian archive, as apt's own configuration names it.
mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -m1 '/debian/*$'
}

# apt_tree NAME SUITE... : a private tree of apt's, apart from the machine's own; $APT_CONFIG points at it.
apt_tree() {
    local tree=$vm_home/apt/$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg from
    shift
    [ -r "$keyring" ] || die "no $keyring: install debian-archive-keyring"
    from=$(mirror) || die "apt knows no mirror of Debian"
    mkdir -p "$tree"/etc/{sources.list,apt.conf,preferences}.d "$tree"/{state/lists,cache/archives}/partial "$tree/log"
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$from" "$*" "$keyring" \
        >"$tree/etc/sources.list.d/vm.sources"
    : >"$tree/state/status"
    cat >"$tree/apt.conf" <<CONF
Dir::Etc "$tree/etc";
Dir::Etc::sourcelist "/dev/null";
Dir::State "$tree/state";
Dir::State::status "$tree/state/status";
Dir::Cache "$tree/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Log "$tree/log";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
CONF
    export APT_CONFIG=$tree/apt.conf
    apt-get -qq update || die "apt-get update failed for $*"
}

# unpack DIR PACKAGE... : downloads the packages and unpacks them into DIR, which is there whole or not at all.
unpack() {
    local dir=$1 deb
    shift
    rm -rf "$dir" "$dir.new"
    mkdir -p "$dir.new/debs"
    [ $# -eq 0 ] || (cd "$dir.new/debs" && apt-get -qq download "$@") || die "can't download $*"
    for deb in "$dir.new"/debs/*.deb; do
        [ ! -e "$deb" ] || dpkg-deb -x "$deb" "$dir.new"
    done
    rm -rf "$dir.new/debs"
    mv "$dir.new" "$dir"
}

# The guest has no libraries yet when busybox starts.
static_busybox() {
    local path
    path=$(command -v busybox) && ! ldd "$path" >/dev/null 2>&1 && echo "$path"
}

# QEMU, its firmware and those of its libraries that this machine lacks; busybox.
fetch_tools() {
    local suites want=() names=()
    [ ! -d "$vm_home/tools" ] || return 0
    command -v qemu-system-x86_64 >/dev/null || want+=(qemu-system-x86)
    static_busybox >/dev/null || want+=(busybox-static)
    if [ ${#want[@]} -gt 0 ]; then
        # Bookworm's own QEMU is too old for igb.
        # shellcheck source=/dev/null
        suites=$(. /etc/os-release && echo "${VERSION_CODENAME:-trixie}")
        [ "$suites" != bookworm ] || suites="bookworm bookworm-backports"
        # shellcheck disable=SC2086 # a list of suites
        apt_tree tools $suites
        cp /var/lib/dpkg/status "$vm_home/apt/tools/state/status"
        mapfile -t names < <(apt-get install --print-uris -y -qq --no-install-recommends -t "${suites##* }" "${want[@]}" |
            sed -n 's/.* \([^ _]*\)_\([^ _]*\)_[^ _]*\.deb .*/\1=\2/p' | sed 's/%3a/:/g')
        [ ${#names[@]} -gt 0 ] || die "apt finds no ${want[*]}"
    fi
    unpack "$vm_home/tools" ${names[@]+"${names[@]}"}
}

# The newest kernel of the suite: one package up to 6.12, three since.
fetch_kernel() {
    local suite=$1 image parts
    [ ! -d "$vm_home/kernel/$suite" ] || return 0
    apt_tree "kernel-$suite" "$suite"
    image=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\).*/\1/p' | head -n1)
    [ -n "$image" ] || die "the suite $suite has no linux-image-amd64"
    parts=$(apt-cache depends "$image" | sed -n 's/.*Depends: \(linux-\(binary\|modules\|base\)-[0-9][^ ]*\).*/\1/p')
    mkdir -p "$vm_home/kernel"
    # shellcheck disable=SC2086 # a list of packages
    unpack "$vm_home/kernel/$suite" "$image" $parts
}

# fetch SUITE : all of it, by one process at a time; leaves $qemu (a command), $busybox and $kernel (a folder).
fetch() {
    local root=$vm_home/tools
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || die "this is not a Debian system"
    [ "$(uname -m)" = x86_64 ] || die "the virtual machine is an x86-64 one, emulated on x86-64 only"
    mkdir -p "$vm_home"
    exec 9>"$vm_home/lock"
    flock 9
    # In a shell of its own: the private apt configuration shall not stay.
    (fetch_tools && fetch_kernel "$1") || exit 125
    exec 9>&-
    kernel=$vm_home/kernel/$1
    busybox=$(static_busybox) || busybox=$(find "$root" -path '*bin/busybox' | head -n1)
    if command -v qemu-system-x86_64 >/dev/null; then
        qemu=(qemu-system-x86_64)
    else
        qemu=(env "LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu"
            "$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios")
    fi
}
