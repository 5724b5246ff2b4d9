#!/usr/bin/env bash
# First process of a cluster, pid 1 of its PID namespace: gives the cluster a
# root file system of its own, the bridge, and munged, then waits to be killed.
# Usage: anchor.sh STATE
set -euo pipefail
STATE=$1
here=$(dirname -- "${BASH_SOURCE[0]}")
# shellcheck source=common.sh
. "$here/common.sh"

# The new root shows the host's directories, with these differences: /cluster is
# the state directory, /shared the shared file system, /etc a copy, /tmp and /run
# are empty.
build_root() {
    local new=$STATE/root entry name
    mount -t tmpfs -o mode=755,size=256m pbcast-root "$new"
    mount --make-unbindable "$new" # or the copy of /var would contain itself
    for entry in /*; do
        name=${entry#/}
        case $name in
            etc | proc | run | tmp | cluster | shared | lost+found) continue ;;
        esac
        if [[ -L $entry ]]; then
            cp -P -- "$entry" "$new/$name"
        elif [[ -d $entry ]]; then
            mkdir -- "$new/$name"
            mount --rbind -- "$entry" "$new/$name"
        fi
    done
    cp -a -- /etc "$new/etc"
    mkdir "$new"/{proc,run,tmp,cluster,shared,.old}
    mount -t proc proc "$new/proc"
    mount -t tmpfs -o mode=1777,nosuid,nodev,size=64m tmp "$new/tmp"
    mount -t tmpfs -o mode=755,nosuid,nodev,size=16m run "$new/run"
    mount --bind -- "$STATE" "$new/cluster"
    mount --bind -- "$STATE/shared" "$new/shared"
    cd -- "$new"
    pivot_root . .old
    umount -l /.old
    rmdir /.old
}

own_etc() {
    cp --remove-destination -p /cluster/etc/{passwd,group,shadow,hosts} /etc/
    mkdir -p /etc/slurm
    mount --bind /cluster/etc/slurm /etc/slurm
    # slurmd insists on a cgroup tree; an empty one keeps it off the host's.
    [[ -s /cluster/cgroups ]] || mount -t tmpfs -o mode=755,size=1m cgroup /sys/fs/cgroup
}

start_network() {
    printf 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 2>/dev/null || true
    printf 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6 2>/dev/null || true
    ip link set lo up
    ip link add br0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0
    ip link set br0 up
}

# One munged answers for all nodes of Debian's Slurm: its socket is a file that all of them see.
start_munge() {
    munged --key-file=/cluster/munge/key --socket=/cluster/munge/run/munge.socket.2 \
        --pid-file=/cluster/munge/pid --log-file=/cluster/munge/log \
        --seed-file=/cluster/munge/seed --num-threads=4
}

hostname "anchor"
umask 022
build_root
own_etc
start_network
start_munge
printf 'ready\n' >/cluster/run/anchor.ready
first=$(marker anchor)
# With SIGCHLD ignored the kernel reaps every orphan that ends up here.
# shellcheck disable=SC2016  # expanded by the inner shell
exec env --ignore-signal=CHLD bash -c 'exec -a "$0" sleep infinity' "$first"
