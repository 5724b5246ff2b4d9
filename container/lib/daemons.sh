# shellcheck shell=bash
# Slurm's daemons, and waiting for the cluster to be at rest.

# start_daemon NODE PORT PROGRAM...: returns when it takes connections.
start_daemon() {
    local node=$1 port
    port=$(printf '%04X' "$2")
    shift 2
    # shellcheck disable=SC2016  # expanded in the node
    inside "$node" bash -c '
        port=$1
        shift
        "$@" || exit 1
        missed=0
        for ((i = 0; i < 600 && missed < 20; i++)); do
            grep -q ":$port 00000000:0000 0A" /proc/net/tcp && exit 0
            # a daemon on its way to the background can be missed once
            pgrep -x "$1" >/dev/null || missed=$((missed + 1))
            sleep 0.05
        done
        echo "cluster: $1 did not start on $(hostname)" >&2
        exit 1' bash "$port" "$@" || { printf '%s\n' "$node" >>"$STATE/run/failed"; return 1; }
}

# die_of_failed: one log tells enough when many daemons failed alike.
die_of_failed() {
    local node
    read -r node <"$STATE/run/failed" || node=ctl
    rm -f -- "$STATE/run/failed"
    show_why "$node"
    die "the daemon of $node did not start; all logs are in $STATE/log"
}

start_slurmctld() { start_daemon ctl 6817 slurmctld; }
start_slurmd() { start_daemon "$1" 6818 slurmd; }
# A new node looks rebooted to Slurm only if its slurmd says so: the machine's
# uptime went on.
start_rebooted_slurmd() { start_daemon "$1" 6818 slurmd -b; }

# stop_daemon NODE slurmd|slurmctld: as an administrator would, then by force.
stop_daemon() {
    # shellcheck disable=SC2016  # expanded in the node
    inside "$1" bash -c '
        pid=$(cat "/run/$1.pid" 2>/dev/null) || exit 0
        kill "$pid" 2>/dev/null || exit 0
        for ((i = 0; i < 200; i++)); do
            [ -d "/proc/$pid" ] || exit 0
            sleep 0.05
        done
        kill -9 "$pid" 2>/dev/null
        exit 0' bash "$2"
}

# for_nodes FUNCTION NODE...: runs FUNCTION for each node, eight at a time, and
# fails when one failed. Not by `wait -n`: bash 5.2 answers 127 to it when the
# next child has ended before.
for_nodes() {
    local function=$1 node pid pids=() failed=0
    shift
    for node; do
        if ((${#pids[@]} >= 8)); then
            wait "${pids[0]}" || failed=1
            pids=("${pids[@]:1}")
        fi
        "$function" "$node" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
    return "$failed"
}

# node_states: "NODE STATE" of every node. One that the backfill scheduler had planned for a job keeps
# that mark until the scheduler's next round.
node_states() { inside login sinfo -h -N -o '%N %T' 2>/dev/null | sed 's/ planned$/ idle/'; }

# not_idle STATES: those lines of node_states that do not say idle, as one line.
not_idle() { grep -v ' idle$' <<<"$1" | tr '\n' ';'; }

# show_why NODE: the end of the log that tells why NODE is not up.
show_why() {
    local log=$STATE/log/slurmd-$1.log
    [[ $1 != ctl ]] || log=$STATE/log/slurmctld.log
    [[ $1 != ctl || -s $log ]] || log=$STATE/log/slurmdbd.log
    [[ -s $log ]] || log=$STATE/log/$1.log
    [[ -s $log ]] || return 0
    printf -- '--- end of %s\n' "$log" >&2
    tail -n 15 -- "$log" >&2
}

# wait_up SECONDS: until every node is idle (or busy with a job).
wait_up() {
    local deadline=$((SECONDS + $1)) states bad
    while :; do
        states=$(node_states) || states=
        if [[ -n $states ]]; then
            bad=$(awk '$2 !~ /^(idle|mixed|allocated)$/ { print $1; exit }' <<<"$states")
            [[ -n $bad ]] || return 0
        else
            bad=ctl
        fi
        if ((SECONDS >= deadline)); then
            note "not all nodes are up after $1 s: $(awk '{ print $2 }' <<<"$states" | sort | uniq -c | tr -s ' \n' ' ')"
            show_why "$bad"
            return 1
        fi
        sleep 0.2
    done
}

# wait_idle SECONDS: 0 when no job runs and all nodes are idle, 1 when that takes
# longer, 3 when all is quiet but a node is down or drained.
wait_idle() {
    local deadline=$((SECONDS + $1)) states jobs
    while :; do
        if jobs=$(inside login squeue -h -o '%i %T' 2>/dev/null) && states=$(node_states); then
            if [[ -z $jobs ]]; then
                grep -qv ' idle$' <<<"$states" || return 0
                if ! grep -qE ' (completing|mixed|allocated|idle.+|unknown.*)$' <<<"$states"; then
                    note "at rest, but not idle: $(not_idle "$states")"
                    return 3
                fi
            fi
        else
            jobs='slurmctld does not answer'
        fi
        if ((SECONDS >= deadline)); then
            note "not idle after $1 s; jobs: ${jobs//$'\n'/; } nodes: $(not_idle "${states:-}")"
            return 1
        fi
        sleep 0.1
    done
}
