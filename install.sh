#!/usr/bin/env bash
# Installs Sluicegate on this machine, or takes it off again. Builds nothing, fetches nothing, starts nothing unasked.
#
#   ./install.sh [--enable] [--dry-run]     the program, manual pages, completions, systemd units, user, configuration;
#                                           with --enable it also starts, now and with the machine
#   ./install.sh --uninstall [--dry-run]    takes all of it off but the configuration, the user and what was learnt
#   ./install.sh --purge [--dry-run]        those as well
#
#   --binary FILE      the program (default: target/release/sluicegate, which `make build` makes)
#   --root DIR         install into DIR instead of / (for packages and tests)
#   --interfaces DIR   look there for network interfaces (default: /sys/class/net)
#
# Running it again brings up to date what differs, touches nothing else, and keeps a configuration that is there.
set -euo pipefail
umask 022

action=install dry=no enable=no root='' binary='' interfaces=/sys/class/net
while [ $# -gt 0 ]; do
    case $1 in
    --uninstall) action=uninstall ;;
    --purge) action=purge ;;
    --dry-run) dry=yes ;;
    --enable) enable=yes ;;
    --binary) binary=$(realpath "${2:?--binary needs a file}"); shift ;;
    --root) root=$(realpath -m "${2:?--root needs a folder}"); root=${root%/}; shift ;;
    --interfaces) interfaces=$(realpath "${2:?--interfaces needs a folder}"); shift ;;
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) echo "install: unknown option '$1' (--help tells the known ones)" >&2; exit 2 ;;
    esac
    shift
done
cd "$(dirname "$0")"
binary=${binary:-target/release/sluicegate}
config=/etc/sluicegate/sluicegate.conf
# What of a running system must hear about: set by `put`.
units_changed=no program_changed=no

fail() { echo "install: $*" >&2; exit 1; }

# Says what is done, and does it unless this is a dry run.
run() {
    echo "+ $*"
    [ "$dry" = yes ] || "$@"
}

# Installs a file of this mode, unless the very same is there.
put() {
    local mode=$1 file=$2 to=$root$3
    if [ -f "$to" ] && cmp -s "$file" "$to" && [ "$(stat -c %a "$to")" = "$mode" ]; then
        return
    fi
    run install -D -m "$mode" "$file" "$to"
    case $3 in
    /usr/lib/systemd/*) units_changed=yes ;;
    /usr/sbin/*) program_changed=yes ;;
    esac
}

# Whether systemd runs on the machine that is installed on.
systemd_runs() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

serves() { systemctl --quiet is-active sluicegate.service; }

# Whether some socket has port 53 of an address that the shipped configuration serves: 127.0.0.1, ::1, or all.
port_taken() {
    cat /proc/net/udp /proc/net/tcp /proc/net/udp6 /proc/net/tcp6 2>/dev/null |
        awk '$2 ~ /^(0100007F|7F000001|0+|0+01000000|0+1):0035$/ { taken = 1 } END { exit !taken }'
}

# The files of a Debian package are dpkg's: neither replaced nor removed here.
check_package() {
    [ -z "$root" ] || return 0
    [ "$(dpkg-query -W -f '${db:Status-Status}' sluicegate 2>/dev/null)" = installed ] || return 0
    local here="Sluicegate is here as a Debian package"
    case $action in
    install) fail "$here: upgrade that one, or take it off first: apt-get remove sluicegate" ;;
    uninstall) fail "$here; to take it off: apt-get remove sluicegate" ;;
    purge) fail "$here; to take all of it off: apt-get purge sluicegate" ;;
    esac
}

# What must be right before anything is changed.
check_place() {
    [ -x "$binary" ] || fail "$binary is not there: run 'make build' first, or name the program by --binary"
    [ -z "$root" ] || return 0
    if ldd "$binary" 2>/dev/null | grep 'not found'; then
        fail "these libraries are missing (Debian: apt-get install libunbound8)"
    fi
}

# What the program writes of itself: manual pages, completions, what is known of drivers.
generate_pages() {
    pages=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$pages'" EXIT
    "$binary" generate "$pages"
}

install_pages() {
    local page
    for page in "$pages"/man8/*; do put 644 "$page" "/usr/share/man/man8/${page##*/}"; done
    put 644 "$pages/man5/sluicegate.conf.5" /usr/share/man/man5/sluicegate.conf.5
    put 644 "$pages/completions/bash/sluicegate" /usr/share/bash-completion/completions/sluicegate
    put 644 "$pages/completions/zsh/_sluicegate" /usr/share/zsh/vendor-completions/_sluicegate
    put 644 "$pages/completions/fish/sluicegate.fish" /usr/share/fish/vendor_completions.d/sluicegate.fish
}

install_configuration() {
    local file
    for file in sluicegate.conf conf.d/README; do
        if [ ! -e "$root/etc/sluicegate/$file" ]; then
            put 644 "dist/$file" "/etc/sluicegate/$file"
        elif ! cmp -s "dist/$file" "$root/etc/sluicegate/$file"; then
            echo "kept, though it differs from the one of this version: $root/etc/sluicegate/$file"
        else
            echo "kept: $root/etc/sluicegate/$file"
        fi
    done
}

make_user() {
    if [ -n "$root" ] || getent passwd sluicegate >/dev/null; then
        return
    fi
    if command -v systemd-sysusers >/dev/null; then
        run systemd-sysusers "$PWD/dist/sysusers.d/sluicegate.conf"
    else
        run useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin sluicegate
    fi
}

