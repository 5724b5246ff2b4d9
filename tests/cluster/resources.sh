#!/usr/bin/env bash
# Sites bound jobs and put things of their own around tasks: control groups for memory and
# processors, an extern step, reserved processors, linear selection, limits on steps, accounting,
# prologs and epilogs, other plugins that change what a task sees.
set -uo pipefail
NODES=2
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
. "$here/bundles.sh"
SITE_KEYS=(timeout=60 stall=10)
# shellcheck disable=SC2054
CONF=(PrologFlags=Alloc,Contain,X11 LaunchParameters=use_interactive_step
    AllowSpecResourcesUsage=yes SelectType=select/cons_tres SelectTypeParameters=CR_Core_Memory
    MaxStepCount=40000 Epilog=/shared/epilog Prolog=/shared/prolog TaskProlog=/shared/task-prolog)
CLUSTER_OPTIONS=(--cpus 2 --cgroups --accounting)
for line in "${CONF[@]}"; do CLUSTER_OPTIONS+=(--conf "$line"); done

# The site's own scripts say that they have run; a job is asked for by its name.
site_script() { # NAME TEXT
    printf '#!/bin/bash\n%s\n' "$2" >"$SHARED/$1"
    chmod 755 "$SHARED/$1"
}
# shellcheck disable=SC2016
site_scripts() {
    site_script prolog 'touch "/shared/marks/prolog-$SLURM_JOB_ID-$(hostname)"'
    site_script epilog 'touch "/shared/marks/epilog-$SLURM_JOB_ID-$(hostname)"'
    site_script task-prolog 'echo "export SITE_SAW=${PBCAST_ROOT:-nothing}"; echo export PATH="/site/bin:$PATH"'
}
set_up() {
    install -d -m 1777 "$SHARED/marks"
    site_scripts
    [[ -z ${started:-} ]] || cluster conf "${CONF[@]}" # after a failure
    started=1
    plugstack "${SITE_KEYS[@]}"
}

# zeros_bundle MIB: $bundle, a gzip of so many MiB of zeros, which is a thousandth of that.
zeros_bundle() {
    new_dir
    mkdir "$dir/t"
    head -c "$(($1 << 20))" /dev/zero >"$dir/t/zeros"
    tar -C "$dir/t" -czf "$dir/bundle.tar.gz" .
    rm -r "$dir/t"
    bundle=$udir/bundle.tar.gz
}
# Prints where a task finds the memory group of its job.
# shellcheck disable=SC2016
job_group='g=/sys/fs/cgroup/memory$(sed -n "s/.*:memory://p" /proc/self/cgroup); while [[ $g == */job_*/* ]]; do g=${g%/*}; done; '
killed() { for node in $(node_list); do cluster exec "$node" bash -c 'cat /sys/fs/cgroup/memory/slurm*/memory.oom_control'; done; }
kills() { killed | awk '$1 == "oom_kill" { n += $2 } END { print n }'; }

# too_little MIB WORD...: staging $bundle with this limit is refused by an agent that says what to
# ask for, before the kernel kills; and what it says is enough, if it is not only a guess ($enough).
too_little() {
    local mem=$1 before word ask
    shift
    before=$(kills)
    capture srun -N2 --mem="${mem}M" --pbcast-bundle="$bundle" echo ran
    expect_failure && expect_no_line ran && expect_count 1 "error: pbcast: node n" || return
    for word in "memory limit of the job is $mem MiB on this node" "ask for --mem=" "$@"; do
        expect_out "$word" || return
    done
    (($(kills) == before)) || fail "the kernel has killed" || return
    nothing_left || return
    ask=$(sed -n 's/.*ask for --mem=\([0-9]*\)M.*/\1/p' <<<"$out")
    capture srun -N2 --mem="${enough:-$ask}M" --pbcast-bundle="$bundle" echo ran
    expect_rc 0 && expect_count 2 ran && nothing_left
}

test_a_memory_limit_below_the_archives_is_refused_before_they_are_sent() {
    simple_bundle memory 100
    too_little 110 "the job's memory is too small" "need about 101 MiB"
}

test_a_memory_limit_that_unpacking_reaches_ends_it_with_what_to_ask_for() {
    zeros_bundle 250
    too_little 140 "bundle.tar.gz: the job's memory does not suffice for member './zeros'"
}

test_small_files_count_with_the_memory_that_they_take() {
    new_dir
    python3 - "$dir/bundle.tar.gz" <<'END'
import io, sys, tarfile
with tarfile.open(sys.argv[1], "w:gz", compresslevel=1) as tar:
    for i in range(12000):
        member = tarfile.TarInfo(f"bin/{i}")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
END
    bundle=$udir/bundle.tar.gz
    enough=200 too_little 70 "does not suffice for member"
}

test_in_a_batch_job_the_script_does_not_start_without_the_memory() {
    simple_bundle memory 100
    script 'echo ran'
    batch -N2 --mem=110M --pbcast-bundle="$bundle"
    expect_failure && expect_no_line ran && expect_out "ask for --mem=" && nothing_left
}

