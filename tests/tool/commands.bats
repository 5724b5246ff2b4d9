#!/usr/bin/env bats
# What all commands of pbcast(1) have in common: help, statuses, one line of error; and those whose
# work other tests look at.
load support

COMMANDS='bundle inspect check convert catalog env leaks stage'

# mistaken ARG...: a mistake in the command line.
mistaken() {
    pbcast "$@"
    refused 2 ''
}

@test "every command has help, and refuses options that it does not have" {
    local command
    pbcast --help
    done_well
    for command in $COMMANDS; do
        says "  $command "
    done
    [[ $(grep -cE '^  [a-z]+ ' <<<"$output") == $(wc -w <<<"$COMMANDS") ]]
    for command in $COMMANDS; do
        pbcast $command --help
        done_well
        says "usage: pbcast $command "
        [[ $command == bundle ]] || mistaken $command --nonsense x
    done
    for command in prefix dir venv conda pip module system-libs; do
        mistaken bundle $command --nonsense -o b.tar.zst x
        mistaken bundle $command -o
        pbcast bundle $command --help
        done_well
    done
    left_nothing
    mistaken nosuch
    mistaken $'two\nlines'
}

@test "every command refuses to do without what it needs" {
    unset SLURM_JOB_ID SLURM_JOB_NUM_NODES PBCAST_ROOT
    mistaken inspect
    mistaken inspect a b
    mistaken check
    mistaken check a --capacity much
    mistaken convert a
    mistaken convert a b.tar.zst -l 77
    mistaken convert a b.tar.gz
    mistaken catalog
    mistaken catalog nosuch
    mistaken catalog add x
    mistaken catalog list --default
    mistaken env --shell cobol
    pbcast env
    refused 1 "SLURM_JOB_ID is not set"
    mistaken leaks
    pbcast leaks -- true
    refused 1 "SLURM_JOB_ID is not set"
    mistaken stage
    mistaken stage b.tar.zst
    mistaken bundle nosuch
}

@test "what nobody would look at is refused, not left out" {
    mkdir v
    : >v/pyvenv.cfg
    pbcast bundle venv v second -o b.tar.zst
    refused 2 "give one DIR only, not 'second' too"
    pbcast bundle conda v second -o b.tar.zst
    refused 2 "give one PREFIX only, not 'second' too"
    pbcast bundle system-libs first -o b.tar.zst -- true
    refused 2 "behind '--'"
    mistaken bundle dir t --set 1X=1 -o b.tar.zst
    mistaken bundle dir t --set SLURM_X=1 -o b.tar.zst
    left_nothing
}

@test "help states the limits that hold" {
    pbcast bundle dir --help
    says "0 = no limit (1G)"
    pbcast bundle prefix --help
    says "(no limit)"
    says_no "(1G)"
}

# in_job: as in the script of job 7 on two nodes, with programs of $PWD/bin that start what they name.
in_job() {
    export SLURM_JOB_ID=7 SLURM_JOB_NUM_NODES=2 PATH=$PWD/bin:$PATH
    mkdir bin
    : >bin/pbcast-stage-mpich
    chmod +x bin/pbcast-stage-mpich
}

@test "stage refuses what would stage on some of the nodes" {
    in_job
    export SLURM_HET_SIZE=2 SLURM_JOB_ID_HET_GROUP_0=7
    pbcast stage -k -m no-such/mpiexec $(seq 200)
    refused 2 "200 bundles, at most 64"
    pbcast stage -k -m no-such/mpiexec b.tar.zst
    refused "job 7 is heterogeneous"
    # a job that was submitted in one
    SLURM_JOB_ID_HET_GROUP_0=6
    pbcast stage -k -m no-such/mpiexec b.tar.zst
    refused "cannot run no-such/mpiexec"
}

@test "stage ends with a status of the agents whatever their launcher makes of it" {
    local ends
    in_job
    for ends in 0:0 4:4 5:5 7:1 143:1; do
        printf '#!/bin/sh\n[ "$1" != --version ] || exec echo HYDRA\nexit %s\n' "${ends%:*}" >bin/mpiexec
        chmod +x bin/mpiexec
        pbcast stage -k -m mpiexec b.tar.zst
        [[ $status == "${ends#*:}" ]] || said "exit status ${ends#*:} for ${ends%:*}"
    done
}