make_folders() {
    [ -z "$root" ] || return 0
    [ -d /run/sluicegate ] || run install -d -m 755 -o sluicegate -g sluicegate /run/sluicegate
    [ -d /var/lib/sluicegate ] || run install -d -m 750 -o sluicegate -g sluicegate /var/lib/sluicegate
}

# What XDP can be expected to be on an interface with this driver, as the program itself knows it.
mode_of() {
    local pattern mode
    while IFS=$'\t' read -r pattern mode; do
        # shellcheck disable=SC2254 # a pattern
        case $1 in $pattern) echo "$mode"; return ;; esac
    done <"$pages/drivers"
    return 1
}

# Tells of each interface with a driver what mode to expect. Only tells: the server finds out by itself at each start.
say_interfaces() {
    local path driver mode capable=no
    for path in "$interfaces"/*; do
        [ -e "$path/device/driver" ] || continue
        driver=$(readlink -f "$path/device/driver")
        driver=${driver##*/}
        if mode=$(mode_of "$driver"); then
            capable=yes
        else
            mode="no XDP in the driver: generic mode, or the kernel's sockets"
        fi
        echo "interface ${path##*/} ($driver): $mode"
    done
    if [ $capable = no ]; then
        echo "No interface here has a driver known for XDP: queries take the kernel's way, with the same answers."
        echo "To run without the capabilities that XDP needs:"
        echo "  install -D -m 644 dist/systemd/no-xdp.conf /etc/systemd/system/sluicegate.service.d/no-xdp.conf"
    fi
}

# Whether starting would take port 53 from another server. A configuration of the operator's own may ask for other
# addresses, and our socket unit holds the port for us.
in_the_way() {
    if [ -e $config ] && ! cmp -s dist/sluicegate.conf $config; then return 1; fi
    ! systemctl --quiet is-active sluicegate.socket && port_taken
}

# The server that runs ends only for one that takes the configuration.
restart() {
    "$binary" checkconf -q $config || fail "this version can't use $config (see above): the running server was left" \
        "as it is. Mend it, then: systemctl restart sluicegate"
    run systemctl restart sluicegate.service
}

# Lets systemd know, and starts the server if that was asked for.
tell_systemd() {
    systemd_runs || return 0
    if [ $units_changed = yes ]; then run systemctl daemon-reload; fi
    if serves; then
        if [ $enable = yes ] && ! systemctl --quiet is-enabled sluicegate.service; then
            run systemctl enable sluicegate.service
        fi
        if [ $program_changed$units_changed = nono ]; then return 0; fi
        if [ $enable = yes ]; then restart; else next="systemctl restart sluicegate"; fi
    elif [ $enable = no ]; then
        next="edit $config, then: systemctl enable --now sluicegate"
    elif in_the_way; then
        fail "port 53 is taken here: give one of the two servers another address ('interface:' in $config)," \
            "or end the other one; then: systemctl enable --now sluicegate"
    else
        run systemctl enable --now sluicegate.service
    fi
}

install_all() {
    local next='' pages=''
    check_place
    generate_pages
    put 755 "$binary" /usr/sbin/sluicegate
    put 644 dist/systemd/sluicegate.service /usr/lib/systemd/system/sluicegate.service
    put 644 dist/systemd/sluicegate.socket /usr/lib/systemd/system/sluicegate.socket
    put 644 dist/sysusers.d/sluicegate.conf /usr/lib/sysusers.d/sluicegate.conf
    put 644 dist/tmpfiles.d/sluicegate.conf /usr/lib/tmpfiles.d/sluicegate.conf
    install_pages
    install_configuration
    make_user
    make_folders
    say_interfaces
    tell_systemd
    [ -z "$next" ] || echo "Next: $next"
}

# What was installed, as far as it is there: the files that --uninstall removes.
installed() {
    local file
    for file in /usr/sbin/sluicegate \
        /usr/lib/systemd/system/sluicegate.{service,socket} \
        /usr/lib/{sysusers,tmpfiles}.d/sluicegate.conf \
        /usr/share/bash-completion/completions/sluicegate \
        /usr/share/zsh/vendor-completions/_sluicegate \
        /usr/share/fish/vendor_completions.d/sluicegate.fish \
        "$root"/usr/share/man/man8/sluicegate{,-*}.8 \
        /usr/share/man/man5/sluicegate.conf.5; do
        file=${file#"$root"}
        if [ -e "$root$file" ]; then echo "$file"; fi
    done
}

uninstall() {
    local file
    if systemd_runs && systemctl --quiet cat sluicegate.service >/dev/null 2>&1; then
        run systemctl --quiet disable --now sluicegate.service sluicegate.socket
    fi
    while read -r file; do
        run rm -f "$root$file"
        # A folder that only this file was in goes too.
        [ "$dry" = yes ] || (cd "$root/" && file=${file#/} && rmdir -p --ignore-fail-on-non-empty "${file%/*}")
    done < <(installed)
    if systemd_runs; then run systemctl daemon-reload; fi
}

purge() {
    uninstall
    run rm -rf "$root/etc/sluicegate" "$root/var/lib/sluicegate" "$root/run/sluicegate" \
        "$root/etc/systemd/system/sluicegate.service.d"
    if [ -z "$root" ] && getent passwd sluicegate >/dev/null; then run userdel sluicegate; fi
}

if [ -z "$root" ] && [ "$dry" = no ] && [ "$(id -u)" -ne 0 ]; then
    fail "only root can do this (--dry-run shows what would be done, --root installs into a folder)"
fi
check_package
case $action in
install) install_all ;;
uninstall) uninstall ;;
purge) purge ;;
esac
