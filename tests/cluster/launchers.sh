#!/usr/bin/env bash
# Every way in which programs are started, with the distribution's Python and NumPy on at least 4
# nodes: what runs comes from the staged tree. The comment before a test is its row in
# docs/launchers.md (tests/launcher-table).
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
. "$here/bundles.sh"
SITE_KEYS=(timeout=120)
NODES=5
# The backfill scheduler alone starts heterogeneous jobs.
CLUSTER_OPTIONS=(--store-size 3g --conf "SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=2")

# Called before the tests: $set, the runtime and the programs, as the user sees them.
set_up() {
    plugstack "${SITE_KEYS[@]}"
    tier1=/shared/tier1.tar.gz
    app=/shared/app.tar
    set=$tier1,$app
    [[ -e $SHARED/tier1.tar.gz ]] ||
        "$top/container/make-tier1" --cache "${PBC_TEST_CACHE:-/var/tmp/pbcast-cache}" "$SHARED/tier1.tar.gz" >&2 || return
    tar -C "$here/programs" --transform 's,^\./,app/,' -cf "$SHARED/app.tar" . &&
        chmod 644 "$SHARED/tier1.tar.gz" "$SHARED/app.tar"
}
# What a task runs, for sh -c.
PROBE='exec python3 $PBCAST_ROOT/app/probe.py'
# The same for a rank; the pause keeps away the race in the start-up of Slurm's own PMIx.
SUM='sleep 0.5; exec python3 $PBCAST_ROOT/app/sum.py'

# ranks N: each of N ranks has added up with all others.
ranks() {
    local i
    for ((i = 0; i < $1; i++)); do
        expect_count 1 "sum $i of $1 n" || return
    done
}
# The job ran into that race all the same, or into what Open MPI 4.1 makes of it now and then: its
# MPI_Init crashes where a peer's first message finds it in a fence. Not into anything of ours.
slurm_lost_it() {
    ((rc != 0)) && { cat <<<"$out" && for node in $(node_list); do cluster logs "$node" | tail -n 30; done; } |
        grep -qE 'Munge decode failed|Connection reject|Open MPI failed to TCP connect'
}
# pmix CMD...: again, if that is what it failed of.
pmix() {
    local i
    for i in 1 2 3 4; do
        "$@"
        slurm_lost_it || return 0
        as_user scancel -u alice
        idle || return
    done
}
# Waits until FILE of the user's home is there.
appears() {
    local i
    for ((i = 0; i < 2000; i++)); do
        [[ ! -e $SHARED/home/alice/$1 ]] || return 0
        sleep 0.1
    done
    fail "no $1 after 200 s"
}

# ---- srun ----

# row: srun alone, with --mpi=pmix | OpenMPI, mpi4py | yes | works
test_srun_alone_with_pmix() {
    pmix capture srun -N4 --ntasks-per-node=2 --mpi=pmix --pbcast-bundle="$set" sh -c "$SUM"
    expect_rc 0 && ranks 8 && nothing_left
}

# row: srun alone, with --mpi=pmi2 | MPICH | yes | works
test_srun_alone_with_pmi2() {
    # shellcheck disable=SC2016
    capture srun -N4 --ntasks-per-node=2 --mpi=pmi2 --pbcast-bundle="$set" sh -c 'exec python3 $PBCAST_ROOT/app/mpich.py'
    expect_rc 0 && ranks 8 && nothing_left
}

# row: srun --ntasks-per-node, --distribution=cyclic, arbitrary host files | none | yes | works
test_where_tasks_are_put() {
    printf '%s\n' n4 n2 n2 n3 n1 >"$SHARED/home/alice/hosts"
    script "srun --ntasks-per-node=3 sh -c '$PROBE per-node'
srun -n6 --distribution=cyclic sh -c '$PROBE cyclic'
SLURM_HOSTFILE=$USER_HOME/hosts srun -n5 --distribution=arbitrary sh -c '$PROBE listed'"
    batch -N4 --ntasks-per-node=3 --pbcast-bundle="$set"
    expect_rc 0 && expect_count 12 " per-node" && expect_count 6 " cyclic" &&
        expect_out "probe n1 task 4 cyclic" && expect_out "probe n2 task 5 cyclic" &&
        expect_count 5 " listed" && expect_out "probe n4 task 0 listed" && expect_out "probe n2 task 2 listed" &&
        expect_count 1 "pbcast: staged" || return
    # the host file alone decides which nodes the job has
    capture env SLURM_HOSTFILE="$USER_HOME/hosts" srun -n5 --distribution=arbitrary --pbcast-bundle="$set" sh -c "$PROBE listed"
    expect_rc 0 && expect_count 5 " listed" && expect_out "probe n3 task 3 listed" && expect_out "on 4 nodes" && nothing_left
}