@test "stage tries again when the agents ask for it, and not when Hydra may have made that up" {
    local name
    in_job
    : >bin/pbcast-stage-openmpi
    chmod +x bin/pbcast-stage-openmpi
    for name in HYDRA '(Open MPI)'; do
        : >tries
        printf '#!/bin/sh\n[ "$1" != --version ] || exec echo "%s"\necho x >>tries\nexit 6\n' "$name" >bin/mpiexec
        chmod +x bin/mpiexec
        pbcast stage -k -m mpiexec b.tar.zst
        if [[ $name == HYDRA ]]; then
            [[ $status == 1 && $(<tries) == x ]] || said "another try, or status 1"
        else
            [[ $status == 6 && $(wc -l <tries) == 3 ]] || said "three tries and status 6"
            says "did not meet in 3 tries"
        fi
    done
}

# program NAME TEXT: a shell script bin/NAME.
program() {
    printf '#!/bin/sh\n%s\n' "$2" >"bin/$1"
    chmod +x "bin/$1"
}

# A launcher that waits and says so, as srun and as mpirun, and hands on SIGINT; the step that waits for the job's end.
WAITS='trap "echo >ended; kill \$!; exit 130" INT; sleep 100 >/dev/null 2>&1 & echo $$ >.started && mv .started started; wait'
WATCHES='case "$*" in *--watch*) echo $$ >watch && exec sleep 100;; esac'

@test "stage: a signal ends what it has started too, and itself" {
    local signal how
    in_job
    : >bin/pbcast-stage
    chmod +x bin/pbcast-stage
    program mpiexec "[ \"\$1\" != --version ] || exec echo HYDRA
$WAITS"
    program srun "$WATCHES
$WAITS"
    for how in mpiexec pmix pmi2; do
        for signal in TERM HUP INT; do
            # INT is ignored where a script starts what it does not wait for
            PATH=$PATH:/bin env --default-signal=INT "$PBC_TOOL" stage -m $how b.tar.zst 2>log 3>&- &
            appears started
            kill -$signal $!
            status=0
            wait $! || status=$?
            output=$(<log)
            [[ $status == $((128 + $(kill -l $signal))) ]] || said "an end by SIG$signal, with $how"
            [[ $(grep -c "^pbcast: error: stopped: " log) == 1 ]] || said "one line of error"
            [[ -e ended && ! -e /proc/$(<started) ]] || said "no launcher left, with $how"
            # what else the job has staged is removed at its end only
            appears watch
            kill "$(<watch)" || said "the step that waits for the job's end"
            rm started ended watch
        done
    done
}

@test "stage says that nobody would remove what it has staged" {
    in_job
    : >bin/pbcast-stage
    chmod +x bin/pbcast-stage
    # the agents end when that has ended, and not been waited for
    program srun 'case "$*" in
*--watch*) echo $$ >watch; echo "srun: error: Unable to create step: no"; exit 4 ;;
esac
until [ -s watch ] && grep -q "^State:.Z" /proc/$(cat watch)/status; do sleep 0.01; done'
    pbcast stage -m pmix b.tar.zst
    refused 1 "the step that removes the bundles at the job's end has ended before (srun: status 4"
    says "Unable to create step: no"
    says "/dev/shm/pbcast-$(id -u)/7"
    program srun 'case "$*" in *--watch*) exit 1 ;; esac'
    pbcast stage --keep -m pmix b.tar.zst
    done_well
}

@test "a file of which nothing can be made" {
    local command
    printf 'no archive\n' >'a $(touch pwned)'
    for command in inspect check; do
        pbcast $command nosuch
        refused nosuch
        pbcast $command 'a $(touch pwned)'
        refused 'a $(touch pwned)'
        pbcast $command t
        refused "t"
    done
    pbcast convert nosuch b.tar.zst
    refused nosuch
    pbcast convert 'a $(touch pwned)' b.tar.zst
    refused 'a $(touch pwned)'
    left_nothing
    [[ ! -e pwned ]]
}

