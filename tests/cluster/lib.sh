# shellcheck shell=bash
# What the cluster tests share. A test is a function test_<claim>; it fails by returning non-zero
# after `fail` has said why.
#
# A test file sources this, defines its tests and calls `main "$@"`. It is run as
#     FILE PREFIX [test...]
# where PREFIX is an installation of pbcast that nodes can see (not below /tmp, /run or /dev/shm).
# It starts a cluster of $NODES nodes of its own, unless one named $PBC_CLUSTER runs already, with
# the machine's Slurm or that of $PBC_SLURM_PREFIX, for which PREFIX was built, and prints "ok NAME",
# "not ok NAME" or "skipped NAME", one line a test.

# shellcheck disable=SC2034  # used by the files that source this one
here=$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")
top=$(realpath -- "$here/../..")
self=$(basename -- "$0" .sh)
NODES=${NODES:-4}
PBC_CLUSTER=${PBC_CLUSTER:-test-$self}
USER_HOME=/shared/home/alice
STORE=/dev/shm/pbcast
SYSTEM_PATH=${PBC_SLURM_PREFIX:+$PBC_SLURM_PREFIX/bin:}/usr/bin:/bin # without PREFIX

cluster() { "$top/container/cluster" --name "$PBC_CLUSTER" "$@"; }
as_user() { cluster run "$@"; }
# The same with an end: a hang is a failure, with exit status 124. Slurm 22.05 sometimes loses the
# wake-up of an srun that waits for a step to complete; that srun tries again after two minutes.
bounded() { timeout -k 5 "${LIMIT:-250}" "$top/container/cluster" --name "$PBC_CLUSTER" "$@"; }
node_list() { seq -f 'n%.0f' "$NODES"; }

fail() {
    printf '    %s\n' "$*"
    [[ -z ${out:-} ]] || shortened <<<"$out" | sed 's/^/    | /'
    ! grep -qw Killed <<<"${out:-}" || out_of_memory
    return 1
}
# Both ends of what is long: a verbose interpreter on all nodes says thousands of lines.
shortened() {
    awk '{ line[NR] = $0 }
        END {
            for (i = 1; i <= NR; i++) {
                if (NR > 100 && i == 31) { printf "(%d lines)\n", NR - 90; i = NR - 59 }
                print line[i]
            }
        }'
}
# Whom the kernel has killed for want of memory, if it says so.
out_of_memory() {
    dmesg 2>/dev/null | grep -i 'killed process' | tail -n 3 | sed 's/^/    kernel: /'
    grep -E '^(MemTotal|MemAvailable|Shmem):' /proc/meminfo | paste -sd' ' | sed 's/^/    memory now: /'
}

# capture CMD...: runs it on the login node; its output in $out, its status in $rc.
capture() {
    out=$(bounded run "$@" 2>&1 </dev/null)
    rc=$?
}
# capture_said SRUN-ARG...: of an srun whose tasks say thousands of lines to stderr. They go to files:
# srun of Slurm 22.05 sometimes loses what is on its way when a task ends, and kills the step for it
# ("io error with slurmstepd").
capture_said() {
    local said=$SHARED/home/alice/said
    rm -f "$said".*
    capture srun --error="$USER_HOME/said.%t" "$@"
    out+=$'\n'$(cat "$said".*)
}
script() { # script TEXT: a batch script of the user, its path in $script
    script=$USER_HOME/job-$RANDOM$RANDOM.sh
    printf '#!/bin/bash\n%s\n' "$1" >"$SHARED/home/alice/${script##*/}"
    chmod 755 "$SHARED/home/alice/${script##*/}"
}
# batch ARG... : sbatch of $script, waits for its end; the job's output in $out, its status in $rc.
batch() {
    local log=job-$RANDOM$RANDOM.out
    out=$(bounded run sbatch --wait -o "$USER_HOME/$log" "$@" "$script" 2>&1 </dev/null)
    rc=$?
    out+=$'\n'$(cat "$SHARED/home/alice/$log" 2>/dev/null)
}

expect_rc() { ((rc == $1)) || fail "exit status $rc, not $1"; }
expect_failure() { ((rc != 0)) || fail "exit status 0"; }
expect_out() { grep -qF -- "$1" <<<"$out" || fail "the output has no: $1"; }
expect_no() { ! grep -qF -- "$1" <<<"$out" || fail "the output has: $1"; }
expect_no_line() { ! grep -qxF -- "$1" <<<"$out" || fail "the output has the line: $1"; }
expect_count() { # N TEXT
    (($(grep -cF -- "$2" <<<"$out") == $1)) || fail "not $1 times in the output: $2"
}