# row: srun --multi-prog | none | yes | works
test_multi_prog() {
    # shellcheck disable=SC2016
    printf '%s\n' "0 sh -c '$PROBE leader'" "1-7 sh -c '$PROBE worker \$0' %t" >"$SHARED/home/alice/multi"
    capture srun -N4 -n8 --multi-prog --pbcast-bundle="$set" "$USER_HOME/multi"
    expect_rc 0 && expect_count 1 " leader" && expect_count 7 " worker" && expect_out "task 7 worker 7" && nothing_left
}

# row: srun --pty | none | yes | works
test_pty() {
    out=$(printf 'import os, numpy\nprint("at", os.isatty(0), numpy.__file__, 6 * 7)\nexit()\n' | timeout 60 "$top/container/cluster" --name "$PBC_CLUSTER" \
        run script -qec "srun -N4 -n1 --pty --pbcast-bundle=$set python3" /dev/null 2>&1)
    expect_out "at True $STORE/" && expect_out " 42" && nothing_left
}

# row: srun --bcast | none | yes | works
test_bcast() {
    printf '#!/bin/sh\n%s "$0"\n' "$PROBE" >"$SHARED/home/alice/start"
    chmod 755 "$SHARED/home/alice/start"
    capture srun -N4 --bcast=/tmp/start --pbcast-bundle="$set" "$USER_HOME/start"
    expect_rc 0 && expect_count 4 " /tmp/start" && nothing_left
}

# row: srun --kill-on-bad-exit | none | yes | works
test_kill_on_bad_exit() {
    # shellcheck disable=SC2016
    capture srun -N4 --kill-on-bad-exit=1 --pbcast-bundle="$set" sh -c 'test $SLURM_PROCID != 2 || exit 7; sleep 300'
    ((rc != 0 && rc != 124)) || fail "exit status $rc" || return
    nothing_left || return
    # and where the tasks are all right it changes nothing
    capture env SLURM_KILL_BAD_EXIT=1 srun -N4 --pbcast-bundle="$set" sh -c "$PROBE"
    expect_rc 0 && expect_count 4 "probe n" && nothing_left
}

# ---- salloc ----

# row: srun in salloc | OpenMPI, mpi4py | yes | works
test_srun_in_salloc() {
    pmix capture salloc -Q -N4 --pbcast-bundle="$set" srun --mpi=pmix sh -c "$SUM"
    expect_rc 0 && ranks 4 && expect_count 1 "pbcast: staged" && nothing_left
}

# row: interactive salloc, the shell on the login node | none | yes | works
test_interactive_salloc() {
    # shellcheck disable=SC2016
    out=$( (printf '%s\n' 'echo in $SLURM_JOB_ID:$PBCAST_ROOT:' "srun sh -c '$PROBE first' </dev/null" "srun -N2 sh -c '$PROBE second' </dev/null" 'exit') |
        timeout 250 "$top/container/cluster" --name "$PBC_CLUSTER" run script -qec "salloc -N4 --pbcast-bundle=$set bash --norc" /dev/null 2>&1)
    expect_count 4 " first"$'\r' && expect_count 2 " second"$'\r' && nothing_left
}

# ---- sbatch ----

# row: sbatch, plain python in the script | none | yes | works
test_python_in_the_script() {
    # shellcheck disable=SC2016
    script 'python3 $PBCAST_ROOT/app/probe.py here
/usr/bin/env python3 $PBCAST_ROOT/app/probe.py by-env
python3 - <<E
import numpy, sys
print("standard input", sys.prefix)
E'
    batch -N4 --pbcast-bundle="$set"
    expect_rc 0 && expect_out "probe n1 task 0 here" && expect_out " by-env" && expect_out "standard input $STORE/" && nothing_left
}

