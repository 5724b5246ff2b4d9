# shellcheck shell=bash
# Control groups for nodes (version 1 of the interface, which Debian 12's Slurm can use without
# systemd). A node gets a group per controller below the caller's own, so that the caller's limits
# hold, and a cgroup namespace in which that group is the root.

CONTROLLERS=(cpuset cpuacct devices freezer memory)

# hierarchy CONTROLLER: the mount point of its hierarchy, with the caller's own group.
hierarchy() {
    local mount own
    mount=$(awk -v c="$1" '$3 == "cgroup" && index("," $4 ",", "," c ",") { print $2; exit }' /proc/self/mounts)
    own=$(awk -F: -v c="$1" 'index("," $2 ",", "," c ",") { print $3; exit }' /proc/self/cgroup)
    [[ -n $mount && -n $own ]] || return 1
    realpath -- "$mount$own"
}

# make_cgroups: records "CONTROLLER DIRECTORY" in $STATE/cgroups, before it makes one.
make_cgroups() {
    local controller dir
    for controller in "${CONTROLLERS[@]}"; do
        dir=$(hierarchy "$controller") && [[ -w $dir/cgroup.procs ]] ||
            die "--cgroups: no '$controller' controller of cgroup version 1 that can be used here"
        printf '%s %s/pbcast-cluster-%s\n' "$controller" "$dir" "$NAME" >>"$STATE/cgroups"
    done
    while read -r controller dir; do make_cgroup "$dir"; done <"$STATE/cgroups"
}

# make_cgroup DIRECTORY: a cpuset is of use only with processors and memory nodes.
make_cgroup() {
    local file
    mkdir -- "$1"
    for file in cpuset.cpus cpuset.mems; do
        [[ ! -e $1/$file ]] || cat "${1%/*}/$file" >"$1/$file"
    done
}

# remove_cgroup DIRECTORY: with all below it; a process that was just killed still holds its group.
remove_cgroup() {
    local i
    for ((i = 0; i < 200; i++)); do
        [[ -d $1 ]] || return 0
        find "$1" -depth -type d -exec rmdir -- {} + 2>/dev/null || true
        [[ ! -d $1 ]] || sleep 0.05
    done
    [[ ! -d $1 ]]
}

has_cgroups() { [[ -s $STATE/cgroups && $1 == n[0-9]* ]]; }

# new_node_cgroups NODE: empty ones.
new_node_cgroups() {
    local controller dir
    has_cgroups "$1" || return 0
    while read -r controller dir; do
        remove_cgroup "$dir/$1" || die "control group $dir/$1 is still in use"
        make_cgroup "$dir/$1"
    done <"$STATE/cgroups"
}

# join_cgroups NODE: puts the calling process there.
join_cgroups() {
    local controller dir
    while read -r controller dir; do printf 0 >"$dir/$1/cgroup.procs"; done <"$STATE/cgroups"
}

remove_cgroups() {
    local controller dir failed=0
    [[ -s $STATE/cgroups ]] || return 0
    while read -r controller dir; do
        remove_cgroup "$dir" || { note "could not remove the control group $dir" && failed=1; }
    done <"$STATE/cgroups"
    return "$failed"
}
