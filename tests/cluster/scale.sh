#!/usr/bin/env bash
# Many nodes, many runs: 8 and 48 nodes, and staging runs in a row without a failure or a hang.
# PBC_SOAK_4 and PBC_SOAK_48 say how many (20 and 2; the release is measured with 200 and 20).
set -uo pipefail
NODES=48
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
. "$here/bundles.sh"
SITE_KEYS=(timeout=120 stall=30)
CLUSTER_OPTIONS=(--cpus 2 --store-size 256m)

test_sbatch_on_8_and_on_48_nodes() {
    local n
    simple_bundle many 1
    for n in 8 48; do
        script 'hello; srun hello'
        batch -N$n --ntasks-per-node=1 --pbcast-bundle="$bundle"
        expect_rc 0 && expect_count $((n + 1)) "many from" && expect_count 1 "on $n nodes" || return
    done
    nothing_left
}

test_two_trees_of_48_nodes() {
    simple_bundle trees 20
    two_trees
    capture srun -N48 --ntasks-per-node=1 --pbcast-verbose=2 --pbcast-bundle="$bundle" hello
    set_up
    expect_rc 0 && expect_count 48 "trees from" && expect_out "through two trees," && nothing_left
}

# soak NODES TIMES: every run must stage; how often Slurm lost an exchange is told, not counted.
soak() {
    local i lost=0
    simple_bundle soak 1
    for ((i = 1; i <= $2; i++)); do
        capture srun -N"$1" --ntasks-per-node=1 --pbcast-verbose=2 --pbcast-bundle="$bundle" hello
        expect_rc 0 && expect_count "$1" "soak from" && expect_count 1 "pbcast: staged" ||
            fail "run $i of $2 on $1 nodes" || return
        lost=$((lost + $(grep -c 'lost the start-up exchange' <<<"$out")))
    done
    echo "$2 runs on $1 nodes, $lost of them repeated by the plugin" >&3
    nothing_left
}
test_runs_in_a_row_on_4_nodes() { soak 4 "${PBC_SOAK_4:-20}"; }
test_runs_in_a_row_on_48_nodes() { soak 48 "${PBC_SOAK_48:-2}"; }

main "$@" 3>&1
