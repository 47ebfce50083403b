#!/usr/bin/env bash
# Installs Sluicegate on this machine, or takes it off again. Builds nothing, fetches nothing, starts nothing unasked.
#
#   ./install.sh [--dry-run] [--enable]     the program, manual pages, completions, systemd unit, user, configuration
#   ./install.sh --uninstall [--dry-run]    takes all of it off but the configuration, the user and what was learnt
#   ./install.sh --purge [--dry-run]        those as well
#
#   --binary FILE   the program (default: target/release/sluicegate, which `make build` makes)
#   --root DIR      install into DIR instead of / (for packages and tests)
#
# Running it again brings everything up to date and keeps a configuration that is there.
set -euo pipefail
cd "$(dirname "$0")"

action=install dry=no enable=no root='' binary=target/release/sluicegate
while [ $# -gt 0 ]; do
    case $1 in
    --uninstall) action=uninstall ;;
    --purge) action=purge ;;
    --dry-run) dry=yes ;;
    --enable) enable=yes ;;
    --binary) binary=${2:?--binary needs a file}; shift ;;
    --root) root=${2:?--root needs a folder}; root=${root%/}; shift ;;
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) echo "install: unknown option '$1' (--help tells the known ones)" >&2; exit 2 ;;
    esac
    shift
done

fail() { echo "install: $*" >&2; exit 1; }

# Says what is done, and does it unless this is a dry run.
run() {
    echo "+ $*"
    [ "$dry" = yes ] || "$@"
}

put() { run install -D -m "$1" "$2" "$root$3"; }

# Whether systemd runs on the machine that is installed on.
systemd_runs() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

# What was installed: the files that --uninstall removes.
files() {
    cat <<TXT
/usr/sbin/sluicegate
/usr/lib/systemd/system/sluicegate.service
/usr/lib/systemd/system/sluicegate.socket
/usr/lib/sysusers.d/sluicegate.conf
/usr/lib/tmpfiles.d/sluicegate.conf
/usr/share/bash-completion/completions/sluicegate
/usr/share/zsh/vendor-completions/_sluicegate
/usr/share/fish/vendor_completions.d/sluicegate.fish
TXT
    local page
    for page in '' -checkconf -demo -stats -doctor; do
        echo "/usr/share/man/man8/sluicegate$page.8"
    done
    echo /usr/share/man/man5/sluicegate.conf.5
}

install_pages() {
    local pages page
    pages=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$pages'" EXIT
    "$binary" generate "$pages"
    for page in "$pages"/man8/*; do put 644 "$page" "/usr/share/man/man8/${page##*/}"; done
    put 644 "$pages/man5/sluicegate.conf.5" /usr/share/man/man5/sluicegate.conf.5
    put 644 "$pages/completions/bash/sluicegate" /usr/share/bash-completion/completions/sluicegate
    put 644 "$pages/completions/zsh/_sluicegate" /usr/share/zsh/vendor-completions/_sluicegate
    put 644 "$pages/completions/fish/sluicegate.fish" /usr/share/fish/vendor_completions.d/sluicegate.fish
}

make_user() {
    if [ -n "$root" ] || getent passwd sluicegate >/dev/null; then
        return
    fi
    if command -v systemd-sysusers >/dev/null; then
        run systemd-sysusers dist/sysusers.d/sluicegate.conf
    else
        run useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin sluicegate
    fi
}

# The interfaces on which XDP runs in the driver, as far as drivers are known to have it. Only said: the server finds
# out by itself, and `sluicegate doctor` tells more.
say_interfaces() {
    local found=() path name driver
    for path in /sys/class/net/*; do
        name=${path##*/}
        driver=$(readlink -f "$path/device/driver" 2>/dev/null) || driver=
        case ${driver##*/} in
        ixgbe | ixgbevf | i40e | iavf | ice | igb | igc | mlx5_core | mlx4_en | bnxt_en | ena | gve | nfp | qede | sfc | \
            stmmac | mvneta | mvpp2 | virtio_net | vmxnet3 | hv_netvsc | atlantic | dpaa2-eth | fsl_dpaa2_eth | enetc)
            found+=("$name (${driver##*/})")
            ;;
        esac
    done
    if [ ${#found[@]} -gt 0 ]; then
        echo "Interfaces with XDP in the driver: ${found[*]}"
    else
        echo "No interface here has a driver known for XDP: queries will take the kernel's sockets, with the same answers."
        echo "To run without the capabilities that XDP needs: install -D -m 644 dist/systemd/no-xdp.conf /etc/systemd/system/sluicegate.service.d/no-xdp.conf"
    fi
}

install_all() {
    [ -x "$binary" ] || fail "$binary is not there: run 'make build' first, or name the program by --binary"
    put 755 "$binary" /usr/sbin/sluicegate
    put 644 dist/systemd/sluicegate.service /usr/lib/systemd/system/sluicegate.service
    put 644 dist/systemd/sluicegate.socket /usr/lib/systemd/system/sluicegate.socket
    put 644 dist/sysusers.d/sluicegate.conf /usr/lib/sysusers.d/sluicegate.conf
    put 644 dist/tmpfiles.d/sluicegate.conf /usr/lib/tmpfiles.d/sluicegate.conf
    install_pages
    run install -d "$root/etc/sluicegate/conf.d"
    if [ -e "$root/etc/sluicegate/sluicegate.conf" ]; then
        echo "kept: $root/etc/sluicegate/sluicegate.conf"
    else
        put 644 dist/sluicegate.conf /etc/sluicegate/sluicegate.conf
    fi
    make_user
    if systemd_runs; then
        run systemd-tmpfiles --create dist/tmpfiles.d/sluicegate.conf
        run systemctl daemon-reload
        [ "$enable" = no ] || run systemctl enable --now sluicegate.service
    fi
    say_interfaces
    [ "$enable" = yes ] || echo "Next: edit /etc/sluicegate/sluicegate.conf, then: systemctl enable --now sluicegate"
}

uninstall() {
    local file
    if systemd_runs; then
        run systemctl disable --now sluicegate.service sluicegate.socket || true
    fi
    while read -r file; do
        [ ! -e "$root$file" ] || run rm -f "$root$file"
    done < <(files)
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
case $action in
install) install_all ;;
uninstall) uninstall ;;
purge) purge ;;
esac
