# shellcheck shell=bash
# Names, paths and look-ups shared by the commands of `cluster`.
#
# A cluster is one process tree inside a PID namespace of its own, the anchor.
# Every node (n1..nN, ctl, login) is a PID, mount, network, UTS and IPC
# namespace below it. The kernel therefore ends all of a cluster when its anchor
# is killed, and frees its mounts, interfaces and memory with it.

# shellcheck disable=SC2034  # used by the files that source this one
NET=10.77           # the network of a cluster; it lives in namespaces only
MAX_NODES=48
USERS=(alice:1001 bob:1002)

die() { printf 'cluster: %s\n' "$*" >&2; exit 1; }
note() { printf 'cluster: %s\n' "$*" >&2; }

# Sets STATE for the cluster called NAME.
locate() {
    local base=${PBCAST_CLUSTER_DIR:-/var/tmp}
    [[ $NAME =~ ^[a-z][a-z0-9-]{0,30}$ ]] ||
        die "the name '$NAME' must be a lower-case word of at most 31 letters, digits, dashes"
    [[ $base == /* && -d $base ]] || die "PBCAST_CLUSTER_DIR='$base' is not an absolute directory"
    STATE=$(realpath -- "$base")/pbcast-cluster-$NAME
}

# The state directory is only ever used or removed when root made it as one: it
# has a mark, or nothing yet.
state_is_ours() {
    [[ -d $STATE && ! -L $STATE && -O $STATE ]] &&
        [[ -f $STATE/.pbcast-cluster || -z $(ls -A -- "$STATE") ]]
}

# The first process of each namespace carries this in argv[0].
marker() { printf 'pbcast-cluster:%s:%s' "$STATE" "$1"; }

# first_process NODE: host pid of the node's first process, checked to be it.
first_process() {
    local pid argv0
    [[ -r $STATE/run/$1.pid ]] || return 1
    read -r pid <"$STATE/run/$1.pid" || return 1
    IFS= read -r -d '' argv0 2>/dev/null <"/proc/$pid/cmdline" || return 1
    [[ $argv0 == "$(marker "$1")" ]] || return 1
    printf '%s\n' "$pid"
}

# settled NODE: its first process is what it stays. It comes to that through programs that do not bear
# the mark (anchor.sh, node-init.sh), and is not found while it is one of them.
settled() {
    local pid comm
    pid=$(first_process "$1") && read -r comm 2>/dev/null <"/proc/$pid/comm" && [[ $comm == sleep ]]
}

# namespace_firsts: pid 1 of each PID namespace below this one. Not with awk: some of them (gawk) stop
# at a process that ends while it is read.
namespace_firsts() {
    grep -hsE '^NSpid:([[:blank:]]+[0-9]+)+[[:blank:]]+1$' /proc/[0-9]*/status | cut -f2 || true
}

# find_first_processes: "PID NODE" of every first process of this cluster,
# whatever the pid files say: marked with its name, and pid 1 of a namespace.
find_first_processes() {
    local pid argv0 prefix
    prefix=$(marker '')
    namespace_firsts |
        while read -r pid; do
            IFS= read -r -d '' argv0 2>/dev/null <"/proc/$pid/cmdline" || continue
            [[ $argv0 == "$prefix"* ]] && printf '%s %s\n' "$pid" "${argv0#"$prefix"}"
        done || true
}

# record_pids: writes run/NODE.pid for every living node.
record_pids() {
    local pid node
    while read -r pid node; do
        printf '%s\n' "$pid" >"$STATE/run/$node.pid"
    done < <(find_first_processes)
}

# The network: n7 is 10.77.0.7, ctl 10.77.1.1, login 10.77.1.2.
host_part() {
    case $1 in
        ctl) printf '1 1\n' ;;
        login) printf '1 2\n' ;;
        n*) printf '0 %d\n' "${1#n}" ;;
    esac
}
address_of() {
    local hi lo
    read -r hi lo < <(host_part "$1")
    printf '%s.%d.%d\n' "$NET" "$hi" "$lo"
}
mac_of() {
    local hi lo
    read -r hi lo < <(host_part "$1")
    printf '02:00:0a:4d:%02x:%02x\n' "$hi" "$lo"
}

node_names() {
    local i
    for ((i = 1; i <= $(<"$STATE/nodes"); i++)); do printf 'n%d\n' "$i"; done
}

# select_nodes NODE|all: the compute nodes meant, one per line.
select_nodes() {
    if [[ $1 == all ]]; then
        node_names
    else
        node_names | grep -qx -- "$1" || die "no node '$1' (there are n1..n$(<"$STATE/nodes"))"
        printf '%s\n' "$1"
    fi
}

# The other Slurm that the cluster runs; fails when it is the machine's own.
slurm_prefix() {
    local dir
    read -r dir 2>/dev/null <"$STATE/slurm" || return 1
    printf '%s\n' "$dir"
}

# The configuration of a cluster names keys that not every Slurm has.
slurm_is() { # slurm_is MAJOR.MINOR or newer
    local dir version
    dir=$(slurm_prefix) && dir=$dir/sbin/ || dir=''
    version=$("${dir}slurmctld" -V) || die "cannot run ${dir}slurmctld"
    [[ $(printf '%s\n' "$1" "${version#* }" | sort -V | head -n 1) == "$1" ]]
}

need_running() {
    [[ $EUID == 0 ]] || die "must be run as root"
    state_is_ours || die "there is no cluster '$NAME' (start one with: cluster --name $NAME up 4)"
    first_process anchor >/dev/null || die "cluster '$NAME' is not running (clean up with: cluster --name $NAME down)"
}

inside() { (enter "$@"); }

# enter NODE CMD...: becomes CMD, as root in the namespaces of NODE, with a clean
# environment, in the caller's directory where the node has it. CMD gets SIGTERM
# when the caller is killed.
enter() {
    local pid dir namespaces=(--mount --net --uts --ipc --pid)
    local vars=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
    pid=$(first_process "$1") || die "node '$1' is not running"
    if has_cgroups "$1"; then
        join_cgroups "$1"
        namespaces+=(--cgroup)
    fi
    shift
    if dir=$(slurm_prefix); then
        vars=("PATH=$dir/sbin:$dir/bin:${vars[0]#PATH=}" SLURM_CONF=/etc/slurm/slurm.conf)
    fi
    # shellcheck disable=SC2016  # expanded by the inner shell
    exec nsenter --target "$pid" "${namespaces[@]}" -- \
        env -i HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 "${vars[@]}" \
        setpriv --pdeathsig TERM \
        bash -c 'cd -- "$1" 2>/dev/null || cd /; shift; exec "$@"' bash "$PWD" "$@"
}
