#!/usr/bin/env bash
# A Slurm without PMIx: the nodes meet by MPI, which carries the bundles as well, with the plugin
# (MPICH's agent under srun --mpi=pmi2) and without it (pbcast stage by srun and by the mpirun of both
# MPIs).
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
. "$here/bundles.sh"
SITE_KEYS=(timeout=120 stall=10)
CLUSTER_OPTIONS=(--no-pmix --store-size 3g)

# with_plugin [KEY=VALUE...], without_plugin: only a change restarts the daemons.
with_plugin() { plugstack_is "required $PLUGIN ${SITE_KEYS[*]} $*"; }
without_plugin() { plugstack_is; }
plugstack_is() {
    local now
    now=$(cat "$SHARED/../etc/slurm/plugstack.conf")
    [[ $now == "$*" ]] || cluster plugstack "$@"
}
set_up() { without_plugin; }

# programs NAME...: $bin, a directory with these of the installed programs and no others.
programs() {
    local name
    bin=$(mktemp -d "$SHARED/bin-XXXXXX") && chmod 755 "$bin"
    for name in "$@"; do cp "$PREFIX/bin/$name" "$bin/" || return; done
    bin=/shared/${bin##*/}
}
# stage_and_use HOW: $script stages $bundle that way and runs what is in it on each node.
stage_and_use() {
    script "$PREFIX/bin/pbcast stage --mpi $1 --verbose 2 $bundle || exit
eval \"\$($PREFIX/bin/pbcast env)\"
srun --mpi=none hello"
}

# ---- with the plugin ----

test_plugin_stages_by_mpi_where_slurm_has_no_pmix() {
    with_plugin
    simple_bundle mpi 8
    capture srun -N4 --pbcast-bundle="$bundle" --pbcast-verbose=2 hello
    expect_rc 0 && expect_count 4 "mpi from $STORE/" && expect_count 1 "pbcast: staged 1 bundle" &&
        expect_count 1 "MiB of archives by MPI" && expect_count 1 "pbcast: the nodes meet by MPI (--mpi=pmi2, by what Slurm offers)" && nothing_left || return
    script 'hello; srun hello; srun -N2 -n2 hello'
    batch -N4 --ntasks-per-node=1 --pbcast-bundle="$bundle"
    expect_rc 0 && expect_count 7 "mpi from $STORE/" && expect_count 1 "pbcast: staged 1 bundle" && nothing_left
}

test_plugin_takes_the_way_and_the_agent_that_the_site_names() {
    simple_bundle named
    with_plugin mpi=pmi2 "mpi_agent=$PREFIX/bin/pbcast-stage-mpich" agent=/nowhere/pbcast-stage
    capture srun -N3 --pbcast-bundle="$bundle" --pbcast-verbose=2 hello
    expect_rc 0 && expect_count 3 "named from" && expect_count 1 "by MPI (--mpi=pmi2, set by the site)" && nothing_left
}

test_plugin_refuses_what_cannot_meet_and_one_node_meets_nobody() {
    simple_bundle alone
    with_plugin mpi_agent=/nowhere/pbcast-stage-mpich
    capture srun -N2 --pbcast-bundle="$bundle" echo ran
    expect_failure && expect_no_line ran && expect_count 1 "error: pbcast: " && expect_out "execve(): /nowhere/pbcast-stage-mpich: No such file" &&
        nothing_left || return
    script 'echo ran'
    batch -N2 --pbcast-bundle="$bundle"
    expect_failure && expect_no_line ran && expect_out "Slurm offers no PMIx" &&
        expect_out "/nowhere/pbcast-stage-mpich: No such file" && nothing_left || return
    capture srun -N1 --pbcast-bundle="$bundle" --pbcast-verbose=2 hello
    expect_rc 0 && expect_count 1 "alone from" && expect_no "the nodes meet" && nothing_left
}

test_plugin_tells_failures_once_and_leaves_nothing() {
    with_plugin
    simple_bundle broken 4
    truncate -s 3M "$file"
    capture srun -N4 --pbcast-bundle="$bundle" echo ran
    failed_once "bundle.tar"
}

# ---- what goes wrong while MPI carries a bundle ----

# midway CMD...: stages a bundle over links on which that takes seconds, and runs CMD when data has
# come to n3.
midway() {
    with_plugin
    simple_bundle slow 24
    cluster rate all 100mbit
    when_data_has_come "$@" &
    capture srun -N4 --pbcast-bundle="$bundle" echo ran
    wait $!
    cluster rate all off
}
when_data_has_come() {
    for _ in $(seq 300); do
        cluster exec n3 sh -c "find /dev/shm -name random -size +1k 2>/dev/null | grep -q ." && break
        sleep 0.1
    done
    "$@"
}
failed_once() { # WORDS
    expect_failure && expect_no_line ran && expect_count 1 "error: pbcast: " && expect_out "$1" && nothing_left
}

test_an_agent_that_is_killed_while_mpi_carries() {
    midway cluster exec n3 pkill -KILL -f '[p]bcast-stage-mpich'
    failed_once "node n3: its agent is gone"
}

test_the_root_agent_that_is_killed_while_mpi_carries() {
    midway cluster exec n1 pkill -KILL -f '[p]bcast-stage-mpich'
    failed_once "n1"
}

test_an_agent_that_is_terminated_while_mpi_carries() {
    midway cluster exec n4 pkill -TERM -f '[p]bcast-stage-mpich'
    failed_once "node n4: staging was stopped by signal 15"
}

# Without a word: neither its connections nor MPI's are closed.
test_a_node_that_dies_while_mpi_carries() {
    local SITE_KEYS=(timeout=120 stall=4)
    midway cluster kill-node n3
    cluster restart n3
    failed_once "node n3: has not answered"
}

# The others have more to come when n3 is full: what comes first is large once it is unpacked.
test_a_node_that_runs_full_while_mpi_carries() {
    with_plugin min_free=4M
    new_dir
    mkdir "$dir/t" && head -c 90000000 /dev/zero >"$dir/t/a-zeros" && head -c 24000000 /dev/urandom >"$dir/t/random"
    tar -C "$dir/t" -czf "$dir/b.tar.gz" a-zeros random
    cluster exec n3 sh -c "mkdir -p $STORE && mount -t tmpfs -o size=64m,mode=755 tmpfs $STORE"
    cluster rate all 200mbit
    capture srun -N4 --pbcast-bundle="$udir/b.tar.gz" echo ran
    cluster rate all off
    failed_once "node n3: "
    rc=$?
    cluster exec n3 umount "$STORE"
    return $rc
}

test_mpirun_and_a_failure_while_mpi_carries() {
    local how signal
    without_plugin
    simple_bundle slow 24
    while read -r how signal; do
        script "$PREFIX/bin/pbcast stage -m $how $bundle; echo status=\$?"
        cluster rate all 100mbit
        when_data_has_come cluster exec n3 pkill "-$signal" -f '[p]bcast-stage-(openmpi|mpich)' &
        batch -N4 --ntasks-per-node=1
        wait $!
        cluster rate all off
        expect_out status=1 && expect_count 1 "pbcast: error: " && expect_out "node n3: " && no_own_store || return
    done <<<$'mpirun.openmpi KILL\nmpiexec.hydra TERM'
}

# ---- what MPI carries ----

# Bundles of several kinds, by MPI and by the tree: the same on all nodes, by both MPIs.
test_mpi_brings_the_same_bundles_as_the_tree() {
    local way args n first='' ways=("srun --mpi=pmi2 pbcast-stage-mpich" "mpirun.openmpi --map-by ppr:1:node pbcast-stage-openmpi")
    without_plugin
    new_dir
    fill_tree "$dir/t" && tar -C "$dir/t" -czf "$dir/a.tar.gz" .
    mkdir "$dir/u" "$dir/v" && head -c 20000000 /dev/urandom >"$dir/u/noise" && echo own >"$dir/v/word"
    "$PREFIX/bin/pbcast" bundle dir "$dir/u" -q -o "$dir/b.tar.zst" && tar -C "$dir/v" -cf "$dir/c.tar" . && chmod -R a+rX "$dir" || return
    for way in "${ways[@]}"; do
        for args in "--transport mpi" "--transport tcp"; do
            script "$way $args --verbose 2 $udir/a.tar.gz $udir/b.tar.zst $udir/c.tar || exit
srun --mpi=none -N4 --ntasks-per-node=1 sh -c 'for i in /dev/shm/pbcast-*/*/*.manifest; do bash $udir/fingerprint \${i%.manifest}; done; rm -r /dev/shm/pbcast-*'"
            batch -N4 --ntasks-per-node=1
            expect_rc 0 && expect_count 1 "staged 3 bundles" || return
            case $args in *mpi) expect_count 1 "archives by MPI" ;; *) expect_count 1 "archives through a tree" ;; esac || return
            n=$(grep -xE '[0-9]+ [0-9]+' <<<"$out" | sort | uniq -c)
            [[ $n =~ ^\ *4\ [0-9]+\ [0-9]+$ && ${first:=$n} == "$n" ]] || fail "not four times the same tree: $n, $first" || return
        done
    done
    no_own_store
}

