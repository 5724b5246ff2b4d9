#!/usr/bin/env bash
# The main job, with the distribution's real Python, SciPy and mpi4py: what a user came for.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
. "$here/bundles.sh"
SITE_KEYS=(timeout=120)
CLUSTER_OPTIONS=(--store-size 3g)

# Made once: $tier1 and $app as the user sees them.
bundles() {
    tier1=/shared/tier1.tar.gz
    app=/shared/app.tar.gz
    [[ -e $SHARED/tier1.tar.gz ]] ||
        "$top/container/make-tier1" --cache "${PBC_TEST_CACHE:-/var/tmp/pbcast-cache}" "$SHARED/tier1.tar.gz" >"$SHARED/tier1.log" 2>&1 ||
        fail "make-tier1: $(tail -5 "$SHARED/tier1.log")" || return
    [[ -e $SHARED/app.tar.gz ]] || tar -C "$top/container" -czf "$SHARED/app.tar.gz" app
    chmod 644 "$SHARED"/*.tar.gz
}

# Slurm 22.05 sometimes loses the start-up exchange of an application's own PMIx step (its slurmstepd
# then logs "Connection reject" or a munge error); that is not what is tested here.
slurm_lost_it() { grep -qE 'Munge decode failed|Connection reject|Open MPI failed to TCP connect' <<<"$out"; }
mpi_batch() {
    local i
    for i in 1 2 3 4; do
        batch "$@"
        ((rc == 0)) && return
        out+=$(for node in $(node_list); do cluster logs "$node" | tail -n 30; done)
        slurm_lost_it || return 0
        as_user scancel -u alice && idle || return
    done
}

# row: sbatch and srun, with --mpi=pmix | OpenMPI, mpi4py | yes | works
test_an_mpi4py_job_runs_from_node_local_storage_on_every_node() {
    bundles || return
    # Application and bundles as in the user guide; a pause keeps Slurm's own race away.
    # shellcheck disable=SC2016
    script 'echo "root=$PBCAST_ROOT"
srun --mpi=pmix sh -c "sleep 0.3; exec python \$PBCAST_ROOT/app/app.py"'
    mpi_batch -N4 --ntasks-per-node=1 --pbcast-bundle="$tier1,$app"
    expect_rc 0 && expect_count 1 "staged 2 bundles" && expect_out "root=$STORE/" || return
    (($(grep -c "$STORE/.*/app/app.py" <<<"$out") >= 4)) || fail "not every rank ran the staged app" || return
    (($(grep -c "$STORE/.*numpy/__init__.py" <<<"$out") >= 4)) || fail "not every rank imported the staged numpy" || return
    expect_no "/usr/lib/python3" && nothing_left
}

test_allreduce_is_right_after_staging() {
    bundles || return
    # shellcheck disable=SC2016
    script 'srun --mpi=pmix sh -c "sleep 0.3; exec python -c \"
from mpi4py import MPI
import numpy
c = MPI.COMM_WORLD
a = numpy.full(1000, c.rank + 1.0)
b = numpy.empty(1000)
c.Allreduce(a, b)
assert (b == c.size * (c.size + 1) / 2).all()
print(\\\"allreduce\\\", c.rank, c.size, b[0])
\""'
    mpi_batch -N4 --ntasks-per-node=2 --pbcast-bundle="$tier1"
    expect_rc 0 && expect_count 8 "allreduce" && expect_count 8 "8 36.0" && nothing_left
}

# row: srun alone, with --mpi=none or pmi2 | none | yes | works
test_the_application_need_not_use_pmix() {
    bundles || return
    for mpi in none pmi2; do
        capture srun -N4 --mpi=$mpi --pbcast-bundle="$tier1" python -c 'import scipy.linalg; print(scipy.linalg.__file__)'
        expect_rc 0 && expect_count 4 "$STORE/" || return
    done
    nothing_left
}

test_table_1_of_the_paper_is_set_and_the_user_s_own_variables_purged() {
    bundles || return
    # shellcheck disable=SC2016
    capture env PYTHONPATH=/home/me/lib PYTHONUSERBASE=/home/me/.local LD_LIBRARY_PATH=/opt/lib MANPATH=/m \
        srun -N2 -n2 --pbcast-bundle="$tier1" sh -c 'test "$PYTHONHOME" = "$PBCAST_ROOT" && echo home-ok
            test -z "${PYTHONPATH+x}" && echo path-ok
            case $PATH in "$PBCAST_ROOT/bin:"*) echo bin-ok ;; esac
            case $LD_LIBRARY_PATH in "$PBCAST_ROOT/lib"*:/opt/lib) echo lib-ok ;; esac
            test ! -e "$PYTHONUSERBASE" -a "$PYTHONNOUSERSITE" = 1 && echo user-ok'
    expect_rc 0 && for w in home-ok path-ok bin-ok lib-ok user-ok; do expect_count 2 "$w" || return; done
    # shellcheck disable=SC2016
    capture srun -N1 --pbcast-bundle="$tier1" python -c 'import sys, site; print("path", sys.path); print("user", site.ENABLE_USER_SITE)'
    expect_rc 0 && expect_out "user False" && expect_no "'/usr/" && nothing_left
}