# row: a driver that starts programs by subprocess | none | yes | works
test_a_driver() {
    # shellcheck disable=SC2016
    script 'python3 $PBCAST_ROOT/app/driver.py
srun -N1 -n1 sh -c "exec python3 \$PBCAST_ROOT/app/driver.py local"'
    batch -N4 --pbcast-bundle="$set"
    expect_rc 0 && expect_count 2 "driver of $STORE/" && expect_count 2 " child" && expect_count 2 " by-name" &&
        expect_count 2 " of-a-shell" && expect_count 4 " step" && nothing_left
}

# row: sbatch, background sruns with --exact, --overlap, --mem | none | yes | works
test_background_sruns() {
    script "for i in 1 2 3 4; do srun --exact -N4 -n4 --mem=100 sh -c '$PROBE exact' & done
srun --overlap -N4 -n8 sh -c '$PROBE overlap' &
wait
for i in 1 2 3 4; do srun --exact -N1 -n2 --mem-per-cpu=64 sh -c '$PROBE one-node' & done
wait"
    batch -N4 --ntasks-per-node=4 --pbcast-bundle="$set"
    expect_count 16 " exact" && expect_count 8 " overlap" && expect_count 8 " one-node" &&
        expect_count 1 "pbcast: staged" && nothing_left
}

# row: sbatch, steps on subsets of the nodes, with other and with more bundles | none | yes | works
test_steps_on_subsets_and_with_other_bundles() {
    local only
    mkdir -p "$SHARED/only/bin"
    printf '#!/bin/sh\necho "only $PBCAST_ROOT ${PYTHONHOME:-none}"\n' >"$SHARED/only/bin/only"
    chmod 755 "$SHARED/only/bin/only"
    tar -C "$SHARED/only" -cf "$SHARED/only.tar" . && chmod 644 "$SHARED/only.tar"
    only=/shared/only.tar
    # shellcheck disable=SC2016
    script "srun -N2 --nodelist=n2,n4 sh -c '$PROBE subset' &
srun -N1 --nodelist=n3 sh -c '$PROBE subset' &
wait
srun --relative=1 -N2 --pbcast-bundle=$only only
srun -N3 --pbcast-bundle=$set,$only sh -c 'only; $PROBE more'
srun -N4 sh -c '$PROBE again'"
    batch -N4 --nodelist=n[1-4] --pbcast-bundle="$set"
    expect_rc 0 && expect_count 3 " subset" && expect_out "probe n3 task 0 subset" && expect_count 2 " none" &&
        expect_count 3 " more" && expect_count 5 "only $STORE/" && expect_count 4 " again" &&
        expect_out "staged 3 bundles (1 new)" && expect_count 3 "pbcast: staged" && nothing_left
}

# row: sbatch --export=NONE | none | yes | works
test_export_none_with_python() {
    # shellcheck disable=SC2016
    script 'python3 $PBCAST_ROOT/app/probe.py script
srun sh -c '"'$PROBE step'"'
srun --export=NONE sh -c '"'$PROBE bare'"
    batch -N4 --export=NONE --pbcast-bundle="$set"
    expect_rc 0 && expect_count 1 " script" && expect_count 4 " step" && expect_count 4 " bare" && nothing_left
}

# row: sbatch, mpiexec.hydra (MPICH) in the script | MPICH | yes | works
test_hydra_from_the_batch_script() {
    # shellcheck disable=SC2016
    script 'mpiexec.hydra -bootstrap slurm -np 8 -ppn 2 python3 $PBCAST_ROOT/app/mpich.py
mpiexec.hydra -np 4 -ppn 1 python3 $PBCAST_ROOT/app/probe.py rank'
    batch -N4 --ntasks-per-node=2 --pbcast-bundle="$set"
    expect_rc 0 && ranks 8 && expect_out "sum 7 of 8 n4" && expect_count 4 " rank" &&
        expect_count 1 "pbcast: staged" && nothing_left
}

# row: sbatch, mpirun (OpenMPI) on some of the nodes | OpenMPI, mpi4py | yes | works
test_mpirun_on_subsets() {
    # shellcheck disable=SC2016
    script 'mpirun -np 4 --host n1:2,n3:2 python3 $PBCAST_ROOT/app/sum.py
mpirun -np 4 --map-by node python3 $PBCAST_ROOT/app/probe.py rank'
    batch -N4 --nodelist=n[1-4] --ntasks-per-node=2 --pbcast-bundle="$set"
    expect_rc 0 && ranks 4 && expect_out " of 4 n3" && expect_count 4 " rank" && nothing_left
}

