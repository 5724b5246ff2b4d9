#!/usr/bin/env bash
# What the SPANK plugin promises, on a real Slurm. One function is one claim; the agent is a
# stand-in (plugin-agent), so that its failures can be ordered.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# Slurm 22.05 loses the wake-up of an srun that asks for a step in the moment in which the step before
# it completes, about once in fifty times; that srun tries again after two minutes.
LIMIT=250

plugstack() { cluster plugstack "required $PLUGIN agent=$here/plugin-agent $*"; }

bundle() { # bundle [MODE]: a fresh archive, its path in $bundle
    bundle=$USER_HOME/bundle-$RANDOM$RANDOM.tar
    file=$SHARED/home/alice/${bundle##*/}
    tar -C / -cf "$file" etc/hostname
    [[ $# == 0 ]] || printf '%s\n' "$*" >"$file.mode"
    mkdir "$file.runs"
    chmod 777 "$file.runs"
    chmod 644 "$file"
}
# How many staging steps there were for $bundle.
steps() { find "$file.runs" -type f -printf '%f\n' | sed 's/-[^-]*$//' | sort -u | wc -l; }
# On which nodes, for all of them.
staged_nodes() { find "$file.runs" -type f -printf '%f\n' | sed 's/.*-//' | sort -u | paste -sd,; }

expect_steps() { (($(steps) == $1)) || fail "$(steps) staging steps, not $1"; }

# ---- where it works ----

test_srun_stages_before_the_tasks_start() {
    bundle
    capture srun -N4 --pbcast-bundle="$bundle" hello
    expect_rc 0 && expect_count 4 "hello from $STORE/" && expect_steps 1 &&
        expect_count 1 "pbcast: staged" && nothing_left
}

test_sbatch_stages_before_the_first_line() {
    bundle
    script 'hello; echo "root=$PBCAST_ROOT"; srun hello; srun -N2 hello'
    batch -N4 --pbcast-bundle="$bundle"
    # four tasks, two tasks, the script itself; one step for all of them
    expect_rc 0 && expect_count 7 "hello from $STORE/" && expect_out "root=$STORE/" &&
        expect_steps 1 && nothing_left
}

test_sbatch_directive() {
    bundle
    script "#SBATCH --pbcast-bundle=$bundle"$'\nhello'
    batch -N2
    expect_rc 0 && expect_count 1 "hello from" && expect_steps 1
}

test_salloc_and_srun() {
    bundle
    capture salloc -Q -N2 --pbcast-bundle="$bundle" bash -c 'srun hello; srun -N1 hello; cd /; srun hello'
    expect_rc 0 && expect_count 5 "hello from" && nothing_left
}

test_srun_in_salloc_with_its_own_bundle() {
    bundle
    capture salloc -Q -N2 bash -c "srun -n2 true; srun --pbcast-bundle=$bundle hello; srun env"
    expect_rc 0 && expect_count 2 "hello from" && expect_no SLURM_PBCAST && nothing_left
}

test_export_none() {
    bundle
    script 'hello; srun hello; srun --export=NONE env; srun --export=FOO=1 env'
    batch -N2 --export=NONE --pbcast-bundle="$bundle"
    expect_rc 0 && expect_count 3 "hello from" && expect_count 4 "PBCAST_ROOT=$STORE/" &&
        expect_steps 1
}

test_relative_path_after_cd() {
    bundle
    script 'cd /; srun hello; cd /usr; srun -N1 hello'
    out=$(as_user bash -c "cd && sbatch --wait -N2 -o out --pbcast-bundle=${bundle##*/} $script; cat out" 2>&1)
    rc=$?
    expect_rc 0 && expect_count 3 "hello from" && expect_steps 1 || return
    capture salloc -Q -D "$USER_HOME" -N2 bash -c 'true' # salloc resolves where it is called
    out=$(as_user bash -c "cd && salloc -Q -N2 --pbcast-bundle=./${bundle##*/} bash -c 'cd / && srun hello'" 2>&1)
    rc=$?
    expect_rc 0 && expect_count 2 "hello from"
}

test_nodes_of_the_step_only() {
    bundle
    capture salloc -Q -N4 bash -c "srun -N2 --nodelist=n2,n4 --pbcast-bundle=$bundle hello"
    expect_rc 0 && expect_count 2 "hello from" &&
        { [[ $(staged_nodes) == n2,n4 ]] || fail "staged on $(staged_nodes)"; } && nothing_left
}

test_more_nodes_later() {
    bundle
    script "srun -N2 --nodelist=n1,n2 --pbcast-bundle=$bundle hello
srun -N1 --nodelist=n2 --pbcast-bundle=$bundle hello
srun -N4 --pbcast-bundle=$bundle hello"
    batch -N4
    expect_rc 0 && expect_count 7 "hello from" && expect_steps 2
}

test_beside_steps_that_hold_everything() {
    bundle
    script "srun --exact --mem=0 -N2 -n8 sleep 8 &
sleep 1
srun --overlap -N2 -n2 --pbcast-bundle=$bundle hello
kill %1; wait"
    batch -N2 -n8 --exclusive --mem=0
    expect_count 2 "hello from" && expect_steps 1 && nothing_left
}

test_exact_and_exclusive_steps() {
    bundle
    script "srun --exact -n2 -c2 --pbcast-bundle=$bundle hello
srun --exclusive -n2 --pbcast-bundle=$bundle hello"
    batch -N2 --exclusive
    expect_rc 0 && expect_count 4 "hello from" && expect_steps 1
}

test_one_node() {
    bundle
    capture srun -N1 -n3 --pbcast-bundle="$bundle" hello
    expect_rc 0 && expect_count 3 "hello from" && expect_steps 1 || return
    ! grep -q -e ' --hold ' -e ' --pause ' "$file".runs/* || fail "a single agent waits for others"
}

test_array_and_two_jobs_at_once() {
    bundle
    script 'hello; sleep 1; srun hello'
    batch -N1 --array=1-4 --pbcast-bundle="$bundle"
    expect_rc 0 && expect_steps 4 && nothing_left
}

test_two_users() {
    local one two
    bundle
    cluster run --user bob srun -N4 --overcommit --pbcast-bundle="$bundle" bash -c 'sleep 1; hello' >"$file.bob" 2>&1 &
    capture srun -N4 --overcommit --pbcast-bundle="$bundle" bash -c 'sleep 1; hello'
    wait $!
    two=$?
    one=$rc
    ((one == 0 && two == 0)) || fail "exit statuses $one and $two: $(cat "$file.bob")" || return
    expect_count 4 "hello from" && nothing_left
}

test_requeue() {
    local job
    bundle
    # shellcheck disable=SC2016
    script 'hello; [[ ${SLURM_RESTART_COUNT:-0} != 0 ]] || { scontrol requeue $SLURM_JOB_ID; sleep 60; }; echo second'
    job=$(as_user sbatch --parsable -N2 --requeue --open-mode=append -o "$script.out" --pbcast-bundle="$bundle" "$script")
    # Slurm would wait for two minutes, and never starts a job in the second in which it ended it.
    for ((i = 0; i < 200; i++)); do
        as_user scontrol -o show job "$job" | grep -q 'JobState=PENDING.* Restarts=1 ' &&
            as_user scontrol update job "$job" StartTime=now+3 && break
        sleep 0.1
    done
    sleep 1
    idle || return
    out=$(cat "$SHARED/home/alice/${script##*/}.out")
    expect_out second && expect_count 2 "hello from" && nothing_left
}

# ---- what counts ----

test_command_line_before_environment() {
    bundle
    capture env PBCAST_BUNDLE=/does/not/exist srun -N1 --pbcast-bundle=/nor/this --pbcast-bundle="$bundle" hello
    expect_rc 0 && expect_count 1 "hello from"
}

test_environment_twin() {
    bundle
    capture env PBCAST_BUNDLE="$bundle" srun -N2 hello
    expect_rc 0 && expect_count 2 "hello from" || return
    script 'hello; srun hello'
    out=$(as_user env PBCAST_BUNDLE="$bundle" sbatch --wait -N2 -o "$USER_HOME/twin" "$script" 2>&1; cat "$SHARED/home/alice/twin")
    rc=0
    expect_count 3 "hello from"
}

test_none_switches_off() {
    bundle
    capture env PBCAST_BUNDLE="$bundle" srun -N1 --pbcast-bundle=none env
    expect_rc 0 && expect_no SLURM_PBCAST && expect_steps 0 || return
    script 'srun --pbcast-bundle=none env | grep SLURM_PBCAST; srun hello'
    batch -N1 --pbcast-bundle="$bundle"
    expect_rc 0 && expect_count 1 "hello from" && expect_no SLURM_PBCAST
}

test_job_in_a_job_begins_anew() {
    bundle
    script "cd /; sbatch -Q --wait -N1 -o $USER_HOME/inner --wrap='env; srun env'"
    batch -N2 --pbcast-bundle="${bundle}"
    expect_rc 0 || return
    out=$(cat "$SHARED/home/alice/inner")
    expect_no SLURM_PBCAST && expect_no "_PBCAST" && expect_no pbcast_bundle && expect_steps 1
}

test_users_environment_does_not_steer_the_step() {
    bundle
    capture env SLURM_NTASKS=7 SLURM_NNODES=1 SLURM_OVERCOMMIT=1 SLURM_MPI_TYPE=none \
        SLURM_CPU_BIND=verbose SLURM_LABELIO=1 SLURM_STDOUTMODE=/dev/null SLURM_EXPORT_ENV=NONE \
        SRUN_EXPORT_ENV=NONE SLURM_WAIT=1 SLURM_KILL_BAD_EXIT=1 SLURM_DEBUG=5 PMIX_RANK=9 \
        LD_LIBRARY_PATH=/nonexistent SLURM_WORKING_DIR=/nonexistent FOO=bar \
        SLURM_PMIX_DIRECT_CONN=false SLURM_TIMELIMIT=1 SLURM_UNBUFFEREDIO=1 \
        srun -N4 -n4 -l --mpi=none --pbcast-bundle="$bundle" true
    expect_steps 1 && { [[ $(staged_nodes) == n1,n2,n3,n4 ]] || fail "staged on $(staged_nodes)"; } || return
    ! grep -E '^(FOO|LD_|SLURM_OVERCOMMIT|SLURM_LABELIO|SLURM_STDOUTMODE|SLURM_PMIX_DIRECT)' "$file".runs/* ||
        fail "the user's variables are in the agent's environment"
}

test_long_path_of_the_user() {
    local long
    bundle
    long=$(printf '/x%.0s' {1..20000})
    capture env PATH="$(as_user printenv PATH):$long" srun -N1 --pbcast-bundle="$bundle" bash -c 'hello; echo ${#PATH}'
    expect_rc 0 && expect_out "hello from" || return
    (($(tail -1 <<<"$out") > 40000)) || fail "PATH was cut"
}

# ---- refusals ----

# Slurm says it, before it looks for functions that the plugin needs and another Slurm has.
test_plugin_for_another_slurm_says_so() {
    local command copy=$SHARED/other.so
    python3 "$here/other-version.py" "$PLUGIN" "$copy" || return
    cluster plugstack "required /shared/other.so" >"$SHARED/slurmd" 2>&1
    for command in srun sbatch salloc; do
        capture "$command" -N1 /bin/true
        expect_rc 1 && expect_count 1 "Incompatible Slurm plugin /shared/other.so version (99.11.2)" &&
            expect_no "undefined symbol" || break
    done
    rc=$?
    plugstack
    ((rc == 0)) || return
    out=$(cat "$SHARED/slurmd")
    expect_out "Incompatible Slurm plugin /shared/other.so version (99.11.2)"
}

test_missing_bundle_costs_no_allocation() {
    bundle
    capture srun -N4 --pbcast-bundle=/no/such.tar hostname
    expect_rc 1 && expect_count 1 "error: pbcast: " && expect_out /no/such.tar || return
    script 'true'
    batch -N4 --pbcast-bundle="$bundle,/no/such.tar"
    expect_rc 1 && expect_count 1 "error: pbcast: " && expect_no "Submitted" || return
    capture salloc -N1 --pbcast-bundle=/etc/passwd true
    expect_rc 1 && expect_count 1 "error: pbcast: " && expect_no Granted
}

test_bundle_gone_between_submission_and_start() {
    bundle
    script 'echo the script has run'
    out=$(as_user sbatch --parsable --hold -N2 -o "$USER_HOME/gone.out" --pbcast-bundle="$bundle" "$script")
    rm "$file"
    as_user scontrol release "$out"
    sleep 2
    idle || return
    out=$(cat "$SHARED/home/alice/gone.out")
    expect_count 1 "error: pbcast: node n" && expect_out "$bundle" && expect_no "the script has run"
}

test_wrong_values() {
    bundle
    capture srun -N1 --pbcast-bundle= true
    expect_rc 1 && expect_out "pbcast: " || return
    capture srun -N1 --pbcast-verbose=9 true
    expect_out "0 to 3" && ((rc != 0)) || fail "accepted" || return
    capture env PBCAST_VERBOSE=loud srun -N1 --pbcast-bundle="$bundle" true
    expect_rc 1 && expect_out "PBCAST_VERBOSE" || return
    capture env SLURM_PBCAST_STEP=1 srun -N1 --pbcast-bundle="$bundle" true
    expect_rc 1 && expect_out "SLURM_PBCAST_STEP"
}

test_unknown_site_key() {
    plugstack colour=red
    capture srun -N1 true
    plugstack
    expect_rc 1 && expect_out "colour" && idle
}

test_wrong_key_on_nodes_stops_batch_scripts_with_bundles_only() {
    local log=$USER_HOME/key-$RANDOM with without
    bundle
    script 'echo the script has run'
    without=$(as_user sbatch --parsable --hold -o "$log.without" "$script")
    with=$(as_user sbatch --parsable --hold -o "$log.with" --pbcast-bundle="$bundle" "$script")
    plugstack colour=red
    as_user scontrol release "$without" "$with"
    idle
    plugstack
    out=$(cat "$SHARED${log#/shared}.with")
    expect_out 'unknown key "colour"' && expect_no "the script has run" || return
    out=$(cat "$SHARED${log#/shared}.without")
    expect_out "the script has run" && expect_no colour
}

test_forged_set() {
    capture env SLURM_PBCAST_SET=../../etc salloc -Q -N1 srun hostname
    expect_rc 0 && expect_no pbcast || return
    script 'srun --export=ALL,SLURM_PBCAST_SET=../../etc hostname; srun --export=ALL,SLURM_PBCAST_SET=00000000000000000000000000000000 hostname'
    batch -N1
    expect_out "is not the name of a set" && expect_out "is not staged here" && expect_no_line n1 && idle
}

test_optional_line_does_not_run_unstaged() {
    cluster plugstack "optional $PLUGIN agent=$here/plugin-agent"
    bundle fail
    capture srun -N2 --pbcast-bundle="$bundle" echo ran
    plugstack
    expect_failure && expect_out "the stand-in fails" && expect_count 1 "this step has staged none" &&
        expect_no_line ran && idle
}

# ---- failures while staging ----

test_failing_agent() {
    bundle fail
    capture srun -N4 --pbcast-bundle="$bundle" echo ran
    expect_rc 1 && expect_no_line ran && expect_count 1 "error: pbcast: node n2: $bundle: the stand-in fails" &&
        expect_no "Exited with exit code" && nothing_left || return
    script 'echo the script has run'
    batch -N3 --pbcast-bundle="$bundle"
    expect_rc 1 && expect_no "the script has run" && expect_count 1 "the stand-in fails" && nothing_left
}

test_agent_without_a_word() {
    bundle silent
    capture srun -N2 --pbcast-bundle="$bundle" echo ran
    expect_rc 1 && expect_out "pbcast: | something that only experts understand" &&
        expect_count 1 "error: pbcast: " && nothing_left
}

test_missing_agent_and_srun() {
    bundle
    cluster plugstack "required $PLUGIN agent=/no/such/agent"
    capture srun -N2 --pbcast-bundle="$bundle" echo ran
    plugstack srun=/no/such/srun
    expect_rc 1 && expect_out "/no/such/agent" || return
    capture srun -N2 --pbcast-bundle="$bundle" echo ran
    plugstack
    expect_rc 1 && expect_out "error: pbcast: cannot run /no/such/srun: No such file" && nothing_left
}

test_lost_exchange_is_repeated() {
    bundle again 1
    capture srun -N4 --pbcast-verbose=2 --pbcast-bundle="$bundle" hello
    expect_rc 0 && expect_count 4 "hello from" && expect_steps 2 && expect_out "try 2 of 3" && nothing_left
}

test_lost_exchange_three_times() {
    bundle again 9
    capture srun -N2 --pbcast-bundle="$bundle" hello
    expect_rc 1 && expect_steps 3 && expect_count 1 "error: pbcast: " && nothing_left
}

test_long_error_line() {
    bundle long
    capture srun -N2 --pbcast-bundle="$bundle" hello
    expect_rc 1 && expect_count 1 "error: pbcast: xxxxx" && nothing_left
}

test_overall_timeout() {
    plugstack timeout=1
    bundle hang
    SECONDS=0
    capture srun -N2 --pbcast-bundle="$bundle" hello
    plugstack
    expect_rc 1 && expect_out "did not end within 1 seconds" && nothing_left
}

test_store_in_the_way() {
    bundle
    cluster exec n2 sh -c "rm -rf $STORE; mkdir $STORE; chown 1002 $STORE"
    capture srun -N2 --nodelist=n1,n2 --pbcast-bundle="$bundle" hello
    cluster exec n2 rmdir "$STORE"
    expect_rc 1 && expect_count 1 "error: pbcast: node n2: " && nothing_left
}

test_manifest_lost_on_one_node() {
    bundle
    script "srun true; srun -N1 --nodelist=n2 --overlap rm -rf $STORE/\$SLURM_JOB_ID; srun -N2 echo ran on; true"
    batch -N2 --nodelist=n1,n2 --pbcast-bundle="$bundle"
    expect_count 1 "pbcast: node n2: " && expect_out "is not staged here" && nothing_left
}

# Debian builds Slurm without it.
test_scrontab_refuses_options_and_its_jobs_stage_by_srun() {
    local tab=$SHARED/home/alice/tab log i
    as_user which scrontab >/dev/null || { echo "this Slurm has no scrontab" && return 77; }
    cluster conf ScronParameters=enable
    bundle
    printf '%s\n' "#SCRON --pbcast-bundle=$bundle" '* * * * * hello' >"$tab"
    capture scrontab "$USER_HOME/tab"
    expect_failure && expect_out "give --pbcast-bundle to the srun that the entry starts" || return
    log=cron-$RANDOM$RANDOM.out
    printf '%s\n' '#SCRON -N2' "#SCRON -o $USER_HOME/$log" "* * * * * srun -N2 --pbcast-bundle=$bundle hello" >"$tab"
    capture scrontab "$USER_HOME/tab"
    expect_rc 0 || return
    for ((i = 0; i < 800; i++)); do
        ! grep -q 'hello from' "$SHARED/home/alice/$log" 2>/dev/null || break
        sleep 0.1
    done
    capture scrontab -r
    expect_rc 0 || return
    idle || return
    out=$(cat "$SHARED/home/alice/$log")
    expect_count 2 "hello from $STORE/" && nothing_left
}

# ---- the end ----

# interrupt SIGNAL WHO: srun gets it (WHO pid) or its process group (WHO group) while it stages.
interrupt() {
    # shellcheck disable=SC2016
    capture setsid bash -c 'set -m
        srun -N4 --pbcast-bundle='"$bundle"' echo ran & p=$!
        for ((i = 0; i < 50; i++)); do (($(ls '"$bundle"'.runs | wc -l) < 4)) || break; sleep 0.1; done
        sleep 0.5; s=$(date +%s%N)
        if [[ $2 == group ]]; then kill -$1 -- -$p; else kill -$1 $p; fi
        wait $p; rc=$?
        echo "ended after $((($(date +%s%N) - s) / 1000000)) ms"; exit $rc' bash "$1" "$2"
}
ended_soon() {
    local ms
    ms=$(sed -n 's/^ended after \([0-9]*\) ms$/\1/p' <<<"$out")
    ((${ms:-99999} < 20000)) || fail "took $ms ms"
}

test_signals_end_the_staging() {
    local signal who
    for signal in TERM INT HUP; do
        for who in pid group; do
            bundle hang
            interrupt $signal $who
            ((rc != 0)) && expect_no_line ran && ended_soon && nothing_left ||
                fail "after SIG$signal to the $who" || return
        done
    done
}

test_agents_may_clean_up() {
    bundle tidy
    interrupt TERM pid
    ((rc != 0)) && ended_soon && { [[ -e $file.runs/tidied ]] || fail "the agents were killed at once"; } &&
        nothing_left
}

test_killed_srun_leaves_nothing() {
    bundle hang
    interrupt KILL pid
    ended_soon && nothing_left
}

test_ctrl_c_at_a_terminal() {
    bundle hang
    # shellcheck disable=SC2016
    out=$( (sleep 3; printf '\003'; sleep 15) |
        timeout 60 "$top/container/cluster" --name "$PBC_CLUSTER" run script -qec "srun -N4 --pbcast-bundle=$bundle echo ran; echo rc=\$?" /dev/null 2>&1)
    expect_out rc=1 && expect_out "pbcast: staging was interrupted" && nothing_left
}

test_scancel_while_srun_stages() {
    bundle hang
    # shellcheck disable=SC2016
    capture bash -c 'srun -N4 --job-name=victim --pbcast-bundle='"$bundle"' echo ran & p=$!
        sleep 2; s=$(date +%s%N); scancel --name=victim; wait $p; rc=$?
        echo "ended after $((($(date +%s%N) - s) / 1000000)) ms"; exit $rc'
    ((rc != 0)) || fail "exit status 0" || return
    expect_no_line ran && ended_soon && nothing_left
}

test_scancel_while_a_batch_job_stages() {
    local job
    bundle hang
    script 'echo the script has run'
    job=$(as_user sbatch --parsable -N4 -o "$USER_HOME/cancelled.out" --pbcast-bundle="$bundle" "$script")
    sleep 2
    as_user scancel "$job"
    idle 20 || return
    out=$(cat "$SHARED/home/alice/cancelled.out")
    expect_no "the script has run" && expect_steps 1 && nothing_left
}

test_time_limit_while_staging() {
    bundle hang
    cluster conf OverTimeLimit=0
    script 'echo the script has run'
    SECONDS=0
    batch -N2 -t 0:01 --pbcast-bundle="$bundle"
    ((rc != 0 && SECONDS < 150)) || fail "rc=$rc after $SECONDS s" || return
    expect_no "the script has run" && nothing_left
}

test_epilog_after_failure_and_cancel() {
    bundle
    capture srun -N4 --pbcast-bundle="$bundle" false
    ((rc != 0)) && nothing_left || return
    # shellcheck disable=SC2016
    capture bash -c 'srun -N4 --job-name=victim2 --pbcast-bundle='"$bundle"' sleep 60 & p=$!; sleep 2; scancel --name=victim2; wait $p'
    nothing_left
}

test_leftovers_go_when_slurmd_starts() {
    local job
    bundle
    job=$(as_user sbatch --parsable -N2 --nodelist=n1,n2 -o /dev/null --pbcast-bundle="$bundle" --wrap 'srun sleep 30')
    sleep 2
    cluster exec n1 mkdir -p "$STORE/999999/deep/er" "$STORE/$job/deep"
    # a job that runs, on other nodes than this
    cluster exec n3 sh -c "umask 022; mkdir -p $STORE/999999 $STORE/$job"
    cluster restart n1
    cluster restart n3
    sleep 3
    out=$(cluster exec n1 ls "$STORE"; echo --; cluster exec n3 ls "$STORE")
    as_user scancel "$job"
    [[ $out == "$job"$'\n'-- ]] || fail "left: " || return
    nothing_left
}

test_slurmd_starts_without_its_controller() {
    cluster exec n4 sh -c "umask 022; mkdir -p $STORE/999998/x"
    cluster link ctl down 2>/dev/null || cluster exec ctl pkill -STOP slurmctld
    SECONDS=0
    cluster exec n4 pkill slurmd
    sleep 0.5
    cluster exec n4 slurmd
    rc=$?
    (($(cluster exec n4 pgrep -c slurmd) >= 1 && SECONDS < 5)) || rc=1
    cluster link ctl up 2>/dev/null || cluster exec ctl pkill -CONT slurmctld
    ((rc == 0)) || fail "slurmd did not start: rc=$rc, $SECONDS s" || return
    for ((i = 0; i < 60; i++)); do
        [[ -z $(cluster exec n4 ls "$STORE") ]] && break
        sleep 1
    done
    nothing_left
}

test_listed_twice() {
    cluster plugstack "required $PLUGIN agent=$here/plugin-agent" "required $PLUGIN agent=$here/plugin-agent"
    bundle
    capture srun -N2 --pbcast-bundle="$bundle" hello
    expect_rc 0 && expect_count 2 "hello from" && expect_steps 1 && expect_out "listed 2 times"
    rc=$?
    plugstack
    ((rc == 0)) && nothing_left
}

# What an srun opens and starts, without what differs from run to run.
trace_srun() {
    as_user strace -f -e trace=open,openat,execve,clone,clone3,fork,vfork,connect \
        -o "$USER_HOME/trace" srun -N1 true || return
    sed -E 's/^[0-9]+ +//; s/0x[0-9a-f]+/X/g; s/= [0-9]+$/= N/; s/(connect|clone3?)\(.*/\1/; /pbcast\.so|^\?\?\?|^---|^\+\+\+|resumed/d' \
        "$SHARED/home/alice/trace" | sort
}
test_job_without_it_pays_nothing() {
    local without
    cluster plugstack
    without=$(trace_srun)
    plugstack
    out=$(diff <(printf '%s\n' "$without") <(trace_srun))
    [[ -n $without && -z $out ]] || fail "with the plugin srun does more:" || return
    capture srun -N4 env
    expect_no PBCAST
}

test_node_does_nothing_for_a_job_without_it() {
    local tracer
    # shellcheck disable=SC2016
    cluster exec n1 sh -c 'exec strace -f -e trace=open,openat,openat2,mkdir,mkdirat,execve \
        -o /cluster/trace-n1 -p "$(pgrep -o slurmd)"' 2>/dev/null &
    tracer=$!
    sleep 1
    as_user srun -w n1 true
    idle || return
    sleep 0.5
    cluster exec n1 pkill strace
    wait "$tracer"
    # the store is looked into once, by the epilog
    out=$(grep -F '"pbcast' "$SHARED/../trace-n1")
    (($(grep -c . <<<"$out") == 1)) || fail "more than one look:"
}

main "$@"
