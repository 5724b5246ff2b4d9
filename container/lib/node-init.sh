#!/usr/bin/env bash
# First process of a node, pid 1 of its PID namespace: private mounts and host
# name; the network and the daemons come from outside.
# Usage: node-init.sh MARKER NODE READY-FIFO
set -euo pipefail
marker=$1 node=$2 fifo=$3

size=$(</cluster/store-size)
hostname "$node"
mount -t proc proc /proc
mount -t tmpfs -o "mode=1777,nosuid,nodev,size=$size" shm /dev/shm
mount -t tmpfs -o "mode=1777,nosuid,nodev,size=$size" tmp /tmp
mount -t tmpfs -o mode=755,nosuid,nodev run /run
mkdir -p /run/munge /run/slurmd /run/lock
if [[ -s /cluster/cgroups ]]; then
    mount -t tmpfs -o mode=755,size=1m cgroup /sys/fs/cgroup
    while [[ $node == n* ]] && read -r controller _; do
        mkdir "/sys/fs/cgroup/$controller"
        mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
    done </cluster/cgroups
fi
if [[ -e /cluster/slurm ]]; then
    # Most builds of Slurm, unlike Debian's, refuse a credential that munged has seen before: each
    # node of a step shows the same one, so each needs a munged of its own.
    munged --key-file=/cluster/munge/key --socket=/run/munge/munge.socket.2 \
        --pid-file=/run/munge/pid --log-file=/run/munge/log --seed-file=/run/munge/seed
else
    mount --bind /cluster/munge/run /run/munge
fi
printf 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 2>/dev/null || true
printf 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6 2>/dev/null || true
ip link set lo up
printf '%s\n' "$node" >"$fifo"
# With SIGCHLD ignored the kernel reaps every orphan that ends up here.
# shellcheck disable=SC2016  # expanded by the inner shell
exec env --ignore-signal=CHLD bash -c 'exec -a "$0" sleep infinity' "$marker"