# row: sbatch --array | none | yes | works
test_an_array() {
    local i
    # shellcheck disable=SC2016
    script 'python3 $PBCAST_ROOT/app/probe.py index $SLURM_ARRAY_TASK_ID
srun sh -c "exec python3 \$PBCAST_ROOT/app/probe.py step $SLURM_ARRAY_TASK_ID"'
    batch -N2 -n2 --array=1-4 --open-mode=append --pbcast-bundle="$set"
    expect_rc 0 || return
    for i in 1 2 3 4; do
        expect_count 1 " index $i" && expect_count 2 " step $i" || return
    done
    nothing_left
}

# row: sbatch, many short sruns, in turn and at once | none | yes | works; one staging step for all of them
test_many_short_steps() {
    # shellcheck disable=SC2016
    script 'task() { srun -N1 -n1 --exact --mem=50 --mpi=none sh -c "case \$(command -v python3) in \$PBCAST_ROOT/*) echo staged in \$SLURM_STEP_ID. ;; esac"; }
for i in $(seq 20); do task; done
for i in $(seq 5); do for k in $(seq 8); do task & done; wait; done
srun -N4 -n4 --mpi=none sh -c "ls -A '"$STORE"'/\$SLURM_JOB_ID; echo last \$SLURM_STEP_ID"'
    batch -N4 -n8 --pbcast-bundle="$set"
    # steps are numbered in turn: 0 has staged, and each srun has started one
    expect_rc 0 && expect_count 60 "staged in " && expect_count 1 "staged in 60." && expect_count 4 "last 61" &&
        expect_count 1 "pbcast: staged" && expect_count 4 .manifest && nothing_left || return
    (($(grep -cE '^[0-9a-f]{32}(\.manifest)?$' <<<"$out") == 8)) || fail "more than a tree and its manifest on a node"
}

# row: sbatch --array of many short elements | none | yes | works; each is a job, and stages
test_a_larger_array() {
    rm -f "$SHARED"/home/alice/many.*
    # shellcheck disable=SC2016
    script 'case $(command -v python3) in $PBCAST_ROOT/*) echo staged ;; esac'
    out=$(LIMIT=250 bounded run sbatch --wait -N1 -n1 --array=1-12 -o "$USER_HOME/many.%a" --pbcast-bundle="$set" "$script" 2>&1 </dev/null)
    rc=$?
    out+=$(cat "$SHARED"/home/alice/many.*)
    expect_rc 0 || return
    (($(grep -cx staged <<<"$out") == 12)) || fail "not all elements ran from the tree" || return
    nothing_left
}

# row: sbatch in a job: begins anew | none | yes | works
test_a_job_in_a_job_begins_anew() {
    # shellcheck disable=SC2016
    script "sbatch -Q --wait -N2 -o $USER_HOME/inner --wrap='echo root=\$PBCAST_ROOT; python3 -c \"import sys; print(sys.prefix)\"'"
    batch -N2 --pbcast-bundle="$set"
    expect_rc 0 || return
    out=$(cat "$SHARED/home/alice/inner")
    expect_out "root=" && expect_no "root=/" && expect_out /usr && expect_no "$STORE" && nothing_left
}

# row: sbatch in a job: inherits PBCAST_BUNDLE, or has an option of its own | none | yes | works
test_a_job_in_a_job_with_bundles() {
    # shellcheck disable=SC2016
    script "export PBCAST_BUNDLE=$set
sbatch -Q --wait -N2 -o $USER_HOME/inner1 --wrap='srun sh -c \"$PROBE by-variable\"'
unset PBCAST_BUNDLE
sbatch -Q --wait -N2 -o $USER_HOME/inner2 --pbcast-bundle=$set --wrap='srun sh -c \"$PROBE by-option\"'"
    sed -i "s/\$PBCAST_ROOT/\\\\\$PBCAST_ROOT/" "$SHARED/home/alice/${script##*/}"
    batch -N2 --pbcast-bundle=none
    expect_rc 0 || return
    out+=$(cat "$SHARED"/home/alice/inner[12])
    expect_count 2 " by-variable" && expect_count 2 " by-option" && nothing_left
}

