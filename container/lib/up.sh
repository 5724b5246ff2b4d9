# shellcheck shell=bash
# Starts a cluster.

up_usage() {
    cat <<'EOF'
usage: cluster [--name NAME] up N [option...]
Starts N (1..48) compute nodes n1..nN, a controller `ctl` and a login node
`login`, and returns when all nodes are idle.
  --cpus C          CPUs that each node claims to have (default 4)
  --store-size SIZE size limit of each node's /dev/shm, and of its /tmp (default 2g)
  --rate RATE       limits every node's link to RATE both ways, as tc(8) writes
                    rates: 1gbit, 200mbit
  --plugstack LINE  line of plugstack.conf; may be repeated (default: no plugin)
  --prefix DIR      DIR/bin comes first in the users' PATH
  --slurm DIR       another Slurm than the machine's: DIR/bin/srun, DIR/sbin/slurmd
                    and DIR/lib/slurm, not below /tmp, /run, /etc or /dev/shm
  --conf KEY=VALUE  line of slurm.conf, in place of the default for KEY; may be
                    repeated
  --private-tmp     every job gets a /tmp and /dev/shm of its own (job_container/tmpfs,
                    since Slurm 25.11 namespace/tmpfs)
  --cgroups         processors and memory of jobs are bounded by control groups; needs
                    those of version 1. No more --cpus than the machine has
  --accounting      slurmdbd and MariaDB, for sacct
  --no-pmix         a Slurm that has no PMIx plugin (MpiDefault=pmi2)
EOF
}

cmd_up() {
    local n='' cpus=4 store=2g rate='' prefix='' slurm='' pmix=1 private=0 cgroups=0 accounting=0
    local plugstack=() conf=() path
    while (($#)); do
        case $1 in
            --cpus | --store-size | --rate | --plugstack | --prefix | --slurm | --conf)
                [[ $# -ge 2 ]] || die "$1 needs a value" ;;&
            --cpus) cpus=$2 && shift 2 ;;
            --store-size) store=$2 && shift 2 ;;
            --rate) rate=$2 && shift 2 ;;
            --plugstack) plugstack+=("$2") && shift 2 ;;
            --prefix) prefix=$2 && shift 2 ;;
            --slurm) slurm=$2 && shift 2 ;;
            --conf) conf+=("$2") && shift 2 ;;
            --no-pmix) pmix=0 && shift ;;
            --private-tmp) private=1 && shift ;;
            --cgroups) cgroups=1 && shift ;;
            --accounting) accounting=1 && shift ;;
            -h | --help) up_usage && return ;;
            -*) die "up: unknown option '$1' (see: cluster up --help)" ;;
            *)
                [[ -z $n ]] || die "up: too many arguments: '$1'"
                n=$1 && shift ;;
        esac
    done
    if ! [[ $n =~ ^[0-9]+$ ]] || ((n < 1 || n > MAX_NODES)); then
        die "up: give the number of nodes, 1 to $MAX_NODES"
    fi
    [[ $cpus =~ ^[1-9][0-9]*$ ]] || die "up: --cpus '$cpus' is not a number"
    [[ $store =~ ^[0-9]+[kmgKMG%]?$ ]] || die "up: --store-size '$store' is not a size"
    [[ -z $rate ]] || check_rate "$rate"
    ((cgroups == 0 || cpus <= $(nproc))) ||
        die "up: --cgroups: this machine has $(nproc) processors, fewer than --cpus $cpus"
    [[ -z $prefix || -d $prefix ]] || die "up: --prefix '$prefix' is not a directory"
    [[ -z $slurm || ( -x $slurm/sbin/slurmd && -x $slurm/sbin/slurmctld && -x $slurm/bin/srun ) ]] ||
        die "up: --slurm '$slurm' is not an installation of Slurm (sbin/slurmd, sbin/slurmctld, bin/srun)"
    [[ $EUID == 0 ]] || die "must be run as root"
    local tool
    for tool in slurmctld slurmd munged srun ip tc nsenter unshare setpriv pivot_root; do
        type -P "$tool" >/dev/null || die "'$tool' is missing; run container/install-deps"
    done
    for tool in slurmdbd mariadbd mariadb-install-db; do
        ((accounting == 0)) || type -P "$tool" >/dev/null || die "'$tool' is missing; run container/install-deps"
    done
    if [[ -e $STATE || -n $(find_first_processes) ]]; then
        die "cluster '$NAME' exists already (remove it with: cluster --name $NAME down)"
    fi

    mkdir -- "$STATE"
    : >"$STATE/.pbcast-cluster"
    trap 'note "the start failed; cleaning up"; trap - EXIT; cmd_down >&2 || true; exit 1' EXIT
    trap 'exit 1' INT TERM
    local start=$SECONDS
    write_state "$n" "$store"
    path=/usr/local/bin:/usr/bin:/bin
    if [[ -n $slurm ]]; then
        slurm=$(realpath -- "$slurm")
        printf '%s\n' "$slurm" >"$STATE/slurm"
        printf 'SLURM_CONF=/etc/slurm/slurm.conf\n' >>"$STATE/etc/environment"
        path=$slurm/bin:$path
    fi
    [[ -z $prefix ]] || path=$(realpath -- "$prefix")/bin:$path
    printf 'PATH=%s\n' "$path" >>"$STATE/etc/environment"
    write_slurm "$cpus" "$pmix"
    ((private == 0)) || write_job_container
    ((cgroups == 0)) || { make_cgroups && write_cgroup_plugins; }
    ((accounting == 0)) || write_accounting
    set_conf "${conf[@]}"
    write_plugstack "${plugstack[@]}"
    start_anchor
    local names
    mapfile -t names < <(node_names)
    add_nodes ctl login "${names[@]}"
    ((accounting == 0)) || start_accounting || die_of_failed
    start_slurmctld || die_of_failed
    for_nodes start_slurmd "${names[@]}" || die_of_failed
    wait_up 60 || exit 1
    [[ -z $rate ]] || cmd_rate all "$rate"
    trap - EXIT INT TERM
    note "'$NAME' is up: $n nodes in $((SECONDS - start)) s; state in $STATE"
}

