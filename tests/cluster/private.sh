#!/usr/bin/env bash
# Jobs with their own /tmp and /dev/shm (job_container/tmpfs): bundles are staged inside the job's
# namespace and go with it.
set -uo pipefail
NODES=3
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
. "$here/bundles.sh"
SITE_KEYS=(timeout=60 stall=10)
# shellcheck disable=SC2054
CLUSTER_OPTIONS=(--private-tmp --conf PrologFlags=Alloc,Contain --conf LaunchParameters=use_interactive_step)

# What the machine's own /dev/shm has while a job runs.
outside() { for node in $(node_list); do cluster exec "$node" find "$STORE" -mindepth 1 2>/dev/null; done; }

test_staging_happens_inside_the_job_s_own_dev_shm() {
    local seen
    simple_bundle private 1
    script 'hello; srun hello; srun sleep 4'
    (sleep 2.5; outside >"$dir/outside") &
    batch -N3 --ntasks-per-node=1 --pbcast-bundle="$bundle"
    wait
    seen=$(cat "$dir/outside")
    expect_rc 0 && expect_count 4 "private from $STORE/" && expect_count 1 "pbcast: staged" || return
    [[ -z $seen ]] || fail "visible outside the job: $seen" || return
    nothing_left
}

test_two_jobs_on_the_same_nodes_do_not_see_each_other() {
    simple_bundle private 1
    cluster run --user bob srun -N3 --overcommit --pbcast-bundle="$bundle" sh -c 'hello; sleep 3; ls /dev/shm/pbcast' >"$dir/bob" 2>&1 &
    capture srun -N3 --overcommit --pbcast-bundle="$bundle" sh -c 'hello; sleep 3; ls /dev/shm/pbcast'
    wait $! || fail "bob's job failed: $(cat "$dir/bob")" || return
    expect_rc 0 && expect_count 3 "private from" || return
    (($(grep -cE '^[0-9]+$' <<<"$out") == 3)) || fail "more than one job in the store" || return
    nothing_left
}

test_sruns_of_an_interactive_step_share_what_the_first_has_staged() {
    simple_bundle private 1
    # Slurm wants a terminal for that step.
    out=$(bounded run script -qec "salloc -N3 --overcommit --pbcast-bundle=$bundle" /dev/null \
        <<<'echo "shell on $(hostname)"; srun hello; srun hello; ls /dev/shm; exit' 2>&1)
    expect_out "shell on n1" && expect_count 6 "private from" && expect_count 1 "pbcast: staged" && nothing_left
}

main "$@"