# row: sattach | none | yes | works
test_sattach() {
    local job step
    # shellcheck disable=SC2016
    script "srun -N4 sh -c 'touch $USER_HOME/runs; until test -e $USER_HOME/go; do sleep 0.2; done; $PROBE attached'"
    rm -f "$SHARED"/home/alice/{runs,go}
    job=$(as_user sbatch --parsable -N4 -o /dev/null --pbcast-bundle="$set" "$script")
    appears runs || return
    step=$(as_user squeue -hs -j "$job" -o '%i %j' | sed -n 's/ sh$//p')
    bounded run sattach "$step" >"$SHARED/attached" 2>&1 </dev/null &
    sleep 2
    touch "$SHARED/home/alice/go"
    wait $!
    out=$(cat "$SHARED/attached")
    expect_count 4 " attached" && nothing_left
}

# ---- heterogeneous jobs: each component is a job of its own, with a directory of its own ----

# row: srun A : B, with --mpi=pmi2 across the components | MPICH | yes | works
test_heterogeneous_srun() {
    # shellcheck disable=SC2016
    local rank='exec python3 $PBCAST_ROOT/app/mpich.py'
    capture srun -N1 -n2 --mpi=pmi2 --pbcast-bundle="$set" sh -c "$rank" : -N3 -n3 --mpi=pmi2 sh -c "$rank"
    expect_rc 0 && ranks 5 && expect_out "on 1 node" && expect_out "on 3 nodes" && nothing_left
}

# row: sbatch of a heterogeneous job, srun --het-group, with --mpi=pmix across the components | OpenMPI, mpi4py | yes | works
test_heterogeneous_sbatch() {
    # With --mpi=pmix an srun of several components does not end once in fifteen times, with pbcast
    # or without: its threads wait for each other in pmixp_abort_agent_stop.
    script "#SBATCH -N1 -n2 --pbcast-bundle=$set
#SBATCH hetjob
#SBATCH -N3 -n3
python3 \$PBCAST_ROOT/app/probe.py script
for i in 1 2 3 4; do
    timeout -s KILL 40 srun --mpi=pmix --het-group=0,1 sh -c '$SUM' >ranks
    test \$? = 137 || break
done
cat ranks
export SLURM_MPI_TYPE=none
srun -n2 sh -c '$PROBE first'
srun --het-group=1 -n3 sh -c '$PROBE second'
srun --het-group=1 -n3 sh -c 'env -u PBCAST_ROOT pbcast env --set=\$SLURM_PBCAST_SET >/dev/null && echo found by name'
srun --het-group=0 -n1 sh -c '$PROBE left' : --het-group=1 -n2 sh -c '$PROBE right'
srun --het-group=0,1 -n1 --pbcast-bundle=$app sh -c 'ls -d \$PBCAST_ROOT/app'
srun --het-group=0,1 -n1 --pbcast-bundle=none sh -c 'echo without:\$PBCAST_ROOT:'
"
    pmix batch -D "$USER_HOME"
    expect_rc 0 && expect_count 1 " script" && ranks 5 && expect_count 2 " first" && expect_count 3 " second" && expect_count 3 "found by name" &&
        expect_count 1 " left" && expect_count 2 " right" && expect_count 2 "/app" &&
        expect_count 2 "without::" && nothing_left
}

# row: salloc of a heterogeneous job; parts of one srun in an ordinary job (A : B) | none | yes | works
test_heterogeneous_salloc_and_steps() {
    capture salloc -Q -N1 --pbcast-bundle="$set" : -N2 srun --mpi=none --het-group=0,1 sh -c "$PROBE het"
    expect_rc 0 && expect_count 3 " het" || return
    script "export SLURM_MPI_TYPE=none
srun -N1 -n1 sh -c '$PROBE left' : -N3 -n3 sh -c '$PROBE right'
srun -N1 -n1 --pbcast-bundle=$set,$app sh -c '$PROBE other' : -N2 -n2 sh -c '$PROBE other'"
    batch -N4 --pbcast-bundle="$set"
    expect_rc 0 && expect_count 1 " left" && expect_count 3 " right" && expect_count 3 " other" && nothing_left
}