test_compiled_modules_stay_valid() {
    bundles || return
    capture_said -N2 --pbcast-bundle="$tier1" python -v -c 'import numpy, scipy.linalg, json, decimal'
    expect_rc 0 || return
    (($(grep -c 'matches .*\.py' <<<"$out") > 100)) || fail "python -v says nothing of compiled modules" || return
    out=$(grep -E '# wrote|could not create|bytecode is stale' <<<"$out")
    [[ -z $out ]] || fail "recompiled:"
}

# row: sbatch, mpirun (OpenMPI) in the script | OpenMPI, mpi4py | yes | works
test_mpirun_from_the_batch_script() {
    bundles || return
    # shellcheck disable=SC2016
    script 'mpirun -np 4 --map-by node python -c "
from mpi4py import MPI
import numpy
print(\"rank\", MPI.COMM_WORLD.rank, MPI.COMM_WORLD.allreduce(1), numpy.__file__)"'
    mpi_batch -N4 --ntasks-per-node=1 --pbcast-bundle="$tier1"
    expect_rc 0 && (($(grep -cE "rank [0-3] 4 $STORE/" <<<"$out") == 4)) || fail "not all ranks ran" || return
    nothing_left
}

test_what_leaves_the_staged_tree_finds_the_system_s_python_again() {
    bundles || return
    # shellcheck disable=SC2016
    script 'srun -N1 --pbcast-bundle=none python3 -c "import sys; print(1, sys.prefix)"
cd /; sbatch -Q --wait -N1 -o '"$USER_HOME"'/inner --wrap="python3 -c \"import sys; print(2, sys.prefix)\""; cat '"$USER_HOME"'/inner
srun -N1 --pbcast-bundle=/shared/app.tar.gz sh -c "echo home=\$PYTHONHOME; python3 -c \"import sys; print(3, sys.prefix)\""
srun -N1 python3 -c "import sys; print(4, sys.prefix)"'
    batch -N2 --pbcast-bundle="$tier1"
    expect_rc 0 && expect_out "1 /usr" && expect_out "2 /usr" && expect_out "3 /usr" && expect_out "home=" &&
        expect_no "home=/" && expect_out "4 $STORE/" && nothing_left
}

test_a_typo_in_plugstack_conf_fails_no_queued_job_that_wants_nothing_of_us() {
    local job
    script 'echo ran; srun true'
    job=$(as_user sbatch --parsable --hold -N1 -o "$USER_HOME/typo" "$script")
    plugstack colour=red
    as_user scontrol release "$job"
    sleep 1
    idle || return
    set_up
    out=$(cat "$SHARED/home/alice/typo")
    # the script runs; the srun in it says what is wrong
    expect_count 1 ran && expect_out colour
}

main "$@"