# Members of the same name over each other: an archive of 2.2 GiB, a tree of 64 MiB.
test_more_than_2_gib_by_mpi() {
    new_dir
    python3 - "$dir/b.tar" <<'END'
import sys, tarfile
with open(sys.argv[1], "wb") as f:
    for i in range(36):
        info = tarfile.TarInfo("zeros")
        info.size = 64 << 20
        f.write(info.tobuf())
        f.seek(info.size, 1)
    f.truncate(f.tell() + 1024)
END
    with_plugin
    # shellcheck disable=SC2016
    capture srun -N4 --pbcast-bundle="$udir/b.tar" --pbcast-verbose=2 sh -c 'stat -c %s $PBCAST_ROOT/zeros'
    expect_rc 0 && expect_count 4 67108864 && expect_out "2304.0 MiB of archives by MPI" && nothing_left
}

# ---- without the plugin ----

test_pbcast_stage_by_srun_and_by_the_mpirun_of_both_mpis() {
    local how
    simple_bundle mine 4
    without_plugin
    for how in auto mpirun.openmpi mpiexec.hydra; do
        stage_and_use $how
        batch -N4 --ntasks-per-node=1
        expect_rc 0 && expect_count 4 "mine from /dev/shm/pbcast-" && expect_count 1 "on 4 nodes" &&
            expect_count 1 "MiB of archives by MPI" && no_own_store || return
        case $how in
            auto) expect_out "srun --mpi=pmi2 starts $PREFIX/bin/pbcast-stage-mpich" ;;
            *openmpi) expect_out "mpirun.openmpi starts $PREFIX/bin/pbcast-stage-openmpi" ;;
            *) expect_out "mpiexec.hydra starts $PREFIX/bin/pbcast-stage-mpich" ;;
        esac || return
    done
    stage_and_use auto
    batch -N1
    expect_rc 0 && expect_count 1 "mine from" && expect_no starts && no_own_store
}

