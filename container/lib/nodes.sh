#!/usr/bin/env bash
# Creates nodes: namespaces, link to the bridge, addresses. Runs as root inside
# the anchor's namespaces. Usage: nodes.sh STATE NODE...
set -euo pipefail
STATE=$1
shift
# shellcheck source=common.sh
. /cluster/lib/common.sh
# shellcheck source=cgroups.sh
. /cluster/lib/cgroups.sh

declare -A pid=() # as the anchor's namespace counts

# The shell keeps its own PID namespace, so $! is the first process of the new
# one under the number that it has here.
create() {
    local pinned=() namespaces=(--mount --net --uts --ipc --pid)
    [[ ! -s /cluster/cpu ]] || pinned=(taskset --cpu-list "$(</cluster/cpu)")
    if has_cgroups "$1"; then
        new_node_cgroups "$1"
        join_cgroups "$1"
        namespaces+=(--cgroup)
    fi
    # shellcheck disable=SC2016  # expanded by the inner shell
    "${pinned[@]}" unshare "${namespaces[@]}" --propagation private \
        bash -c '(exec -a "$1" bash /cluster/lib/node-init.sh "$@") </dev/null >>"/cluster/log/$2.log" 2>&1 3>&- &
                 echo $!' bash "$(marker "$1")" "$1" "$2"
}

# Creates all and waits until their mounts are made.
create_all() {
    local fifo=/cluster/run/ready.$$ node i
    mkfifo "$fifo"
    exec 3<>"$fifo"
    for node; do pid[$node]=$(create "$node" "$fifo"); done
    for ((i = 0; i < $#; i++)); do
        read -r -t 30 node <&3 || die "only $i of $# nodes came up; see the logs"
    done
    exec 3>&-
    rm -f -- "$fifo"
}

# Permanent neighbour entries: 48 nodes that learn each other would overflow the
# kernel's table, which all network namespaces share.
connect() {
    local node
    for node; do ip link delete "v-$node" 2>/dev/null || true; done
    for node; do
        printf 'link add v-%s mtu 9000 type veth peer name eth0 address %s mtu 9000 netns %s\n' \
            "$node" "$(mac_of "$node")" "${pid[$node]}"
        printf 'link set v-%s master br0 up\n' "$node"
    done | ip -batch -
    for node; do
        {
            printf 'addr add %s/16 dev eth0\nlink set eth0 up\n' "$(address_of "$node")"
            cat /cluster/etc/neighbours
        } | nsenter --target "${pid[$node]}" --net ip -batch -
    done
}

create_all "$@"
connect "$@"
