# shellcheck shell=bash
# Links between the nodes and the cluster's bridge.

# shape NODE RATE|off: both ends of the link, so that both directions are limited.
shape() {
    local node=$1 rate=$2
    if [[ $rate == off ]]; then
        inside anchor tc qdisc del dev "v-$node" root 2>/dev/null || true
        inside "$node" tc qdisc del dev eth0 root 2>/dev/null || true
        rm -f -- "$STATE/run/$node.rate"
        return
    fi
    # 256 KB pass at once: four of the largest packets that the kernel hands over.
    inside anchor tc qdisc replace dev "v-$node" root tbf rate "$rate" burst 256kb latency 50ms &&
        inside "$node" tc qdisc replace dev eth0 root tbf rate "$rate" burst 256kb latency 50ms ||
        return 1
    printf '%s\n' "$rate" >"$STATE/run/$node.rate"
}

shape_one() { shape "$1" "$RATE"; }

check_rate() {
    [[ $1 == off || $1 =~ ^[0-9.]+[kmgt]?(bit|bps)$ ]] ||
        die "rate '$1' is not a rate of tc(8), such as 1gbit or 200mbit"
}

cmd_rate() {
    (($# == 2)) || die "usage: cluster rate NODE|all RATE|off"
    check_rate "$2"
    local names
    names=$(select_nodes "$1") || exit 1
    mapfile -t names <<<"$names"
    RATE=$2
    for_nodes shape_one "${names[@]}" || die "could not set the rate"
}

cmd_link() {
    [[ $# == 2 && ${2:-} =~ ^(up|down)$ ]] || die "usage: cluster link NODE|all up|down"
    local node names
    names=$(select_nodes "$1") || exit 1
    for node in $names; do
        inside anchor ip link set "v-$node" "$2" || die "could not set the link of $node $2"
    done
}