# row: srun of several components in a job, with a component whose staging fails | none | yes | refused with its reason; no component's tasks start
test_no_component_starts_when_the_staging_of_one_fails() {
    local bundle=$USER_HOME/fails.tar
    plugstack "${SITE_KEYS[@]}" agent="$here/plugin-agent"
    tar -C / -cf "$SHARED/home/alice/fails.tar" etc/hostname
    install -d -m 777 "$SHARED/home/alice/fails.tar.runs"
    echo fail-on n1 >"$SHARED/home/alice/fails.tar.mode"
    # The second has the set already.
    script "#SBATCH -N1 --nodelist=n1
#SBATCH hetjob
#SBATCH -N2 --nodelist=n2,n3
srun --mpi=none --het-group=1 -N2 --pbcast-bundle=$bundle sh -c 'echo staged before'
srun --mpi=none --het-group=0,1 --pbcast-bundle=$bundle sh -c 'echo ran'
echo \"ended with \$?\""
    batch
    set_up
    expect_count 2 "staged before" && expect_no_line ran && expect_count 1 "the stand-in fails" && expect_no "may start" &&
        expect_no "ended with 0" && nothing_left
}

# row: components with other bundles than the first | none | yes | refused: the components of a heterogeneous job share one set of bundles
test_components_share_one_set() {
    capture srun -N1 hostname : -N1 --pbcast-bundle="$set" hostname
    expect_rc 1 && expect_count 1 "error: pbcast: the components of a heterogeneous job share one set of bundles" || return
    script "#SBATCH -N1 --pbcast-bundle=$set"$'\n#SBATCH hetjob\n#SBATCH -N1 --pbcast-bundle=none\nhostname'
    batch
    expect_failure && expect_out "share one set of bundles" && expect_no Submitted && nothing_left
}

# ---- jobs that do not run straight to their end ----

# row: sbatch --no-kill, after a node has failed | none | yes | works
test_no_kill() {
    local job
    rm -f "$SHARED"/home/alice/{up,go}
    script "srun sh -c '$PROBE before'
touch $USER_HOME/up
until test -e $USER_HOME/go; do sleep 0.2; done
srun -N3 -n3 sh -c '$PROBE after'"
    job=$(as_user sbatch --parsable -N4 --nodelist=n[1-4] --no-kill -o "$script.out" --pbcast-bundle="$set" "$script")
    appears up || return
    cluster exec ctl scontrol update nodename=n4 state=down reason=test
    touch "$SHARED/home/alice/go"
    for ((i = 0; i < 300; i++)); do
        as_user scontrol -o show job "$job" | grep -qE 'JobState=(COMPLETED|FAILED|NODE_FAIL)' && break
        sleep 0.2
    done
    cluster exec ctl scontrol update nodename=n4 state=resume
    out=$(cat "$SHARED/home/alice/${script##*/}.out")
    expect_count 4 " before" && expect_count 3 " after" && expect_count 1 "pbcast: staged" || return
    # what a failed node has is removed when its slurmd starts
    cluster restart n4
    sleep 1
    nothing_left
}

# Waits until agents unpack on 4 nodes.
four_unpack() {
    local i node n
    for ((i = 0; i < 900; i++)); do
        n=0
        for node in $(node_list); do
            [[ -z $(cluster exec "$node" find "$STORE" -mindepth 2 -maxdepth 2 -name '.incoming*' 2>/dev/null) ]] || n=$((n + 1))
        done
        ((n != 4)) || return 0
        sleep 0.1
    done
    fail "agents unpack on $n nodes"
}
# requeue_when CMD...: requeues the job in $script when CMD has waited for it, and waits; between the
# two runs nothing is left.
requeue_when() {
    local job i
    job=$(as_user sbatch --parsable -N4 --requeue --open-mode=append -o "$script.out" --pbcast-bundle="$set" "$script")
    "$@" || return
    as_user scontrol requeue "$job"
    for ((i = 0; i < 900; i++)); do
        ! as_user scontrol -o show job "$job" | grep -q 'JobState=PENDING.* Restarts=1 ' || break
        sleep 0.1
    done
    cluster rate all off
    nodes_are_clean || return
    # Slurm would wait for two minutes, and never starts a job in the second in which it ended it.
    as_user scontrol update job "$job" StartTime=now+3 || return
    appears again || return
    idle || return
    out=$(cat "$SHARED/home/alice/${script##*/}.out")
}

