#!/usr/bin/env bash
# What happens when a bundle is bad, or a node, a process, a disk or a network fails midway, on a
# real Slurm with the real agents: one clear error in bounded time, no task started, nothing left on
# any node, no node out of service.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
. "$here/bundles.sh"
SITE_KEYS=(stall=4 timeout=60 min_free=4M)

# refused LIST WORD...: staging LIST fails with one error that has all WORDs.
refused() {
    local list=$1 word
    shift
    capture srun -N4 --pbcast-bundle="$list" echo ran
    expect_failure && expect_no_line ran && expect_count 1 "error: pbcast: " || return
    for word in "$@"; do
        expect_out "$word" || return
    done
}

# start_slow_job [MIB [RATE]]: stages $bundle over links on which that takes several seconds, in a
# batch job whose id is $job, and returns when the data is on its way. Then `outcome` waits for the
# end.
start_slow_job() {
    simple_bundle slow "${1:-24}"
    cluster rate all "${2:-40mbit}"
    script 'echo ran; srun echo ran'
    log=slow-$RANDOM$RANDOM.out
    job=$(as_user sbatch --parsable -N4 --kill-on-invalid-dep=yes -o "$USER_HOME/$log" --pbcast-bundle="$bundle" "$script")
    for ((i = 0; i < 200; i++)); do
        cluster exec n4 sh -c "find $STORE/$job -name random -size +1k 2>/dev/null | grep -q ." && return
        sleep 0.1
    done
    out=$(cat "$SHARED/home/alice/$log")
    fail "staging did not start"
}
# outcome SECONDS: the job ends within SECONDS, failed, with one error, nothing left behind.
outcome() {
    local state=RUNNING
    SECONDS=0
    while ((SECONDS <= $1)); do
        state=$(as_user scontrol -o show job "$job" | sed -n 's/.*JobState=\([A-Z]*\).*/\1/p')
        [[ $state == RUNNING || $state == PENDING || $state == CONFIGURING ]] || break
        sleep 0.2
    done
    out=$(cat "$SHARED/home/alice/$log")
    cluster rate all off
    [[ $state == FAILED || $state == CANCELLED || $state == COMPLETING ]] ||
        fail "the job is $state after $SECONDS s" || return
    expect_no_line ran && nothing_left
}

# ---- bad bundles ----

test_missing_unreadable_and_empty_bundles_are_refused_before_anything_starts() {
    local before after
    new_dir
    : >"$dir/empty.tar" && cp "$here/fingerprint" "$dir/secret.tar" && chmod 600 "$dir/secret.tar"
    printf 'this is no archive, but longer than a few bytes\n' >"$dir/text.tar"
    mkfifo "$dir/fifo.tar"
    before=$(as_user scontrol show config | sed -n 's/^NEXT_JOB_ID *= //p')
    refused "$udir/no.tar" "$udir/no.tar" "No such file" &&
        refused "$udir/secret.tar" "$udir/secret.tar" "Permission denied" &&
        refused "$udir/empty.tar" "$udir/empty.tar" "empty" &&
        refused "$udir/text.tar" "$udir/text.tar" "not an archive" &&
        refused "$udir/fifo.tar" "$udir/fifo.tar" "regular file" &&
        refused "$udir" "$udir" "directory" || return
    after=$(as_user scontrol show config | sed -n 's/^NEXT_JOB_ID *= //p')
    [[ $before == "$after" ]] || fail "jobs were made: $before $after" || return
    nothing_left
}

test_a_truncated_bundle_is_refused() {
    local ext
    new_dir
    fill_tree "$dir/t"
    tar -C "$dir/t" -cf "$dir/b.tar" .
    gzip -k "$dir/b.tar" && bzip2 -k "$dir/b.tar" && xz -k -1 "$dir/b.tar"
    zstd -q "$dir/b.tar" && lz4 -q "$dir/b.tar" "$dir/b.tar.lz4"
    for ext in tar tar.gz tar.bz2 tar.xz tar.zst tar.lz4; do
        head -c "$(($(stat -c %s "$dir/b.$ext") * 2 / 3))" "$dir/b.$ext" >"$dir/cut.$ext"
        refused "$udir/cut.$ext" "$udir/cut.$ext" "truncated" || return
    done
    # only the end of the compressed stream is missing
    head -c -3 "$dir/b.tar.gz" >"$dir/cut.tar.gz"
    refused "$udir/cut.tar.gz" "$udir/cut.tar.gz" "truncated" && nothing_left
}