test_pbcast_stage_takes_what_is_there_and_says_what_is_missing() {
    simple_bundle mine
    without_plugin
    programs pbcast pbcast-stage pbcast-stage-openmpi || return
    script "PATH=$bin:$SYSTEM_PATH; pbcast stage -v 2 $bundle && srun --mpi=none sh -c 'ls -d /dev/shm/pbcast-*/*/*.manifest'"
    batch -N2 --ntasks-per-node=1
    expect_rc 0 && expect_out "mpirun starts $bin/pbcast-stage-openmpi" && expect_count 2 ".manifest" && no_own_store || return
    programs pbcast pbcast-stage || return
    script "PATH=$bin:$SYSTEM_PATH; pbcast stage $bundle; echo status=\$?; pbcast stage -m pmi2 $bundle; pbcast stage -m /bin/mpirun-of-nobody $bundle"
    batch -N2 --ntasks-per-node=1
    expect_out status=3 && expect_count 3 "pbcast: error: " && expect_out "pbcast-stage-openmpi, which" &&
        expect_out "pbcast-stage-mpich, which srun" && expect_out "cannot run /bin/mpirun-of-nobody" && no_own_store
}

test_agents_started_by_mpirun_by_hand() {
    simple_bundle mine
    without_plugin
    script "mpirun.openmpi --map-by ppr:1:node pbcast-stage-openmpi $bundle || exit
srun --mpi=none -n2 --ntasks-per-node=1 sh -c 'ls -d /dev/shm/pbcast-*/*/*.manifest && rm -r /dev/shm/pbcast-*'
mpirun.openmpi -n 4 pbcast-stage-openmpi $bundle; echo crowded=\$?
mpirun.openmpi -n 2 --map-by ppr:1:node pbcast-stage-mpich $bundle; echo crossed=\$?"
    batch -N2 --ntasks-per-node=2
    expect_count 1 "pbcast: staged 1 bundle" && expect_count 2 ".manifest" && expect_out crowded=2 && expect_out "2 agents on one node" &&
        expect_out crossed=2 && expect_out "do not understand each other" && no_own_store
}

