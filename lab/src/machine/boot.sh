#!/bin/sh
# Starts systemd on an overlay of the folder $1, in a control group named $2, and waits for its end. SIGTERM ends all of it.
set -eu
base=$1 group=$2
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root /mnt/groups
mount -t overlay overlay -o "lowerdir=$base,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
mount -t cgroup2 cgroup2 /mnt/groups
group=/mnt/groups/$group
mkdir "$group"

enter() {
    echo 0 >"$group/cgroup.procs"
    # shellcheck disable=SC2016 # for the shell inside
    exec setpriv --pdeathsig KILL -- unshare --mount --pid --fork --kill-child --uts --ipc --cgroup sh -euc '
        root=/mnt/root
        mount --bind /mnt/upper $root/mnt
        mount -t proc proc $root/proc
        mount -t sysfs -o ro sysfs $root/sys
        mount -t cgroup2 cgroup2 $root/sys/fs/cgroup
        for folder in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs $root/$folder; done
        chmod 1777 $root/tmp
        for device in null zero full random urandom tty; do
            : >$root/dev/$device
            mount --bind /dev/$device $root/dev/$device
        done
        mkdir $root/dev/pts $root/dev/shm
        mount -t devpts -o newinstance,ptmxmode=666 devpts $root/dev/pts
        ln -s pts/ptmx $root/dev/ptmx
        ln -s /proc/self/fd $root/dev/fd
        hostname lab
        cd $root
        pivot_root . media
        umount -l /media
        echo "machine: systemd begins"
        exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            /lib/systemd/systemd --show-status=0 --log-target=console --log-level=notice --unit=multi-user.target
    '
}

(enter) &
child=$!
trap 'kill -KILL $child 2>/dev/null || true' TERM
while kill -0 $child 2>/dev/null; do wait $child || true; done
# The groups of killed processes empty a moment later.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
    sleep 0.1
done