idle() {
    cluster wait-idle "${1:-60}" >/dev/null 2>&1 ||
        fail "nodes are not idle: $(as_user sinfo -hNo '%N %T %E' | paste -sd';')"
}
# Nothing in any store, no process of ours, no node out of service.
nothing_left() { idle && nodes_are_clean; }
# The same while jobs wait.
nodes_are_clean() {
    local node left
    for node in $(node_list); do
        left=$(cluster exec "$node" find "$STORE" -mindepth 1 2>/dev/null)
        [[ -z $left ]] || fail "left on $node: $left" || return 1
        left=$(cluster exec "$node" pgrep -fa 'pbcast-stage|plugin-agent')
        [[ -z $left ]] || fail "still runs on $node: $left" || return 1
    done
}
# Nothing of the user's in any node's memory, which nothing but the job's end has removed.
no_own_store() {
    local node left
    idle || return 1
    for node in $(node_list); do
        left=$(cluster exec "$node" sh -c 'ls -d /dev/shm/pbcast-* 2>/dev/null; pgrep -fa "stage [-]-watch|[p]bcast-stage"')
        [[ -z $left ]] || fail "left on $node: $left" || return 1
    done
}

# plugstack WORD...: the plugin with these site keys.
plugstack() { cluster plugstack "required $PLUGIN $*"; }

# two_trees: the agents take two trees, as they do by themselves on many nodes only.
two_trees() {
    printf '#!/bin/sh\nexec %s --tree two "$@"\n' "$PREFIX/bin/pbcast-stage" >"$SHARED/agent"
    chmod 755 "$SHARED/agent"
    plugstack "${SITE_KEYS[@]}" agent=/shared/agent
}

# What daemons have logged since DATE (as they write it) that may tell why a test failed.
logged_since() {
    local node
    for node in ctl $(node_list); do
        cluster logs "$node" 2>/dev/null | awk -v node="$node" -v since="[$1" '
            /^\[/ && $1 >= since && tolower($0) ~ /error|fatal|signal|kill|abort|not resp|drain/ {
                if (++n <= 12) print "    " node ": " $0
            }'
    done
}

run_tests() {
    local name report rc began failed=0
    for name in "$@"; do
        out=''
        began=$(date +%FT%T)
        report=$("$name" 2>&1)
        rc=$?
        if ((rc == 0)); then
            printf 'ok %s\n' "$name"
        elif ((rc == 77)); then
            printf 'skipped %s: %s\n' "$name" "$report"
        else
            printf 'not ok %s\n%s\n' "$name" "$report"
            logged_since "$began"
            failed=$((failed + 1))
            # The next one starts from a cluster as it was.
            as_user scancel -u alice >/dev/null 2>&1
            cluster run --user bob scancel -u bob >/dev/null 2>&1
            cluster rate all off >/dev/null 2>&1
            cluster link all up >/dev/null 2>&1
            cluster wait-idle 60 >/dev/null 2>&1
            set_up
        fi
    done
    return $((failed > 0))
}

# What a test file may redefine: called once before the tests and after each that failed.
set_up() { plugstack "${SITE_KEYS[@]}"; }
SITE_KEYS=()

main() {
    PREFIX=$(realpath -e -- "${1:?usage: $0 PREFIX [test...]}") || exit 1
    shift
    PLUGIN=$(find "$PREFIX" -name pbcast.so | head -1)
    [[ -n $PLUGIN ]] || { echo "no pbcast.so below $PREFIX" >&2 && exit 1; }
    if ! grep -qx "$PBC_CLUSTER" <<<"$("$top/container/cluster" list)"; then
        # shellcheck disable=SC2154
        cluster up "$NODES" --prefix "$PREFIX" ${PBC_SLURM_PREFIX:+--slurm "$PBC_SLURM_PREFIX"} \
            "${CLUSTER_OPTIONS[@]}" || exit 1
        trap 'cluster down >/dev/null' EXIT
    fi
    SHARED=$(cluster shared)
    set_up >/dev/null || exit 1
    (($#)) || mapfile -t tests < <(declare -F | sed -n 's/^declare -f \(test_.*\)/\1/p')
    run_tests "${@:-${tests[@]}}"
}
CLUSTER_OPTIONS=()