test_staged_bytes_stay_memory_of_the_job() {
    simple_bundle memory 60
    capture srun -N2 --mem=300M --pbcast-bundle="$bundle" \
        bash -c "$job_group"'hello; (($(<$g/memory.usage_in_bytes) > 60 << 20)) && echo counted'
    expect_rc 0 && expect_count 2 "memory from" && expect_count 2 counted && nothing_left
}

# An agent that tells what it may use.
agents_see() {
    # shellcheck disable=SC2016
    printf '#!/bin/bash\necho "cpus: $(sed -n "s/Cpus_allowed_list:[[:blank:]]*//p" /proc/self/status)" >>/shared/marks/cpus
exec %s/bin/pbcast-stage "$@"\n' "$PREFIX" >"$SHARED/agent"
    chmod 755 "$SHARED/agent"
    rm -f "$SHARED/marks/cpus"
    plugstack "${SITE_KEYS[@]}" agent=/shared/agent
}
test_an_agent_has_all_processors_of_the_allocation() {
    agents_see
    simple_bundle cpus 1
    capture salloc -N2 -c2 --mem=300M srun -N2 -n2 -c1 --exact --pbcast-bundle="$bundle" hello
    expect_rc 0 && expect_count 2 "cpus from" || return
    script 'srun --ntasks-per-node=1 -c1 hello'
    batch -N2 -c2 --mem=300M --pbcast-bundle="$bundle"
    expect_rc 0 && expect_out "cpus from" || return
    out=$(cat "$SHARED/marks/cpus")
    expect_count 4 "cpus: 0-1" || return
    rm -f "$SHARED/marks/cpus"
    capture srun -N2 --mem=300M --pbcast-bundle="$bundle" hello
    expect_rc 0 || return
    out=$(cat "$SHARED/marks/cpus")
    (($(grep -cx 'cpus: [01]' <<<"$out") == 2)) || fail "an agent has more than the job's processor" || return
    plugstack "${SITE_KEYS[@]}" >/dev/null && nothing_left
}

test_reserved_processors_are_left_alone() {
    agents_see
    simple_bundle cpus 1
    capture srun -N2 --core-spec=1 --mem=300M --pbcast-bundle="$bundle" hello
    expect_rc 0 && expect_count 2 "cpus from" || return
    out=$(cat "$SHARED/marks/cpus")
    (($(grep -cx 'cpus: [01]' <<<"$out") == 2)) || fail "an agent uses the reserved processor" || return
    plugstack "${SITE_KEYS[@]}" >/dev/null && nothing_left
}

test_salloc_with_an_interactive_step_stages_inside_the_allocation() {
    simple_bundle interactive 1
    # Slurm wants a terminal for that step.
    out=$(bounded run script -qec "salloc -N2 --mem=300M --pbcast-bundle=$bundle" /dev/null \
        <<<'echo "shell on $(hostname)"; srun hello; srun hello; exit' 2>&1)
    expect_out "shell on n1" && expect_count 4 "interactive from" && expect_count 1 "pbcast: staged" && nothing_left
}

# Slurm hands the tasks a display, whose connections come out at the one that srun was called with:
# here something that answers as no X server would.
test_a_display_is_forwarded_beside_the_staging() {
    simple_bundle display 1
    printf '%s\n' 'import socket, sys' \
        's = socket.create_server(("", 6007))' 'print("listens", flush=True)' \
        'while True:' '    c = s.accept()[0]' '    c.sendall(b"the display of login\n")' '    c.close()' >"$SHARED/home/alice/display.py"
    # shellcheck disable=SC2016
    printf '%s\n' hello 'python3 - <<E' 'import os, socket' 'host, rest = os.environ["DISPLAY"].split(":")' \
        'c = socket.create_connection((host, 6000 + int(float(rest))))' 'print("reached", c.makefile().read(), end="")' E \
        >"$SHARED/home/alice/client.sh"
    # shellcheck disable=SC2016
    capture bash -c 'export DISPLAY=login:7.0
        coproc python3 ~/display.py
        read -r <&"${COPROC[0]}"
        xauth -q add "$DISPLAY" . 0123456789abcdef0123456789abcdef
        srun -N2 --x11 --mem=300M --pbcast-bundle='"$bundle"' sh ~/client.sh
        rc=$?
        kill "$COPROC_PID"
        exit $rc'
    expect_rc 0 && expect_count 2 "display from $STORE/" && expect_count 2 "reached the display of login" &&
        expect_count 1 "pbcast: staged" && nothing_left
}