test_a_bundle_that_is_corrupt_in_the_middle_is_refused() {
    local ext at
    new_dir
    fill_tree "$dir/t"
    tar -C "$dir/t" -cf "$dir/b.tar" .
    gzip -k "$dir/b.tar" && bzip2 -k "$dir/b.tar" && xz -k -1 "$dir/b.tar" && zstd -q "$dir/b.tar"
    for ext in tar.gz tar.bz2 tar.xz tar.zst; do
        at=$(($(stat -c %s "$dir/b.$ext") / 2))
        printf 'CORRUPTED' | dd of="$dir/b.$ext" bs=1 seek="$at" conv=notrunc status=none
        refused "$udir/b.$ext" "$udir/b.$ext" "corrupt" || return
    done
    nothing_left
}

test_an_archive_of_something_else_is_refused() {
    new_dir
    seq 100000 | gzip >"$dir/b.tar.gz"
    refused "$udir/b.tar.gz" "$udir/b.tar.gz" "not a tar archive" && nothing_left
}

test_a_bundle_that_changes_while_it_is_read_is_refused() {
    start_slow_job 120 60mbit || return # its end is read some seconds after its beginning has arrived
    printf 'more' >>"$file"
    outcome 40 && expect_count 1 "error: pbcast: " && expect_out "changed" && expect_out "$bundle"
}