# row: scontrol requeue while it stages | none | yes | works
test_requeue_while_staging() {
    rm -f "$SHARED"/home/alice/{first,again}
    # shellcheck disable=SC2016
    script 'test $SLURM_RESTART_COUNT || { touch ~/first; sleep 300; }
srun sh -c '"'$PROBE restarted'"'; touch ~/again'
    cluster rate all 5mbit # the set takes a hundred seconds
    requeue_when four_unpack && expect_count 4 " restarted" && expect_count 1 "pbcast: staged" &&
        { [[ ! -e $SHARED/home/alice/first ]] || fail "it had been staged already"; } && nothing_left
}

# After a requeue a slurmstepd of the first run may be there still, in whose place the one with the
# same number cannot start: its PMIx tries for half a minute to reach others that are gone. Here a
# socket with the name of its own stands for it.
# row: the staging step's slurmstepd fails on a node, as it may after a requeue | none | yes | works, with another step
test_a_step_that_slurm_cannot_start_is_tried_again() {
    local job spool socket
    script "srun sh -c '$PROBE started'"
    job=$(as_user sbatch --parsable -H -N4 --nodelist=n[1-4] -o "$script.out" --pbcast-verbose=2 --pbcast-bundle="$set" "$script")
    spool=$(as_user scontrol show config | sed -n 's/^SlurmdSpoolDir *= *//p')
    socket=${spool//%n/n4}/stepd.slurm.pmix.$job.0
    cluster exec n4 python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$socket" || return
    as_user scontrol release "$job"
    idle 120
    cluster exec n4 rm -f "$socket"
    out=$(cat "$SHARED/home/alice/${script##*/}.out")
    expect_count 4 " started" && expect_out "try 2 of 3" &&
        expect_count 1 "pbcast: staged" && nothing_left
}

# row: scontrol requeue after it has staged | none | yes | works
test_requeue_after_staging() {
    rm -f "$SHARED"/home/alice/{first,again}
    # shellcheck disable=SC2016
    script 'test $SLURM_RESTART_COUNT || { touch ~/first; sleep 300; }
srun sh -c '"'$PROBE restarted'"'; touch ~/again'
    requeue_when appears first && expect_count 4 " restarted" && expect_count 2 "pbcast: staged" && nothing_left
}

# ---- without the plugin ----

# row: sbatch, pbcast stage, then srun --mpi=pmix | OpenMPI, mpi4py | no | works
# row: sbatch, pbcast stage, then srun --mpi=pmi2 | MPICH | no | works
# row: sbatch, pbcast stage, then mpirun (OpenMPI) | OpenMPI, mpi4py | no | works
# row: sbatch, pbcast stage, then mpiexec.hydra (MPICH) | MPICH | no | works
# row: sbatch, pbcast stage, then plain python in the script, background sruns | none | no | works; tasks of srun --export=NONE do not see the tree
test_launchers_without_the_plugin() {
    cluster plugstack
    # shellcheck disable=SC2016
    script "pbcast stage $tier1 $app || exit 3
eval \"\$(pbcast env)\"
python3 \$PBCAST_ROOT/app/probe.py script
for i in 1 2; do srun --exact -N4 -n4 --mem=100 sh -c '$PROBE exact' & done; wait
srun --export=NONE -n1 -N1 /bin/sh -c 'echo none:\$PBCAST_ROOT:'
echo hydra; mpiexec.hydra -bootstrap slurm -np 4 -ppn 1 python3 \$PBCAST_ROOT/app/mpich.py
echo mpirun; mpirun -np 4 --map-by node python3 \$PBCAST_ROOT/app/sum.py
echo pmi2; srun -n4 --mpi=pmi2 python3 \$PBCAST_ROOT/app/mpich.py
echo pmix; srun -n4 --mpi=pmix sh -c '$SUM'
"
    pmix batch -N4 --ntasks-per-node=2
    set_up
    expect_rc 0 && expect_count 1 " script" && expect_count 8 " exact" && expect_count 1 "none::" && expect_count 4 "sum 0 of 4 n1" &&
        expect_count 4 "sum 3 of 4 n" && nothing_left
}

# row: sbatch with --pbcast-bundle | none | no | refused by Slurm: unrecognized option
test_options_without_the_plugin() {
    cluster plugstack
    script 'echo ran'
    batch -N4 --pbcast-bundle="$set"
    set_up
    expect_failure && expect_out "unrecognized option '--pbcast-bundle" && expect_no_line ran
}

main "$@"