test_the_site_s_prolog_task_prolog_and_epilog_run_beside_ours() {
    local node job
    simple_bundle site 1
    # shellcheck disable=SC2016
    script 'srun bash -c "hello; echo site saw \$SITE_SAW; type -p hello; echo PATH=\$PATH"; echo "job $SLURM_JOB_ID"'
    batch -N2 --mem=300M --pbcast-bundle="$bundle"
    expect_rc 0 && expect_count 2 "site saw $STORE/" && expect_count 2 "PATH=/site/bin:$STORE/" &&
        expect_count 2 "site from" && nothing_left || return
    job=$(sed -n 's/^job //p' <<<"$out")
    for node in $(node_list); do
        [[ -e $SHARED/marks/prolog-$job-$node ]] || fail "no prolog on $node" || return
        [[ -e $SHARED/marks/epilog-$job-$node ]] || fail "no epilog on $node" || return
    done
}

test_a_task_prolog_that_fails_is_told_apart_from_a_lost_exchange() {
    simple_bundle site 1
    # shellcheck disable=SC2016
    site_script task-prolog '[[ $(hostname) == n1 ]]'
    capture srun -N2 --mem=300M --pbcast-bundle="$bundle" echo ran
    expect_failure && expect_no_line ran && expect_count 1 "TaskProlog failed" &&
        expect_out "the staging step on n[1-2] failed" && nothing_left && site_scripts
}

test_sacct_has_the_staging_step_by_its_name() {
    local job i
    simple_bundle accounted 1
    # shellcheck disable=SC2016
    script 'srun --job-name=application hello; srun --job-name=second hello; echo "job $SLURM_JOB_ID"'
    batch -N2 --mem=300M --pbcast-bundle="$bundle"
    expect_rc 0 || return
    job=$(sed -n 's/^job //p' <<<"$out")
    for ((i = 0; i < 100; i++)); do
        capture sacct -nP -j "$job" -o JobID,JobName,State,NNodes,NTasks
        [[ $out != *"$job.2|second|COMPLETED"* ]] || break
        sleep 0.2
    done
    expect_out "$job.0|pbcast|COMPLETED|2|2" && expect_out "$job.1|application|COMPLETED|2|2" &&
        expect_count 1 "|pbcast|"
}

test_linear_selection_without_a_held_start_and_with_few_steps() {
    cluster conf SelectType=select/linear SelectTypeParameters=CR_Memory PrologFlags=NoHold MaxStepCount=3
    simple_bundle linear 1
    script 'for i in 1 2 3; do srun hello; echo "srun ended with $?"; done'
    batch -N2 --mem=300M --pbcast-bundle="$bundle"
    expect_count 4 "linear from" && expect_count 2 "srun ended with 0" &&
        expect_out "Step limit reached" && expect_count 1 "pbcast: staged" && nothing_left || return
    capture srun -N2 --mem=300M --pbcast-bundle="$bundle" hello
    expect_rc 0 && expect_count 2 "linear from" && nothing_left || return
    # The staging step itself is one too many.
    script "srun true; srun true; srun --pbcast-bundle=$bundle echo ran"
    batch -N2 --mem=300M
    expect_failure && expect_no_line ran && expect_out "Step limit reached" &&
        expect_out "the staging step on n[1-2] failed" && nothing_left && cluster conf "${CONF[@]}"
}

# other_plugin ORDER HOW: one that gives tasks another /dev/shm (mounts.c), before or after ours.
other_plugin() {
    local lines=("required /shared/mounts.so $2" "required $PLUGIN ${SITE_KEYS[*]}")
    [[ -e $SHARED/mounts.so ]] || gcc -shared -fPIC -o "$SHARED/mounts.so" "$here/mounts.c" || return
    [[ $1 == before ]] || lines=("${lines[1]}" "${lines[0]}")
    cluster plugstack "${lines[@]}"
}

test_a_plugin_that_gives_each_job_its_own_dev_shm() {
    other_plugin before job=/run/shm || return
    simple_bundle mounts 1
    capture srun -N2 --mem=300M --pbcast-bundle="$bundle" hello
    expect_rc 0 && expect_count 2 "mounts from $STORE/" || return
    script 'hello; srun hello'
    batch -N2 --mem=300M --pbcast-bundle="$bundle"
    expect_rc 0 && expect_count 3 "mounts from $STORE/" && nothing_left || return
    # Listed after ours it hides the directory that ours has made.
    other_plugin after job=/run/shm || return
    capture srun -N2 --mem=300M --pbcast-bundle="$bundle" echo ran
    expect_failure && expect_no_line ran && expect_out "cannot open $STORE: No such file" && nothing_left &&
        plugstack "${SITE_KEYS[@]}"
}

test_a_plugin_that_gives_each_step_its_own_dev_shm_is_noticed() {
    other_plugin before step || return
    simple_bundle mounts 1
    capture srun -N2 --mem=300M --pbcast-bundle="$bundle" echo ran
    expect_failure && expect_no_line ran && expect_count 2 "each step sees another $STORE" && nothing_left || return
    script 'echo ran'
    batch -N2 --mem=300M --pbcast-bundle="$bundle"
    expect_failure && expect_no_line ran && expect_out "each step sees another $STORE" && nothing_left &&
        plugstack "${SITE_KEYS[@]}"
}

main "$@"