@test "a file that is not readable" {
    [[ $EUID == 0 ]] || skip "needs root to become another user"
    : >t/x
    "$PBC_TOOL" bundle dir t -q -o b.tar.zst
    chmod 600 b.tar.zst
    chmod 777 . t
    chmod 755 "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR"/..
    local command
    for command in inspect check; do
        run as_nobody "$PBC_TOOL" $command b.tar.zst
        refused "b.tar.zst"
        says "Permission denied"
    done
    run as_nobody "$PBC_TOOL" convert b.tar.zst t/c.tar.zst
    refused "b.tar.zst"
    left_nothing t/c.tar.zst
}

@test "convert: the same members and the same bytes each time" {
    seq 9999 >t/x
    ln -s x t/y
    tar -C t -czf b.tar.gz .
    pbcast convert b.tar.gz b.tar.zst
    done_well
    says "b.tar.zst: "
    pbcast convert -q b.tar.gz c.tar.zst
    [[ -z $output ]]
    cmp b.tar.zst c.tar.zst
    unpack b.tar.zst
    diff -r --no-dereference t out
    head -c 9000 b.tar.gz >cut.tar.gz
    pbcast convert cut.tar.gz cut.tar.zst
    refused "cut.tar.gz"
    left_nothing cut.tar.zst
}

@test "convert: a bundle.conf that nodes refuse is refused, one that is late comes first" {
    mkdir .pbcast
    printf 'x' >x
    printf 'pbcast-bundle=1\nset=LD_PRELOAD=/x\n' >.pbcast/bundle.conf
    tar -cf b.tar .pbcast/bundle.conf x
    pbcast convert b.tar b.tar.zst
    refused "b.tar: line 2 of .pbcast/bundle.conf names a variable"
    left_nothing
    printf 'pbcast-bundle=1\n' >.pbcast/bundle.conf
    tar -cf b.tar .pbcast/bundle.conf x .pbcast/bundle.conf
    pbcast convert b.tar b.tar.zst
    refused "b.tar: member '.pbcast/bundle.conf' comes a second time"
    tar -cf b.tar .pbcast/bundle.conf
    pbcast convert b.tar b.tar.zst
    refused "b.tar: the archive has no members"
    tar -cf b.tar x x .pbcast/bundle.conf
    pbcast convert b.tar b.tar.zst
    refused "b.tar: member '.pbcast/bundle.conf' must come before all files and links"
    left_nothing
    tar -cf b.tar x .pbcast/bundle.conf
    pbcast convert b.tar b.tar.zst
    done_well
    pbcast check b.tar.zst
    done_well
}

@test "convert: an archive that changes meanwhile is refused" {
    head -c 30000000 /dev/urandom >t/x
    tar -C t -cf b.tar .
    "$PBC_TOOL" convert -q -l 19 b.tar b.tar.zst 2>said &
    appears 'b.tar.zst.*'
    touch b.tar
    status=0
    wait $! || status=$?
    output=$(<said)
    refused "b.tar: changed while it was being read: try again"
    left_nothing
}

@test "convert: it tells how far it is, and can be stopped in its first reading" {
    local archive
    head -c 30000000 /dev/urandom >t/noise
    tar -C t -cf b.tar .
    TERM=xterm script -qec "'$PBC_TOOL' convert -l 19 b.tar b.tar.zst" log >/dev/null
    grep -q 'packing \[[#.]*\] *[0-9]* %' log
    rm t/noise b.tar.zst
    # holes of 100 TiB, and 60 GiB of zeros: they take longer to read than the test waits
    truncate -s 5T t/hole{1..20}
    tar -C t --sparse -cf b.tar .
    /usr/bin/python3 -c 'import sys, tarfile
t = tarfile.TarInfo("zeros")
t.size = 60 << 30
sys.stdout.buffer.write(t.tobuf())' | zstd -q >c.tar.zst
    head -c 1G /dev/zero | zstd -q >zeros
    for archive in {1..60}; do cat zeros; done >>c.tar.zst
    for archive in b.tar c.tar.zst; do
        run env --default-signal=INT timeout -s INT -k 20 1 "$PBC_TOOL" convert -q $archive out.tar.zst
        [[ $status == 124 ]] || said "124: it was stopped by the signal, and soon"
        says "stopped: Interrupt"
        left_nothing out.tar.zst
    done
}