write_state() {
    local here
    here=$(dirname -- "${BASH_SOURCE[0]}")
    mkdir -- "$STATE"/{etc,etc/slurm,run,root,lib,shared,shared/home}
    cp -- "$here"/*.sh "$here/oldest-cpu.py" "$STATE/lib/"
    printf '%d\n' "$1" >"$STATE/nodes"
    printf '%s\n' "$2" >"$STATE/store-size"
    write_users
    write_hosts
    write_munge
}

# The anchor starts without the caller's environment, terminal and files.
start_anchor() {
    local i
    # shellcheck disable=SC2016  # expanded by the inner shell
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 setsid \
        unshare --mount --net --uts --ipc --pid --propagation private \
        bash -c '(exec -a "$2" bash "$1/lib/anchor.sh" "$1") </dev/null >"$1/log/anchor.log" 2>&1 &
                 echo $! >"$1/run/anchor.pid"' bash "$STATE" "$(marker anchor)"
    for ((i = 0; i < 400; i++)); do
        if [[ -e $STATE/run/anchor.ready ]] && settled anchor; then return; fi
        kill -0 "$(<"$STATE/run/anchor.pid")" 2>/dev/null || break
        sleep 0.05
    done
    cat -- "$STATE/log/anchor.log" "$STATE/munge/log" >&2 2>/dev/null || true
    die "the anchor of the cluster did not start"
}

# add_nodes NODE...: creates them and records their processes.
add_nodes() {
    local node i missing
    inside anchor bash /cluster/lib/nodes.sh "$STATE" "$@" ||
        { tail -n 5 -- "$STATE"/log/n*.log >&2; die "could not create the nodes"; }
    for ((i = 0; i < 200; i++)); do
        record_pids
        missing=
        for node; do settled "$node" || missing=$node; done
        [[ -n $missing ]] || return 0
        sleep 0.05
    done
    die "node $missing did not start; see $STATE/log/$missing.log"
}