test_hostile_members_are_refused_by_name() {
    python3 "$here/hostile.py" "$(new_dir && echo "$dir")" >/tmp/hostile.$$ || return
    dir=$(head -1 /tmp/hostile.$$) && udir=$USER_HOME/${dir##*/}
    local name words
    while IFS='|' read -r name words; do
        refused "$udir/$name.tar.gz" "$name.tar.gz" "$words" || return
    done < <(tail -n +2 /tmp/hostile.$$)
    rm /tmp/hostile.$$
    out=$(cluster exec n2 ls /tmp/outside 2>&1)
    expect_out "No such file" && nothing_left
}

test_more_than_max_size_is_refused() {
    new_dir
    mkdir "$dir/t" && head -c 30000000 /dev/zero >"$dir/t/zeros"
    tar -C "$dir/t" -czf "$dir/b.tar.gz" .
    plugstack "${SITE_KEYS[@]}" max_size=20M
    refused "$udir/b.tar.gz" "./zeros" "limit"
    rc=$?
    set_up
    ((rc == 0)) && nothing_left
}

# ---- space ----

small_store() { # NODE SIZE
    cluster exec "$1" sh -c "mkdir -p $STORE && mount -t tmpfs -o size=$2,mode=755 tmpfs $STORE"
}
test_a_node_without_space_is_found_before_anything_is_sent() {
    simple_bundle big 20
    small_store n3 16m
    refused "$bundle" "node n3: " "too small" "are free"
    rc=$?
    cluster exec n3 umount "$STORE"
    ((rc == 0)) && nothing_left
}

test_a_node_that_runs_full_midway_stops_all() {
    new_dir
    mkdir "$dir/t" && head -c 90000000 /dev/zero >"$dir/t/zeros"
    tar -C "$dir/t" -czf "$dir/b.tar.gz" .
    small_store n2 32m
    refused "$udir/b.tar.gz" "node n2: " "./zeros" "b.tar.gz"
    rc=$?
    cluster exec n2 umount "$STORE"
    ((rc == 0)) && nothing_left
}

# ---- nodes, processes, networks ----

test_an_agent_that_is_killed_midway() {
    start_slow_job || return
    cluster exec n2 pkill -KILL pbcast-stage
    outcome 15 && expect_count 1 "error: pbcast: " && expect_out "node n2: its agent is gone"
}

test_the_root_agent_that_is_killed_midway() {
    start_slow_job || return
    cluster exec n1 pkill -KILL pbcast-stage
    outcome 15 && expect_count 1 "error: pbcast: " && expect_out "n1"
}

test_an_agent_that_is_stopped_midway() {
    start_slow_job || return
    cluster exec n3 pkill -STOP pbcast-stage
    outcome 30 && expect_count 1 "error: pbcast: " && expect_out "node n3: has not answered"
}

test_a_link_that_is_cut_midway() {
    start_slow_job || return
    cluster link n2 down
    (sleep 15; cluster link n2 up) &
    outcome 60 && expect_count 1 "error: pbcast: " && expect_out "node n2: "
}

# With two trees every node stands between the root and others: n2 in the first, n4 in the second.
test_what_fails_midway_in_two_trees_is_named_as_well() {
    two_trees
    start_slow_job || return
    cluster exec n4 pkill -KILL pbcast-stage
    outcome 15 && expect_count 1 "error: pbcast: " && expect_out "node n4: its agent is gone" || return
    start_slow_job || return
    cluster exec n2 pkill -STOP pbcast-stage
    outcome 30 && expect_count 1 "error: pbcast: " && expect_out "node n2: has not answered" || return
    start_slow_job || return
    cluster link n4 down
    (sleep 15; cluster link n4 up) &
    outcome 60 && expect_count 1 "error: pbcast: " && expect_out "node n4: " || return
    set_up
}

test_scancel_midway() {
    start_slow_job || return
    as_user scancel "$job"
    outcome 15
}

test_an_agent_that_is_terminated_midway() {
    start_slow_job || return
    cluster exec n4 pkill -TERM pbcast-stage
    outcome 15 && expect_count 1 "error: pbcast: " && expect_out "node n4: staging was stopped by signal 15"
}

test_garbage_on_the_agents_ports_disturbs_nothing() {
    start_slow_job || return
    local node ports=()
    for node in n1 n2; do
        ports+=("10.77.0.${node#n}:$(cluster exec $node ss -Hltnp | grep -v slurmstepd | sed -n 's/.*:\([0-9]*\) .*"pbcast-stage".*/\1/p')")
    done
    cluster exec n4 python3 "$here/garbage.py" "${ports[@]}" >"$dir/garbage" 2>&1
    SECONDS=0
    while [[ -n $(as_user squeue -h -j "$job" 2>/dev/null) ]] && ((SECONDS < 40)); do sleep 0.3; done
    cluster rate all off
    out=$(cat "$SHARED/home/alice/$log" "$dir/garbage")
    (($(sed -n 's/^connections: //p' "$dir/garbage") > 20)) || fail "the ports were not found" || return
    expect_count 5 ran && nothing_left
}

test_a_time_limit_midway() {
    simple_bundle slow 24
    cluster conf OverTimeLimit=0 KillWait=2
    cluster rate all 2mbit
    script 'echo ran'
    batch -N4 -t 0:10 --pbcast-bundle="$bundle"
    cluster rate all off
    expect_failure && expect_no_line ran && nothing_left
}

test_a_failed_staging_leaves_no_step_behind_in_the_job() {
    new_dir
    seq 100000 | gzip >"$dir/b.tar.gz"
    script "srun -n16 --overcommit --pbcast-bundle=$udir/b.tar.gz echo staged-task; echo first=\$?
timeout 200 srun echo plain-task; echo second=\$?"
    batch -N2
    expect_count 1 "error: pbcast: " && expect_no_line staged-task && expect_out "first=1" &&
        expect_no spank && # a line for each task would hide the one that says why
        expect_count 2 plain-task && expect_out "second=0" && nothing_left
}

# From a shell that knows nothing of the job.
test_a_failed_staging_by_jobid_leaves_no_step_behind() {
    local id
    new_dir
    seq 100000 | gzip >"$dir/b.tar.gz"
    script 'sleep 300'
    id=$(as_user sbatch --parsable -N2 -o /dev/null "$script")
    for ((i = 0; i < 100; i++)); do
        [[ $(as_user squeue -h -j "$id" -o %T) != RUNNING ]] || break
        sleep 0.1
    done
    capture srun --jobid="$id" -n2 --pbcast-bundle="$udir/b.tar.gz" echo staged-task
    expect_failure && expect_count 1 "error: pbcast: " && expect_no_line staged-task || return
    LIMIT=100 capture srun --jobid="$id" -n2 --immediate=30 echo plain-task
    expect_rc 0 && expect_count 2 plain-task || return
    as_user scancel "$id"
    nothing_left
}

# For longer than stall=, and long enough for timeout= to be over.
test_a_job_that_is_suspended_while_it_stages_goes_on() {
    start_slow_job 24 20mbit || return
    cluster exec ctl scontrol suspend "$job" || fail "cannot suspend" || return
    sleep 62
    cluster exec ctl scontrol resume "$job" || fail "cannot resume" || return
    for ((i = 0; i < 300; i++)); do
        [[ -n $(as_user squeue -h -j "$job" 2>/dev/null) ]] || break
        sleep 0.2
    done
    cluster rate all off
    out=$(cat "$SHARED/home/alice/$log")
    expect_no "pbcast: error" && expect_no "error: pbcast: " && expect_count 5 ran && nothing_left
}

test_a_profile_that_does_not_fit_the_tree_is_told_once() {
    simple_bundle plain
    capture srun -N4 -n16 --overcommit --pbcast-bundle="$bundle" --pbcast-env=python echo ran
    expect_rc 1 && expect_no_line ran && expect_count 1 "the profile is python, but the tree has not" &&
        expect_no spank && nothing_left
}

test_a_set_that_one_node_could_not_publish_is_staged_again() {
    simple_bundle again
    # The name of a set depends on the bundle alone: the first job learns it.
    script "srun -N4 --pbcast-bundle=$bundle hello; srun -N1 ls $STORE/\$SLURM_JOB_ID"
    batch -N4
    local id
    id=$(grep -oE '^[0-9a-f]{32}$' <<<"$out") || fail "no set" || return
    script "srun -N4 --overlap --pbcast-bundle=$udir/other.tar true
srun -N1 --overlap --nodelist=n3 mkdir $STORE/\$SLURM_JOB_ID/$id.manifest
srun -N4 --overlap --pbcast-bundle=$bundle hello; echo first=\$?
srun -N1 --overlap --nodelist=n3 rmdir $STORE/\$SLURM_JOB_ID/$id.manifest
srun -N4 --overlap --pbcast-bundle=$bundle hello; echo second=\$?"
    cp "$file" "$dir/other.tar"
    batch -N4
    expect_out "node n3: cannot write" && expect_out "first=1" && expect_out "second=0" &&
        expect_count 4 "again from" && nothing_left
}

test_a_limit_of_the_user_on_files_is_told_as_such() {
    simple_bundle limited 4
    # shellcheck disable=SC2016
    capture bash -c 'ulimit -f 1000; srun -N4 --pbcast-bundle='"$bundle"' echo ran'
    expect_failure && expect_no_line ran && expect_count 1 "error: pbcast: " && expect_out "File too large" && nothing_left
}

test_an_agent_that_is_missing_on_one_node() {
    simple_bundle missing
    cluster exec n3 mount --bind /dev/null "$PREFIX/bin/pbcast-stage"
    SECONDS=0
    capture srun -N4 --pbcast-bundle="$bundle" echo ran
    cluster exec n3 umount "$PREFIX/bin/pbcast-stage"
    expect_failure && expect_no_line ran && expect_out "execve()" && ((SECONDS < 40)) && nothing_left
}

test_a_pmix_plugin_that_slurm_has_not_is_told_as_such() {
    simple_bundle strange
    plugstack "${SITE_KEYS[@]}" mpi=pmix_v3
    capture srun -N4 --pbcast-bundle="$bundle" echo ran
    set_up
    expect_failure && expect_no_line ran && expect_count 1 "error: pbcast: " &&
        expect_out "cannot load Slurm's plugin for --mpi=pmix_v3" && nothing_left
}

test_pbcast_stage_does_not_wait_for_an_agent_that_is_missing() {
    simple_bundle missing
    cluster exec n3 mount --bind /dev/null "$PREFIX/bin/pbcast-stage"
    script "SECONDS=0; $PREFIX/bin/pbcast stage $bundle; echo status=\$? \$((SECONDS < 30))"
    batch -N4
    cluster exec n3 umount "$PREFIX/bin/pbcast-stage"
    expect_out "execve()" && expect_count 1 "pbcast: error: " && expect_out "an agent could not start" &&
        expect_out "status=1 1" && no_own_store
}

test_a_node_s_own_failure_is_told_with_its_reason() {
    simple_bundle inodes
    cluster exec n3 sh -c "mkdir -p $STORE && mount -t tmpfs -o size=100m,mode=755,nr_inodes=2 tmpfs $STORE"
    capture srun -N4 --pbcast-bundle="$bundle" echo ran
    cluster exec n3 umount "$STORE"
    expect_failure && expect_no_line ran && expect_out "node n3" && expect_out "No space left" && nothing_left
}

main "$@"