test_mpirun_tells_what_failed_and_with_which_status() {
    local how
    without_plugin
    simple_bundle broken 4
    truncate -s 3M "$file"
    for how in mpirun.openmpi mpiexec.hydra; do
        script "$PREFIX/bin/pbcast stage -m $how $bundle; echo status=\$?"
        batch -N3 --ntasks-per-node=1
        expect_out status=3 && expect_count 1 "pbcast: error: " && expect_out "bundle.tar" && no_own_store || return
    done
}

test_pbcast_stage_removes_what_mpirun_has_staged_after_scancel_and_keeps_jobs_apart() {
    local job other
    simple_bundle mine
    without_plugin
    script "$PREFIX/bin/pbcast stage -m mpirun.openmpi $bundle && touch $udir/staged-\$SLURM_JOB_ID; sleep 600"
    chmod 777 "$dir"
    job=$(as_user sbatch --parsable -N2 -w n1,n2 --ntasks-per-node=1 -o /dev/null "$script")
    other=$(as_user sbatch --parsable -N2 -w n1,n2 --ntasks-per-node=1 -o /dev/null "$script")
    for _ in $(seq 600); do [[ -e $dir/staged-$job && -e $dir/staged-$other ]] && break; sleep 0.1; done
    [[ -e $dir/staged-$job && -e $dir/staged-$other ]] || fail "a job has not staged" || return
    as_user scancel "$job"
    for _ in $(seq 600); do cluster exec n2 sh -c "ls -d /dev/shm/pbcast-*/$job" >/dev/null 2>&1 || break; sleep 0.1; done
    ! cluster exec n2 sh -c "ls -d /dev/shm/pbcast-*/$job" >/dev/null 2>&1 || fail "the tree of the job that was cancelled is there" || return
    cluster exec n2 sh -c "ls -d /dev/shm/pbcast-*/$other/*.manifest" >/dev/null || fail "the other job's tree has gone" || return
    as_user scancel "$other"
    no_own_store
}

test_an_example_job_without_the_plugin() {
    local launch
    without_plugin
    new_dir
    "$top/container/make-tier1" --small --no-verify "$dir/tier1.tar.zst" >/dev/null 2>&1 || fail "no bundle of Python" || return
    mkdir -p "$dir/mine/lib/python3/dist-packages" "$dir/app/helpers" # as Debian's Python has it
    printf 'WORD = "the package"\n' >"$dir/mine/lib/python3/dist-packages/mypackage.py"
    "$PREFIX/bin/pbcast" bundle dir "$dir/mine" -q -o "$dir/packages.tar.zst" || return
    printf 'NAME = "the application"\n' >"$dir/app/helpers/__init__.py"
    cat >"$dir/app/main.py" <<'END'
import os, sys, socket, json, mypackage, helpers
for part in sys.executable, json.__file__, mypackage.__file__, helpers.__file__:
    assert part.startswith("/dev/shm/pbcast-"), part
print(helpers.NAME, "with", mypackage.WORD, "on", socket.gethostname())
END
    cp "$top/docs/examples/job-without-plugin.sh" "$dir/job.sh" && chmod -R a+rX "$dir"
    script="$udir/job.sh"
    for launch in srun 'mpirun --map-by ppr:1:node'; do
        batch --export="ALL,TIER1=$udir/tier1.tar.zst,PACKAGES=$udir/packages.tar.zst,APP=$udir/app,LAUNCH=$launch"
        expect_rc 0 && expect_count 4 "the application with the package on n" && expect_count 1 "pbcast: staged 3 bundles" && no_own_store || return
    done
}

main "$@"