@test "catalog: add, list, show, verify, remove" {
    [[ $EUID == 0 ]] || skip "a catalogue is root's"
    : >t/x
    "$PBC_TOOL" bundle dir t -q -o b.tar.zst
    chmod 755 . && export PBCAST_CATALOG=$PWD/catalog
    pbcast catalog add python/3.11 b.tar.zst --default --description 'the site'"'"'s'
    done_well
    pbcast catalog list
    done_well
    says "python/3.11 (default) the site's"
    pbcast catalog show python
    done_well
    says "path=$PWD/b.tar.zst"
    pbcast catalog verify
    says "python/3.11: good"
    pbcast catalog show pyhton
    refused "near it are python/3.11"
    cp catalog old
    pbcast catalog add 'x$(touch pwned)/1' b.tar.zst
    refused 2 "letters, digits"
    pbcast catalog add python/3.11 b.tar.zst
    refused "has python/3.11 already"
    pbcast catalog remove python/3.12
    refused "no python/3.12"
    pbcast catalog add python/3.12 nosuch
    refused "nosuch"
    cmp catalog old
    : >t/y
    "$PBC_TOOL" bundle dir t -q -o b.tar.zst
    pbcast catalog verify
    [[ $status == 3 ]]
    says "python/3.11: $PWD/b.tar.zst has the digest"
    [[ ! -e pwned && -z $(compgen -G 'catalog?*') ]]
}

@test "what cannot be printed is a failure of the command" {
    export PBCAST_CATALOG=$PWD/catalog
    printf 'pbcast-catalog=1\n' >catalog
    printf 'x' >t/x
    "$PBC_TOOL" bundle dir t -q -o b.tar.zst
    "$PBC_TOOL" catalog add x/1 b.tar.zst
    local command
    for command in "check b.tar.zst" "inspect b.tar.zst" "inspect --json b.tar.zst" "catalog list" "catalog show x" \
        --help --version "bundle --help" "bundle dir --help" "check --help"; do
        # shellcheck disable=SC2086
        run bash -c '"$0" "$@" >/dev/full' "$PBC_TOOL" $command
        refused 1 "cannot write"
    done
}

@test "streams that are closed are not taken by files" {
    run bash -c '"$0" bundle system-libs -q -o b.tar.zst -- ls 0<&- 1>&- 2>&-' "$PBC_TOOL"
    done_well
    pbcast inspect -q b.tar.zst
    says "as stated"
}

@test "leaks: a signal ends the command too, and leaves nothing" {
    local set=0123456789abcdef0123456789abcdef signal
    mkdir -p "store/9/$set/bin"
    chmod 700 store/9
    printf 'pbcast-manifest=1\nset=%s\nprofile=generic\nbytes=0\nfiles=0\nnodes=\n' $set >store/9/$set.manifest
    chmod 600 store/9/$set.manifest
    echo 'trap "echo >told.$1; kill \$!; exit" TERM HUP; sleep 100 & : >up.$1; wait' >child
    for signal in TERM HUP; do
        "$PBC_TOOL" leaks --store "$PWD/store" --job 9 -- \
            sh -c 'echo $$ >.started && mv .started started && exec sleep 1000' 2>log &
        appears started
        kill -$signal $!
        status=0
        wait $! || status=$?
        output=$(<log)
        [[ $status == $((128 + $(kill -l $signal))) ]] || said "an end by the signal"
        says "ended with status $status"
        [[ ! -e /proc/$(<started) ]] || said "no command left"
        rm started
        # and its children, those too whose parent has gone
        "$PBC_TOOL" leaks --store "$PWD/store" --job 9 -- sh -c 'sh child 1 & (sh child 2 &); sh child 3; :' 2>log &
        appears up.1 && appears up.2 && appears up.3
        kill -$signal $!
        status=0
        wait $! || status=$?
        [[ -e told.1 && -e told.2 && -e told.3 ]] || said "all told: $(echo told.*)"
        [[ $status == $((128 + $(kill -l $signal))) ]] || said "an end by the signal"
        rm told.* up.*
    done
}
